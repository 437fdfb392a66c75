"""Bad input: exit code 2 (1 for a failed run, 3 for memory), one line, all ranks end, nothing left behind."""

import gzip
import os
import struct
import unittest

import h5py
import numpy as np

from support import PipeTest, read, run

CIRCLE = "circle:n=40,freq=3"


class Errors(PipeTest):
    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return self.path(name)

    def content(self, name):
        with open(self.path(name), "rb") as file:
            return file.read()

    def spectrum(self, words, spec, *more, **options):
        self.refuse(words, "mercer-spectrum", "--data", spec, *more, **options)

    def krr(self, words, *more, **options):
        self.refuse(words, "mercer-krr", "--train", CIRCLE, "--test", CIRCLE, *more, **options)

    def test_missing_files_of_every_format(self):
        for spec in ("npy:none.npy", "csv:none.csv", "libsvm:none.txt", "idx:none", "cifar:none.bin",
                     "h5:none.h5:/x", "csv:none.csv.gz"):
            with self.subTest(spec):
                self.spectrum(["none"], spec)

    def test_empty_files_of_every_format(self):
        empty = self.write("empty", b"")
        packed = self.write("empty.gz", gzip.compress(b""))
        for spec in (f"npy:{empty}", f"csv:{empty}", f"libsvm:{empty}", f"idx:{empty}", f"cifar:{empty}",
                     f"h5:{empty}:/x", f"csv:{packed}", f"idx:{packed}"):
            with self.subTest(spec):
                self.spectrum(["empty"], spec)

    def test_truncated_and_corrupt_files_of_every_format(self):
        np.save(self.path("x.npy"), np.ones((20, 3)))
        whole = self.content("x.npy")
        idx = struct.pack(">IIII", 0x803, 10, 4, 4) + bytes(10 * 16)
        with h5py.File(self.path("x.h5"), "w") as file:
            file["x"] = np.ones((200, 3))
        hdf5 = self.content("x.h5")
        packed = gzip.compress(b"1,2,3\n" * 400)
        broken = bytearray(packed)
        broken[len(broken) // 2] ^= 0x5A
        cases = {
            "npy": [self.write("t.npy", whole[:-8]), self.write("m.npy", b"NUMPY?" + whole[6:])],
            "idx": [self.write("t.idx", idx[:-1]), self.write("m.idx", b"\xff\xff\xff\xff" + idx[4:])],
            "cifar": [self.write("t.bin", bytes(3073 * 2 - 1)), self.write("l.bin", b"\x63" + bytes(3072))],
            "csv": [self.write("t.csv.gz", packed[:-9]), self.write("b.csv.gz", bytes(broken))],
            "libsvm": [self.write("b.txt", "1 1:0.5 2:\n"), self.write("c.txt", "1 -1:3\n")],
        }
        for kind, files in cases.items():
            for file in files:
                with self.subTest(file):
                    self.spectrum([os.path.basename(file)], f"{kind}:{file}")
        self.spectrum(["t.h5"], f"h5:{self.write('t.h5', hdf5[:100])}:/x")
        self.spectrum(["x.h5", "nothing"], f"h5:{self.path('x.h5')}:/nothing")

    def test_csv_faults_are_named_by_file_row_and_column(self):
        self.spectrum(["ragged.csv", "row 2"], "csv:" + self.write("ragged.csv", "1,2,3\n4,5\n6,7,8\n"))
        self.spectrum(["text.csv", "row 2", "column"], "csv:" + self.write("text.csv", "1,2,3\n4,five,6\n"))
        self.spectrum(["nan.csv", "row 2", "column"], "csv:" + self.write("nan.csv", "1,2,3\n4,nan,6\n"))
        self.spectrum(["inf.csv", "row 1"], "csv:" + self.write("inf.csv", "1,inf,3\n4,5,6\n"))

    def test_nan_in_binary_data_and_targets_of_another_length(self):
        bad = np.ones((30, 3))
        bad[17, 1] = np.nan
        self.spectrum(["bad.npy", "row"], "npy:" + self.npy("bad.npy", bad))
        x, y = self.npy("x.npy", np.ones((30, 3))), self.npy("y.npy", np.ones(29))
        self.refuse(["30", "29"], "mercer-krr", "--train", f"npy:{x},{y}", "--test", CIRCLE, "--ridge", "1")

    def test_labels_that_are_no_classes(self):
        x = self.npy("x.npy", np.random.default_rng(0).normal(size=(8, 2)))
        y = self.npy("y.npy", np.array([0, 1, 2.5, 1, 0, 1, 2.5, 0]))
        other = self.npy("z.npy", np.array([0, 1, 2.5, 1, 0, 1, 2, 0]))
        self.refuse(["data row 7", "label 2,", "0, 1, 2.5"], "mercer-krr", "--train", f"npy:{x},{y}", "--test",
                    f"npy:{x},{other}", "--one-hot", "--ridge", "1")

    def test_sizes(self):
        self.spectrum(["n=0"], "circle:n=0,freq=1")
        self.spectrum(["--top 41", "40"], CIRCLE, "--top", "41")
        self.spectrum(["--limit"], CIRCLE, "--limit", "0")
        self.krr(["--top 41", "40"], "--ridge", "1", "--top", "41", "--g", "flat")

    def test_ridges(self):
        self.krr(["--ridge", "-1"], "--ridge=-1")
        self.krr(["--ridge", "nan"], "--ridge", "nan")
        self.krr(["--ridge", "abc"], "--ridge", "abc")
        self.krr(["--ridge"], )
        self.krr(["once"], "--ridge", "1", "--ridge-relative", "1")
        self.krr(["--ridge-relative -1: a ridge"], "--ridge-relative=-1")
        self.krr(["--ridge holdout: needs --solver cg"], "--ridge", "holdout", "--solver", "cholesky")
        self.krr(["--predict transductive: takes one ridge, --ridge G or --ridge-relative G"], "--ridge", "loo", "--predict",
                 "transductive")

    def test_a_ridge_of_zero_on_a_singular_matrix_names_the_smallest_eigenvalue_and_a_ridge(self):
        x = np.random.default_rng(0).normal(size=(20, 3))
        x = self.npy("x.npy", np.vstack([x, x]))
        y = self.npy("y.npy", np.arange(40.0))
        for more in ([], ["--g", "identity"], ["--top", "5", "--g", "flat"]):
            with self.subTest(more):
                self.refuse(["eigenvalue", "ridge"], "mercer-krr", "--train", f"npy:{x},{y}", "--test",
                            f"npy:{x},{y}", "--ridge", "0", *more, code=1)

    def test_options_and_names(self):
        self.spectrum(["--colour"], CIRCLE, "--colour", "red")
        self.spectrum(["--top"], CIRCLE, "--top", "many")
        self.spectrum(["--top", "at least 1"], CIRCLE, "--top", "-1", ranks=0)
        self.refuse(["--lr 0.1,0.2", "one number"], "mercer-train", "--train", CIRCLE, "--arch", "dense(8) relu dense(1)", "--lr", "0.1,0.2", ranks=0)
        self.spectrum(["swish"], CIRCLE, "--activation", "swish")
        self.spectrum(["conv"], CIRCLE, "--arch", "conv(3,8) relu flatten dense")
        self.spectrum(["--state half", "double or single"], CIRCLE, "--state", "half")
        self.spectrum(["--state single", "conv"], CIRCLE, "--state", "single")
        self.spectrum(["--state", "gaussian"], CIRCLE, "--kernel", "gaussian", "--state", "single")
        self.spectrum(["rleu"], CIRCLE, "--arch", "dense rleu dense")
        self.spectrum(["res"], CIRCLE, "--arch", "res(relu dense) relu dense")
        self.spectrum(["relu"], CIRCLE, "--arch", "dense relu relu dense")
        self.spectrum(["--solver"], CIRCLE, "--solver", "magic")
        self.spectrum(["--kernel"], CIRCLE, "--kernel", "polynomial")
        self.spectrum(["bandwidth"], CIRCLE, "--kernel", "gaussian", "--bandwidth", "-1")
        self.spectrum(["--weight-std"], CIRCLE, "--weight-std", "0")
        self.spectrum(["triangle"], "triangle:n=5")
        self.spectrum(["frequency"], "circle:n=5,frequency=2")
        self.spectrum(["--precision"], CIRCLE, "--precision", "half")
        self.spectrum(["--config"], CIRCLE, "--config", "none.ini")
        self.refuse(["--data"], "mercer-spectrum")
        self.refuse(["gram"], "mercer-bench", "everything")

    def test_options_without_a_value_or_an_effect(self):
        for option in ("--out", "--json", "--plot", "--arch", "--kernel"):
            self.spectrum([option, "empty"], CIRCLE, option, "", ranks=0)
        self.krr(["--g", "empty"], "--ridge", "1", "--g", "", ranks=0)
        self.spectrum(["--bandwidth", "ntk"], CIRCLE, "--bandwidth", "3", ranks=0)
        for kernel, option, value in (("gaussian", "--depth", "3"), ("laplace", "--activation", "erf"), ("linear", "--weight-std", "3"),
                                      ("gaussian", "--bias-std", "1"), ("file:k.h5", "--arch", "dense relu dense")):
            self.spectrum([option, kernel], CIRCLE, "--kernel", kernel, option, value, ranks=0)
        self.spectrum(["none of its 2 columns"], "csv:" + self.write("two.csv", "1,2\n3,4\n"), "--target", "0,1", ranks=0)

    def test_a_stored_model_takes_no_options_of_a_fit_and_names_the_rows_that_it_misses(self):
        x, y = self.npy("x.npy", np.arange(12.0).reshape(6, 2)), self.npy("y.npy", np.arange(6.0))
        model = self.path("m.h5")
        self.succeed("mercer-krr", "--train", f"npy:{x},{y}", "--ridge", "1e-2", "--out", model)
        for option, value in (("--ridge", "5"), ("--ridge", "loo"), ("--ridge-relative", "1"), ("--train", f"npy:{x}"), ("--top", "2"),
                              ("--g", "l1"), ("--predict", "transductive"), ("--solver", "cg"), ("--precision", "single"),
                              ("--spectrum", "s.h5"), ("--storage", "none"), ("--checkpoint", "c.h5")):
            with self.subTest(option):
                self.refuse([option, "m.h5"], "mercer-krr", "--model", model, "--test", f"npy:{x}", option, value, ranks=0)
        self.refuse(["--check", "m.h5"], "mercer-krr", "--model", model, "--test", f"npy:{x}", "--check")
        self.succeed("mercer-krr", "--model", model, "--test", f"npy:{x}")
        refers = self.path("refers.h5")
        self.succeed("mercer-krr", "--train", f"npy:{x},{y}", "--ridge", "1e-2", "--out", refers, "--model-rows", "reference")
        self.refuse(["--model-rows", "m.h5"], "mercer-krr", "--model", model, "--test", f"npy:{x}", "--model-rows", "stored", ranks=0)
        fit = ("mercer-krr", "--train", f"npy:{x},{y}", "--ridge", "1", "--model-rows")
        self.refuse(["--model-rows all", "stored", "reference"], *fit, "all", ranks=0)
        self.refuse(["--model-rows", "--out"], *fit, "reference", ranks=0)
        self.refuse(["--model-rows", "--predict transductive"], *fit, "reference", "--test", f"npy:{x},{y}", "--out",
                    self.path("t.h5"), "--predict", "transductive", ranks=0)
        moved = f"npy:{self.path('moved.npy')}"
        os.rename(x, self.path("moved.npy"))
        self.succeed("mercer-krr", "--model", model, "--test", moved, "--out", self.path("alone.h5"))
        self.refuse(["refers.h5", "training rows", x], "mercer-krr", "--model", refers, "--test", moved)
        self.succeed("mercer-krr", "--model", refers, "--train", f"{moved},{y}", "--test", moved, "--out", self.path("told.h5"))
        np.testing.assert_array_equal(read(self.path("alone.h5"), "/predictions"), read(self.path("told.h5"), "/predictions"))
        other = self.npy("other.npy", np.arange(12.0).reshape(6, 2) + 1)
        self.refuse(["refers.h5", "other rows"], "mercer-krr", "--model", refers, "--train", f"npy:{other},{y}", "--test", moved)

    def test_spectrum_maps(self):
        for g, word in (("l-1", "negative"), ("0/0*l", ""), ("l+*2", ""), ("steep", ""), ("power:x", "power"),
                        ("table:none.csv", "none.csv")):
            with self.subTest(g):
                self.krr([word], "--ridge", "1", "--g", g)

    def test_grids_and_memory(self):
        self.spectrum(["--grid 2x2", "2 ranks"], CIRCLE, "--grid", "2x2")
        self.spectrum(["--grid two"], CIRCLE, "--grid", "two")
        self.spectrum(["--memory-limit"], CIRCLE, "--memory-limit", "lots")
        self.spectrum(["plan", "--memory-limit"], "circle:n=20000,freq=1", "--memory-limit", "200M", code=3)

    def test_output_places(self):
        for option in ("--out", "--json", "--plot"):
            with self.subTest(option):
                name = {"--out": "result.h5", "--json": "result.json", "--plot": "result.svg"}[option]
                self.spectrum([option, "No such"], CIRCLE, option, "/nowhere/at/all/" + name)
                self.spectrum([option], CIRCLE, option, self.directory)

    def test_names_of_results_say_their_format(self):
        drivers = (("mercer-spectrum", "--data", CIRCLE), ("mercer-krr", "--train", CIRCLE, "--ridge", "1"),
                   ("mercer-train", "--train", CIRCLE, "--arch", "dense(4) relu dense(1)", "--steps", "1"))
        for driver in drivers:
            for option, name, words in (("--out", "p.csv", [".h5 or .hdf5"]), ("--out", "p", [".h5 or .hdf5"]),
                                        ("--plot", "p.jpg", [".svg, .png or .pdf"]), ("--plot", "p.h5", [".svg"]),
                                        ("--json", "r.h5", [".json"]), ("--json", "r.svg", [".json"])):
                self.refuse([f"{option} {name}", *words], *driver, option, name, ranks=0)

    def test_a_full_output_place_leaves_nothing(self):
        mount = self.path("small")
        os.mkdir(mount)
        if os.system(f"mount -t tmpfs -o size=300k tmpfs {mount} 2>/dev/null") != 0:
            self.skipTest("needs to mount a small file system")
        self.addCleanup(os.system, f"umount {mount}")
        result = run("mercer-spectrum", "--data", "circle:n=400,freq=3", "--out", mount + "/s.h5")
        self.assertEqual(result.code, 1, result.err)
        self.assertEqual(len(result.own_errors), 1, result.err)
        self.assertIn("s.h5", result.own_errors[0])
        self.assertEqual(os.listdir(mount), [])

    def test_stored_results_of_another_problem(self):
        s = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--out", s)
        fit = ["--test", CIRCLE, "--ridge", "1", "--spectrum", s]
        self.refuse(["hash"], "mercer-krr", "--train", CIRCLE, *fit, "--seed", "5")
        self.refuse(["kernel"], "mercer-krr", "--train", CIRCLE, *fit, "--depth", "2")
        self.refuse(["n ="], "mercer-krr", "--train", "circle:n=41,freq=3", *fit)
        few = self.path("few.h5")
        self.succeed("mercer-spectrum", "--data", CIRCLE, "--top", "5", "--out", few)
        self.refuse(["5 of 40"], "mercer-krr", "--train", CIRCLE, "--test", CIRCLE, "--ridge", "loo", "--spectrum", few)
        self.refuse(["s.h5"], "mercer-krr", "--model", s, "--test", CIRCLE)
        self.refuse(["none.h5"], "mercer-krr", "--model", "none.h5", "--test", CIRCLE)

    def test_errors_are_the_same_on_one_and_on_many_ranks(self):
        file = self.write("ragged.csv", "1,2\n3\n")
        for ranks in (1, 3, 5):
            self.spectrum(["ragged.csv"], "csv:" + file, ranks=ranks)
        for ranks in (0, 2, 4):
            self.spectrum(["ragged.csv"], "csv:" + file, ranks=ranks, defaults=True)


class Architectures(PipeTest):
    def test_nested_without_end(self):
        for depth in (501, 20000):
            text = "dense " + "res(" * depth + "relu dense" + ")" * depth + " relu dense"
            self.refuse(["nested too deep: at most 500 res( )", "character 2007"], "mercer-kernel", "--data", "gaussian:n=4,d=2",
                        "--arch", text, ranks=0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
