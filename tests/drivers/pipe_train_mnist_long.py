"""Preconditioned against plain gradient descent on MNIST, 10 000 images, two hidden layers of 1024: the loss that
PGD reaches in T steps costs gradient descent, at its own best constant rate, at least 10 T; and with the safeguard
no k ends worse than gradient descent after the same number of steps."""

import os
import unittest

import numpy as np

from support import DATA, PipeTest, needs, read

needs(DATA, "MERCER_DATA_DIR")
MNIST = os.path.join(DATA, "mnist")
IMAGES = [f"idx:{MNIST}/{part}-images-idx3-ubyte.gz,{MNIST}/{part}-labels-idx1-ubyte.gz" for part in ("train", "t10k")]
ROWS = int(os.environ.get("MERCER_MNIST_ROWS", "10000"))
JOB = ("--train", IMAGES[0], "--test", IMAGES[1], "--limit", ROWS, "--one-hot", "--unit-norm", "--arch",
       "dense(1024) relu dense(1024) relu dense(10)", "--precision", "single")
GD_STEPS = int(os.environ.get("MERCER_MNIST_STEPS", "150"))


class Mnist(PipeTest):
    def train(self, name, *arguments):
        out = self.path(name + ".h5")
        result = self.record("mercer-train", *JOB, *arguments, "--out", out, timeout=3600)["result"]
        return result, read(out, "/steps"), read(out, "/loss_train")

    def test_pgd_needs_a_tenth_of_the_steps_and_no_k_ends_worse(self):
        auto, _, _ = self.train("rate", "--precondition", "none", "--steps", 1)
        limit = 1 / auto["lr"]  # lambda_max(J J^T)
        print(f"\n{'':24}{'steps':>7}{'loss':>12}{'accuracy':>10}")
        runs = {}
        for factor in (1.0, 1.5, 1.9):
            result, steps, loss = self.train(f"gd{factor}", "--precondition", "none", "--lr", factor / limit,
                                             "--steps", GD_STEPS)
            runs[factor] = (steps, loss)
            print(f"{f'GD, {factor} / lambda_max':24}{result['steps']:7d}{loss[-1]:12.6f}{result['accuracy']:10.4f}",
                  flush=True)
        self.best = min(runs.values(), key=lambda run: run[1][-1])
        steps, loss = self.best
        spectrum = self.path("spectrum.h5")
        self.succeed("mercer-spectrum", "--data", IMAGES[0], "--limit", ROWS, "--unit-norm", "--depth", 2, "--top", 501,
                     "--out", spectrum, timeout=1800)
        reached = {}
        for k in (10, 20, 50, 100, 200, 500):
            result, s, l = self.train(f"pgd{k}", "--precondition", "kernel", "--top", k, "--spectrum", spectrum,
                                      "--steps", 20)
            gd = float(np.exp(np.interp(s[-1], steps, np.log(loss))))
            # Steps that gradient descent needs for the loss of PGD after T steps, over T; the best T >= 1.
            gain = 0
            for at, value in zip(s[1:], l[1:]):
                below = np.nonzero(loss <= value)[0]
                needed = steps[below[0]] if below.size else GD_STEPS
                gain = max(gain, needed / at)
            reached[k] = gain
            print(f"{f'PGD, k = {k}':24}{result['steps']:7d}{l[-1]:12.6f}{result['accuracy']:10.4f}   "
                  f"GD after as many steps {gd:.6f}, steps saved {gain:.1f}-fold, {result['rejected']} rejected",
                  flush=True)
            with self.subTest(k=k):
                self.assertTrue(l[-1] <= gd)
        self.assertGreaterEqual(max(reached.values()), 10)


if __name__ == "__main__":
    unittest.main(verbosity=2)
