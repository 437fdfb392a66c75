"""--augment flip: the jobs of a training set whose mirror images are appended, and those of a file that holds them."""

import json
import unittest

import h5py
import numpy as np

from support import PipeTest, parameters, read

N, M, SHAPE = 24, 9, (5, 6, 2)
LAYERS = ("--arch", "conv(3) relu avgpool(1x2) conv(3) relu flatten dense")


class Flips(PipeTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(8)
        X, Z, y = rng.normal(size=(N, *SHAPE)), rng.normal(size=(M, *SHAPE)), rng.normal(size=(N, 1))
        both = np.concatenate([X, X[:, :, ::-1]])
        labels = self.npy("y.npy", y)
        self.few = f"npy:{self.npy('X.npy', X)},{labels}"
        self.flat = f"npy:{self.npy('flat.npy', X.reshape(N, -1))},{labels}"
        self.all = f"npy:{self.npy('both.npy', both)},{self.npy('y2.npy', np.concatenate([y, y]))}"
        self.test = "npy:" + self.npy("Z.npy", Z)

    def fit(self, train, out, *options, ranks=2):
        self.succeed("mercer-krr", "--train", train, "--test", self.test, "--ridge", "1e-3", "--standardize", *LAYERS, *options,
                     "--out", self.path(out), ranks=ranks)
        return read(self.path(out), "/predictions")

    def test_a_fit_is_that_of_the_file_with_both(self):
        for ranks in (1, 2, 3):
            expected = self.fit(self.all, "all.h5", ranks=ranks)
            np.testing.assert_array_equal(self.fit(self.few, "few.h5", "--augment", "flip", ranks=ranks), expected)
            with h5py.File(self.path("few.h5")) as few, h5py.File(self.path("all.h5")) as whole:
                self.assertEqual(few.attrs["data_hash"], whole.attrs["data_hash"])
        self.assertGreater(np.abs(self.fit(self.few, "plain.h5") - expected).max(), 1e-3 * np.abs(expected).max())

    def test_the_log_and_the_record_say_it(self):
        out = self.succeed("mercer-krr", "--train", self.few, "--test", self.test, "--ridge", "loo", *LAYERS, "--augment", "flip",
                           "--json", self.path("r.json")).out
        self.assertIn(f"{N} rows, and behind them their mirror images: {2 * N} in all", out)
        self.assertIn("leave-one-out", out)
        with open(self.path("r.json"), encoding="utf-8") as file:
            record = json.load(file)
        self.assertEqual((record["config"]["augment"], record["n"]), ("flip", 2 * N))

    def test_a_stored_model_knows_its_mirror_images(self):
        for rows in ("stored", "reference"):
            expected = self.fit(self.few, "R.h5", "--augment", "flip", "--model-rows", rows)
            self.succeed("mercer-krr", "--model", self.path("R.h5"), "--test", self.test, "--out", self.path("P.h5"))
            np.testing.assert_allclose(read(self.path("P.h5"), "/predictions"), expected, rtol=1e-11)

    def test_spectra_matrices_and_trainings_take_it(self):
        jobs = ((["mercer-spectrum", "--data"], [*LAYERS], lambda f: read(f, "/eigenvalues")),
                (["mercer-kernel", "--data"], ["--depth", "2"], lambda f: read(f, "/kernel")),
                (["mercer-train", "--train"], ["--arch", "dense(16) relu dense(1)", "--steps", "3"],
                 lambda f: parameters(f)["parameters/layer0/W" if "parameters/layer0/W" in parameters(f) else "layer0/W"]))
        for job, options, result in jobs:
            for train, name, augment in ((self.all, "all.h5", []), (self.few, "few.h5", ["--augment", "flip"])):
                self.succeed(*job, train, *options, *augment, "--out", self.path(name))
            np.testing.assert_array_equal(result(self.path("few.h5")), result(self.path("all.h5")))

    def test_rows_that_are_no_images_are_refused(self):
        job = ["mercer-krr", "--train", self.flat, "--test", self.test, "--ridge", "1", "--depth", "1", "--augment"]
        self.refuse(["--augment", "flip:HxWxC"], *job, "flip")
        self.refuse(["--augment", "flip:HxWxC"], *job, "flop")
        self.refuse(["--augment", "5x5x2", "50", "60"], *job, "flip:5x5x2")
        self.succeed(*job, "flip:5x6x2")
        self.refuse(["--augment"], "mercer-spectrum", "--data", "circle:n=32,freq=2", "--augment", "flip")

    def test_shapes_that_contradict_one_another_are_refused(self):
        rng = np.random.default_rng(9)
        other = "npy:" + self.npy("other.npy", rng.normal(size=(M, 5, 4, 3)))
        krr = ["mercer-krr", "--train", self.few, "--ridge", "1", *LAYERS]
        self.refuse(["other.npy", "5x4x3", "5x6x2"], *krr, "--test", other)
        self.refuse(["X.npy", "5x6x2", "--image", "5x4x3"], *krr, "--image", "5x4x3")
        self.refuse(["--augment flip:5x4x3", "5x6x2"], *krr, "--augment", "flip:5x4x3")
        self.refuse(["other.npy", "5x4x3", "5x6x2"], "mercer-kernel", "--data", self.few, "--data2", other, *LAYERS, "--out", self.path("K.h5"))
        self.succeed(*krr, "--out", self.path("R.h5"))
        self.refuse(["other.npy", "5x4x3", "5x6x2"], "mercer-krr", "--model", self.path("R.h5"), "--test", other, "--out", self.path("P.h5"))
        self.succeed("mercer-train", "--train", self.few, "--arch", "conv(3,4) relu gap dense(1)", "--steps", "1", "--out", self.path("T.h5"))
        self.refuse(["other.npy", "5x4x3", "5x6x2"], "mercer-train", "--model", self.path("T.h5"), "--test", other, "--out", self.path("P.h5"))
        self.refuse(["other.npy", "5x4x3", "5x6x2"], "mercer-kernel", "--kernel", "empirical", "--parameters", self.path("T.h5"), "--data", other,
                    "--out", self.path("K.h5"))

    def test_a_stated_shape_is_that_of_the_mirror_images_too(self):
        stated = self.fit(self.flat, "flat.h5", "--augment", "flip", "--image", "5x6x2")
        few = self.fit(self.few, "few.h5", "--augment", "flip")
        np.testing.assert_array_equal(stated, few)
        np.testing.assert_array_equal(self.fit(self.flat, "flat.h5", "--augment", "flip:5x6x2"), few)


if __name__ == "__main__":
    unittest.main(verbosity=2)
