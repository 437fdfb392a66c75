"""mercer-krr --at-time: training for a limited time, against the 200-bit reference predictions and by definition."""

import os
import unittest

import h5py
import numpy as np

from support import GOLDEN, PipeTest, needs, read

needs(GOLDEN, "MERCER_GOLDEN_DIR")

# The error of an NTK's entry is about 1e-15 of it; inverses of the golden matrices raise that by at most 1e7.
ACCURACY = {"nngp": 1e-11, "ntk": 2e-8}


class Golden(PipeTest):
    def run_case(self, case, group, kind, regulariser, *more, ranks):
        n, outputs = group["y_train"].shape
        times = group.attrs["learning_rate"] * group["t"][()] / outputs
        out = self.path("r.h5")
        self.succeed("mercer-krr", "--train", f"npy:{self.npy('x.npy', group['X_train'][()])},{self.npy('y.npy', group['y_train'][()])}",
                     "--test", f"npy:{self.npy('z.npy', group['X_test'][()])},"
                     + self.npy("yz.npy", np.zeros((len(group["X_test"]), outputs))),
                     "--kernel", kind, "--arch", "dense relu dense relu dense", "--weight-std", repr(float(group.attrs["W_std"])),
                     "--bias-std", repr(float(group.attrs["b_std"])), "--at-time", ",".join(map(repr, [*map(float, times), "inf"])).replace("'", ""),
                     "--ridge-relative", repr(regulariser), "--out", out, *more, ranks=ranks)
        return out

    def close(self, found, exact, tolerance, what):
        self.assertEqual(found.shape, exact.shape, what)
        error = np.abs(found - exact).max() / np.abs(exact).max()
        self.assertTrue(error <= tolerance, f"{what}: {error}")

    def test_means_and_covariances_at_every_time(self):
        compared = 0
        with h5py.File(os.path.join(GOLDEN, "predict.h5"), "r") as file:
            for case, group in file.items():
                n = len(group["X_train"])
                for name in ("diag_reg_0", "diag_reg_0.001"):
                    for kind, ranks in (("ntk", 3), ("nngp", 2)):
                        exact = group[name]
                        regulariser = float(name.split("_")[-1])
                        out = self.run_case(case, group, kind, regulariser, "--covariance", ranks=ranks)
                        what, tolerance = f"{case} {name} {kind}", ACCURACY[kind]
                        test, train = read(out, "/at_time/test"), read(out, "/at_time/train")
                        self.close(test[:-1], exact[f"{kind}_mean_t_exact"][()], tolerance, what)
                        self.close(test[-1], exact[f"{kind}_mean_inf_exact"][()], tolerance, what)
                        # Theirs is that of (K + ridge) alpha; all of one spectrum.
                        K = group[kind + "_train_train"][()]
                        ridge = regulariser * np.trace(K) / n
                        values, V = np.linalg.eigh(K + ridge * np.eye(n))
                        for t, F, whole in zip(group["t"][()], train, exact[f"{kind}_train_mean_t"][()]):
                            share = V @ np.diag(1 - ridge / values) @ V.T
                            self.close(F, share @ whole, tolerance, f"{what} train")
                        covariance = read(out, f"/at_time/{kind}_cov")
                        for t, found in zip([*range(len(group["t"]))], covariance):
                            self.close(found, exact[f"{kind}_cov_t"][t], tolerance, f"{what} covariance")
                        self.close(covariance[-1], exact[f"{kind}_cov_inf"][()], tolerance, f"{what} covariance")
                        compared += 1
        self.assertGreaterEqual(compared, 8)


RNG = np.random.default_rng(5)
X, Z = RNG.normal(size=(80, 3)), RNG.normal(size=(31, 3))
Y = np.sin(2 * X[:, 0]) + X[:, 1] + 0.3 * RNG.normal(size=80)


