"""mercer-spectrum end to end: eigenpairs, files, records, grids, precision, plans."""

import json
import os
import unittest

import h5py
import numpy as np

from reference import relu_ntk
from support import PipeTest, read, sign, run

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

    def test_single_precision_is_accepted_by_its_own_rounding(self):
        """The residual is what float rounding leaves, and what is accepted is printed and recorded."""
        K = self.reference()
        for solver in ("auto", "scalapack", "lapack", "krylov"):
            for ranks in (1, 2, 3):
                with self.subTest(solver=solver, ranks=ranks):
                    out = self.path("s.h5")
                    common = ("mercer-spectrum", "--data", CIRCLE, "--bias-std", "1", "--precision", "single", "--top", 9,
                              "--solver", solver, "--check", "--out", out)
                    record = self.record(*common, ranks=ranks)
                    values, vectors = read(out, "/eigenvalues"), read(out, "/eigenvectors").astype(np.float64)
                    self.assertEqual(vectors.shape, (200, 9))
                    measured = np.linalg.norm(K @ vectors - vectors * values, axis=0).max() / values[0]
                    self.assertLessEqual(measured, record["result"]["residual_accepted"])
                    # What is said was measured of the vectors that are stored.
                    self.assertLess(abs(record["residual"] - measured), 0.7 * measured + 6e-8)
                    self.assertGreater(record["residual"], 1e-9)
                    self.assertLess(record["result"]["residual_accepted"], 1e-4)
        text = self.succeed("mercer-spectrum", "--data", CIRCLE, "--precision", "single").out
        self.assertRegex(text, r"accepted up to [0-9.e-]+, rounding in single precision")

    def test_single_entries_are_accepted_by_their_rounding(self):
        """Exact residuals of pairs of a rounded K: 2^-24 sqrt(trace/lambda_1) at most, beside --tol."""
        for storage in ("single", "mixed"):
            record = self.record("mercer-spectrum", "--data", CIRCLE, "--bias-std", "1", "--top", 9, "--solver", "krylov",
                                 "--storage", storage, "--check")
            values = np.linalg.eigvalsh(self.reference())
            self.assertLessEqual(record["residual"], record["result"]["residual_accepted"])
            self.assertLessEqual(record["result"]["residual_accepted"],
                                 1e-10 + 2.0**-24 * np.sqrt(values.sum() / values[-1]) * (1 + 1e-6))

    def test_a_tolerance_below_single_precision_is_refused_before_the_work(self):
        for tol in ("1e-10", "1e-8"):
            self.refuse(["--tol", "1.2e-07", "leave --precision single out"], "mercer-spectrum", "--data", CIRCLE, "--precision",
                        "single", "--tol", tol)
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--precision", "single", "--tol", "1e-5", "--top", 5)

    def test_nothing_is_claimed_of_vectors_that_there_are_not(self):
        for solver in ("elpa1", "scalapack"):
            out = self.path("v.h5")
            arguments = ("mercer-spectrum", "--data", CIRCLE, "--values-only", "--solver", solver)
            text = self.succeed(*arguments).out
            self.assertNotIn("V^T V", text)
            self.assertNotIn("0.0e+00", text)
            record = self.record(*arguments, "--out", out)
            self.assertIsNone(record["orthogonality"])
            self.assertIsNone(record["residual"])
            with h5py.File(out) as file:
                self.assertNotIn("orthogonality", file.attrs)
                self.assertNotIn("residuals", file)
        record = self.record("mercer-spectrum", "--data", CIRCLE, "--top", 3)
        self.assertGreater(record["orthogonality"], 0)

    def test_the_reason_says_who_chose_the_solver(self):
        def reason(*arguments):
            return self.record("mercer-spectrum", "--data", CIRCLE, "--top", 5, *arguments)["result"]["method_reason"]
        self.assertTrue(reason().startswith("auto: "))
        self.assertIn("--solver elpa1", reason("--solver", "elpa1"))
        self.assertIn("--solver krylov", reason("--solver", "krylov"))
        self.assertIn("--storage", reason("--storage", "single"))
        self.assertIn("--block", reason("--block", 8))
        text = self.succeed("mercer-spectrum", "--data", CIRCLE).out
        self.assertNotIn("asked for", text)

    def test_signs_are_the_same_for_every_solver_and_number_of_ranks(self):
        """Simple eigenvalues of random points; the rule by its definition in NumPy."""
        data = ("--data", "gaussian:n=150,d=6", "--kernel", "gaussian", "--bandwidth", "2", "--top", 12)
        out = self.path("k.h5")
        self.succeed("mercer-kernel", *data[:-2], "--out", out)
        K = read(out, "/kernel") / 150
        values, vectors = np.linalg.eigh(K)
        values, vectors = values[::-1][:13], vectors[:, ::-1][:, :12]
        for i in range(12):
            size = np.abs(vectors[:, i])
            first = np.flatnonzero(size >= (1 - 1e-3) * size.max())[0]
            vectors[:, i] *= np.sign(vectors[first, i])
        gap = np.minimum(np.abs(np.diff(values)), np.append(np.inf, np.abs(np.diff(values))[:-1]))
        compared = 0
        for solver in ("elpa1", "elpa2", "scalapack", "lapack", "krylov"):
            for ranks in (1, 2, 3, 6):
                mine = self.pairs("s.h5", *data, "--solver", solver, ranks=ranks)[1]
                allowed = 4 * (1e-10 if solver == "krylov" else 1e-13) * values[0] / gap
                self.assertTrue(np.all(np.abs(mine - vectors).max(axis=0) <= allowed), (solver, ranks))
                compared += 1
        self.assertEqual(compared, 20)

    def test_repeated_options_the_last_wins(self):
        with open(self.path("job.ini"), "w") as file:
            file.write(f"data={CIRCLE}\ntop=9\ntop=8\nseed=5\n")
        config = ("--config", self.path("job.ini"))
        record = self.record("mercer-spectrum", *config, "--seed", 1, "--seed", 2)
        self.assertEqual((record["config"]["seed"], record["result"]["k"]), ("2", 8))
        record = self.record("mercer-spectrum", *config, "--top", 3, "--top=4", "--check", "--check")
        self.assertEqual((record["config"]["seed"], record["result"]["k"]), ("5", 4))
        self.assertEqual(self.record("mercer-spectrum", "--data", "gone.csv", "--data", CIRCLE, "--top", 2)["n"], 200)

    def test_split_leaves_the_test_rows_out(self):
        X = np.random.default_rng(3).normal(size=(60, 4))
        mask = np.zeros((60, 2), int)
        mask[::3, 1] = 1
        np.savetxt(self.path("mask.csv"), mask, fmt="%d", delimiter=",")
        rest = self.npy("rest.npy", X[mask[:, 1] == 0])
        split = ("--data", self.npy("x.npy", X), "--split", self.path("mask.csv") + ":1", "--kernel", "gaussian")
        some = self.pairs("some.h5", *split)
        self.assertEqual(some[1].shape, (40, 40))
        self.assertLess(np.abs(some[0] - self.pairs("rest.h5", "--data", rest, "--kernel", "gaussian")[0]).max(), 1e-14)
        self.refuse(["no test rows"], "mercer-spectrum", *split[:2], "--split", self.path("mask.csv") + ":0", ranks=0)

    def test_pictures_are_what_their_names_say(self):
        for name, start in (("s.png", b"\x89PNG"), ("s.pdf", b"%PDF"), ("s.SVG", b"<?xml")):
            self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", 6, "--plot", self.path(name))
            with open(self.path(name), "rb") as file:
                self.assertTrue(file.read(8).startswith(start), name)

    def test_one_figure_for_the_time_and_what_it_covers(self):
        out = self.path("s.h5")
        record = self.record("mercer-spectrum", "--data", CIRCLE, "--out", out)
        with h5py.File(out) as file:
            self.assertEqual(file.attrs["seconds"], record["seconds_at_write"])
            self.assertIn("start", file.attrs["seconds_cover"])
        self.assertLessEqual(record["seconds_at_write"], record["seconds"])
        text = self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", 5, "--solver", "krylov").out
        self.assertEqual(text.count("all "), 1)
        self.assertNotRegex(text, r"restarts?, [0-9.]+ s")

    def test_a_hash_is_that_of_the_rows_or_not_there(self):
        k, out = self.path("k.h5"), self.path("s.h5")
        self.succeed("mercer-kernel", "--data", CIRCLE, "--out", k)
        with h5py.File(k) as file:
            rows = file.attrs["data_hash"]
        kernel = ("mercer-spectrum", "--kernel", "file:" + k, "--top", 4)
        text = self.succeed(*kernel).out
        self.assertIn("hash " + rows, text)
        self.assertNotIn("d = 0", text)
        with h5py.File(k, "r+") as file:
            del file.attrs["data_hash"]
        sign(k)
        record = self.record(*kernel, "--out", out)
        self.assertIsNone(record["data_hash"])
        text = self.succeed(*kernel).out
        self.assertNotIn("hash", text)
        self.assertNotIn("0000000000000000", text)

    def test_counts_have_their_nouns_number(self):
        one = self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", 1, "--solver", "krylov", ranks=1).out
        self.assertIn(" 1 rank,", one)
        self.assertNotRegex(one, r"\b1 [a-z]+s[ ,;:\n]")

    def test_libraries_are_named(self):
        """--version, the log, the record and the file; the record's against what the system says."""
        text = self.succeed("mercer-kernel", "--version").out
        for word in ("processor", "tile loops", "MPI", "BLAS", "LAPACK", "ScaLAPACK", "ELPA", "HDF5", "compiler"):
            self.assertIn(word, text)
        out = self.path("s.h5")
        record = self.record("mercer-spectrum", "--data", CIRCLE, "--top", 2, "--out", out)
        libraries = record["libraries"]
        with h5py.File(out) as file:
            self.assertEqual(json.loads(file.attrs["libraries"]), libraries)
        for name in ("mpi", "blas", "blas_kernel", "lapack", "scalapack", "elpa", "elpa_kernel", "hdf5", "compiler",
                     "processor", "tile_loops"):
            self.assertTrue(libraries[name], name)
        self.assertIn(libraries["tile_loops"], ("baseline", "avx2", "avx512"))
        with open("/proc/cpuinfo") as file:
            self.assertIn(libraries["processor"], file.read())
        log = self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", 2).out
        line = [line for line in log.splitlines() if line.startswith("on ")]
        self.assertEqual(len(line), 1)
        for name in ("processor", "blas", "blas_kernel", "mpi"):
            self.assertIn(libraries[name], line[0])
        self.assertEqual(self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", 2, "--quiet").out, "")

    def test_help_and_version(self):
        text = self.succeed("mercer-spectrum", "--help").out
        for word in ("--data", "--kernel", "--top", "--memory-limit"):
            self.assertIn(word, text)
        self.assertIn("0.1", self.succeed("mercer-spectrum", "--version").out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
