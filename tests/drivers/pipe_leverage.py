"""mercer-spectrum --leverage: ridge leverage scores and statistical dimensions, against NumPy."""

import unittest

import h5py
import numpy as np

from support import PipeTest, read

RNG = np.random.default_rng(0)
N = 300
X = RNG.normal(size=(N, 5))
X[:10] *= 4  # a few rows of large leverage
RIDGES = (1e-6, 1e-4, 0.01)


def scores_by_definition(values, V, ridge):
    values = np.maximum(values, 0)
    return (V**2) @ (values / (values + ridge))


class Leverage(PipeTest):
    def data(self):
        return ("--data", "npy:" + self.npy("x.npy", X), "--bias-std", "0.3")

    def kernel(self):
        """K as mercer-kernel writes it: acos in NumPy loses half the digits on the diagonal."""
        self.succeed("mercer-kernel", *self.data(), "--out", self.path("k.h5"))
        return read(self.path("k.h5"), "/kernel") / N

    def spectrum(self, *options, ranks=2):
        out = self.path("s.h5")
        self.succeed("mercer-spectrum", *self.data(), *options, "--out", out, ranks=ranks)
        return out

    def test_all_pairs_give_the_scores_of_a_dense_solve(self):
        K = self.kernel()
        for ranks in (1, 3):
            out = self.spectrum("--leverage", ",".join(map(str, RIDGES)), ranks=ranks)
            with h5py.File(out) as file:
                self.assertNotIn("errors", file["/leverage"])
            scores = read(out, "/leverage/scores")
            self.assertEqual(scores.shape, (N, 3))
            for r, ridge in enumerate(RIDGES):
                exact = np.diag(np.linalg.solve(K + ridge * np.eye(N), K))
                error = 1e-12 + 1e-14 * np.linalg.norm(K, 2) / ridge  # rounding of K, times the resolvent's norm
                self.assertLessEqual(np.abs(scores[:, r] - exact).max(), error)
                dimension = read(out, "/leverage/statistical_dimension")[r]
                self.assertLessEqual(abs(scores[:, r].sum() - dimension), 1e-12 * N)

    def test_top_pairs_and_probes_are_within_their_errors(self):
        values, V = np.linalg.eigh(self.kernel())
        for solver in ("krylov", "elpa1"):
            out = self.spectrum("--top", "20", "--solver", solver, "--leverage", ",".join(map(str, RIDGES)))
            for r, ridge in enumerate(RIDGES):
                exact = scores_by_definition(values, V, ridge)
                error = read(out, "/leverage/errors")[:, r]
                off = read(out, "/leverage/scores")[:, r] - exact
                self.assertTrue(np.all(np.abs(off) <= 5 * error), (solver, ridge))
                self.assertLessEqual(np.sqrt(np.mean((off / error) ** 2)), 1.3)
                off = read(out, "/leverage/statistical_dimension")[r] - exact.sum()
                self.assertLessEqual(abs(off), 4 * read(out, "/leverage/statistical_dimension_error")[r])

    def test_more_probes_have_smaller_errors(self):
        few = read(self.spectrum("--top", "20", "--probes", "16", "--leverage", "1e-4"), "/leverage/errors")
        many = read(self.spectrum("--top", "20", "--probes", "256", "--leverage", "1e-4"), "/leverage/errors")
        self.assertAlmostEqual(np.mean(few) / np.mean(many), 4, delta=0.8)

    def test_relative_ridges_are_multiples_of_the_mean_diagonal(self):
        out = self.spectrum("--leverage-relative", "0.1,1")
        self.assertTrue(np.allclose(read(out, "/leverage/ridges"), np.array([0.1, 1]) * np.trace(self.kernel()) / N, rtol=1e-12))

    def test_estimates_are_exact_where_all_pairs_are_there(self):
        values = np.maximum(np.linalg.eigvalsh(self.kernel()), 0)
        estimates = self.record("mercer-spectrum", *self.data(), "--estimates", "0.1")["result"]["estimates"]
        dimension, logarithm = estimates["statistical_dimension"], estimates["log_determinant"]
        self.assertEqual(dimension["error"], 0)
        self.assertAlmostEqual(dimension["value"], np.sum(values / (values + estimates["ridge"])), delta=1e-8)
        self.assertAlmostEqual(logarithm["value"], np.sum(np.log(values + estimates["ridge"])), delta=1e-8)

    def test_bad_ridges_and_probes_are_one_line(self):
        for options, word in (
            (["--leverage", "0"], "--leverage 0: give ridges above 0"),
            (["--leverage=-1,0.1"], "--leverage -1: give ridges above 0"),
            (["--leverage", "nan"], "--leverage"),
            (["--leverage-relative", "0"], "relative to trace(K)/n"),
            (["--leverage", "0.1", "--leverage-relative", "1"], "not both"),
            (["--leverage", "0.1", "--values-only"], "--values-only"),
            (["--leverage", "0.1", "--probes", "1"], "--probes 1: give at least 2"),
            (["--probes", "8"], "--probes: are for --leverage"),
        ):
            self.refuse([word], "mercer-spectrum", *self.data(), *options)


if __name__ == "__main__":
    unittest.main()
