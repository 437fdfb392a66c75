"""Files that Mercer reads back, damaged at random, edited, and edited with the checksum of the edit: one line that names
the file and exit code 2, never a crash, a hang, or another result."""

import os
import random
import shutil
import tempfile
import unittest

import h5py
import numpy as np

from support import PipeTest, run, sign

DAMAGES = int(os.environ.get("MERCER_DAMAGES", "40"))  # random bytes of each file
RNG = np.random.default_rng(5)

TRAIN = ["--train", "npy:X.npy,y.npy"]
FIT = ["mercer-krr", *TRAIN, "--ridge", "1e-3"]
CG = ["mercer-krr", *TRAIN, "--ridge-relative", "1e-3,1e-4", "--solver", "cg", "--checkpoint", "FILE", "--checkpoint-every", "1p"]
KRYLOV = ["mercer-spectrum", "--data", "npy:X.npy", "--solver", "krylov", "--top", "4", "--checkpoint", "FILE", "--checkpoint-every", "1p"]
DESCENT = ["mercer-train", *TRAIN, "--arch", "dense(6) relu dense(1)", "--top", "3", "--batch", "20", "--momentum", "0.1",
           "--checkpoint", "FILE", "--checkpoint-every", "2", "--steps"]

# kind: what writes the file, and what reads it. FILE is its name.
KINDS = {
    "model": (["mercer-krr", "--train", "csv:train.csv", "--one-hot", "--standardize", "--ridge", "loo", "--out", "FILE"],
              ["mercer-krr", "--model", "FILE", "--test", "csv:test.csv", "--out", "result.h5"]),
    "regression": ([*FIT, "--standardize", "--out", "FILE"],
                   ["mercer-krr", "--model", "FILE", "--test", "npy:Z.npy", "--out", "result.h5"]),
    "spectrum": (["mercer-spectrum", "--data", "npy:X.npy", "--top", "9", "--out", "FILE"],
                 [*FIT, "--top", "5", "--g", "flat", "--spectrum", "FILE", "--out", "result.h5"]),
    "start": (["mercer-spectrum", "--data", "npy:X.npy", "--top", "9", "--solver", "krylov", "--out", "FILE"],
              ["mercer-spectrum", "--data", "npy:X.npy", "--top", "4", "--solver", "krylov", "--start", "FILE", "--out", "result.h5"]),
    "kernel": (["mercer-kernel", "--data", "npy:X.npy", "--out", "FILE"],
               ["mercer-spectrum", "--data", "npy:X.npy", "--kernel", "file:FILE", "--out", "result.h5"]),
    "weights": (["mercer-train", *TRAIN, "--arch", "dense(6) relu dense(1)", "--steps", "3", "--out", "FILE"],
                ["mercer-kernel", "--data", "npy:X.npy", "--kernel", "empirical", "--parameters", "FILE", "--out", "result.h5"]),
    "cg": (CG, [*CG, "--resume", "--out", "result.h5"]),
    "krylov": (KRYLOV, [*KRYLOV, "--resume", "--out", "result.h5"]),
    "descent": ([*DESCENT, "4"], [*DESCENT, "6", "--resume", "--out", "result.h5"]),
}


