"""Stored networks: mercer-train --model, and the preparation that a weight file states in every driver that reads it."""

import os
import re
import shutil
import unittest

import h5py
import numpy as np

from support import PipeTest, parameters, read, run, sign

RNG = np.random.default_rng(31)
X, Z = RNG.normal(size=(40, 3)) * [1, 5, 0.2] + [0, 3, 1], RNG.normal(size=(17, 3)) * [1, 5, 0.2] + [0, 3, 1]
Y, YZ = (np.c_[np.sin(A[:, 0]) + 4, A[:, 1] * A[:, 2]] for A in (X, Z))
LABELS, NEW_LABELS = (np.array(["low", "mid", "high"])[np.digitize(A[:, 0], [-0.5, 0.5])] for A in (X, Z))
ARCH = ("--arch", "dense(20) relu dense(2)", "--bias-std", "0.5", "--steps", "10")
PREPARED = ("--scale", "0.5", "--standardize", "--unit-norm")
SCORES = ("rmse", "mse", "r2", "rmse_standardized", "accuracy", "accuracy_by_class", "confusion", "rows_scored")


class Network(PipeTest):
    def setUp(self):
        super().setUp()
        for name, array in (("x", X), ("z", Z), ("y", Y), ("yz", YZ)):
            self.npy(name + ".npy", array)
        self.train, self.test = (f"npy:{self.path(a)}.npy,{self.path(b)}.npy" for a, b in (("x", "y"), ("z", "yz")))
        self.new = f"npy:{self.path('z.npy')}"
        for name, A, labels in (("train", X, LABELS), ("test", Z, NEW_LABELS)):
            with open(self.path(name + ".csv"), "w", encoding="utf-8") as file:
                file.write("a,b,c,kind\n" + "".join(",".join(map(repr, map(float, row))) + f",{label}\n" for row, label in zip(A, labels)))

    def trained(self, *more, name="T.h5", **options):
        self.succeed("mercer-train", "--train", self.train, *ARCH, *more, "--out", self.path(name), **options)
        return self.path(name)

    def weights_alone(self, model, name="W.h5"):
        """The weights of a result, without its preparation, as another program writes them."""
        with h5py.File(model) as source, h5py.File(self.path(name), "w") as file:
            source.copy("parameters", file)
        return self.path(name)


