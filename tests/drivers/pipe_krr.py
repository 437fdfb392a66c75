"""mercer-krr end to end against dense NumPy, on small sets."""

import os
import unittest

import h5py
import numpy as np

from reference import leave_one_out_rmse, relu_ntk, ridge
from support import GOLDEN, PipeTest, read

RNG = np.random.default_rng(3)
X, Z = RNG.normal(size=(90, 4)), RNG.normal(size=(37, 4))
Y, YZ = (np.stack([np.sin(A @ [1, 2, 0, 1]), A[:, 0] * A[:, 1]], 1) for A in (X, Z))
KERNEL = ["--depth", "2", "--bias-std", "0.3"]


def kernel(A, B):
    return relu_ntk(A, B, 2, bias_variance=0.09)


class Ridge(PipeTest):
    def setUp(self):
        super().setUp()
        self.train = f"npy:{self.npy('x.npy', X)},{self.npy('y.npy', Y)}"
        self.test = f"npy:{self.npy('z.npy', Z)},{self.npy('yz.npy', YZ)}"

    def predictions(self, *arguments, **options):
        out = self.path("r.h5")
        self.succeed("mercer-krr", "--train", self.train, "--test", self.test, *KERNEL, *arguments, "--out", out,
                     **options)
        return read(out, "/predictions")

    def agree(self, f, reference, tolerance=1e-9):
        self.assertEqual(f.shape, reference.shape)
        self.assertTrue(np.abs(f - reference).max() <= tolerance * np.abs(reference).max(),
                        np.abs(f - reference).max())

    def test_one_ridge_by_cholesky_and_by_eigenpairs_equals_the_dense_solution(self):
        reference = kernel(Z, X) / 90 @ ridge(kernel(X, X), Y, 1e-3)
        self.agree(self.predictions("--ridge", "1e-3", "--check"), reference, 1e-7)  # the plain formula's diagonal
        f = self.predictions("--ridge", "1e-3")
        self.agree(self.predictions("--ridge", "1e-3", "--g", "identity", "--check"), f)
        self.agree(self.predictions("--ridge", "1e-3", "--predict", "transductive"), f)

    def test_predictions_do_not_depend_on_ranks_grid_and_block_size(self):
        for more in (["--ridge", "1e-2"], ["--ridge", "1e-2", "--top", "20"], ["--ridge", "loo"]):
            f = self.predictions(*more, ranks=1)
            for ranks, layout in ((2, []), (3, ["--nb", "8"]), (4, ["--grid", "4x1"]), (6, ["--grid", "2x3", "--nb", "5"])):
                with self.subTest(more=more, ranks=ranks):
                    self.agree(self.predictions(*more, *layout, ranks=ranks), f)

    def test_the_modified_kernel_equals_its_definition(self):
        K = kernel(X, X) / 90
        values, V = np.linalg.eigh(K)
        values, V = values[::-1], V[:, ::-1]
        k = 12
        for name, g in (("flat", np.full(k, values[k])), ("flat:2", np.full(k, 2 * values[k])),
                        ("sqrt(l*lk)", np.sqrt(values[:k] * values[k])), ("identity", values[:k])):
            with self.subTest(name):
                S = np.eye(90) + (V[:, :k] * (g / values[:k] - 1)) @ V[:, :k].T
                alpha = S @ np.linalg.solve(K @ S + 1e-2 * np.eye(90), Y)
                f = self.predictions("--ridge", "1e-2", "--top", k, "--g", name, "--check")
                self.agree(f, kernel(Z, X) / 90 @ alpha, 1e-6)

    def test_the_path_and_leave_one_out(self):
        out = self.path("r.h5")
        ridges = [1e-4, 1e-3, 1e-2]
        self.succeed("mercer-krr", "--train", self.train, "--test", self.test, *KERNEL, "--ridge",
                     ",".join(map(str, ridges)), "--out", out, "--plot", self.path("r.svg"))
        loo = [leave_one_out_rmse(kernel(X, X), Y, gamma) for gamma in ridges]
        np.testing.assert_allclose(read(out, "/path/loo_rmse"), loo, rtol=1e-6)
        np.testing.assert_allclose(read(out, "/path/ridge"), ridges)
        rmse = [np.sqrt(np.mean((kernel(Z, X) / 90 @ ridge(kernel(X, X), Y, gamma) - YZ) ** 2)) for gamma in ridges]
        np.testing.assert_allclose(read(out, "/path/rmse"), rmse, rtol=1e-6)
        record = self.record("mercer-krr", "--train", self.train, "--test", self.test, *KERNEL, "--ridge", "loo")
        grid = np.trace(kernel(X, X)) / 90 / 90 * np.logspace(-10, 1, 200)
        best = min(leave_one_out_rmse(kernel(X, X), Y, gamma) for gamma in grid)
        self.assertLessEqual(record["result"]["loo_rmse"], best * (1 + 1e-3))

    def test_of_a_list_of_ridges_both_solvers_keep_the_best(self):
        rng = np.random.default_rng(7)
        X = rng.normal(size=(120, 4))
        y = np.sin(2 * X[:, 0]) + X[:, 1] ** 2
        job = ("--train", f"npy:{self.npy('L.npy', X)},{self.npy('l.npy', y)}", "--bias-std", "1")
        for ridges in ("1e-1,1e-2,1e-3,1e-4,1e-5,1e-6", "1e-3,1e-4", "1e-1,3e-4,1e-2", "1e-2,1e1"):
            with self.subTest(ridges):
                exact, estimated = self.path("e.h5"), self.path("c.h5")
                said = self.succeed("mercer-krr", *job, "--ridge", ridges, "--out", exact).out
                self.assertIn("chosen  the ridge of the least leave-one-out error\n", said)
                said = self.succeed("mercer-krr", *job, "--ridge", ridges, "--solver", "cg", "--out", estimated).out
                self.assertRegex(said, r"chosen  the ridge of the least leave-one-out error, or .* \+- [0-9]")
                loo = dict(zip(read(exact, "/path/ridge"), read(exact, "/path/loo_rmse")))
                # What cg keeps is as good, up to what its estimates of differences can tell (measured: 0.2 %).
                self.assertLessEqual(loo[read(estimated, "/ridge")[0]], 1.01 * loo[read(exact, "/ridge")[0]])

    def test_stored_spectra_and_models_predict_the_same(self):
        f = self.predictions("--ridge", "1e-3", "--top", "20")
        s = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", self.train, *KERNEL, "--top", "20", "--out", s)
        self.agree(self.predictions("--ridge", "1e-3", "--top", "20", "--spectrum", s, ranks=3), f)
        self.succeed("mercer-spectrum", "--data", self.train, *KERNEL, "--out", s)
        self.agree(self.predictions("--ridge", "1e-3", "--spectrum", s), self.predictions("--ridge", "1e-3"))
        self.predictions("--ridge", "1e-3", "--standardize")
        os.rename(self.path("r.h5"), self.path("model.h5"))
        g = read(self.path("model.h5"), "/predictions")
        again = self.path("again.h5")
        for ranks in (1, 3):
            self.succeed("mercer-krr", "--model", self.path("model.h5"), "--test", self.test, "--out", again, ranks=ranks)
            self.agree(read(again, "/predictions"), g)
        config = self.record("mercer-krr", "--model", self.path("model.h5"), "--test", self.test)["config"]
        with h5py.File(self.path("model.h5")) as model:
            self.assertEqual(config["kernel"], model.attrs["kernel"])
        self.assertEqual(config["standardize"], "true")
        for option in ("depth", "activation", "bandwidth", "model-rows"):
            self.assertNotIn(option, config)

    def test_scores_are_those_of_the_predictions(self):
        out = self.path("r.h5")
        record = self.record("mercer-krr", "--train", self.train, "--test", self.test, *KERNEL, "--ridge", "1e-3",
                             "--standardize", "--out", out)
        error = read(out, "/predictions") - YZ
        self.assertAlmostEqual(record["result"]["mse"], np.mean(error**2), delta=1e-12)
        self.assertAlmostEqual(record["result"]["rmse"], np.sqrt(np.mean(error**2)), delta=1e-12)
        self.assertAlmostEqual(record["result"]["rmse_standardized"], np.sqrt(np.mean((error / Y.std(0)) ** 2)),
                               delta=1e-12)

    def test_stored_kernel_matrices_predict(self):
        f = self.predictions("--ridge", "1e-3")
        k, cross = self.path("k.h5"), self.path("c.h5")
        self.succeed("mercer-kernel", "--data", self.train, *KERNEL, "--out", k)
        self.succeed("mercer-kernel", "--data", self.test, "--data2", self.train, *KERNEL, "--out", cross)
        out = self.path("f.h5")
        self.succeed("mercer-krr", "--train", self.train, "--test", self.test, "--kernel", f"file:{k},{cross}",
                     "--ridge", "1e-3", "--out", out)
        self.agree(read(out, "/predictions"), f)

    def test_the_reference_predictions(self):
        if not GOLDEN:
            self.skipTest("MERCER_GOLDEN_DIR is not set")
        compared = 0
        with h5py.File(os.path.join(GOLDEN, "predict.h5")) as file:
            for case, group in file.items():
                train = f"npy:{self.npy('gx.npy', group['X_train'][()])},{self.npy('gy.npy', group['y_train'][()])}"
                outputs = np.zeros((len(group["X_test"]), group["y_train"].shape[1]))
                test = f"npy:{self.npy('gz.npy', group['X_test'][()])},{self.npy('gt.npy', outputs)}"
                for sub in (name for name in group if name.startswith("diag_reg")):
                    for kind, from_x in (("nngp", 1e-12), ("ntk", 2e-8)):
                        exact = group[sub][f"{kind}_mean_inf_exact"][()]
                        scale = np.abs(exact).max()
                        layers = ["--kernel", kind, "--depth", str(int(group.attrs["hidden_layers"])), "--weight-std",
                                  repr(float(group.attrs["W_std"])), "--bias-std", repr(float(group.attrs["b_std"]))]
                        for name, data in (("k", group[kind + "_train_train"]), ("c", group[kind + "_test_train"])):
                            with h5py.File(self.path(name + ".h5"), "w") as stored:
                                stored["kernel"] = data[()]
                        files = ["--kernel", f"file:{self.path('k.h5')},{self.path('c.h5')}"]
                        for options, tolerance in ((files, 1e-12), (layers, from_x)):
                            out = self.path("f.h5")
                            self.succeed("mercer-krr", "--train", train, "--test", test, *options,
                                         "--ridge-relative", sub.removeprefix("diag_reg_"), "--out", out)
                            error = np.abs(read(out, "/predictions") - exact).max()
                            self.assertTrue(error <= tolerance * scale, f"{case} {sub} {kind} {options[1]}: {error / scale}")
                            compared += exact.size
        self.assertGreater(compared, 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