class TextsOfOtherPrograms(PipeTest):
    """Variable-length texts, as h5py writes them, have no checksum, and HDF5 1.10 crashes on some that are damaged."""

    def test_damage_is_one_line_or_has_no_effect_on_the_run(self):
        good, damaged = self.path("good.h5"), self.path("damaged.h5")
        with h5py.File(good, "w") as file:
            file["x"] = RNG.normal(size=(40, 3))
            file.create_dataset("y", data=["red", "green", "blue", "a much longer name of a class"] * 10,
                                dtype=h5py.string_dtype())
        with open(good, "rb") as file:
            data = file.read()
        job = ("--one-hot", "--ridge", "1e-3", "--kernel", "gaussian", "--quiet")
        self.succeed("mercer-krr", "--train", f"h5:{good}:/x,/y", *job)
        places, crashes = random.Random(1), 0
        for damage in range(DAMAGES):
            bytes_ = bytearray(data)
            for _ in range(places.choice([1, 1, 4, 16])):
                bytes_[places.randrange(len(bytes_))] = places.randrange(256)
            with open(damaged, "wb") as file:
                file.write(bytes_)
            result = run("mercer-krr", "--train", f"h5:{damaged}:/x,/y", *job, ranks=2 if damage % 8 == 0 else 0, timeout=40)
            shown = f"damage {damage}: exit code {result.code}: {result.err}"
            self.assertIn(result.code, (0, 2), shown)
            if result.code == 2:
                self.assertEqual(len(result.own_errors), 1, shown)
                self.assertIn("damaged.h5", result.own_errors[0], shown)
                crashes += "crashes" in result.own_errors[0]
        print(f"{crashes} crashes of HDF5 in {DAMAGES}", flush=True)


class Files(PipeTest):
    """One file of every kind, and what it was made of."""

    @classmethod
    def setUpClass(cls):
        cls.originals = tempfile.mkdtemp(prefix="mercer-test-")
        cls.addClassCleanup(shutil.rmtree, cls.originals, ignore_errors=True)
        X, Z = RNG.normal(size=(40, 3)), RNG.normal(size=(10, 3))
        for name, array in (("X", X), ("Z", Z), ("y", np.sin(X @ [1, 2, 0.5]))):
            np.save(os.path.join(cls.originals, name + ".npy"), array)
        for name, A in (("train", X), ("test", Z)):
            with open(os.path.join(cls.originals, name + ".csv"), "w", encoding="utf-8") as file:
                file.write("a,b,c,kind\n")
                for i, row in enumerate(A):
                    file.write(",".join(map(repr, map(float, row))) + "," + ("low", "mid", "high")[i % 3] + "\n")
        for kind in KINDS:
            result = run(*cls.command(kind, 0), ranks=2, cwd=cls.originals)
            assert result.code == 0, f"{kind}\n{result.out}\n{result.err}"

    @staticmethod
    def command(kind, which):
        return [word.replace("FILE", kind + ".h5") for word in KINDS[kind][which]]

    def setUp(self):
        super().setUp()
        shutil.copytree(self.originals, self.directory, dirs_exist_ok=True)


