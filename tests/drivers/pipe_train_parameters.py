"""mercer-train with S on the parameters, S of all outputs together, new blocks, and decay towards the start."""

import unittest

import numpy as np

from support import PipeTest, parameters, read, run

CIRCLE = "circle:n=128,freq=6,amplitude=0.03"
WIDE = ("--depth", "1", "--width", "1024", "--bias-std", "1")
TWO = ("--arch", "dense(64) relu dense(2)", "--bias-std", "1")


class Parameters(PipeTest):
    def setUp(self):
        super().setUp()
        draw = np.random.default_rng(3)
        x = draw.normal(size=(90, 3))
        y = 0.1 * np.stack([np.sin(2 * x[:, 0]), x[:, 1] * x[:, 2]], 1)
        self.two = f"npy:{self.npy('x.npy', x)},{self.npy('y.npy', y)}"

    def result(self, *arguments, ranks=2):
        return self.record("mercer-train", *arguments, ranks=ranks)["result"]

    def test_every_frequency_takes_a_few_epochs(self):
        steps = {}
        for f in (1, 6, 12):
            for ranks in (1, 2, 3):
                result = self.result("--train", f"circle:n=128,freq={f},amplitude=0.03", *WIDE, "--batch", "32", "--top", "41",
                                     "--tol", "0.05", "--steps", "400", ranks=ranks)
                self.assertTrue(result["converged"], (f, ranks, result))
                self.assertEqual(steps.setdefault(f, result["steps"]), result["steps"], (f, ranks))
        self.assertLessEqual(max(steps.values()), 8 * 4)
        self.assertLessEqual(max(steps.values()), 4 * min(steps.values()))
        plain = self.result("--train", CIRCLE, *WIDE, "--batch", "32", "--tol", "0.05", "--steps", "400")
        self.assertFalse(plain["converged"])

    def test_results_are_those_of_other_numbers_of_ranks(self):
        for more in (("--top", "12"), ("--top", "12", "--sample", "40", "--refresh", "7"), (),
                     ("--stochastic", "block", "--new-blocks", "--g", "inverse")):
            with self.subTest(more):
                found = {}
                for ranks in (1, 2, 3):
                    out = self.path("r.h5")
                    self.succeed("mercer-train", "--train", self.two, *TWO, "--batch", "20", "--steps", "20", *more, "--out", out,
                                 ranks=ranks)
                    found[ranks] = parameters(out)
                    loss = read(out, "/loss_train")
                    self.assertTrue(np.all(np.isfinite(loss)) and loss[-1] < loss[0], loss)
                for ranks in (2, 3):
                    for name, value in found[1].items():
                        self.assertLessEqual(np.abs(found[ranks][name] - value).max(), 1e-9 * np.abs(value).max(), (ranks, name))

    def test_on_all_rows_it_is_the_residual_form(self):
        """One step from the same w: P J^T r = J^T S r, with S of all outputs together."""
        a, b = self.path("a.h5"), self.path("b.h5")
        common = ("--train", self.two, *TWO, "--precondition", "empirical", "--top", "15", "--lr", "0.01", "--steps", "1")
        self.succeed("mercer-train", *common, "--batch", "90", "--out", a)
        self.succeed("mercer-train", *common, "--joint-outputs", "--out", b)
        start = self.path("start.h5")
        self.succeed("mercer-train", "--train", self.two, *TWO, "--steps", "0", "--out", start)
        start, a, b = parameters(start), parameters(a), parameters(b)
        moved = max(np.abs(b[name] - value).max() for name, value in start.items())
        self.assertGreater(moved, 1e-6)
        for name, value in b.items():
            self.assertLessEqual(np.abs(a[name] - value).max(), 1e-12 * max(moved, np.abs(value).max()), name)

    def test_all_outputs_together_take_fewer_steps(self):
        common = ("--train", self.two, "--arch", "dense(512) relu dense(2)", "--bias-std", "1", "--precondition", "empirical", "--g",
                  "inverse", "--tol", "1e-2", "--steps", "300")
        apart, together = self.result(*common), self.result(*common, "--joint-outputs")
        self.assertTrue(apart["converged"] and together["converged"])
        self.assertLess(together["steps"], apart["steps"])
        # K_0 S is the identity divided by the rows, not by rows and outputs: 2/(n (lambda_max + lambda_min)) is 1/lambda_max(J J^T S).
        self.assertLessEqual(abs(together["lr_theorem"] * together["lambda_max"] - 1), 2e-3)

    def test_decay_towards_the_start_ends_at_ridge_regression(self):
        """The distance to kernel ridge regression with gamma = L/n, at the training rows, falls with the width."""
        draw = np.random.default_rng(5)
        t = np.sort(draw.uniform(0, 2 * np.pi, 24))
        x, y = np.stack([np.cos(t), np.sin(t)], 1), np.sin(2 * t)
        data = f"npy:{self.npy('c.npy', x)},{self.npy('t.npy', y)}"
        L, krr = 0.5, self.path("krr.h5")
        self.succeed("mercer-krr", "--train", data, "--test", data, "--depth", "1", "--bias-std", "1", "--ridge", str(L / 24), "--out", krr)
        expected = read(krr, "/predictions").ravel()
        distances = []
        for width in (64, 1024, 16384):
            out = self.path("w.h5")
            self.succeed("mercer-train", "--train", data, "--test", data, "--depth", "1", "--width", str(width), "--bias-std", "1",
                         "--weight-decay", str(L), "--steps", "3000", "--out", out)
            distances.append(np.abs(read(out, "/predictions").ravel() - expected).max())
        self.assertLess(distances[2], 0.02, distances)
        self.assertLess(distances[1], distances[0] / 2, distances)
        self.assertLess(distances[2], distances[1] / 2, distances)

    def test_decay_to_zero_of_the_first_layer_ends_at_ridge_regression(self):
        """[L] (6): f is homogeneous of degree 1 in the first layer of a ReLU network without biases. Training ends at eta L t = 1:
        what is left of the start, w_0/e, must outweigh what each unit learnt, of size width^(-1/2): it decides which units are on."""
        draw = np.random.default_rng(5)
        t = np.sort(draw.uniform(0, 2 * np.pi, 24))
        x, y = np.stack([np.cos(t), np.sin(t), np.ones(24)], 1), np.sin(2 * t)
        data = f"npy:{self.npy('c.npy', x)},{self.npy('t.npy', y)}"
        L, krr = 0.1, self.path("krr.h5")
        self.succeed("mercer-krr", "--train", data, "--test", data, "--arch", "dense relu dense(fixed)", "--ridge", str(L / 24), "--out",
                     krr)
        expected = read(krr, "/predictions").ravel()
        distances = []
        for width in (256, 2048, 16384):
            out = self.path("w.h5")
            network = ("--train", data, "--test", data, "--depth", "1", "--width", str(width), "--train-layers", "first")
            rate = self.result(*network, "--steps", "0")["lr"] / 2
            self.succeed("mercer-train", *network, "--weight-decay", str(L), "--decay-to", "zero", "--lr", str(rate),
                         "--steps", str(round(1 / (L * rate))), "--out", out)
            distances.append(np.linalg.norm(read(out, "/predictions").ravel() - expected) / np.linalg.norm(expected))
        self.assertGreater(np.linalg.norm(expected - y) / np.linalg.norm(y), 0.05)  # the ridge matters
        self.assertLess(distances[2], 0.02, distances)
        self.assertLess(distances[1], distances[0] / 1.5, distances)
        self.assertLess(distances[2], distances[1] / 1.5, distances)
        start, end = self.path("s.h5"), parameters(out)
        self.succeed("mercer-train", *network, "--steps", "0", "--out", start)
        np.testing.assert_array_equal(end["layer1/W"], parameters(start)["layer1/W"])

    def test_there_is_no_prediction_from_another_kernel(self):
        """Nor with momentum or weight decay."""
        for more, known in ((("--kernel", "ntk"), True), (("--kernel", "laplace"), False), (("--momentum", "0.5"), False),
                            (("--weight-decay", "0.1"), False)):
            out = self.path("r.h5")
            said = self.succeed("mercer-train", "--train", "circle:n=48,freq=3,grid", *WIDE, *more, "--top", "6", "--steps", "3", "--out", out)
            self.assertEqual("no prediction" in said.out, not known, said.out)
            self.assertEqual(bool(np.all(np.isfinite(read(out, "/residual_predicted"))[1:])), known)

    def test_after_a_refresh_predictions_are_those_of_the_new_s(self):
        out = self.path("r.h5")
        self.succeed("mercer-train", "--train", "circle:n=48,freq=3,grid,amplitude=0.03", *WIDE, "--precondition", "empirical", "--top", "12",
                     "--refresh", "4", "--steps", "12", "--record-every", "1", "--directions", "1,6,7", "--out", out)
        measured, predicted = read(out, "/residual_by_eigendirection"), read(out, "/residual_predicted")
        for step in (4, 8):  # the prediction starts again from what was measured at the refresh
            self.assertTrue(np.all(predicted[step + 1] > predicted[step]), predicted)
        self.assertLessEqual(np.abs(measured[4:] - predicted[4:]).max(), 2e-3 * measured[0].max())

    def test_the_rate_of_batches_is_that_of_beta_and_lambda(self):
        result = self.result("--train", "circle:n=64,freq=3", *WIDE, "--batch", "16", "--top", "10", "--steps", "0")
        self.assertAlmostEqual(result["lr"] * (result["beta"] + 15 * result["lambda_next"]), 1, places=12)
        self.assertIsNone(result["lambda_max"])
        self.assertIsNone(self.result("--train", "circle:n=64,freq=3", *WIDE, "--steps", "0")["beta"])

    def test_with_momentum_the_safeguard_returns_from_epochs_that_diverge(self):
        job = ("--train", "circle:n=150,freq=2", "--arch", "dense(256) relu dense(1)", "--batch", "16", "--top", "12", "--momentum", "0.5")
        guarded = self.result(*job, "--steps", "600")
        self.assertGreater(guarded["rejected"], 0)
        self.assertLess(guarded["residual"], 0.1)
        self.refuse(["diverged", "the automatic rate"], "mercer-train", *job, "--steps", "600", "--safeguard", "off", code=1)

    def test_advice_predicts_steps_and_names_a_top(self):
        circle = ("--train", CIRCLE, "--depth", "1", "--width", "4096", "--bias-std", "1", "--tol", "0.05", "--steps", "400")
        for more in (("--precondition", "empirical", "--top", "15"), ("--top", "15"), ("--batch", "32", "--top", "15")):
            with self.subTest(more):
                advice = self.result(*circle, *more, "--advise")
                tops = {top["top"]: top for top in advice["advice"]}
                self.assertLessEqual({0, 10, 15, 20, 50, 100}, set(tops))
                self.assertFalse(tops[0]["reached"])
                self.assertTrue(tops[advice["top_advised"]]["reached"])
                taken = self.result(*circle, *more)
                self.assertTrue(tops[15]["reached"] and taken["converged"])
                close = max(4 if "--batch" in more else 1, 0.3 * taken["steps"])  # of batches: an epoch
                self.assertLessEqual(abs(tops[15]["steps"] - taken["steps"]), close)
                if "--batch" in more:
                    continue
                # Without --top the advice is of the S that --top takes.
                others = self.result(*circle, *more[:-2], "--advise")["advice"]
                self.assertEqual([top["lr"] for top in others], [top["lr"] for top in advice["advice"] if top["top"] != 15])
        planned = self.succeed("mercer-train", *circle, "--advise", "--dry-run", "--ranks", "64").out
        self.assertIn("eigensolve", planned)
        self.assertNotIn("least predicted", planned)
        refuse = lambda words, *more: self.refuse(words, "mercer-train", *circle, *more, "--advise", ranks=0)
        refuse(["--momentum"], "--momentum", "0.5")
        refuse(["--weight-decay"], "--weight-decay", "0.5")
        refuse(["block"], "--batch", "32", "--stochastic", "block")
        refuse(["--out"], "--out", self.path("r.h5"))
        self.refuse(["'eigensolve'", "--memory-limit", "--sample"], "mercer-train", "--train", "gaussian:n=4000,d=16", *WIDE, "--tol",
                    "0.5", "--advise", "--memory-limit", "200M", ranks=0, code=3)
        self.refuse(["--tol", "--loss"], "mercer-train", "--train", CIRCLE, *WIDE, "--advise", ranks=0)

    def test_plans_of_several_outputs_measure_their_own_kernel(self):
        for more in (("--batch", "20", "--top", "10"), ("--precondition", "empirical", "--joint-outputs", "--top", "10"), ("--batch", "20")):
            said = self.succeed("mercer-train", "--train", self.two, *TWO, *more, "--dry-run").out
            self.assertIn("train", said)
            self.assertEqual("psi" in said, more == ("--batch", "20", "--top", "10"), said)

    def test_bad_input(self):
        refuse = lambda words, *more: self.refuse(words, "mercer-train", "--train", self.two, *TWO, "--steps", "3", *more, ranks=0)
        refuse(["--top 181", "180"], "--batch", "20", "--top", "181")
        refuse(["--top 21", "20"], "--batch", "20", "--top", "21", "--sample", "10")
        refuse(["--batch 91", "90"], "--batch", "91", "--top", "5")
        refuse(["--precondition kernel", "empirical"], "--batch", "20", "--top", "5", "--precondition", "kernel")
        refuse(["--sample 91", "90"], "--batch", "20", "--sample", "91")
        refuse(["--sample", "--batch"], "--sample", "9")
        refuse(["--joint-outputs", "empirical"], "--joint-outputs", "--top", "5")
        refuse(["--joint-outputs", "batch"], "--joint-outputs", "--top", "5", "--precondition", "empirical", "--batch", "9")
        refuse(["--new-blocks", "block"], "--new-blocks", "--batch", "9")
        refuse(["--decay-to", "--weight-decay"], "--decay-to", "zero")
        refuse(["--decay-to there", "zero"], "--decay-to", "there", "--weight-decay", "1")
        # A one-layer network of 3 inputs, 1 bias and 2 outputs: J has rank 8.
        self.refuse(["--top 9", "8 eigenvalues"], "mercer-train", "--train", self.two, "--arch", "dense(2)", "--bias-std", "1", "--init",
                    "gaussian", "--batch", "20", "--top", "9", ranks=0)
        self.refuse(["--memory-limit"], "mercer-train", "--train", self.two, "--arch", "dense(4096) relu dense(4096) relu dense(2)",
                    "--batch", "20", "--top", "50", "--memory-limit", "2G", code=3, ranks=0)

    def test_a_rate_beyond_the_limit_is_warned_of_and_stops(self):
        result = run("mercer-train", "--train", CIRCLE, *WIDE, "--batch", "32", "--top", "41", "--lr", "2000", "--steps", "4000")
        self.assertEqual(result.code, 1, result.err)
        self.assertIn("diverged", result.err)
        self.assertIn("expect it to diverge", result.err + result.out)


if __name__ == "__main__":
    unittest.main(verbosity=2)
