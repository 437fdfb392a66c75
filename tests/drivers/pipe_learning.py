"""mercer-krr --learning-curve: predicted and measured errors, and what it refuses."""

import os
import unittest

import numpy as np

from support import PipeTest, read

RNG = np.random.default_rng(3)
ANGLES = 2 * np.pi * RNG.random(900)
X = np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)
Y = np.sin(5 * ANGLES) + 0.3 * RNG.normal(size=900)


class LearningCurves(PipeTest):
    def setUp(self):
        super().setUp()
        self.train = ("--train", f"npy:{self.npy('x.npy', X)},{self.npy('y.npy', Y)}", "--bias-std", "1")

    def curve(self, *arguments, ranks=2):
        return self.record("mercer-krr", *self.train, "--ridge", "1e-2", *arguments, ranks=ranks)["result"]["learning_curve"]

    def test_predicted_errors_are_those_of_fits_to_subsets_of_a_circle(self):
        for how in ((), ("--top", "11", "--g", "flat")):
            curve = self.curve("--learning-curve", "100,200,400", "--subsets", "8", *how)
            self.assertEqual(curve["n"], [100, 200, 400])
            self.assertEqual(curve["subsets"], 8)
            for kind in ("predicted", "predicted_loo"):
                away = np.abs(np.array(curve[kind]) - curve["measured"])
                # GCV and the rows left out are means over the noise of hundreds of rows.
                self.assertTrue((away <= 0.1 * np.array(curve["measured"])).all(), (kind, curve))
            self.assertGreater(curve["measured"][0], 0.09)  # the noise's variance is part of it

    def test_is_the_same_on_any_number_of_ranks_whatever_other_sizes_there_are(self):
        first = self.curve("--learning-curve", "50,120", "--subsets", "3", ranks=1)
        for ranks in (2, 3, 4):
            other = self.curve("--learning-curve", "120,30", "--subsets", "3", ranks=ranks)
            for name in ("kappa", "predicted", "predicted_loo", "measured", "measured_error"):
                self.assertTrue(np.isclose(first[name][1], other[name][0], rtol=1e-9, atol=0), (ranks, name))

    def test_writes_and_draws_what_it_prints(self):
        out, plot = self.path("r.h5"), self.path("r.svg")
        text = self.succeed("mercer-krr", *self.train, "--ridge-relative", "1", "--learning-curve", "60,300",
                            "--out", out, "--plot", plot).out
        for word in ("kappa", "measured", "rows left out", "gcv/meas"):
            self.assertIn(word, text)
        n = read(out, "/learning_curve/n")
        self.assertEqual(list(n), [60, 300])
        ridge = read(out, "/learning_curve/ridge")
        self.assertTrue(np.isclose(ridge[0] * 60, ridge[1] * 300))  # relative to trace(K)/n of n rows
        self.assertTrue(np.isclose(ridge[1] * 300, read(out, "/ridge")[0] * 900))
        kappa, d1, d2 = (read(out, "/learning_curve/" + x) for x in ("kappa", "freedom", "freedom_square"))
        self.assertTrue(np.allclose(kappa, ridge + kappa * d1 / n, rtol=1e-10))
        self.assertTrue(np.allclose(read(out, "/learning_curve/predicted"),
                                    read(out, "/learning_curve/bias_and_noise") / (1 - d2 / n), rtol=1e-10))
        for line in text.splitlines():
            if line.split()[:1] == ["300"]:
                self.assertAlmostEqual(float(line.split()[6]), read(out, "/learning_curve/measured")[1], 4)
                break
        else:
            self.fail(text)
        self.assertTrue(os.path.getsize(plot) > 0)
        with open(plot) as file:
            self.assertIn("Learning curve", file.read())

    def test_test_rows_without_targets_are_not_those_that_measure(self):
        z = self.npy("z.npy", X[:50])
        text = self.succeed("mercer-krr", *self.train, "--ridge", "1e-2", "--learning-curve", "40", "--test", f"npy:{z}").out
        self.assertIn("rows left out", text)
        t = f"npy:{z},{self.npy('t.npy', Y[:50])}"
        text = self.succeed("mercer-krr", *self.train, "--ridge", "1e-2", "--learning-curve", "900", "--test", t).out
        self.assertIn("the test rows", text)

    def test_a_plan_has_its_stages(self):
        record = self.record("mercer-krr", *self.train, "--ridge", "1e-2", "--learning-curve", "100,200", "--dry-run")
        stages = {s["name"]: s for s in record["result"]["plan"]}
        for name in ("curve", "measure"):
            self.assertGreater(stages[name]["flops"], 0)
            self.assertGreater(stages[name]["bytes"], 8 * 900**2 / 2)  # the pairs stay, on two ranks

    def test_bad_input_is_one_line(self):
        ridge = ("--ridge", "1e-2")
        for words, arguments in ((["--learning-curve", "whole"], ["--learning-curve", "0"]),
                                 (["--learning-curve", "whole"], ["--learning-curve", "10.5"]),
                                 (["--learning-curve", "whole"], ["--learning-curve", "nan"]),
                                 (["--learning-curve", "not a number"], ["--learning-curve", "10,x"]),
                                 (["--learning-curve 901", "900 rows"], ["--learning-curve", "100,901"]),
                                 (["--learning-curve 900", "--test"], ["--learning-curve", "900"]),
                                 (["--subsets 1"], ["--learning-curve", "10", "--subsets", "1"]),
                                 (["--subsets -1"], ["--learning-curve", "10", "--subsets", "-1"]),
                                 (["--subsets", "--learning-curve"], ["--subsets", "3"]),
                                 (["--at-time"], ["--learning-curve", "10", "--at-time", "1"]),
                                 (["--solver cg"], ["--learning-curve", "10", "--solver", "cg"]),
                                 (["--predict transductive"], ["--learning-curve", "10", "--predict", "transductive"]),
                                 (["--learning-curve 10", "--top 20"], ["--learning-curve", "10", "--top", "20"])):
            with self.subTest(arguments):
                self.refuse(words, "mercer-krr", *self.train, *ridge, *arguments)
        self.refuse(["--ridge holdout"], "mercer-krr", *self.train, "--ridge", "holdout", "--learning-curve", "10")
        self.refuse(["targets"], "mercer-krr", "--train", f"npy:{self.path('x.npy')}", *ridge, "--learning-curve", "10")
        k, r = self.path("k.h5"), self.path("m.h5")
        self.succeed("mercer-kernel", "--data", f"npy:{self.path('x.npy')}", "--bias-std", "1", "--out", k)
        stored = ("mercer-krr", *self.train[:2], "--kernel", f"file:{k}", *ridge, "--learning-curve", "100")
        self.refuse(["--learning-curve", "kernel function"], *stored)
        self.succeed(*stored, "--subsets", "0", "--out", r)
        self.refuse(["--learning-curve", "--model"], "mercer-krr", "--model", r, "--test", f"npy:{self.path('x.npy')}",
                    "--learning-curve", "100")


if __name__ == "__main__":
    unittest.main()
