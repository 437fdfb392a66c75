"""mercer-spectrum --diagnostics: by NumPy from the eigenpairs, on the circle, of a network's kernel, and what is refused."""

import csv
import unittest

import numpy as np

from reference import relu_ntk
from support import PipeTest, read

RNG = np.random.default_rng(3)
N = 80
X, Y = RNG.normal(size=(N, 3)), RNG.normal(size=(N, 2))


class Diagnostics(PipeTest):
    def data(self):
        return ("--data", "npy:" + self.npy("x.npy", X) + "," + self.npy("y.npy", Y), "--bias-std", "0.4")

    def test_numbers_are_those_of_the_eigenpairs(self):
        values, V = np.linalg.eigh(relu_ntk(X, X, 1, bias_variance=0.16) / N)
        values, V = values[::-1], V[:, ::-1]
        share = (V.T @ Y) ** 2 / (Y**2).sum(0)
        for ranks, more in ((1, ()), (3, ())):
            out, table = self.path("d.h5"), self.path("d.csv")
            self.succeed("mercer-spectrum", *self.data(), *more, "--diagnostics", "--out", out, "--csv", table, ranks=ranks)
            self.assertAlmostEqual(read(out, "/diagnostics/condition")[0] * values[-1] / values[0], 1, delta=1e-6)
            self.assertAlmostEqual(read(out, "/diagnostics/trace")[0] / values.sum(), 1, delta=1e-8)
            for epsilon, count in zip(read(out, "/diagnostics/rank_epsilon"), read(out, "/diagnostics/rank")):
                self.assertEqual(count, np.sum(np.sqrt(values) > epsilon * np.sqrt(values[0])))
            self.assertTrue(np.allclose(read(out, "/diagnostics/alignment_cumulative"), np.cumsum(share, axis=0), atol=1e-6))
            K = V @ np.diag(values) @ V.T
            exact = np.array([y @ K @ y / np.linalg.norm(K) / (y @ y) for y in Y.T])
            self.assertTrue(np.allclose(read(out, "/diagnostics/kernel_alignment"), exact, rtol=1e-7))
            with open(table, encoding="utf-8") as file:
                column = [float(row["eigenvalue"]) for row in csv.DictReader(file)]
            self.assertTrue(np.allclose(column, values, atol=1e-9))

    def test_a_frequency_lies_in_its_space_on_the_circle(self):
        out = self.path("d.h5")
        self.succeed("mercer-spectrum", "--data", "circle:n=128,freq=2,grid", "--bias-std", "1", "--top", "9", "--diagnostics", "--out", out)
        self.assertEqual(read(out, "/diagnostics/space").tolist(), [0, 1, 1, 2, 2, 3, 3, 4, 4])
        alignment = read(out, "/diagnostics/alignment")[:, 0]
        self.assertAlmostEqual(alignment[2], 1, delta=1e-10)
        self.assertLess(np.delete(alignment, 2).max(), 1e-10)

    def test_of_a_network_s_own_kernel_the_rank_is_that_of_its_parameters(self):
        weights, out = self.path("w.h5"), self.path("d.h5")
        job = ("npy:" + self.npy("x.npy", X) + "," + self.npy("t.npy", Y[:, :1]),)
        self.succeed("mercer-train", "--train", *job, "--depth", "1", "--width", "6", "--bias-std", "0.4", "--init", "gaussian", "--steps", "0", "--out", weights)
        self.succeed("mercer-spectrum", "--data", *job, "--kernel", "empirical", "--parameters", weights, "--diagnostics", "1e-5", "--out", out)
        self.assertLessEqual(read(out, "/diagnostics/rank")[0], 6 * 4 + 7)  # p weights and biases
        self.assertGreater(read(out, "/diagnostics/rank")[0], 6)

    def test_bad_input_is_one_line(self):
        for text in ("2", "0", "-1", "a", "nan"):
            self.refuse(["--diagnostics"], "mercer-spectrum", *self.data(), "--diagnostics=" + text)


if __name__ == "__main__":
    unittest.main()
