"""The example programs beside the drivers: what a driver prints, a program of one's own computes, to the bit.

examples_agree.py FOLDER-OF-THE-EXAMPLES"""

import os
import re
import subprocess
import sys
import unittest

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drivers"))
from support import MPIEXEC, QUICK, PipeTest, read  # noqa: E402

EXAMPLES = sys.argv.pop(1)


class Examples(PipeTest):
    def example(self, name, *arguments):
        done = subprocess.run([MPIEXEC, "-n", "2", os.path.join(EXAMPLES, name), *map(str, arguments)],
                              capture_output=True, text=True, timeout=300, cwd=self.directory, env=os.environ | QUICK)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_ridge_regression_saved_and_loaded(self):
        r = np.random.default_rng(1)
        X = r.normal(size=(150, 3))
        y = 100 + np.sin(2 * X[:, 0]) + 0.1 * r.normal(size=150)
        np.savetxt(self.path("train.csv"), np.c_[X, y][:100], delimiter=",", header="a,b,c,y", comments="")
        np.savetxt(self.path("new.csv"), X[100:], delimiter=",", header="a,b,c", comments="")
        text = self.example("ridge", "train.csv", "new.csv", "model.h5")
        ridge, loo = map(float, re.search(r"ridge (\S+), leave-one-out (\S+),", text).groups())
        first = float(re.search(r"first prediction (\S+)", text).group(1))
        common = ("--train", self.path("train.csv"), "--test", self.path("new.csv"), "--standardize", "--bias-std", "1")
        record = self.record("mercer-krr", *common, "--ridge", "loo", "--out", self.path("r.h5"))
        self.assertEqual(ridge, record["result"]["ridge"])
        self.assertEqual(first, read(self.path("r.h5"), "/predictions")[0, 0])
        self.assertAlmostEqual(loo, read(self.path("r.h5"), "/score/loo_rmse_standardized")[0], delta=1e-14)
        self.record("mercer-krr", "--model", self.path("model.h5"), "--test", self.path("new.csv"),
                    "--out", self.path("again.h5"))
        self.assertEqual(first, read(self.path("again.h5"), "/predictions")[0, 0])

    def values(self, text):
        return [float(value) for value in re.findall(r"^ *\d+ +(\S+) +residual", text, re.M)]

    def test_a_spectrum_by_krylov(self):
        self.record("mercer-spectrum", "--data", "gaussian:n=600,d=3", "--kernel", "gaussian", "--top", 20,
                    "--solver", "krylov", "--out", self.path("s.h5"))
        mine = self.values(self.example("spectrum", 600, "gaussian(bandwidth=1)"))
        self.assertEqual(mine, list(read(self.path("s.h5"), "/eigenvalues")))

    def test_a_spectrum_of_a_kernel_of_its_own(self):
        mine = self.values(self.example("spectrum", 300))
        self.record("mercer-kernel", "--data", "gaussian:n=300,d=3", "--kernel", "linear", "--out", self.path("k.h5"))
        # The same points, by their Gram matrix; Matern 3/2 by its formula.
        G = read(self.path("k.h5"), "/kernel")
        q = np.diag(G)
        R = np.sqrt(3 * np.maximum(q[:, None] + q[None, :] - 2 * G, 0))
        expected = np.linalg.eigvalsh((1 + R) * np.exp(-R) / 300)[::-1][:20]
        self.assertLess(np.abs(np.array(mine) - expected).max(), 1e-9)

    def test_training(self):
        text = self.example("training")
        loss = float(re.search(r"loss (\S+),", text).group(1))
        record = self.record("mercer-train", "--train", "circle:n=64,freq=3,grid,amplitude=0.03", "--arch",
                             "dense(512) relu dense(1)", "--bias-std", 1, "--precondition", "kernel", "--top", 10,
                             "--steps", 20)
        self.assertEqual(loss, record["result"]["loss_train"])


if __name__ == "__main__":
    unittest.main()
