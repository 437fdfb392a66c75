"""mercer-krr on public data, against an independent dense solution of the same problem."""

import os
import unittest

import numpy as np

import reference
from support import DATA, PipeTest, needs, read

needs(DATA, "MERCER_DATA_DIR")

MNIST = ["--train", f"idx:{DATA}/mnist/train-images-idx3-ubyte.gz,{DATA}/mnist/train-labels-idx1-ubyte.gz",
         "--test", f"idx:{DATA}/mnist/t10k-images-idx3-ubyte.gz,{DATA}/mnist/t10k-labels-idx1-ubyte.gz",
         "--unit-norm", "--one-hot"]


class Mnist(PipeTest):
    def test_2000_images_by_eigenpairs_equal_the_dense_solution(self):
        X, Y, Z, YZ, labels = reference.mnist(DATA, 2000)
        K = reference.relu_ntk(X, X, 1)
        relative = 1e-3
        f = reference.relu_ntk(Z, X, 1) / 2000 @ reference.ridge(K, Y, relative * np.trace(K) / 2000 / 2000)
        out = self.path("r.h5")
        record = self.record("mercer-krr", *MNIST, "--limit", "2000", "--depth", "1", "--ridge-relative", "1e-3", "--g",
                             "identity", "--check", "--out", out)
        self.assertTrue(np.abs(read(out, "/predictions") - f).max() <= 1e-6)
        self.assertAlmostEqual(record["result"]["mse"], np.mean((f - YZ) ** 2), delta=1e-8)
        self.assertAlmostEqual(record["result"]["accuracy"], np.mean(f.argmax(1) == labels), delta=1e-9)

    def test_10000_images_by_cholesky_have_the_known_accuracy(self):
        record = self.record("mercer-krr", *MNIST, "--limit", "10000", "--depth", "1", "--ridge-relative", "5e-4",
                             "--check", timeout=600)
        self.assertAlmostEqual(record["result"]["accuracy"], 0.9709, delta=1e-9)
        self.assertAlmostEqual(record["result"]["mse"], 0.0103045, delta=1e-6)


class Uci(PipeTest):
    def job(self, name, score):
        return ("mercer-krr", "--train", f"csv:{DATA}/uci/{name}/data.csv.gz", "--split",
                f"{DATA}/uci/{name}/test_mask.csv.gz:0", "--standardize", "--depth", "2", "--bias-std", "0.5", "--ridge",
                score)

    def compare(self, name, limit=None, all_ranks=(2,)):
        """Leave-one-out chooses the ridge, the same on every number of ranks; the dense solution at that ridge, from
        another kernel matrix by another way, has the same error."""
        X, Y, Z, YZ, deviation = reference.uci(DATA, name)
        X, Y = X[:limit], Y[:limit]
        K, cross = (reference.relu_ntk(A, X, 2, bias_variance=0.25) for A in (X, Z))
        first = None
        for ranks in all_ranks:
            with self.subTest(ranks=ranks):
                result = self.record(*self.job(name, "loo"), ranks=ranks, timeout=900)["result"]
                first = result["ridge"] if first is None else first
                self.assertAlmostEqual(result["ridge"] / first, 1, delta=1e-12)
                f = cross / len(X) @ reference.ridge(K, Y, result["ridge"])
                rmse = deviation * np.sqrt(np.mean((f - YZ) ** 2))
                self.assertTrue(abs(result["rmse"] - rmse) <= 1e-6 * rmse, (result["rmse"], rmse))

    def test_concrete(self):
        self.compare("concrete", all_ranks=(1, 2, 3))

    def test_energy(self):
        self.compare("energy", all_ranks=(1, 2, 3))

    def test_a_ridge_at_the_edge_of_the_search_is_said_to_be(self):
        for score, lines in (("loo", 1), ("gcv", 0)):
            out = self.succeed(*self.job("concrete", score)).out
            edges = [line for line in out.splitlines() if line.startswith("edge    ")]
            self.assertEqual(len(edges), lines, out)
            self.assertTrue(all("the lower end of the range searched" in line for line in edges), edges)


if __name__ == "__main__":
    unittest.main(verbosity=2)
