"""The main job at its full size: MNIST, 10 000 images, on 1, 2 and 4 ranks, and the larger UCI set."""

import unittest

import numpy as np

import pipe_data
from pipe_data import MNIST
from support import PipeTest, read


class MainJob(PipeTest):
    def fit(self, name, *arguments, **options):
        out = self.path(name)
        record = self.record("mercer-krr", *MNIST, "--limit", "10000", *arguments, "--check", "--out", out, timeout=2400,
                             **options)
        return record["result"], read(out, "/predictions")

    def test_accuracy_error_and_predictions_agree_on_every_number_of_ranks(self):
        for depth, ridge, accuracy, mse in ((1, "5e-4", 0.9709, 0.0103045), (3, "2.5e-4", 0.9716, 0.0100454)):
            first = None
            for ranks, nb in ((1, 64), (2, 64), (2, 32), (4, 32)):
                with self.subTest(depth=depth, ranks=ranks, nb=nb):
                    result, f = self.fit("r.h5", "--depth", depth, "--ridge-relative", ridge, "--nb", nb, ranks=ranks)
                    self.assertAlmostEqual(result["accuracy"], accuracy, delta=1e-9)
                    self.assertAlmostEqual(result["mse"], mse, delta=1e-6)
                    first = f if first is None else first
                    self.assertTrue(np.abs(f - first).max() <= 1e-9 * np.abs(first).max())

    def test_eigenpairs_and_cholesky_agree(self):
        job = ("--depth", 1, "--ridge-relative", "5e-4")
        by_cholesky = self.fit("a.h5", *job)[1]
        by_pairs = self.fit("b.h5", *job, "--g", "identity")[1]
        self.assertTrue(np.abs(by_pairs - by_cholesky).max() <= 1e-8 * np.abs(by_cholesky).max())


class Pol(pipe_data.Uci):
    def test_pol(self):
        self.compare("pol")


if __name__ == "__main__":
    unittest.main(verbosity=2)
