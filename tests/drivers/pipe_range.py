"""Entries that do not exist are errors with row and layer, those that do are right, whatever the scale; --check is
independent of the tiles."""

import unittest

import h5py
import numpy as np

from reference import relu_ntk
from support import PipeTest, read

N = 40


class Range(PipeTest):
    def setUp(self):
        super().setUp()
        self.X = np.random.default_rng(5).normal(size=(N, 3))
        self.y = self.npy("y.npy", np.sin(self.X[:, :1]))

    def data(self, X):
        return self.npy("X.npy", X)

    def matrix(self, X, *options, **run_options):
        self.succeed("mercer-kernel", "--data", self.data(X), *options, "--check", "--out", self.path("K.h5"), **run_options)
        return read(self.path("K.h5"), "/kernel")

    def test_weights_and_depth_beyond_double_are_refused_by_every_driver(self):
        data = self.data(self.X)
        deep = ["--depth", "200", "--weight-std", "100"]
        words = ["row 1", "dense layer 8", "of 201", "--weight-std"]
        self.refuse(words, "mercer-kernel", "--data", data, *deep, "--out", self.path("K.h5"))
        self.refuse(words, "mercer-spectrum", "--data", data, *deep)
        self.refuse(words, "mercer-spectrum", "--data", data, "--top", "3", "--solver", "krylov", *deep)
        train = ["mercer-krr", "--train", f"npy:{data},{self.y}", "--test", f"npy:{data},{self.y}", *deep, "--ridge", "1"]
        self.refuse(words, *train)
        self.refuse(words, *train, "--g", "flat", "--top", "3")
        self.refuse(words, *train, "--solver", "cg")
        self.refuse(words, *train, "--predict", "transductive")
        self.refuse(words, "mercer-train", "--train", f"npy:{data},{self.y}", "--arch", "dense(8) relu " * 200 + "dense(1)",
                    "--weight-std", "100", "--precondition", "kernel", "--steps", "1")

    def test_a_matrix_that_underflows_is_refused_and_says_how_to_scale(self):
        data = self.data(self.X * 1e-160)
        train = ["mercer-krr", "--train", f"npy:{data},{self.y}"]
        words = ["kernel matrix", "2.2e-308", "--scale"]
        self.refuse(words, "mercer-kernel", "--data", data, "--out", self.path("K.h5"))
        self.refuse(words, "mercer-spectrum", "--data", data)
        self.refuse(words, *train, "--ridge-relative", "1e-3")
        for more in (("--solver", "cg"), ("--top", "3", "--g", "l1"), ("--predict", "transductive", "--test", f"npy:{data},{self.y}")):
            self.refuse(words, *train, "--ridge", "1e-3", *more, ranks=0)
        self.refuse(words, "mercer-train", "--train", f"npy:{data},{self.y}", "--arch", "dense(8) relu dense(1)", "--top", "3",
                    "--steps", "1", ranks=0)
        # The same rows with a bias, or to another scale: numbers as always.
        self.succeed("mercer-spectrum", "--data", data, "--bias-std", "1", "--top", "1", ranks=0)
        self.succeed("mercer-spectrum", "--data", data, "--standardize", "--top", "3", ranks=0)

    def test_a_ridge_relative_to_nothing_is_refused(self):
        data = self.data(np.zeros((N, 3)))
        train = ["mercer-krr", "--train", f"npy:{data},{self.y}"]
        for more in (("--ridge-relative", "1e-3"), ("--ridge", "loo"), ("--ridge", "gcv", "--solver", "cg"),
                     ("--ridge-relative", "1", "--predict", "transductive", "--test", f"npy:{data},{self.y}")):
            self.refuse([more[0] + " " + more[1], "K is zero", "--bias-std"], *train, *more, ranks=0)
        one = f"npy:{self.npy('X1.npy', self.X[:1])},{self.npy('y1.npy', np.ones((1, 1)))}"
        self.refuse(["--ridge loo", "K is zero", "--standardize"], "mercer-krr", "--train", one, "--standardize", "--ridge",
                    "loo", ranks=0)
        for solver in ("auto", "cg"):  # a ridge in the kernel's own unit does: alpha = Y/gamma
            result = self.record(*train, "--ridge", "1e-3", "--solver", solver, ranks=0)["result"]
            self.assertEqual(result["ridge"], 1e-3)
            self.assertNotIn("ridge_relative", result)

    def test_a_row_that_is_too_large_is_named(self):
        X = self.X.copy()
        X[16] *= 1e200
        for kernel in ("ntk", "nngp", "linear"):
            for ranks in (1, 2, 3):
                self.refuse(["row 17", "--scale"], "mercer-spectrum", "--data", self.data(X), "--kernel", kernel, ranks=ranks)

    def test_rows_of_any_size_have_the_entries_that_exist(self):
        expected = relu_ntk(self.X, self.X, 1)
        scale = np.sqrt(np.outer(np.diag(expected), np.diag(expected)))
        for size in (1e-150, 1e-100, 1e100, 1e150):
            with self.subTest(size=size):
                K = self.matrix(self.X * size)
                np.testing.assert_allclose(K / size / size / scale, expected / scale, atol=2e-8)  # NumPy's arccos
        for row in (1e-310, 1e-200):  # one tiny row: its entries with the others scale with it
            with self.subTest(row=row):
                X = self.X.copy()
                X[3] *= row
                K = self.matrix(X)
                self.assertTrue(np.isfinite(K).all())
                X[3] /= row  # of 45 bits for a subnormal one
                here = relu_ntk(X, X, 1)[3]
                np.testing.assert_allclose(np.delete(K[3] / row, 3), np.delete(here, 3), rtol=1e-10, atol=1e-10)
                self.assertEqual(K[3, 3], 0)

    def test_gaussian_and_laplace_are_one_on_the_diagonal_whatever_the_scale(self):
        for kernel in ("gaussian", "laplace"):
            for size in (1e-310, 1e-200, 1e155, 1e200, 1e300):
                with self.subTest(kernel=kernel, size=size):
                    K = self.matrix(self.X * size, "--kernel", kernel)
                    np.testing.assert_array_equal(np.diag(K), np.ones(N))
                    np.testing.assert_array_equal(K, np.ones((N, N)) if size < 1 else np.eye(N))
            d = np.linalg.norm(self.X[:, None] - self.X[None], axis=2)
            exact = np.exp(-d * d / 2) if kernel == "gaussian" else np.exp(-d)
            for size in (1e-200, 1e200):
                with self.subTest(kernel=kernel, bandwidth=size):
                    K = self.matrix(self.X * size, "--kernel", kernel, "--bandwidth", repr(size))
                    np.testing.assert_allclose(K, exact, rtol=1e-12)
            with self.subTest(kernel=kernel, offset=1e8):
                X = self.X + 1e8
                d = np.linalg.norm(X[:, None] - X[None], axis=2)
                exact = np.exp(-d * d / 2) if kernel == "gaussian" else np.exp(-d)
                np.testing.assert_allclose(self.matrix(X, "--kernel", kernel), exact, rtol=1e-12)

    def test_single_precision_refuses_what_it_cannot_hold(self):
        for size, word in ((1e25, "3.4e38"), (1e-25, "vanish")):
            self.refuse(["single precision", word, "--scale"], "mercer-kernel", "--data", self.data(self.X * size),
                        "--precision", "single", "--out", self.path("K.h5"))
        K = self.matrix(self.X, "--precision", "single")
        self.assertEqual(K.dtype, np.float32)

    def test_check_is_said_by_every_driver_and_is_right_for_every_kernel(self):
        data = self.data(self.X)
        for kernel in (["--activation", "gelu"], ["--activation", "tanh"], ["--kernel", "laplace"], ["--kernel", "linear"],
                       ["--arch", "dense res(erf dense) relu dense", "--bias-std", "0.3"]):
            for driver in (["mercer-kernel"], ["mercer-spectrum", "--top", "4"]):
                with self.subTest(kernel=kernel, driver=driver):
                    record = self.record(*driver, "--data", data, *kernel, "--check")
                    self.assertLess(record["result"]["check_entries"], 1e-11)
        out = self.succeed("mercer-krr", "--train", f"npy:{data},{self.y}", "--test", f"npy:{data},{self.y}", "--ridge", "1e-3",
                           "--check").out
        self.assertIn("against the scalar formulas", out)
        self.assertIn("(good)", out)

    def test_an_empty_architecture_is_no_default(self):
        for driver in ("mercer-kernel", "mercer-spectrum"):
            self.refuse(["--arch", "empty"], driver, "--data", self.data(self.X), "--arch", "")

    def test_options_count_where_a_weight_file_states_no_deviation(self):
        rng = np.random.default_rng(2)
        W, b = [rng.normal(size=(3, 8)), rng.normal(size=(8, 1))], [rng.normal(size=8), rng.normal(size=1)]
        with h5py.File(self.path("W.h5"), "w") as file:
            for layer in range(2):
                file[f"/parameters/layer{layer}/W"], file[f"/parameters/layer{layer}/b"] = W[layer], b[layer]
            file["/parameters"].attrs["architecture"] = "dense(8) relu dense(1)"
        options = ["--kernel", "empirical", "--parameters", self.path("W.h5")]
        for sw, sb in ((1.7, 0.25), (0.9, 0)):
            self.succeed("mercer-kernel", "--data", self.data(self.X), *options, "--weight-std", sw, "--bias-std", sb, "--out",
                         self.path("K.h5"))
            z = sw / np.sqrt(3) * self.X @ W[0] + sb * b[0]
            h, slope = np.maximum(z, 0), (z > 0) * (sw / np.sqrt(8) * W[1][:, 0])
            K = (sw * sw / 8 * h @ h.T + sb * sb) + (sw * sw / 3 * self.X @ self.X.T + sb * sb) * (slope @ slope.T)
            np.testing.assert_allclose(read(self.path("K.h5"), "/kernel"), K, rtol=1e-11, atol=1e-12)
        with h5py.File(self.path("W.h5"), "a") as file:
            file["/parameters"].attrs["weight_std"] = 1.5
        self.refuse(["--weight-std", "1.5"], "mercer-kernel", "--data", self.data(self.X), *options, "--weight-std", "1.7",
                    "--out", self.path("K.h5"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
