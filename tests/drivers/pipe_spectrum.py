"""mercer-spectrum end to end: eigenpairs, files, records, grids, precision, plans."""

import json
import os
import unittest

import h5py
import numpy as np

from reference import relu_ntk
from support import PipeTest, read, run

CIRCLE = "circle:n=200,freq=3"


class Spectrum(PipeTest):
    def pairs(self, name, *arguments, **options):
        out = self.path(name)
        self.succeed("mercer-spectrum", *arguments, "--out", out, **options)
        return read(out, "/eigenvalues"), read(out, "/eigenvectors")

    def reference(self, n=200):
        """K of the same points, from the matrix that mercer-kernel writes."""
        out = self.path("k.h5")
        self.succeed("mercer-kernel", "--data", CIRCLE, "--bias-std", "1", "--out", out, "--check")
        return read(out, "/kernel") / n

    def test_pairs_are_those_of_the_kernel_matrix_on_every_number_of_ranks(self):
        K = self.reference()
        exact = np.linalg.eigvalsh(K)[::-1]
        for ranks in (1, 2, 3, 4):
            values, vectors = self.pairs("s.h5", "--data", CIRCLE, "--bias-std", "1", "--check", ranks=ranks)
            self.assertEqual(vectors.shape, (200, 200))
            self.assertLess(np.abs(values - exact).max(), 1e-13 * exact[0])
            self.assertLess(np.abs(K @ vectors - vectors * values).max(), 1e-13 * exact[0])
            self.assertLess(np.abs(vectors.T @ vectors - np.eye(200)).max(), 1e-12)
            self.assertTrue(np.all(np.diff(values) <= 0))

    def test_every_solver_gives_the_same_top_values_and_the_next_one(self):
        exact = np.linalg.eigvalsh(self.reference())[::-1]
        for solver in ("auto", "elpa1", "elpa2", "scalapack", "lapack"):
            with self.subTest(solver):
                out = self.path("s.h5")
                self.succeed("mercer-spectrum", "--data", CIRCLE, "--bias-std", "1", "--top", "7", "--solver",
                             solver, "--out", out)
                self.assertLess(np.abs(read(out, "/eigenvalues") - exact[:7]).max(), 1e-13 * exact[0])
                self.assertLess(abs(float(np.ravel(read(out, "/eigenvalue_next"))[0]) - exact[7]), 1e-13 * exact[0])
                self.assertEqual(read(out, "/eigenvectors").shape, (200, 7))
                self.assertEqual(read(out, "/residuals").shape, (7,))

    def test_values_only_and_single_precision(self):
        exact = np.linalg.eigvalsh(self.reference())[::-1]
        out = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--bias-std", "1", "--values-only", "--out", out)
        self.assertLess(np.abs(read(out, "/eigenvalues") - exact).max(), 1e-13 * exact[0])
        with h5py.File(out) as file:
            self.assertNotIn("eigenvectors", file)
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--bias-std", "1", "--precision", "single", "--tol", "1e-5",
                     "--out", out)
        vectors = read(out, "/eigenvectors")
        self.assertEqual(vectors.dtype, np.float32)
        self.assertLess(np.abs(read(out, "/eigenvalues") - exact).max(), 2e-6 * exact[0])

    def test_equispaced_points_have_the_spectrum_of_a_circulant_matrix(self):
        n = 64
        angles = 2 * np.pi * np.arange(n) / n
        X = np.stack([np.cos(angles), np.sin(angles)], 1)
        row = relu_ntk(X[:1], X, 1, bias_variance=1.0)[0]
        exact = np.sort(np.fft.fft(row).real / n)[::-1]
        out = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", f"circle:n={n},freq=1,grid", "--bias-std", "1", "--out", out)
        self.assertLess(np.abs(read(out, "/eigenvalues") - exact).max(), 1e-8 * exact[0])

    def test_more_ranks_than_rows_is_no_error(self):
        for n in (1, 2, 3, 5):
            one = self.pairs("one.h5", "--data", f"circle:n={n},freq=1", ranks=1)
            many = self.pairs("many.h5", "--data", f"circle:n={n},freq=1", ranks=6)
            self.assertLess(np.abs(one[0] - many[0]).max(), 1e-13)

    def test_the_record_and_the_attributes_say_what_was_run(self):
        out = self.path("s.h5")
        record = self.record("mercer-spectrum", "--data", CIRCLE, "--top", "5", "--out", out)
        for key in ("driver", "version", "git", "command", "config", "n", "d", "ranks", "grid", "nb", "threads",
                    "method", "phases", "gflops", "peak_memory_bytes", "bytes_sent", "residual", "orthogonality",
                    "result", "status"):
            self.assertIn(key, record)
        self.assertEqual((record["driver"], record["n"], record["d"], record["ranks"], record["status"]),
                         ("mercer-spectrum", 200, 2, 2, "ok"))
        for phase in ("load", "assemble", "eigensolve", "write"):
            self.assertEqual(set(record["phases"][phase]), {"min", "mean", "max"})
        for key in ("eigenvalue_max", "eigenvalue_k", "trace", "k"):
            self.assertIn(key, record["result"])
        self.assertLessEqual(record["residual"], 1e-12)
        with h5py.File(out) as file:
            for name in ("mercer_version", "git", "command", "ranks", "grid", "nb", "precision", "kernel", "n",
                         "data_hash", "started", "seconds"):
                self.assertIn(name, file.attrs)
            self.assertIn("ntk(", str(file.attrs["kernel"]))

    def test_a_configuration_file_and_the_command_line_which_wins(self):
        with open(self.path("job.ini"), "w") as file:
            file.write(f"data={CIRCLE}\ntop=9\nbias-std=1\n")
        record = self.record("mercer-spectrum", "--config", self.path("job.ini"), "--top", "4")
        self.assertEqual(record["result"]["k"], 4)
        self.assertIn("bias_std=1", record["kernel"])

    def test_a_dry_run_plans_and_writes_nothing(self):
        result = self.succeed("mercer-spectrum", "--data", "circle:n=3000,freq=1", "--dry-run", "--out", self.path("s.h5"))
        self.assertIn("memory a rank", result.out)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_stored_kernel_matrix_gives_the_same_spectrum(self):
        exact = np.linalg.eigvalsh(self.reference())[::-1]
        out = self.path("s.h5")
        self.succeed("mercer-spectrum", "--kernel", "file:" + self.path("k.h5"), "--out", out)
        self.assertLess(np.abs(read(out, "/eigenvalues") - exact).max(), 1e-13 * exact[0])

    def test_the_picture_is_an_svg(self):
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--plot", self.path("s.svg"))
        with open(self.path("s.svg")) as file:
            text = file.read()
        self.assertIn("<svg", text)
        self.assertIn("Eigenvalues", text)

    def test_help_and_version(self):
        text = self.succeed("mercer-spectrum", "--help").out
        for word in ("--data", "--kernel", "--top", "--memory-limit"):
            self.assertIn(word, text)
        self.assertIn("0.1", self.succeed("mercer-spectrum", "--version").out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
