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
