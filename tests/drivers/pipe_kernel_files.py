"""Kernel matrices in files: whose rows they are, what type they have, and new rows for a stored model."""

import shutil
import unittest

import h5py
import numpy as np

from reference import relu_ntk, ridge
from support import PipeTest, read

N, M, GAMMA = 60, 25, 1e-2


def ntk(X, Z):
    """Of depth 2; in the longer type, because arccos near 1 loses half of the digits."""
    return relu_ntk(X.astype(np.longdouble), Z.astype(np.longdouble), 2).astype(float)


class KernelFiles(PipeTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(5)
        self.X, self.Z, self.V = rng.normal(size=(N, 3)), rng.normal(size=(M, 3)) + 1, rng.normal(size=(M, 3)) - 1
        self.Y = (3 + np.sin(self.X[:, :1]))
        for name in "XZV":
            self.npy(f"{name}.npy", getattr(self, name))
        self.npy("y.npy", self.Y)
        self.npy("yZ.npy", np.zeros((M, 1)))
        self.train = f"npy:{self.path('X.npy')},{self.path('y.npy')}"
        self.test = f"npy:{self.path('Z.npy')},{self.path('yZ.npy')}"
        self.alpha = ridge(ntk(self.X, self.X), self.Y, GAMMA)

    def kernel(self, name, data, data2=None, *options):
        second = ["--data2", self.path(data2)] if data2 else []
        self.succeed("mercer-kernel", "--data", self.path(data), *second, "--depth", "2", *options, "--out",
                     self.path(name))
        return self.path(name)

    def files(self, *names):
        return "file:" + ",".join(self.path(name) for name in names)

    def fit(self, kernel, *options):
        return ["mercer-krr", "--train", self.train, "--test", self.test, "--ridge", str(GAMMA), "--kernel", kernel,
                *options]

    def predictions(self, Z):
        return ntk(Z, self.X) @ self.alpha / N

    def written(self, name, matrix, **attributes):
        """/kernel by h5py, as a user writes one."""
        with h5py.File(self.path(name), "w") as file:
            file["/kernel"] = matrix
            for key, value in attributes.items():
                file.attrs[key] = value
        return self.path(name)

    def test_a_file_says_both_of_its_sides(self):
        with h5py.File(self.kernel("K.h5", "X.npy"), "r") as K, h5py.File(self.kernel("C.h5", "Z.npy", "X.npy"), "r") as C:
            self.assertNotIn("data2_hash", K.attrs)
            self.assertEqual(C.attrs["data2_hash"], K.attrs["data_hash"])
            self.assertNotEqual(C.attrs["data_hash"], K.attrs["data_hash"])
            self.assertEqual(C["/kernel"].shape, (M, N))

    def test_a_fit_from_files_is_the_fit_of_the_function_and_other_rows_are_refused(self):
        self.kernel("K.h5", "X.npy")
        self.kernel("C.h5", "Z.npy", "X.npy")
        for ranks in (1, 2, 3):
            self.succeed(*self.fit(self.files("K.h5", "C.h5"), "--out", self.path("R.h5")), ranks=ranks)
            np.testing.assert_allclose(read(self.path("R.h5"), "/predictions"), self.predictions(self.Z), rtol=1e-9)
        with h5py.File(self.path("K.h5"), "r") as K:
            there = K.attrs["data_hash"]
        # K.h5 in place of a cross matrix; rows in another order; another preparation; files changed round.
        self.refuse(["K.h5", "test rows", there], *self.fit(self.files("K.h5", "K.h5")))
        self.npy("X.npy", self.X[::-1])
        self.refuse(["K.h5", "training rows", there, "order"], *self.fit(self.files("K.h5", "C.h5")))
        self.npy("X.npy", self.X)
        self.refuse(["K.h5", "--standardize"], *self.fit(self.files("K.h5", "C.h5"), "--standardize"))
        self.refuse(["K.h5", "--scale"], *self.fit(self.files("K.h5", "C.h5"), "--scale", "2"))
        self.refuse(["C.h5"], *self.fit(self.files("C.h5", "K.h5")))
        self.refuse(["CROSS.h5"], *self.fit(self.files("K.h5")))

    def test_pairs_belong_to_the_contents_of_a_matrix_and_not_to_its_name(self):
        self.kernel("K.h5", "X.npy")
        self.succeed("mercer-spectrum", "--kernel", self.files("K.h5"), "--data", "npy:" + self.path("X.npy"), "--out", self.path("S.h5"))
        given = ["--spectrum", self.path("S.h5"), "--top", "20"]
        train = ["mercer-train", "--train", self.train, "--arch", "dense(8) relu dense(1)", "--steps", "1"]
        shutil.copy(self.path("K.h5"), self.path("copy.h5"))
        for name in ("K.h5", "copy.h5"):
            self.kernel("C.h5", "Z.npy", "X.npy")
            self.succeed(*self.fit(self.files(name, "C.h5")), *given)
            self.succeed(*train, "--kernel", self.files(name), *given)
        self.kernel("K.h5", "X.npy", None, "--bias-std", "0.5")
        self.kernel("C.h5", "Z.npy", "X.npy", "--bias-std", "0.5")
        for job in (self.fit(self.files("K.h5", "C.h5")), [*train, "--kernel", self.files("K.h5")]):
            self.refuse(["S.h5", "another matrix", "K.h5"], *job, *given)

    def test_a_model_knows_the_kernel_of_its_matrix(self):
        self.kernel("K.h5", "X.npy")
        self.kernel("C.h5", "Z.npy", "X.npy")
        self.succeed(*self.fit(self.files("K.h5", "C.h5")), "--out", self.path("R.h5"))
        again = ["mercer-krr", "--model", self.path("R.h5"), "--test", self.test]
        self.succeed(*again)
        self.kernel("K.h5", "X.npy", None, "--bias-std", "0.5")
        self.kernel("C.h5", "Z.npy", "X.npy", "--bias-std", "0.5")
        self.refuse(["C.h5", "bias_std=0.5", "R.h5"], *again)
        self.refuse(["C.h5", "bias_std=0.5", "R.h5"], *again, "--kernel", self.files("K.h5", "C.h5"))

    def test_what_a_job_would_not_use_is_refused(self):
        self.kernel("K.h5", "X.npy")
        self.kernel("C.h5", "Z.npy", "X.npy")
        spectrum = ["mercer-spectrum", "--kernel", self.files("K.h5")]
        self.refuse(["--limit", "--data"], *spectrum, "--limit", "10", ranks=0)
        self.refuse(["C.h5", "leave"], "mercer-spectrum", "--kernel", self.files("K.h5", "C.h5"), ranks=0)
        self.refuse(["C.h5", "leave"], "mercer-train", "--train", self.train, "--arch", "dense(8) relu dense(1)", "--top", "5",
                    "--kernel", self.files("K.h5", "C.h5"), ranks=0)

    def test_a_cross_matrix_of_another_kernel_is_refused(self):
        self.kernel("K.h5", "X.npy")
        self.kernel("C.h5", "Z.npy", "X.npy", "--bias-std", "0.5")
        self.refuse(["C.h5", "K.h5", "bias_std=0.5", "one kernel"], *self.fit(self.files("K.h5", "C.h5")))

    def test_standardised_rows_have_their_cross_matrix_as_train_by_test(self):
        self.kernel("K.h5", "X.npy", None, "--standardize")
        self.kernel("C.h5", "X.npy", "Z.npy", "--standardize")
        self.succeed(*self.fit(self.files("K.h5", "C.h5"), "--standardize", "--out", self.path("file.h5")))
        self.succeed("mercer-krr", "--train", self.train, "--test", self.test, "--ridge", str(GAMMA), "--depth", "2",
                     "--standardize", "--out", self.path("function.h5"))
        np.testing.assert_allclose(read(self.path("file.h5"), "/predictions"),
                                   read(self.path("function.h5"), "/predictions"), rtol=1e-9)

    def test_a_stored_model_takes_a_cross_matrix_of_new_rows_and_no_other(self):
        self.kernel("K.h5", "X.npy")
        self.kernel("C.h5", "Z.npy", "X.npy")
        model, out = self.path("F.h5"), self.path("P.h5")
        self.succeed(*self.fit(self.files("K.h5", "C.h5"), "--out", model))
        again = ["mercer-krr", "--model", model, "--test"]
        self.succeed(*again, "npy:" + self.path("Z.npy"), "--out", out)
        np.testing.assert_allclose(read(out, "/predictions"), self.predictions(self.Z), rtol=1e-9)
        self.refuse(["C.h5", "test rows"], *again, "npy:" + self.path("V.npy"))
        self.kernel("C2.h5", "V.npy", "X.npy")
        for ranks in (1, 2, 3):
            self.succeed(*again, "npy:" + self.path("V.npy"), "--kernel", self.files("K.h5", "C2.h5"), "--out", out,
                         ranks=ranks)
            np.testing.assert_allclose(read(out, "/predictions"), self.predictions(self.V), rtol=1e-9)
        # The same matrix as training by test rows, and K.h5 under another name.
        self.kernel("C3.h5", "X.npy", "V.npy")
        shutil.move(self.path("K.h5"), self.path("moved.h5"))
        self.succeed(*again, "npy:" + self.path("V.npy"), "--kernel", self.files("moved.h5", "C3.h5"), "--out", out)
        np.testing.assert_allclose(read(out, "/predictions"), self.predictions(self.V), rtol=1e-9)
        self.refuse(["C2.h5", "test rows"], *again, "npy:" + self.path("Z.npy"), "--kernel", self.files("moved.h5", "C2.h5"))
        self.refuse(["--kernel"], *again, "npy:" + self.path("V.npy"), "--kernel", "gaussian")

    def test_a_model_of_training_rows_does_not_answer_for_others(self):
        """A fit with K.h5 on both sides, which predicts the training rows alone."""
        self.kernel("K.h5", "X.npy")
        model = self.path("F.h5")
        self.succeed("mercer-krr", "--train", self.train, "--test", self.train, "--ridge", str(GAMMA), "--kernel",
                     self.files("K.h5", "K.h5"), "--out", model)
        np.testing.assert_allclose(read(model, "/predictions"), self.predictions(self.X), rtol=1e-9)
        self.npy("moved.npy", self.X + 5)
        self.refuse(["K.h5", "test rows"], "mercer-krr", "--model", model, "--test", "npy:" + self.path("moved.npy"))

    def test_spectra_and_training_look_at_the_rows_too(self):
        self.kernel("K.h5", "X.npy")
        spectrum = ["mercer-spectrum", "--kernel", self.files("K.h5"), "--values-only", "--out", self.path("S.h5")]
        self.succeed(*spectrum, "--data", self.path("X.npy"))
        expected = np.linalg.eigvalsh(ntk(self.X, self.X) / N)[::-1]
        np.testing.assert_allclose(read(self.path("S.h5"), "/eigenvalues"), expected, atol=1e-12 * expected[0])
        self.npy("other.npy", self.X + 1e-9)
        self.refuse(["K.h5", "hash"], *spectrum, "--data", self.path("other.npy"))
        train = ["mercer-train", "--train", self.train, "--arch", "dense(8) relu dense(1)", "--precondition", "kernel",
                 "--kernel", self.files("K.h5"), "--steps", "1"]
        self.succeed(*train)
        self.refuse(["K.h5", "hash"], *train, "--scale", "3")

    def test_files_written_elsewhere_are_taken_on_trust_and_said(self):
        K, C = ntk(self.X, self.X), ntk(self.Z, self.X)
        self.written("K.h5", K)
        self.written("C.h5", C)
        result = self.succeed(*self.fit(self.files("K.h5", "C.h5"), "--out", self.path("R.h5")))
        self.assertEqual(result.out.count("taken on trust"), 2, result.out)
        np.testing.assert_allclose(read(self.path("R.h5"), "/predictions"), self.predictions(self.Z), rtol=1e-9)
        self.written("C.h5", C[:-1])
        self.refuse(["C.h5", f"{M - 1} x {N}", f"{M} x {N}"], *self.fit(self.files("K.h5", "C.h5")))

    def test_symmetry_is_that_of_the_stored_type(self):
        K = ntk(self.X, self.X)
        values = np.linalg.eigvalsh(K / N)[::-1]
        noise = np.random.default_rng(1).uniform(-1, 1, size=(N, N))
        scale = np.abs(K).max()
        for name, matrix, tolerance in (
                ("rounded", K.astype(np.float32), 1e-6), ("noisy", (K + 3e-7 * scale * noise).astype(np.float32), 1e-6),
                ("half", (K + 1e-4 * scale * noise).astype(np.float16), 1e-2), ("big-endian", K.astype(">f4"), 1e-6)):
            with self.subTest(name):
                self.written("K.h5", matrix)
                self.succeed("mercer-spectrum", "--kernel", self.files("K.h5"), "--values-only", "--out", self.path("S.h5"))
                np.testing.assert_allclose(read(self.path("S.h5"), "/eigenvalues"), values, atol=tolerance * values[0])
        for name, matrix in (("float32", (K + 1e-5 * scale * noise).astype(np.float32)), ("float64", K + 1e-9 * scale * noise),
                             ("integers", np.arange(N * N).reshape(N, N))):
            with self.subTest(name):
                self.written("K.h5", matrix)
                self.refuse(["K.h5", "not symmetric"], "mercer-spectrum", "--kernel", self.files("K.h5"), "--values-only")
        self.written("K.h5", 10 * np.eye(N, dtype=np.int32) + 1)
        self.succeed("mercer-spectrum", "--kernel", self.files("K.h5"), "--values-only", "--out", self.path("S.h5"))
        self.assertAlmostEqual(read(self.path("S.h5"), "/eigenvalues")[0], (10 + N) / N, places=12)


if __name__ == "__main__":
    unittest.main(verbosity=2)
