"""Tables and sparse files as people have them: names, indices, separators, labels; against dense NumPy."""

import unittest

import h5py
import numpy as np

from reference import ridge
from support import PipeTest, read

RNG = np.random.default_rng(5)
X = RNG.normal(size=(120, 3))
Y = 1000 + 50 * np.sin(X[:, 0]) + 20 * X[:, 1] - 3 * X[:, 2]
N = 90
GAMMA = 1e-3
JOB = ["--kernel", "gaussian", "--bandwidth", "1.5", "--standardize", "--ridge", GAMMA]


def predicted(Z, Y):
    """Gaussian ridge regression on X[:N], inputs and real targets (one column) standardised by those rows."""
    mean, deviation = X[:N].mean(0), X[:N].std(0)
    A, B = (X[:N] - mean) / deviation, (Z - mean) / deviation

    def kernel(P, Q):
        return np.exp(-((P[:, None, :] - Q[None, :, :]) ** 2).sum(2) / (2 * 1.5**2))

    m, s = (0, 1) if Y.ndim > 1 else (Y.mean(), Y.std())
    return kernel(B, A) / N @ ridge(kernel(A, A), (Y - m) / s, GAMMA) * s + m


class Tables(PipeTest):
    def text(self, name, content):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(content)
        return self.path(name)

    def table(self, name, columns, header=None, separator=",", index=None):
        """Columns of numbers or texts; `index`: a first column for each row."""
        lines = [header] if header is not None else []
        for i, row in enumerate(zip(*columns)):
            cells = [repr(float(c)) if isinstance(c, (float, np.floating)) else str(c) for c in row]
            lines.append(separator.join(([str(index[i])] if index is not None else []) + cells))
        return self.text(name, "\n".join(lines) + "\n")

    def fit(self, train, test, *options, ranks=2):
        out = self.path("fit.h5")
        result = self.succeed("mercer-krr", "--train", train, "--test", test, *JOB, *options, "--out", out, ranks=ranks)
        return read(out, "/predictions"), result.out

    def agree(self, f, reference):
        f = f[:, 0] if reference.ndim == 1 else f
        self.assertEqual(f.shape, reference.shape)
        self.assertTrue(np.abs(f - reference).max() <= 1e-7 * np.abs(reference).max(), np.abs(f - reference).max())

    def test_columns_are_found_by_name_whatever_their_order(self):
        reference = predicted(X[N:], Y[:N])
        a, b, c, y = (*X[:N].T, Y[:N])
        test = dict(zip("abcy", (*X[N:].T, Y[N:])))
        train = self.table("tr.csv", (a, b, c, y), "a,b,c,y")
        for order in ("abcy", "cbay", "yacb"):
            with self.subTest(order):
                f, said = self.fit(train, self.table("te.csv", [test[k] for k in order], ",".join(order)))
                self.agree(f, reference)
                self.assertIn("reads 3 inputs a, b, c and the target y from 90 rows", said)
        missing = self.table("m.csv", [test[k] for k in "acy"], "a,c,y")
        self.refuse(["m.csv", "no column 'b'", "a, c, y"], "mercer-krr", "--train", train, "--test", missing, *JOB)

    def test_headers_of_numbers_indices_and_separators(self):
        reference = predicted(X[N:], Y[:N])
        columns, rest = (*X[:N].T, Y[:N]), (*X[N:].T, Y[N:])
        plain = self.table("te.csv", rest, "a,b,c,y")
        cases = {
            "int": self.table("int.csv", columns, "0,1,2,3"),
            "index": self.table("i.csv", columns, ",a,b,c,y", index=range(N)),
            "shuffled": self.table("s.csv", columns, "Unnamed: 0,a,b,c,y", index=RNG.permutation(N) + 7),
            "semicolons": self.table("c.csv", columns, "a;b;c;y", separator=";"),
            "tabs": self.table("t.tsv", columns, "a\tb\tc\ty", separator="\t"),
            "blanks": self.table("b.csv", columns, separator=" "),
        }
        for name, train in cases.items():
            with self.subTest(name):
                f, said = self.fit(train, plain, ranks=1 if name == "tabs" else 3)
                self.agree(f, reference)
                self.assertIn("from 90 rows", said)

    def test_several_targets_and_negative_positions(self):
        twice = np.stack([Y, -2 * Y + X[:, 0]], 1)
        train = self.table("tr.csv", (Y[:N], *X[:N].T, twice[:N, 1]), "y1,a,b,c,y2")
        test = self.table("te.csv", (Y[N:], *X[N:].T, twice[N:, 1]), "y1,a,b,c,y2")
        reference = np.stack([predicted(X[N:], twice[:N, o]) for o in range(2)], 1)
        for target in ("y1,y2", "0,-1", "-5,4"):
            f, _ = self.fit(train, test, f"--target={target}")
            self.agree(f, reference)
        self.refuse(["'price'", "y1, a, b, c, y2"], "mercer-krr", "--train", train, "--target", "price", *JOB)
        f, _ = self.fit(train, test, "--target", "-1", "--index", "y1")
        self.agree(f, reference[:, 1])

    def test_labels_are_numbers_or_names_of_the_training_rows(self):
        which = np.arange(120) % 3
        one_hot = np.eye(3)[which[:N]] - 1 / 3
        reference = predicted(X[N:], one_hot)
        for names in ((1, 2, 3), (60000, 60001, 60002), (-1, 0.5, 1), ("setosa", "versicolor", "virginica")):
            with self.subTest(names):
                label = np.array(names, dtype=object)[which]
                train = self.table("tr.csv", (*X[:N].T, label[:N]), "a,b,c,kind")
                test = self.table("te.csv", (*X[N:].T, label[N:]), "a,b,c,kind")
                f, _ = self.fit(train, test, "--one-hot")
                self.agree(f, reference)
        for name, pair in (("two", (-1, 1)), ("names", ("no", "yes"))):
            label = np.array(pair, dtype=object)[np.arange(120) % 2]
            train = self.table("tr.csv", (*X[:N].T, label[:N]), "a,b,c,kind")
            test = self.table("one.csv", (*X[N:].T, np.repeat(label[1:2], 120 - N)), "a,b,c,kind")
            f, _ = self.fit(train, test, "--one-hot")  # one class only
            self.agree(f, predicted(X[N:], np.eye(2)[np.arange(N) % 2] - 0.5))
            unknown = self.table("u.csv", (*X[N:].T, [*label[N:-1], 7]), "a,b,c,kind")
            self.refuse(["u.csv", "data row 30", str(pair[0])], "mercer-krr", "--train", train, "--test", unknown, *JOB,
                        "--one-hot")
        self.refuse(["tr.csv", "row 2", "'no'", "--one-hot"], "mercer-krr", "--train", train, *JOB)
        single = self.table("s.csv", (*X[:N].T, [4] * N))
        self.refuse(["s.csv", "every training row", "4"], "mercer-krr", "--train", single, *JOB, "--one-hot")

    def test_labels_that_are_texts_in_arrays_and_hdf5(self):
        which = np.arange(120) % 3
        names = np.array(["virginica", "setosa", "\u00fcbrig"])[which]
        order = np.array([1, 0, 2])[which]  # by bytes: setosa, virginica, \u00fcbrig
        reference = predicted(X[N:], np.eye(3)[order[:N]] - 1 / 3)
        with h5py.File(self.path("set.h5"), "w") as file:
            file["x"], file["z"] = X[:N], X[N:]
            file["kind"] = [n.encode() for n in names[:N]]  # of variable length
            file.create_dataset("fixed", data=np.array([n.encode() for n in names[:N]], "S12"))
        x = self.npy("x.npy", X[:N])
        test = "npy:" + self.npy("z.npy", X[N:]) + "," + self.npy("zk.npy", names[N:])
        for train in (f"npy:{x},{self.npy('k.npy', names[:N])}", f"h5:{self.path('set.h5')}:/x,/kind",
                      f"h5:{self.path('set.h5')}:/x,/fixed"):
            with self.subTest(train):
                f, _ = self.fit(train, test, "--one-hot")
                self.agree(f, reference)
                self.refuse(["names", "--one-hot"], "mercer-krr", "--train", train, *JOB)
                self.assertIn("names and are left out",
                              self.succeed("mercer-spectrum", "--data", train, "--top", "2").out)

    def test_labels_that_are_regressed_are_said(self):
        train = self.table("tr.csv", (*X[:N].T, np.arange(N) % 3), "a,b,c,kind")
        said = self.succeed("mercer-krr", "--train", train, *JOB).out
        self.assertIn("the targets are 3 whole numbers (0, 1, 2), regressed as numbers; --one-hot", said)

    def test_a_spectrum_says_which_column_it_leaves_out(self):
        train = self.table("tr.csv", (*X[:N].T, Y[:N]), "a,b,c,y")
        said = self.succeed("mercer-spectrum", "--data", train, "--top", "3").out
        self.assertIn("the last column, y, was taken as the target and is no input", said)

    def test_rows_without_targets_are_predicted_by_a_model(self):
        train = self.table("tr.csv", (*X[:N].T, Y[:N]), "a,b,c,y")
        self.succeed("mercer-krr", "--train", train, *JOB, "--target", "-1", "--out", self.path("r.h5"))
        a, b, c = X[N:].T
        reference = predicted(X[N:], Y[:N])
        for test in (self.table("new.csv", (a, b, c), "a,b,c"), self.table("cba.csv", (c, b, a), "c,b,a"),
                     self.table("bare.csv", (a, b, c)), "npy:" + self.npy("x.npy", X[N:]),
                     self.table("x.svm", [[f"{j + 1}:{v!r}" for v in map(float, X[N:, j])] for j in range(3)],
                                separator=" ")):
            with self.subTest(test):
                self.succeed("mercer-krr", "--model", self.path("r.h5"), "--test", test, "--out", self.path("p.h5"))
                self.agree(read(self.path("p.h5"), "/predictions"), reference)


    def test_a_mask_is_read_as_pandas_and_numpy_write_it(self):
        reference = predicted(X[N:], Y[:N])
        table = self.table("all.csv", (*X.T, Y), "a,b,c,y")
        chosen = np.arange(120) >= N
        plenty = np.stack([(np.arange(120) + j) % 2 for j in range(20)], 1)
        plenty[:, 7] = chosen
        np.save(self.path("mask.npy"), chosen)
        masks = {
            "name": self.table("name.csv", (chosen, 1 - chosen), "test,other") + ":test",
            "index": self.table("index.csv", (chosen,), ",test", index=range(120)),
            "numbers": self.table("numbers.csv", plenty.T, ",".join(map(str, range(20)))) + ":7",
            "numbers with index": self.table("indexed.csv", plenty.T, "," + ",".join(map(str, range(20))),
                                             index=range(120)) + ":7",
            "from the end": self.table("end.csv", plenty.T) + ":-13",
            "floats": self.table("floats.csv", (chosen.astype(float),)),
            "truth": self.table("truth.csv", (chosen,)),
            "array": self.path("mask.npy")}
        for ranks, (name, mask) in enumerate(masks.items()):
            with self.subTest(name):
                out = self.path("fit.h5")
                self.succeed("mercer-krr", "--train", table, "--split", mask, *JOB, "--out", out, ranks=(3, 2, 0)[ranks % 3])
                self.agree(read(out, "/predictions"), reference)
                np.testing.assert_array_equal(read(out, "/rows"), np.arange(N, 120))
        short = self.table("short.csv", (chosen[1:],), "test")
        self.refuse(["short.csv has 119 rows below its header", "all.csv has 120"], "mercer-krr", "--train", table, "--split",
                    short, *JOB)
        self.refuse(["name.csv", "no split column 'tset'", "test, other"], "mercer-krr", "--train", table, "--split",
                    self.path("name.csv") + ":tset", *JOB, ranks=0)
        self.refuse(["numbers.csv", "20 columns", "numbers.csv:COLUMN"], "mercer-krr", "--train", table, "--split",
                    self.path("numbers.csv"), *JOB, ranks=0)
        wrong = self.table("wrong.csv", ([*chosen[:-1], "yes"],), "test")
        self.refuse(["wrong.csv", "row 121", "'yes'", "is not 0, 1, False or True"], "mercer-krr", "--train", table, "--split",
                    wrong, *JOB, ranks=0)

    def test_a_model_of_a_split_predicts_other_rows_too(self):
        table = self.table("all.csv", (*X.T, Y), "a,b,c,y")
        mask = self.table("mask.csv", (np.arange(120) >= N,), ",test", index=range(120)) + ":test"
        model, out = self.path("m.h5"), self.path("p.h5")
        self.succeed("mercer-krr", "--train", table, "--split", mask, *JOB, "--out", model)
        few = self.table("few.csv", X[N:N + 7].T, "a,b,c")
        self.succeed("mercer-krr", "--model", model, "--test", few, "--out", out)
        self.agree(read(out, "/predictions"), predicted(X[N:N + 7], Y[:N]))

    def test_a_model_says_nothing_of_choices_that_are_its_own(self):
        model = self.path("m.h5")
        train = self.table("tr.csv", (*X[:N].T, Y[:N]), "a,b,c,y")
        test = self.table("te.csv", (*X[N:].T, Y[N:]), "a,b,c,y")
        self.succeed("mercer-krr", "--train", train, *JOB, "--out", model)
        said = self.succeed("mercer-krr", "--model", model, "--test", test).out
        self.assertNotIn("--target", said)
        self.assertIn("data    reads 3 inputs a, b, c and the target y from 90 rows", said)
        for options in (["--target", "none"], ["--scale", "2"], ["--limit", "9"], ["--standardize"], ["--unit-norm"],
                        ["--one-hot"], ["--index", "0"], ["--split", train]):
            with self.subTest(options):
                self.refuse([options[0], "m.h5", "leave it out"], "mercer-krr", "--model", model, "--test", test, *options,
                            ranks=0)
        # The test file's own header and target
        numbers = self.table("n.csv", (*X[N:].T, Y[N:]), "2,3,5,7")
        renamed = self.table("r.csv", (*X[N:].T, Y[N:]), "a,b,c,z")
        for options in (["--test", numbers, "--header", "yes"], ["--test", renamed, "--target", "z"]):
            self.succeed("mercer-krr", "--model", model, *options, "--out", self.path("p.h5"))
            self.agree(read(self.path("p.h5"), "/predictions"), predicted(X[N:], Y[:N]))
            np.testing.assert_allclose(read(self.path("p.h5"), "/targets")[:, 0], Y[N:], rtol=1e-13)

    def test_options_that_a_format_does_not_have_are_refused(self):
        x, y = self.npy("x.npy", X), self.npy("y.npy", Y)
        for options in (["--target", "none"], ["--header", "yes"], ["--index", "0"]):
            for driver, data in (("mercer-krr", ["--train", f"npy:{x},{y}", "--ridge", "1"]), ("mercer-spectrum", ["--data", x]),
                                 ("mercer-train", ["--train", f"npy:{x},{y}", "--arch", "dense(4) relu dense(1)"])):
                with self.subTest(options=options, driver=driver):
                    self.refuse([options[0].strip("-"), "CSV", "x.npy"], driver, *data, *options, ranks=0)
        self.refuse(["limit-test 5", "no test set"], "mercer-krr", "--train", f"npy:{x},{y}", "--ridge", "1", "--limit-test",
                    "5", ranks=0)
        self.refuse(["limit-test 5", "no test rows"], "mercer-spectrum", "--data", x, "--limit-test", "5", ranks=0)
        self.succeed("mercer-krr", "--train", f"npy:{x},{y}", *JOB, "--out", self.path("m.h5"))
        self.refuse(["target", "CSV", "x.npy"], "mercer-krr", "--model", self.path("m.h5"), "--test", f"npy:{x},{y}",
                    "--target", "y", ranks=0)

    def test_an_index_in_one_of_two_files_without_headers_is_refused(self):
        columns, rest = (*X[:N].T, Y[:N]), (*X[N:].T, Y[N:])
        bare, other = self.table("bare.csv", columns), self.table("other.csv", rest)
        indexed = self.table("indexed.csv", columns, index=range(N))
        with_index = self.table("with.csv", rest, index=range(N, 120))
        for train, test in ((bare, with_index), (indexed, other)):
            self.refuse([train, test, "4 columns", "5 columns, the first of which numbers its rows", "--index COL"],
                        "mercer-krr", "--train", train, "--test", test, *JOB)
        for test in (other, with_index):
            f, _ = self.fit(indexed, test, "--index", "0")
            self.agree(f, predicted(X[N:], Y[:N]))

    def test_headers_of_years_and_first_rows_that_look_like_one(self):
        columns, rest = (*X[:N].T, Y[:N]), (*X[N:].T, Y[N:])
        train = self.table("tr.csv", columns, "2019,2020,2021,2022")
        f, said = self.fit(train, self.table("te.csv", rest, "2019,2020,2021,2022"))
        self.agree(f, predicted(X[N:], Y[:N]))
        self.assertIn("the first row, 2019, 2020, 2021, 2022, was taken as names of the columns (--header no", said)
        whole = self.table("w.csv", [np.round(100 * c).astype(int) for c in columns], "2019,2020,2021,2022")
        result = self.succeed("mercer-krr", "--train", whole, *JOB)
        self.assertIn("warning", result.err)
        self.assertIn("looks like names of the columns", result.err)
        self.assertIn("--header yes", result.err)

    def test_truth_values_commas_at_the_end_and_carriage_returns(self):
        flag = X[:, 1] > 0
        A = np.stack([X[:, 0], flag, X[:, 2]], 1)
        mean, deviation = A[:N].mean(0), A[:N].std(0)
        written = [(*A[rows][:, [0]].T, flag[rows], *A[rows][:, [2]].T, Y[rows], [""] * rows.size)
                   for rows in (np.arange(N), np.arange(N, 120))]
        train, test = (self.table(name, columns, "a,flag,c,y,") for name, columns in zip(("tr.csv", "te.csv"), written))
        for path in (train, test):
            with open(path, encoding="utf-8") as file:
                content = file.read()
            self.text(path, content.replace("\n", "\r\n") + "\r\n\r\n")
        f, said = self.fit(train, test)
        plain = self.table("p.csv", (*A[:N].T, Y[:N]), "a,flag,c,y"), self.table("q.csv", (*A[N:].T, Y[N:]), "a,flag,c,y")
        reference, _ = self.fit(*plain)
        self.agree(f, reference)
        self.assertIn("reads 3 inputs a, flag, c and the target y from 90 rows", said)

    def test_inputs_that_are_missing_or_no_numbers_are_named_and_counted(self):
        holes = [list(c) for c in (*X[:N].T, Y[:N])]
        holes[1][4] = holes[2][4] = holes[2][60] = ""
        self.refuse(["h.csv", "row 6, column 2 (counted from 1), b", "3 inputs in 2 rows are missing", "dropna"], "mercer-krr",
                    "--train", self.table("h.csv", holes, "a,b,c,y"), *JOB)
        colours = self.table("c.csv", (*X[:N].T, ["red"] * N, Y[:N]), "a,b,c,colour,y")
        self.refuse(["c.csv", "row 2, column 4", "colour: 'red' is not a number", "get_dummies"], "mercer-krr", "--train",
                    colours, *JOB)
        with_nan = X.copy()
        with_nan[3, 1] = with_nan[77, 2] = np.nan
        self.refuse(["n.npy", "row 4, column 2", "one of 2 in this file"], "mercer-krr", "--train",
                    f"npy:{self.npy('n.npy', with_nan)},{self.npy('y.npy', Y)}", *JOB, ranks=1)