class Predictions(Network):
    def refuse_model(self, words, model, *more, test=None, **options):
        self.refuse(words, "mercer-train", "--model", model, "--test", test or self.new, *more, **options)

    def test_scores_and_predictions_are_those_of_the_training_to_the_bit(self):
        classes = ("--train", "csv:" + self.path("train.csv"), "--test", "csv:" + self.path("test.csv"), "--one-hot", "--arch",
                   "dense(20) relu dense(3)", "--steps", "10")
        numbers = ("--train", self.train, "--test", self.test, *ARCH)
        jobs = [(numbers, ranks) for ranks in (1, 2, 3)] + [((*numbers, *PREPARED), ranks) for ranks in (1, 2, 3)]
        jobs += [((*numbers, "--init", "gaussian", "--parametrization", "standard", "--standardize"), 2),
                 ((*numbers, "--precision", "single", "--standardize"), 2), ((*classes, "--standardize"), 1), ((*classes, "--unit-norm"), 3)]
        compared = 0
        for job, ranks in jobs:
            with self.subTest(job=job, ranks=ranks):
                a, b = self.path("a.h5"), self.path("b.h5")
                then = self.record("mercer-train", *job, "--out", a, ranks=ranks)["result"]
                again = ("mercer-train", "--model", a, "--test", job[job.index("--test") + 1])
                for precision in ((), ("--precision", "single"))[:1 + ("single" in job)]:
                    now = self.record(*again, *precision, "--out", b, ranks=ranks)
                    for score in SCORES:
                        self.assertEqual(now["result"].get(score), then.get(score), score)
                        compared += score in then
                    for name in ("/predictions", "/targets", "/rows"):
                        np.testing.assert_array_equal(read(b, name), read(a, name))
                    self.assertEqual(set(now["phases"]), {"load", "predict", "write"})
                    self.assertNotIn("steps", now["config"])
                    self.assertEqual(now["n"], 40)
                    with h5py.File(a) as there, h5py.File(b) as here:
                        self.assertEqual({"score", "predictions"} & set(here), {"score", "predictions"})
                        self.assertEqual(here.attrs["network"], there.attrs["network"])
                        self.assertEqual(here.attrs["data_hash"], there.attrs["data_hash"])
                shown = [re.findall(r"^test    rmse .*$", self.succeed(*words, ranks=ranks).out, re.M) for words in (("mercer-train", *job), again)]
                self.assertEqual(len(shown[0]), 1)
                self.assertEqual(shown[0], shown[1])
        self.assertGreater(compared, 3 * len(jobs))

    def test_single_precision_rounds_the_weights(self):
        model, f = self.trained(), []
        for precision in ("double", "single"):
            self.succeed("mercer-train", "--model", model, "--test", self.new, "--precision", precision, "--out", self.path("p.h5"))
            f.append(read(self.path("p.h5"), "/predictions"))
        difference = np.abs(f[1] - f[0]).max() / np.abs(f[0]).max()
        self.assertTrue(0 < difference <= 1e-5, difference)

    def test_ranks_agree_to_rounding(self):
        model, f = self.trained(*PREPARED), []
        for ranks in (1, 2, 3):
            self.succeed("mercer-train", "--model", model, "--test", self.test, "--out", self.path("p.h5"), ranks=ranks)
            f.append(read(self.path("p.h5"), "/predictions"))
        for g in f[1:]:
            self.assertLessEqual(np.abs(g - f[0]).max(), 1e-13 * np.abs(f[0]).max())

    def test_rows_without_targets_are_predicted_alone(self):
        model, p = self.trained(*PREPARED), self.path("p.h5")
        self.succeed("mercer-train", "--model", model, "--test", self.test, "--out", p)
        f = read(p, "/predictions")
        said = self.succeed("mercer-train", "--model", model, "--test", self.new, "--out", p).out
        self.assertIn("17 rows without targets predicted", said)
        self.assertNotIn("rmse", said)
        self.assertIn("inputs of new rows are multiplied by 0.5, standardized, divided by their norms", said)
        np.testing.assert_array_equal(read(p, "/predictions"), f)
        with h5py.File(p) as file:
            self.assertEqual({"targets", "score"} & set(file), set())
        some = YZ.copy()
        some[3, 1] = np.nan
        record = self.record("mercer-train", "--model", model, "--test", self.new + "," + self.npy("some.npy", some))
        self.assertEqual(record["result"]["rows_scored"], 16)
        self.assertNotIn("rmse", self.record("mercer-train", "--model", model, "--test", self.new)["result"])
        few = self.record("mercer-train", "--model", model, "--test", self.test, "--limit-test", "5", "--out", p)
        self.assertEqual(read(p, "/predictions").shape, (5, 2))
        self.assertIn("rmse", few["result"])

    def test_columns_are_found_by_name(self):
        model, a, b = self.path("T.h5"), self.path("a.h5"), self.path("b.h5")
        self.succeed("mercer-train", "--train", "csv:" + self.path("train.csv"), "--one-hot", "--arch", "dense(20) relu dense(3)",
                     "--steps", "10", "--out", model)
        with open(self.path("turned.csv"), "w", encoding="utf-8") as file:
            file.write("c,a,b\n" + "".join(",".join(map(repr, map(float, row[[2, 0, 1]]))) + "\n" for row in Z))
        self.succeed("mercer-train", "--model", model, "--test", "csv:" + self.path("test.csv"), "--out", a)
        self.succeed("mercer-train", "--model", model, "--test", "csv:" + self.path("turned.csv"), "--out", b)
        np.testing.assert_array_equal(read(a, "/predictions"), read(b, "/predictions"))
        np.testing.assert_array_equal(read(b, "/classes"), read(a, "/classes"))

    def test_the_plan_the_picture_and_the_configuration(self):
        model, plot = self.trained(), self.path("p.svg")
        planned = self.succeed("mercer-train", "--model", model, "--test", self.new, "--dry-run", "--out", self.path("none.h5")).out
        for word in ("load", "predict", "peak"):
            self.assertIn(word, planned)
        self.assertFalse(os.path.exists(self.path("none.h5")))
        self.succeed("mercer-train", "--model", model, "--test", self.test, "--plot", plot)
        self.assertGreater(os.path.getsize(plot), 1000)
        self.refuse_model(["plan", "--memory-limit"], model, "--memory-limit", "1M", code=3, ranks=0)

    def test_options_of_a_training_are_refused(self):
        model = self.trained()
        for option, *value in (("--train", self.train), ("--arch", "dense(20) relu dense(2)"), ("--depth", "1"), ("--width", "4"),
                               ("--steps", "5"), ("--lr", "auto"), ("--tol", "1e-3"), ("--top", "3"), ("--g", "flat"), ("--kernel", "ntk"),
                               ("--precondition", "none"), ("--init", "gaussian"), ("--init-parameters", model), ("--bias-std", "0.5"),
                               ("--checkpoint", "c.h5"), ("--csv", "c.csv"), ("--check",), ("--split", "m.csv"), ("--limit", "5"),
                               ("--scale", "0.5"), ("--standardize",), ("--unit-norm",), ("--one-hot",), ("--batch", "4")):
            with self.subTest(option):
                self.refuse_model([f"{option}: is for a training", "T.h5", "leave it out"], model, option, *value, ranks=0)
        self.refuse(["--test", "T.h5"], "mercer-train", "--model", model, ranks=0)

    def test_rows_that_do_not_fit(self):
        model = self.trained()
        wide = "npy:" + self.npy("wide.npy", np.ones((5, 4)))
        for ranks in (1, 2, 3):
            self.refuse_model(["wide.npy", "4 inputs", "3"], model, test=wide, ranks=ranks)
        three = self.npy("three.npy", np.ones((17, 3)))
        self.refuse_model(["3 targets", "2"], model, test=f"{self.new},{three}")
        self.refuse_model(["none.npy"], model, test="npy:none.npy")
        alone = self.weights_alone(model)
        self.refuse_model(["wide.npy", "4 inputs", "the model takes 3"], alone, test=wide)
        self.refuse_model(["3 targets", "the model has outputs for 2"], alone, test=f"{self.new},{three}")
        np.savetxt(self.path("wide.csv"), np.ones((5, 7)), delimiter=",")
        self.refuse_model(["wide.csv", "7 columns", "the model has 3 inputs"], alone, test="csv:" + self.path("wide.csv"))

    def test_files_that_are_no_stored_network(self):
        model = self.trained(*PREPARED)
        with open(model, "rb") as file:
            whole = file.read()
        for name, data, words in (("text.h5", b"weights", []), ("empty.h5", b"", []), ("cut.h5", whole[:len(whole) // 2], []),
                                  ("cut2.h5", whole[:600], []), ("flip.h5", whole[:-2000] + bytes([whole[-2000] ^ 4]) + whole[-1999:], ["damaged"])):
            with open(self.path(name), "wb") as file:
                file.write(data)
            for ranks in (0, 3):
                with self.subTest(name=name, ranks=ranks):
                    self.refuse_model([name, *words], self.path(name), ranks=ranks)
        self.refuse_model(["none.h5"], "none.h5", ranks=0)
        self.succeed("mercer-kernel", "--data", self.new, "--out", self.path("k.h5"))
        self.refuse_model(["k.h5", "/parameters"], self.path("k.h5"), ranks=0)
        self.succeed("mercer-krr", "--train", self.train, "--kernel", "empirical", "--parameters", model, "--ridge", "1", "--out", self.path("r.h5"))
        self.refuse_model(["r.h5", "ridge regression"], self.path("r.h5"), ranks=0)

    def test_a_preparation_that_is_not_whole_or_of_another_network(self):
        model = self.trained(*PREPARED)

        def edit(change, words):
            path = self.path("edited.h5")
            shutil.copy(model, path)
            with h5py.File(path, "r+") as file:
                change(file)
            sign(path)
            self.refuse_model(["edited.h5", *words], path)
            self.refuse(["edited.h5", *words[:1]], "mercer-kernel", "--data", self.new, "--kernel", "empirical", "--parameters", path)
        edit(lambda file: file.attrs.__delitem__("preparation_scale"), ["preparation_scale"])
        edit(lambda file: file.__delitem__("preparation/input_mean"), ["input_mean"])
        edit(lambda file: file["preparation/input_deviation"].__setitem__(0, 0), ["input_deviation"])
        edit(lambda file: file["preparation/input_mean"].__setitem__(0, np.nan), ["input_mean"])

        def narrower(file):
            for name in ("mean", "deviation"):
                values = file[f"preparation/input_{name}"][:2]
                del file[f"preparation/input_{name}"]
                file[f"preparation/input_{name}"] = values
            file.attrs["preparation_dimension"] = 2
        edit(narrower, ["2 inputs", "3"])

    def test_outputs_that_overflow_are_an_error(self):
        w = self.path("W.h5")
        with h5py.File(w, "w") as file:
            for l, (a, b) in enumerate(((3, 4), (4, 4), (4, 1))):
                file[f"parameters/layer{l}/W"], file[f"parameters/layer{l}/b"] = np.full((a, b), 1e150), np.zeros(b)
            file["parameters"].attrs["architecture"] = "dense(4) relu dense(4) relu dense(1)"
        self.refuse_model(["W.h5", "overflow"], w, code=1)

    def test_help_says_how(self):
        text = run("mercer-train", "--help", ranks=0).out
        for word in ("--model T.h5", "do not train", "--test SPEC"):
            self.assertIn(word, text)


def prepared(A, statistics_of=X):
    """Rows as --scale 0.5 --standardize --unit-norm prepares them by the rows of the training set."""
    B = 0.5 * statistics_of
    A = (0.5 * A - B.mean(0)) / B.std(0)
    return A / np.linalg.norm(A, axis=1, keepdims=True)


class Preparation(Network):
    """--kernel empirical with weights that state a preparation."""

    def setUp(self):
        super().setUp()
        self.model = self.trained(*PREPARED)
        self.alone = self.weights_alone(self.model)
        self.ready = {name: "npy:" + self.npy(f"ready_{name}.npy", prepared(A)) for name, A in (("x", X), ("z", Z))}

    def kernel(self, weights, *more, name="k.h5", **options):
        out = self.path(name)
        run_ = self.succeed("mercer-kernel", "--kernel", "empirical", "--parameters", weights, *more, "--out", out, **options)
        return out, run_.out

    def same(self, a, b, names):
        """To 1e-12 of the largest: prepared rows agree to a few units of rounding."""
        for name in names:
            f, g = read(a, name), read(b, name)
            self.assertEqual(f.shape, g.shape)
            self.assertTrue(np.abs(f - g).max() <= 1e-12 * np.abs(g).max(), (name, np.abs(f - g).max() / np.abs(g).max()))

    def test_mercer_kernel_applies_it_to_both_sets(self):
        x = f"npy:{self.path('x.npy')}"
        for ranks in (1, 2, 3):
            raw, said = self.kernel(self.model, "--data", x, "--data2", self.new, name="raw.h5", ranks=ranks)
            ready, quiet = self.kernel(self.alone, "--data", self.ready["x"], "--data2", self.ready["z"], ranks=ranks)
            self.same(raw, ready, ("/kernel", "/outputs", "/outputs2"))
            line = f"inputs are prepared as --parameters {self.model} states: multiplied by 0.5, standardized, divided by their norms"
            self.assertEqual(said.count(line), 1, said)
            self.assertNotIn("prepared as", quiet)
        # The first set may be any: it is standardised by the training rows, not by its own.
        self.same(self.kernel(self.model, "--data", self.new, name="raw.h5")[0], self.kernel(self.alone, "--data", self.ready["z"])[0],
                  ("/kernel", "/outputs"))
        # Not prepared, the kernel is another one.
        other = read(self.kernel(self.alone, "--data", self.new)[0], "/kernel")
        self.assertGreater(np.abs(other - read(self.path("raw.h5"), "/kernel")).max(), 0.1 * np.abs(other).max())

    def test_the_same_preparation_may_be_given_and_another_is_refused(self):
        expected = read(self.kernel(self.model, "--data", self.new)[0], "/kernel")
        for more in (PREPARED, ("--scale", "0.5"), ("--standardize",), ("--unit-norm",)):
            np.testing.assert_array_equal(read(self.kernel(self.model, "--data", self.new, *more)[0], "/kernel"), expected)
        plain, some = self.trained(name="plain.h5"), self.trained("--standardize", name="some.h5")
        jobs = {"mercer-kernel": ("--data", self.new), "mercer-spectrum": ("--data", self.new), "mercer-krr": ("--train", self.train, "--ridge", "1"),
                "mercer-train": ("--train", self.train, *ARCH, "--top", "3")}
        for driver, job in jobs.items():
            if driver == "mercer-train":
                job = (*job[:2], *job[2:4], *job[6:])
            for weights, option, *value in ((self.model, "--scale", "2"), (self.model, "--scale", "1"), (plain, "--scale", "0.5"),
                                            (plain, "--standardize"), (plain, "--unit-norm"), (some, "--unit-norm"), (some, "--scale", "0.5")):
                with self.subTest(driver=driver, weights=weights, option=option):
                    self.refuse([f"{option}: contradicts --parameters {weights}", "leave it out"], driver, *job, "--kernel", "empirical",
                                "--parameters", weights, option, *value, ranks=0)
        config = self.path("c.ini")
        with open(config, "w", encoding="ascii") as file:
            file.write("standardize=false\n")
        self.refuse(["--standardize: contradicts"], "mercer-kernel", "--data", self.new, "--kernel", "empirical", "--parameters", self.model,
                    "--config", config, ranks=0)
        # A file without a preparation leaves it to the options, as ever.
        self.same(self.kernel(self.alone, "--data", f"npy:{self.path('x.npy')}", *PREPARED, name="a.h5")[0],
                  self.kernel(self.model, "--data", f"npy:{self.path('x.npy')}")[0], ("/kernel",))

    def test_rows_of_another_dimension(self):
        wide = "npy:" + self.npy("wide.npy", np.ones((5, 4)))
        self.refuse(["wide.npy", "4 inputs", "T.h5", "3 inputs"], "mercer-kernel", "--data", wide, "--kernel", "empirical", "--parameters",
                    self.model)

    def test_spectra(self):
        s, t = self.path("s.h5"), self.path("t.h5")
        said = self.succeed("mercer-spectrum", "--data", self.new, "--kernel", "empirical", "--parameters", self.model, "--out", s).out
        self.assertIn(f"inputs are prepared as --parameters {self.model} states", said)
        self.succeed("mercer-spectrum", "--data", self.ready["z"], "--kernel", "empirical", "--parameters", self.alone, "--out", t)
        self.same(s, t, ("/eigenvalues",))

    def test_ridge_regression_and_its_models(self):
        job = ("--kernel", "empirical", "--ridge", "1e-2")
        y, yz = (self.path(name) for name in ("y.npy", "yz.npy"))
        a, b = self.path("a.h5"), self.path("b.h5")
        for targets in ((), ("--standardize",)):
            self.succeed("mercer-krr", *job, "--parameters", self.model, "--train", self.train, "--test", self.test, *targets, "--out", a)
            # By hand: prepared rows, and targets standardised by this job where it says so.
            m, s = (Y.mean(0), Y.std(0)) if targets else (0, 1)
            spec = self.ready["x"] + "," + self.npy("t.npy", (Y - m) / s)
            self.succeed("mercer-krr", *job, "--parameters", self.alone, "--train", spec, "--test", self.ready["z"], "--out", b)
            f = read(b, "/predictions") * s + m
            self.assertTrue(np.abs(read(a, "/predictions") - f).max() <= 1e-9 * np.abs(f).max())
            for rows in ("stored", "reference"):
                with self.subTest(targets=targets, rows=rows):
                    self.succeed("mercer-krr", *job, "--parameters", self.model, "--train", self.train, *targets, "--out", self.path("r.h5"),
                                 "--model-rows", rows)
                    self.succeed("mercer-krr", "--model", self.path("r.h5"), "--test", f"{self.new},{yz}", "--out", b)
                    self.assertTrue(np.abs(read(b, "/predictions") - f).max() <= 1e-9 * np.abs(f).max())
        self.assertTrue(os.path.exists(y))

    def test_other_training_rows_with_that_preparation_are_read_again(self):
        """A model that refers to its rows prepares them by the weights' numbers, which are not those of these rows."""
        job = ("--kernel", "empirical", "--ridge", "1e-2", "--parameters", self.model)
        r, a, b = self.path("r.h5"), self.path("a.h5"), self.path("b.h5")
        self.succeed("mercer-krr", *job, "--train", self.test, "--test", f"npy:{self.path('x.npy')}", "--out", a)
        self.succeed("mercer-krr", *job, "--train", self.test, "--model-rows", "reference", "--out", r)
        self.succeed("mercer-krr", "--model", r, "--test", f"npy:{self.path('x.npy')}", "--out", b)
        self.same(b, a, ("/predictions",))
        self.succeed("mercer-krr", *job[:4], "--parameters", self.alone, "--train", self.ready["z"] + "," + self.path("yz.npy"), "--test",
                     self.ready["x"], "--out", a)
        f = read(a, "/predictions")
        self.assertTrue(np.abs(read(b, "/predictions") - f).max() <= 1e-9 * np.abs(f).max())

    def test_a_training_with_that_kernel_prepares_its_rows_so(self):
        out = self.path("again.h5")
        common = ("--train", self.new + "," + self.path("yz.npy"), *ARCH[:4], "--steps", "3", "--top", "3", "--kernel", "empirical")
        self.succeed("mercer-train", *common, "--parameters", self.model, "--out", out)
        self.succeed("mercer-train", "--train", self.ready["z"] + "," + self.path("yz.npy"), *common[2:], "--parameters", self.alone, "--out",
                     self.path("ready.h5"))
        for name, value in parameters(self.path("ready.h5")).items():
            self.assertTrue(np.abs(parameters(out)[name] - value).max() <= 1e-9 * np.abs(value).max(), name)
        with h5py.File(out) as file, h5py.File(self.model) as there:
            for name in ("input_mean", "input_deviation"):
                np.testing.assert_array_equal(file[f"preparation/{name}"][()], there[f"preparation/{name}"][()])


class Start(Network):
    """--init-parameters warns where its file states another preparation."""

    def warnings(self, weights, *more, train=None):
        run_ = self.succeed("mercer-train", "--train", train or self.train, *ARCH[:4], "--steps", "0", "--init-parameters", weights, *more)
        return [line for line in run_.err.splitlines() if "--init-parameters" in line]

    def test_only_a_different_preparation_is_warned_of(self):
        plain, some = self.trained(name="plain.h5"), self.trained("--standardize", name="some.h5")
        for weights, more in ((plain, ()), (some, ("--standardize",)), (self.weights_alone(plain), ("--standardize",))):
            self.assertEqual(self.warnings(weights, *more), [])
        for weights, more, words in (
                (plain, ("--standardize",), ["inputs are taken as they are there and standardized here", "targets are taken as they are there"]),
                (some, (), ["inputs are standardized there and taken as they are here"]),
                (plain, ("--unit-norm",), ["inputs are taken as they are there and divided by their norms here"]),
                (plain, ("--scale", "2"), ["multiplied by 2 here"])):
            with self.subTest(weights=weights, more=more):
                said = self.warnings(weights, *more)
                self.assertEqual(len(said), 1)
                for word in ["mercer-train: warning: ", os.path.basename(weights), *words]:
                    self.assertIn(word, said[0])
        said = self.warnings(some, "--standardize", train=self.test)
        self.assertEqual(len(said), 1)
        self.assertIn("other means and deviations", said[0])


if __name__ == "__main__":
    unittest.main(verbosity=2)
