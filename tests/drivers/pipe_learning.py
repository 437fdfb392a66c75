"""mercer-krr --learning-curve: the prediction by its formulas in NumPy, fits to subsets on any number of ranks, what is refused."""

import unittest

import h5py
import numpy as np

from reference import relu_ntk
from support import PipeTest, read

RNG = np.random.default_rng(5)
N0 = 300
X = RNG.normal(size=(N0, 4))
X /= np.linalg.norm(X, axis=1)[:, None]
Y = np.stack([X[:, 0] * X[:, 1] + 0.1 * RNG.normal(size=N0), X[:, 2]], 1)
Z = RNG.normal(size=(80, 4))
Z /= np.linalg.norm(Z, axis=1)[:, None]
F = np.stack([Z[:, 0] * Z[:, 1], Z[:, 2]], 1)


def predicted(g, energy, n, gamma):
    """kappa and E(n, gamma) from the spectrum of n_0 rows, by bisection of kappa(gamma_0) = gamma + (n_0/n)(kappa - gamma_0)."""
    n_0 = len(g)

    def kappa(gamma_0):
        return 1 / np.mean(1 / (g + gamma_0))

    low, high = 1e-14, 10.0
    for _ in range(200):
        middle = np.sqrt(low * high)
        excess = kappa(middle) - gamma - n_0 / n * (kappa(middle) - middle)
        low, high = (middle, high) if excess < 0 else (low, middle)
    gamma_0 = np.sqrt(low * high)
    k = kappa(gamma_0)
    slope = k**2 * np.mean(1 / (g + gamma_0) ** 2)
    score = k**2 * np.mean(energy / (g + gamma_0) ** 2)
    d_2 = n_0 * (1 - 1 / slope)
    return k, score / slope / (1 - d_2 / n)


class LearningCurve(PipeTest):
    def job(self):
        names = [self.npy(name, array) for name, array in (("x.npy", X), ("y.npy", Y), ("z.npy", Z), ("f.npy", F))]
        return ("--train", f"npy:{names[0]},{names[1]}", "--test", f"npy:{names[2]},{names[3]}", "--bias-std", "0.5", "--ridge", "1e-3")

    def test_the_prediction_is_that_of_the_formulas(self):
        out = self.path("l.h5")
        self.succeed("mercer-krr", *self.job(), "--learning-curve", "40,100,300", "--subsets", "0", "--out", out)
        K = relu_ntk(X, X, 1, bias_variance=0.25) / N0
        values, V = np.linalg.eigh(K)
        energy = ((V.T @ Y) ** 2).sum(1)
        for i, n in enumerate((40, 100, 300)):
            kappa, error = predicted(values.clip(0), energy, n, 1e-3)
            self.assertAlmostEqual(read(out, "/learning_curve/kappa")[i] / kappa, 1, delta=1e-6)
            self.assertAlmostEqual(read(out, "/learning_curve/predicted")[i] / error, 1, delta=1e-6)
        with h5py.File(out, "r") as file:
            self.assertNotIn("measured", file["/learning_curve"])

    def test_fits_to_subsets_are_the_same_on_any_number_of_ranks(self):
        curves = []
        for ranks in (1, 3):
            out = self.path(f"l{ranks}.h5")
            self.succeed("mercer-krr", *self.job(), "--top", "5", "--g", "flat", "--learning-curve", "40,150", "--subsets", "3", "--out", out, ranks=ranks)
            curves.append(np.stack([read(out, "/learning_curve/" + name) for name in ("measured", "measured_error")]))
        self.assertTrue(np.allclose(curves[0], curves[1], rtol=1e-8, atol=0), curves)
        self.assertTrue((curves[0] > 0).all())

    def test_a_curve_of_all_rows_is_the_fit_itself(self):
        out = self.path("l.h5")
        self.succeed("mercer-krr", *self.job(), "--learning-curve", str(N0), "--subsets", "2", "--out", out)
        K = relu_ntk(X, X, 1, bias_variance=0.25) / N0
        alpha = np.linalg.solve(K + 1e-3 * np.eye(N0), Y) / N0
        exact = np.mean(np.sum((relu_ntk(Z, X, 1, bias_variance=0.25) @ alpha - F) ** 2, axis=1))
        self.assertAlmostEqual(read(out, "/learning_curve/measured")[0] / exact, 1, delta=1e-6)

    def test_on_the_sphere_it_predicts_what_is_measured(self):
        result = self.record("mercer-krr", "--train", "sphere:n=1200,d=6,degree=2", "--test", "sphere:n=1200,d=6,degree=2", "--bias-std", "1",
                             "--ridge", "1e-3", "--learning-curve", "100,200,400", "--subsets", "8", "--out", self.path("l.h5"))
        self.assertTrue(result["result"])
        out = self.path("l.h5")
        measured, error, theory = (read(out, "/learning_curve/" + name) for name in ("measured", "measured_error", "predicted"))
        # Within a tenth and four standard errors of the mean over the subsets.
        self.assertTrue((np.abs(theory - measured) < 0.1 * measured + 4 * error).all(), (theory, measured, error))

    def test_bad_input_is_one_line(self):
        job = self.job()
        for text in ("0", "-3", "1.5", "a", "", "nan"):
            self.refuse(["--learning-curve"], "mercer-krr", *job, "--learning-curve=" + text)
        self.refuse(["--learning-curve", "301", "300"], "mercer-krr", *job, "--learning-curve", "301")
        self.refuse(["learning curve", "cg"], "mercer-krr", *job, "--learning-curve", "100", "--solver", "cg")
        self.refuse(["--learning-curve"], "mercer-krr", *job, "--learning-curve", "100", "--at-time", "10")
        self.refuse(["--subsets"], "mercer-krr", *job, "--learning-curve", "100", "--subsets", "1")
        self.refuse(["--subsets"], "mercer-krr", *job, "--subsets", "3")


if __name__ == "__main__":
    unittest.main()
