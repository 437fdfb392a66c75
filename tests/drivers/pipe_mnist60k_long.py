"""All of MNIST on two ranks: 60 000 images, whose kernel matrix takes 28.8 GB, in 4 GiB and in single precision."""

import os
import unittest

import numpy as np

from pipe_data import MNIST
from support import PipeTest, read

KERNEL = ("--depth", "3", "--unit-norm")
LIMIT = os.environ.get("MERCER_MNIST_LIMIT")  # fewer images, to try the test itself


class AllOfMnist(PipeTest):
    def run_job(self, driver, *arguments):
        limit = ("--limit", LIMIT) if LIMIT else ()
        return self.record(driver, *arguments, *KERNEL, *limit, ranks=2, timeout=7000)

    def in_four_gibibytes(self, record):
        self.assertLessEqual(2 * record["peak_memory_bytes"], 4 * 2**30)

    def test_ridge_regression_gives_the_known_accuracy_in_four_gibibytes_and_in_single_precision(self):
        job = ("mercer-krr", "--train", MNIST[1], "--test", MNIST[3], "--one-hot", "--solver", "cg",
               "--ridge-relative", "0.125")
        predictions = []
        for name, more in (("lean", ("--memory-limit", "2G")), ("single", ("--storage", "single"))):
            out = self.path(name + ".h5")
            record = self.run_job(*job, *more, "--out", out)
            if not LIMIT:
                self.assertAlmostEqual(record["result"]["accuracy"], 0.9849, delta=3e-4)
                self.assertAlmostEqual(record["result"]["mse"], 0.006105, delta=2e-5)
            if name == "lean":
                self.in_four_gibibytes(record)
            predictions.append(read(out, "/predictions"))
        lean, single = predictions
        self.assertEqual(lean.shape, (10000, 10))
        self.assertLessEqual(np.abs(lean - single).max(), 1e-5 * np.abs(lean).max())

    def test_the_top_pairs_in_four_gibibytes_and_in_single_precision(self):
        job = ("mercer-spectrum", "--data", MNIST[1], "--solver", "krylov", "--top", "200")
        values = []
        for name, more in (("lean", ("--memory-limit", "2G")), ("single", ("--storage", "single"))):
            out = self.path(name + ".h5")
            record = self.run_job(*job, *more, "--out", out)
            self.assertLessEqual(record["residual"], 1e-10)
            if name == "lean":
                self.in_four_gibibytes(record)
            values.append(read(out, "/eigenvalues"))
        lean, single = values
        self.assertEqual(lean.shape, (200,))
        self.assertLessEqual(np.abs(lean - single).max(), 1e-5 * lean[0])
        self.assertLessEqual(np.abs(lean / single - 1).max(), 1e-5)


if __name__ == "__main__":
    unittest.main(verbosity=2)