class Damaged(Files):
    def restore(self, kind):
        shutil.copy(os.path.join(self.originals, kind + ".h5"), self.path(kind + ".h5"))

    def refused(self, kind, words=(), ranks=0):
        self.refuse([kind + ".h5", *words], *self.command(kind, 1), ranks=ranks)

    def edited(self, kind, change, words, signed=True, ranks=0):
        """`change` is made by h5py; the file is refused with `words`."""
        with h5py.File(self.path(kind + ".h5"), "r+") as file:
            change(file)
        if signed:
            sign(self.path(kind + ".h5"))
        with self.subTest(kind=kind, words=words):
            self.refused(kind, words, ranks)
        self.restore(kind)

    def test_every_kind_is_read_as_it_was_written_and_when_it_is_signed_again(self):
        for kind in KINDS:
            with self.subTest(kind=kind):
                self.succeed(*self.command(kind, 1), ranks=2, cwd=self.directory)
                sign(self.path(kind + ".h5"))
                self.succeed(*self.command(kind, 1), ranks=0, cwd=self.directory)
            self.restore(kind)

    def test_random_bytes_are_found_in_every_kind_of_file(self):
        for kind in KINDS:
            path = self.path(kind + ".h5")
            with open(path, "rb") as file:
                data = file.read()
            chance = random.Random(kind)
            for i in range(DAMAGES):
                damaged = bytearray(data)
                for _ in range(chance.choice((1, 1, 1, 2, 64))):
                    damaged[chance.randrange(len(data))] ^= chance.randrange(1, 256)
                if i % 10 == 9:
                    damaged = damaged[:chance.randrange(1, len(data))]
                if bytes(damaged) == data:
                    continue
                with open(path, "wb") as file:
                    file.write(damaged)
                with self.subTest(kind=kind, i=i):
                    self.refused(kind, ranks=2 if i == 0 else 0)
            self.restore(kind)

    def test_what_was_edited_is_not_what_mercer_wrote(self):
        def change(file):
            file.attrs["note"] = "by hand"
        for kind in KINDS:
            self.edited(kind, change, ["was changed after Mercer wrote it"], signed=False)

    def take_checksum_away(self, kind):
        """The same contents as another program writes them."""
        with h5py.File(self.path("copy.h5"), "w") as copy, h5py.File(self.path(kind + ".h5")) as file:
            for name in file:
                file.copy(name, copy)
            for name, value in file.attrs.items():
                copy.attrs[name] = value
        os.replace(self.path("copy.h5"), self.path(kind + ".h5"))

    def test_a_model_a_spectrum_and_a_checkpoint_without_a_checksum_are_refused(self):
        for kind in ("model", "spectrum", "start", "cg", "krylov", "descent"):
            self.take_checksum_away(kind)
            with self.subTest(kind=kind):
                self.refused(kind, ["has no checksum"])
        for kind in ("kernel", "weights"):  # which anyone may write
            self.take_checksum_away(kind)
            self.succeed(*self.command(kind, 1), ranks=0, cwd=self.directory)

    def test_a_model_cannot_set_options_that_are_none_of_a_model(self):
        victim = self.path("victim.h5")
        with open(victim, "w", encoding="utf-8") as file:
            file.write("precious")
        for option in ("out=victim.h5", "json=victim.h5", "plot=victim.h5", "checkpoint=victim.h5", "config=victim.h5",
                       "machine=victim.h5", "model=other.h5", "train=csv:other.csv", "quiet=true", "check=true", "out", "[out]", "=", "#"):
            def change(file, option=option):
                file.attrs["options"] = file.attrs["options"] + option + "\n"
            self.edited("model", change, ["options", option, "a model has no such option"])
            with open(victim, encoding="utf-8") as file:
                self.assertEqual(file.read(), "precious")

    def test_values_of_a_models_options_are_checked(self):
        for option in ("depth=many", "one-hot=perhaps", "limit=1e3", "seed=1\nseed=2"):
            def change(file, option=option):
                file.attrs["options"] = file.attrs["options"] + option + "\n"
            self.edited("regression", change, ["options"])

    def replaced(self, name, values):
        """The dataset `name` becomes `values`."""
        def change(file):
            del file[name]
            if values is not None:
                file[name] = np.asarray(values)
        return change

    @staticmethod
    def attribute(name, value):
        def change(file):
            file.attrs[name] = value
        return change

    def test_shapes_and_numbers_of_a_model(self):
        for name in ("input_mean", "input_deviation"):
            dataset = "/preparation/" + name
            for values in (np.zeros(4), np.zeros(2), np.zeros(0), np.zeros((3, 2)), [1, np.nan, 1], [1, np.inf, 1]):
                self.edited("model", self.replaced(dataset, values), ["input_"])
            self.edited("model", self.replaced(dataset, None), ["holds one of"])
        self.edited("model", self.replaced("/preparation/input_deviation", [1, 0, 1]), ["input_deviation", "positive"])
        self.edited("model", self.replaced("/preparation/input_deviation", [1, -1, 1]), ["input_deviation", "positive"])
        for values in (np.ones(2), np.ones(0), [[1, 1]]):
            self.edited("regression", self.replaced("/preparation/target_mean", values), ["/preparation/target_mean"])
        self.edited("regression", self.replaced("/preparation/target_deviation", [0.0]), ["target_deviation"])
        for values in (np.zeros(0), np.zeros(2), [np.nan], [-1.0], None):
            self.edited("regression", self.replaced("/ridge", values), ["/ridge"])
        for shape in ((40, 2), (39, 1), (41, 1), (1, 40), (0, 1), (40, 0)):
            self.edited("regression", self.replaced("/alpha", np.zeros(shape)), ["/alpha"])
        self.edited("regression", self.replaced("/alpha", np.full((40, 1), np.nan)), ["/alpha", "NaN"])
        self.edited("regression", self.replaced("/alpha", np.array([b"text"] * 40)), ["/alpha"])
        for name, value in (("n", 39), ("n", -40), ("n", 40.5), ("n", np.nan), ("n", "40"), ("preparation_dimension", 4), ("preparation_dimension", -1),
                            ("preparation_outputs", 2), ("preparation_outputs", 2**62), ("preparation_scale", np.nan), ("preparation_unit_norm", 2),
                            ("preparation_one_hot", 1), ("temperature", 1.0), ("preparation_classes", 3), ("preparation_classes", -1),
                            ("preparation_libsvm_base", 7), ("preparation_input_names", "a\n")):
            self.edited("regression", self.attribute(name, value), [])
        for name, value in (("preparation_class_names", "high\nlow\n"), ("preparation_class_names", "low\nhigh\nmid\n"), ("preparation_classes", 2),
                            ("preparation_one_hot", 0), ("temperature", np.nan), ("temperature", 0.0), ("preparation_csv_index_column", 4),
                            ("preparation_csv_index_column", -2), ("preparation_csv_columns", 3), ("preparation_csv_columns", 0)):
            self.edited("model", self.attribute(name, value), [])
        for values in ([4.0], [-1.0], [2.5], [np.nan]):
            self.edited("model", self.replaced("/preparation/csv_targets", values), ["csv_targets"])
        def with_values(file):
            file["/preparation/class_values"] = [1.0, 2.0]
        self.edited("model", with_values, ["class_values"])

    def test_shapes_and_numbers_of_a_spectrum(self):
        for values in (np.zeros(0), np.zeros(2), [np.nan], None):
            self.edited("spectrum", self.replaced("/eigenvalue_next", values), ["/eigenvalue_next"])
        for values in (np.ones(8), np.ones(10), np.full(9, np.inf), None, np.arange(9.0), np.ones((9, 1))):
            self.edited("spectrum", self.replaced("/eigenvalues", values), ["eigenvalues"])
        for values in (np.ones(8), np.ones(10), np.zeros(0), np.full(9, np.nan), None):
            self.edited("spectrum", self.replaced("/residuals", values), ["/residuals"])
        for values in (np.ones((40, 8)), np.ones((39, 9)), np.ones(360), np.ones((40, 0)), np.full((40, 9), np.nan), np.ones((40, 9, 1)), None):
            self.edited("spectrum", self.replaced("/eigenvectors", values), ["eigen"])
        for name, value in (("trace", np.nan), ("trace", "much"), ("orthogonality", np.inf), ("method", "magic")):
            self.edited("spectrum", self.attribute(name, value), [])
        for values in (np.ones((40, 41)), np.ones((41, 3)), np.ones(40), np.ones((40, 0)), np.full((40, 9), np.nan)):
            self.edited("start", self.replaced("/eigenvectors", values), ["/eigenvectors" if np.shape(values) != (41, 3) else "--start"])

    def test_shapes_and_numbers_of_kernels_and_weights(self):
        for values in (np.ones((40, 39)), np.ones((39, 39)), np.ones(40), np.ones((0, 0)), np.full((40, 40), np.nan), None):
            self.edited("kernel", self.replaced("/kernel", values), ["/kernel"])
        for values in (np.ones((4, 6)), np.ones(3), np.ones((3, 6, 1)), np.ones((3, 0)), np.full((3, 6), np.inf), None):
            self.edited("weights", self.replaced("/parameters/layer0/W", values), [])
        for values in (np.ones(5), np.ones(0), np.full(6, np.nan), None):
            self.edited("weights", self.replaced("/parameters/layer0/b", values), ["layer0/b"])
        for text in ("dense(9223372036854775807) relu dense(1)", "dense(4611686018427387904) relu dense(4)", "dense(0) relu dense(1)", "dense", ""):
            def change(file, text=text):
                file["parameters"].attrs["architecture"] = text
            self.edited("weights", change, [])
        for value in (np.nan, -1.0, np.inf):
            def change(file, value=value):
                file["parameters"].attrs["weight_std"] = value
            self.edited("weights", change, ["weight_std"])

    def test_shapes_and_numbers_of_checkpoints(self):
        def at(name, place, value):
            def change(file):
                values = file[name][()]
                values[place] = value
                del file[name]
                file[name] = values
            return change
        for values in (np.zeros(0), np.ones(1), np.ones(3), [np.nan, 1e-3], [-1e-3, 1e-4], None):
            self.edited("cg", self.replaced("/ridges", values), ["/ridges"])
        self.edited("cg", at("/ridges", 0, 0.5), ["a ridge"])
        for i, value in ((0, -1), (0, 1e300), (0, 2.5), (1, -1), (2, np.nan), (3, 2), (3, 0), (4, 2), (4, -1), (5, 10**9), (5, -1), (6, 0), (6, 7)):
            self.edited("cg", at("/cg/numbers", i, value), [])
        for name in ("/cg/numbers", "/cg/history", "/cg/S", "/cg/X0", "/cg/Q0", "/cg/P0"):
            for values in (np.ones(0), np.ones(1000), np.ones((40, 2)), np.full((40, 1), np.nan), None):
                self.edited("cg", self.replaced(name, values), ["/cg/"])
        for name, value in (("cg_done", 2), ("cg_done", -1), ("cg_done", 0.5), ("cg_rank", 41), ("cg_rank", -1), ("storage_block", 0),
                            ("storage_bytes", np.nan), ("kept_storage", "somewhere")):
            self.edited("cg", self.attribute(name, value), [])

        with h5py.File(self.path("krylov.h5")) as file:
            count = len(file["/krylov/numbers"])
        for i in range(count):
            for value in (-1, np.nan, 2.5 if i + 1 < count else np.inf, 1e300 if i not in (11,) else np.nan):
                self.edited("krylov", at("/krylov/numbers", i, value), ["/krylov/"])
        for name in ("/krylov/numbers", "/krylov/projection", "/krylov/images0", "/krylov/basis0"):
            for values in (np.ones(0), np.ones(1000), np.ones((40, 2)), np.full((40, 16), np.nan), None):
                self.edited("krylov", self.replaced(name, values), ["/krylov/"])
        for name, value in (("krylov_block", 0), ("krylov_block", 41), ("krylov_basis", 3), ("krylov_basis", 41), ("krylov_basis", np.nan)):
            self.edited("krylov", self.attribute(name, value), [name])

        for name in ("/state/step", "/state/rate", "/state/w", "/state/velocity", "/state/residual0", "/state/set_rows", "/state/decay", "/state/start",
                     "/state/projection", "/state/anchor", "/history/step", "/history/loss", "/history/directions", "/history/directions_count"):
            for values in (np.ones(0), np.ones(1000), np.full((40, 2), np.nan), None):
                with h5py.File(self.path("descent.h5")) as file:
                    same = values is not None and file[name].size == 0 and values.size == 0
                if not same:
                    self.edited("descent", self.replaced(name, values), [])
        for name, value in (("checkpoint_version", 1), ("checkpoint_hash", "0"), ("checkpoint_S", "../../x"), ("checkpoint_precision", "float16")):
            self.edited("descent", self.attribute(name, value), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