class Sparse(PipeTest):
    def test_large_dimensions_are_refused_before_memory_is_taken(self):
        with open(self.path("x.svm"), "w", encoding="utf-8") as file:
            file.write("1 100000000:1\n")
        for ranks in (1, 2):
            self.refuse(["x.svm", "100000000 features", "95.37 MiB", "--memory-limit"], "mercer-spectrum", "--data",
                        self.path("x.svm"), "--memory-limit", "100000000", code=3, ranks=ranks)

    def test_labels_of_both_signs_and_indices_from_zero(self):
        which = np.arange(120) % 2

        def write(name, rows, first):
            with open(self.path(name), "w", encoding="utf-8") as file:
                for i in rows:
                    cells = " ".join(f"{j + first}:{float(X[i, j])!r}" for j in range(3))
                    file.write(f"{'+1' if which[i] else '-1'} qid:{i // 10} {cells}{f' {first + 5}:3' if i >= N else ''}\n")
            return self.path(name)

        out = self.path("fit.h5")
        for first in (0, 1):
            said = self.succeed("mercer-krr", "--train", write("tr.svm", range(N), first), "--test",
                                write("te.svm", range(N, 120), first), *JOB, "--one-hot", "--out", out).out
            f, reference = read(out, "/predictions"), predicted(X[N:], np.eye(2)[which[:N]] - 0.5)
            self.assertTrue(np.abs(f - reference).max() <= 1e-9)
            self.assertEqual("indices count from 0" in said, first == 0)
            self.assertIn(f"the features beyond index {first + 2} are left out", said)
            self.assertIn("qid", said)


class Foreign(PipeTest):
    def test_packed_files_are_named(self):
        for name, start, words in (("x.csv.xz", b"\xfd7zXZ\x00\x00\x04", "xz -d"), ("x.csv.bz2", b"BZh91AY&SY", "bzip2"),
                                   ("u.csv", "a,b\n1,2\n".encode("utf-16"), "UTF-16"), ("x.npz", b"PK\x03\x04", "zip")):
            with open(self.path(name), "wb") as file:
                file.write(start + bytes(40))
            for spec in (self.path(name), f"csv:{self.path(name)}", f"npy:{self.path(name)}"):
                self.refuse([name, words], "mercer-spectrum", "--data", spec, ranks=0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