class Times(PipeTest):
    def setUp(self):
        super().setUp()
        self.data = ("--train", f"npy:{self.npy('x.npy', X)},{self.npy('y.npy', Y)}",
                     "--test", f"npy:{self.npy('z.npy', Z)},{self.npy('yz.npy', np.sin(2 * Z[:, 0]) + Z[:, 1])}",
                     "--bias-std", "0.2")

    def test_steps_of_descent_are_those_done_one_by_one(self):
        k, out = self.path("k.h5"), self.path("r.h5")
        self.succeed("mercer-kernel", "--data", "npy:" + self.npy("x.npy", X), "--bias-std", "0.2", "--out", k)
        self.succeed("mercer-krr", *self.data, "--at-time", "1,5,40,inf", "--lr", "0.003", "--ridge", "1e-3", "--check", "--out", out, ranks=3)
        K, rate = read(k, "/kernel") / 80, 0.003 * 80
        alpha = np.zeros(80)
        train = dict(zip(read(out, "/at_time/steps"), read(out, "/at_time/train")))
        for step in range(1, 41):
            alpha += rate * (Y - K @ alpha - 1e-3 * alpha)
            if step in train:
                self.assertTrue(np.abs(train.pop(step)[:, 0] - K @ alpha).max() < 1e-12, step)
        self.assertEqual(list(train), [np.inf])
        self.assertTrue(np.abs(train[np.inf][:, 0] - K @ np.linalg.solve(K + 1e-3 * np.eye(80), Y)).max() < 1e-9)
        self.assertTrue(np.allclose(read(out, "/at_time/t")[:-1], rate * np.array([1, 5, 40])))
        self.assertEqual(read(out, "/at_time/rmse").shape, (4,))

    def test_a_chosen_time_beats_the_others_by_its_score(self):
        for how, score in (("loo", "loo_rmse"), ("gcv", "gcv"), ("holdout", None)):
            with self.subTest(how):
                chosen = self.record("mercer-krr", *self.data, "--at-time", how)
                self.assertEqual(chosen["result"]["time_edge"], "none")
                t = chosen["result"]["time"]
                out = self.path("r.h5")
                self.succeed("mercer-krr", *self.data, "--at-time", ",".join(repr(t * f) for f in (0.2, 1, 5)), "--out", out)
                if score:
                    values = read(out, "/at_time/" + score)
                    self.assertEqual(np.argmin(values), 1, values)
                else:
                    self.assertGreater(chosen["result"]["holdout_rmse"], 0)

    def test_top_pairs_are_enough_and_the_rest_is_bounded(self):
        """From 12 of 80 pairs: alpha, scores and bounds by their formulas in NumPy, and the exact times within the bounds."""
        k, s, exact, out, top = self.path("k.h5"), self.path("s.h5"), self.path("a.h5"), self.path("r.h5"), 12
        inputs = "npy:" + self.npy("x.npy", X)
        self.succeed("mercer-kernel", "--data", inputs, "--bias-std", "0.2", "--out", k)
        self.succeed("mercer-spectrum", "--data", inputs, "--bias-std", "0.2", "--top", str(top), "--solver", "krylov", "--tol", "1e-12", "--out", s)
        job = (*self.data, "--at-time", "0.5,3,30,300", "--ridge", "1e-3")
        self.succeed("mercer-krr", *job, "--out", exact)
        K = read(k, "/kernel") / 80
        values, V = np.linalg.eigh(K)
        values, V = values[::-1][:top], V[:, ::-1][:, :top]
        outside = Y - V @ (V.T @ Y)
        for ranks in (1, 3):
            self.succeed("mercer-krr", *job, "--spectrum", s, "--check", "--out", out, ranks=ranks)
            for i, t in enumerate((0.5, 3, 30, 300)):
                def phi(x):
                    return -np.expm1(-(x + 1e-3) * t) / (x + 1e-3)
                c = phi(values[-1])
                H = V @ np.diag(values * phi(values) - c * values) @ V.T + c * K
                self.assertTrue(np.abs(read(out, "/at_time/train")[i, :, 0] - H @ Y).max() < 1e-10, t)
                self.assertAlmostEqual(read(out, "/at_time/gcv")[i], 80 * np.sum((Y - H @ Y) ** 2) / np.trace(np.eye(80) - H) ** 2, 10)
                self.assertAlmostEqual(read(out, "/at_time/loo_rmse")[i], np.sqrt(np.mean(((Y - H @ Y) / (1 - np.diag(H))) ** 2)), 10)
                rest = np.linspace(0, values[-1], 20001)
                bound = (rest * (phi(rest) - c)).max() * np.linalg.norm(outside) / np.sqrt(80)
                self.assertTrue(0.999 * bound <= read(out, "/at_time/rest_fitted")[i] <= 1.03 * bound, t)
                bound = (np.sqrt(rest) * (phi(rest) - c)).max() * np.linalg.norm(outside) / np.sqrt(80)
                self.assertTrue(0.999 * bound <= read(out, "/at_time/rest_predicted")[i] <= 1.03 * bound, t)
                off = read(out, "/at_time/train")[i] - read(exact, "/at_time/train")[i]
                self.assertLess(np.sqrt(np.mean(off**2)), read(out, "/at_time/rest_fitted")[i])
                off = np.abs(read(out, "/at_time/test")[i] - read(exact, "/at_time/test")[i])[:, 0]
                k_zz = 2 * (np.sum(Z**2, axis=1) * 2 / Z.shape[1] + 2 * 0.04)  # at most: that of two layers, with their biases
                self.assertTrue((off <= read(out, "/at_time/rest_predicted")[i] * np.sqrt(k_zz)).all(), t)
        for how in ("loo", "gcv"):
            chosen = self.record("mercer-krr", *self.data, "--at-time", how, "--spectrum", s)["result"]
            self.assertEqual(chosen["pairs"], top)
            self.assertGreater(chosen["rest_fitted"][0], 0)
        done = self.record("mercer-krr", *self.data, "--at-time", "1,inf", "--lr", "0.003", "--spectrum", s)["result"]
        self.assertEqual((done["rest_fitted"][0], done["rest_predicted"][1], done["time"]), (0, "inf", 0.003 * 80))  # one step is exact
        twice, noise = f"npy:{self.npy('x2.npy', np.tile(X[:30], (2, 1)))},{self.npy('y2.npy', Y[:60])}", self.path("n.h5")
        self.succeed("mercer-spectrum", "--data", twice, "--bias-std", "0.2", "--top", "59", "--out", noise)
        self.refuse(["positive definite", "ridge"], "mercer-krr", "--train", twice, *self.data[2:], "--at-time", "1,inf", "--spectrum", noise, code=1)
        self.refuse(["s.h5", "12 of 80", "holdout"], "mercer-krr", *self.data, "--at-time", "holdout", "--spectrum", s)
        self.refuse(["s.h5", "12 of 80", "--covariance"], "mercer-krr", *self.data, "--at-time", "1", "--covariance", "--spectrum", s)
        stored, of_stored = ("--kernel", "file:" + k), self.path("f.h5")
        self.succeed("mercer-spectrum", "--data", inputs, *stored, "--top", str(top), "--out", of_stored)
        self.refuse(["--at-time loo", "diagonal"], "mercer-krr", *self.data[:2], *stored, "--at-time", "loo", "--spectrum", of_stored)
        again = self.record("mercer-krr", *self.data[:2], *stored, "--at-time", "gcv", "--spectrum", of_stored)["result"]
        self.assertAlmostEqual(again["time"], chosen["time"], delta=1e-6 * chosen["time"])

    def test_bad_input_is_one_line(self):
        for words, arguments in ((["--at-time", "positive"], ["--at-time", "-1"]),
                                 (["--at-time", "positive"], ["--at-time", "nan"]),
                                 (["--at-time", "not a number"], ["--at-time", "1,x"]),
                                 (["--at-time", "whole"], ["--at-time", "1.5", "--lr", "0.1"]),
                                 (["diverges", "less than"], ["--at-time", "5", "--lr", "10"]),
                                 (["--lr"], ["--lr", "0.1", "--ridge", "1"]),
                                 (["--lr", "positive"], ["--at-time", "1", "--lr", "-1"]),
                                 (["--lr", "positive"], ["--at-time", "1", "--lr", "0"]),
                                 (["--ridge 1,2", "one ridge"], ["--at-time", "1", "--ridge", "1,2"]),
                                 (["--ridge loo", "one ridge"], ["--at-time", "1", "--ridge", "loo"]),
                                 (["--solver cg"], ["--at-time", "1", "--solver", "cg"]),
                                 (["--predict transductive"], ["--at-time", "1", "--predict", "transductive"]),
                                 (["--covariance", "--at-time"], ["--covariance", "--ridge", "1"]),
                                 (["--covariance", "--g"], ["--covariance", "--at-time", "1", "--g", "--top", "5"])):
            with self.subTest(arguments):
                self.refuse(words, "mercer-krr", *self.data, *arguments)
        self.refuse(["--covariance", "ntk"], "mercer-krr", *self.data[:4], "--covariance", "--at-time", "1", "--kernel", "linear")
        zeros = f"npy:{self.npy('zeros.npy', 0 * X)},{self.npy('y.npy', Y)}"
        for how in ("loo", "gcv", "holdout"):
            self.refuse(["--at-time " + how, "zero"], "mercer-krr", "--train", zeros, "--at-time", how)
        self.refuse(["--covariance", "--test"], "mercer-krr", *self.data[:2], "--covariance", "--at-time", "1")


if __name__ == "__main__":
    unittest.main()
