"""mercer-krr --learning-curve: the prediction by its formulas in NumPy, and a curve of all rows against the fit itself."""

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

    def test_a_curve_of_all_rows_is_the_fit_itself(self):
        out = self.path("l.h5")
        self.succeed("mercer-krr", *self.job(), "--learning-curve", str(N0), "--subsets", "2", "--out", out)
        K = relu_ntk(X, X, 1, bias_variance=0.25) / N0
        alpha = np.linalg.solve(K + 1e-3 * np.eye(N0), Y) / N0
        exact = np.mean(np.sum((relu_ntk(Z, X, 1, bias_variance=0.25) @ alpha - F) ** 2, axis=1))
        self.assertAlmostEqual(read(out, "/learning_curve/measured")[0] / exact, 1, delta=1e-6)


if __name__ == "__main__":
    unittest.main()
