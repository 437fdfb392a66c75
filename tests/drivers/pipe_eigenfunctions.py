"""mercer-spectrum --eval: eigenfunctions on new rows, by the formula in NumPy and on the circle."""

import unittest

import numpy as np

from reference import relu_ntk
from support import PipeTest, read

RNG = np.random.default_rng(11)
X, Z = RNG.normal(size=(70, 3)), RNG.normal(size=(41, 3))


class Eval(PipeTest):
    def test_the_values_are_those_of_the_formula(self):
        data = ("--data", "npy:" + self.npy("x.npy", X), "--eval", "npy:" + self.npy("z.npy", Z), "--bias-std", "0.3", "--top", "6")
        K = relu_ntk(Z, X, 1, bias_variance=0.09)
        for ranks, more in ((1, ()), (3, ()), (2, ("--solver", "krylov", "--tol", "1e-12")), (2, ("--precision", "single"))):
            with self.subTest(ranks=ranks, more=more):
                out = self.path("s.h5")
                self.succeed("mercer-spectrum", *data, *more, "--out", out, ranks=ranks)
                values, V = read(out, "/eigenvalues"), read(out, "/eigenvectors")
                phi = read(out, "/eval/eigenfunctions")
                exact = K @ V / (np.sqrt(70) * values)
                self.assertTrue(np.abs(phi - exact).max() < (1e-4 if "single" in more else 1e-10), np.abs(phi - exact).max())
                self.assertTrue(np.allclose(read(out, "/eval/gram"), phi.T @ phi / 41, atol=1e-12))
                self.assertTrue(np.array_equal(read(out, "/eval/rows"), np.arange(41)))
                self.assertTrue(np.array_equal(read(out, "/eval/space"), np.arange(6)))

    def test_new_rows_are_prepared_as_those_of_the_kernel(self):
        out = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", "npy:" + self.npy("x.npy", 5 * X + 2), "--eval", "npy:" + self.npy("z.npy", 5 * Z + 2),
                     "--standardize", "--bias-std", "0.3", "--top", "4", "--out", out)
        A, B = ((M - X.mean(0)) / X.std(0) for M in (X, Z))
        values, V = read(out, "/eigenvalues"), read(out, "/eigenvectors")
        exact = relu_ntk(B, A, 1, bias_variance=0.09) @ V / (np.sqrt(70) * values)
        self.assertTrue(np.abs(read(out, "/eval/eigenfunctions") - exact).max() < 1e-9)

    def test_on_the_circle_spaces_are_orthonormal_up_to_sampling(self):
        result = self.record("mercer-spectrum", "--data", "circle:n=256,freq=1,grid", "--eval", "circle:n=2000,freq=1", "--bias-std", "1", "--top", "9")
        self.assertEqual(result["result"]["eval_spaces"], 5)
        self.assertEqual(result["result"]["eval_rows"], 2000)
        self.assertLess(result["result"]["eval_standard_errors"], 4)

    def test_gram_is_the_identity_within_four_standard_errors_on_three_distributions(self):
        """Random rows: the functions of 1, 2 ... dimensions of spherical harmonics, or polynomials, are spaces."""
        for spec, top, spaces in (("circle:n={},freq=3", 13, 7), ("sphere:n={},d=6,degree=2", 27, 3), ("gaussian:n={},d=4", 15, 3)):
            with self.subTest(spec):
                out = self.path("g.h5")
                data = ("--data", spec.format(1000), "--eval", spec.format(8000), "--bias-std", "1", "--out", out)
                result = self.record("mercer-spectrum", *data, "--top", str(top))["result"]
                self.assertEqual(result["eval_spaces"], spaces)
                self.assertLess(result["eval_standard_errors"], 4)
                G, error = read(out, "/eval/gram"), read(out, "/eval/gram_error")
                within = np.linalg.norm((G - np.eye(top))[1:3, 1:3]) / np.linalg.norm(error[1:3, 1:3]) / 3  # 1 + 8000/1000 = 3^2
                self.assertLess(within, 4)
        cut = self.succeed("mercer-spectrum", "--data", "sphere:n=1000,d=6,degree=2", "--eval", "sphere:n=2000,d=6,degree=2", "--bias-std", "1", "--top", "12")
        self.assertIn("without the last", cut.out)

    def test_bad_input_is_one_line(self):
        x, z = "npy:" + self.npy("x.npy", X), "npy:" + self.npy("z.npy", Z[:, :2])
        self.refuse(["3", "2"], "mercer-spectrum", "--data", x, "--eval", z)
        self.refuse(["--values-only"], "mercer-spectrum", "--data", x, "--eval", x, "--values-only")
        self.refuse(["eigenfunction", "--top"], "mercer-spectrum", "--data", x, "--eval", x, "--kernel", "linear")
        self.refuse(["nothing.npy"], "mercer-spectrum", "--data", x, "--eval", "npy:nothing.npy")


if __name__ == "__main__":
    unittest.main()
