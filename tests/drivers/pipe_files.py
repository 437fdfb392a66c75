"""drivers/FILES.md against the files that the drivers write: every dataset and attribute is listed there, and its NumPy
lines give the predictions that the files hold."""

import contextlib
import os
import re
import unittest

import h5py
import numpy as np

from support import PipeTest, read

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "drivers", "FILES.md")
RNG = np.random.default_rng(11)


def names_of(path):
    """Every dataset (with the leading slash), every attribute of the root, and every other attribute as name@attribute."""
    found = set()

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found.add("/" + name)
        found.update(f"/{name}@{attribute}" for attribute in item.attrs)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
        found.update("@" + attribute for attribute in file.attrs)
    return found


class Files(PipeTest):
    def setUp(self):
        super().setUp()
        with open(PAGE, encoding="utf-8") as file:
            self.page = file.read()
        X, Z = RNG.normal(size=(60, 3)), RNG.normal(size=(20, 3))
        y, yz = (np.sin(A @ [1, 2, 0.5]) for A in (X, Z))
        for name, array in (("X", X), ("Z", Z), ("y", y), ("yz", yz)):
            self.npy(name + ".npy", array)
        for name, A, t in (("train", X, y), ("test", Z, yz)):
            with open(self.path(name + ".csv"), "w", encoding="utf-8") as file:
                file.write("a,b,c,kind\n")
                for row, value in zip(A, t):
                    file.write(",".join(map(repr, map(float, row))) + ("," + ("low", "mid", "high")[int(value > -0.5) + int(value > 0.5)]) + "\n")

    def listed(self, name):
        """Is the name on the page, in code font? Layers are all `layerL`; a group's members may be listed by name
        behind `/group/...`."""
        dataset, _, attribute = name.partition("@")
        if attribute:
            return f"`{attribute}`" in self.page
        dataset = re.sub(r"layer\d+", "layerL", dataset)
        group, _, leaf = dataset.rpartition("/")
        return f"`{dataset}`" in self.page or (f"`{group}/...`" in self.page and f"`{leaf}`" in self.page)

    def test_the_page_names_every_field_of_the_record(self):
        part = self.page[self.page.index("## The JSON record"):self.page.index("## Prepare rows")]
        named = set(re.findall(r"`(\w+)`", part))
        for job in (("mercer-spectrum", "--data", "circle:n=30"), ("mercer-kernel", "--data", "circle:n=30", "--dry-run"),
                    ("mercer-train", "--train", "circle:n=30", "--width", 8, "--steps", 1, "--out", self.path("t.h5"))):
            record = self.record(*job)
            self.assertEqual(set(record) - named, set(), job)
            self.assertEqual((record["ranks"], record["nodes"]), (2, 1))

    def test_every_dataset_and_attribute_that_a_driver_writes_is_listed(self):
        train, test = ["--train", "npy:X.npy,y.npy"], ["--test", "npy:Z.npy,yz.npy"]
        classes = ["--train", "csv:train.csv", "--test", "csv:test.csv", "--one-hot"]
        jobs = [
            ("mercer-kernel", "--data", "npy:X.npy"),
            ("mercer-kernel", "--data", "npy:Z.npy", "--data2", "npy:X.npy"),
            ("mercer-kernel", "--data", "npy:X.npy", "--data2", "npy:Z.npy", "--kernel", "empirical", "--parameters", "T.h5", "--full"),
            ("mercer-spectrum", "--data", "npy:X.npy", "--solver", "krylov", "--top", "5", "--estimates"),
            ("mercer-spectrum", "--data", "npy:X.npy"),
            ("mercer-krr", *train, *test, "--standardize", "--ridge", "1e-3,1e-2"),
            ("mercer-krr", *train, *test, "--ridge", "1e-3", "--predict", "transductive"),
            ("mercer-krr", *train, *test, "--ridge", "gcv", "--solver", "cg"),
            ("mercer-krr", *classes, "--ridge", "loo", "--top", "10", "--g", "flat"),
            ("mercer-krr", *classes, "--ridge", "1e-3,1e-2"),
            ("mercer-krr", *classes, "--ridge", "1e-2"),
            ("mercer-krr", "--model", "job8.h5", "--test", "csv:test.csv"),
            ("mercer-krr", "--model", "job5.h5", "--test", "npy:Z.npy"),
            ("mercer-train", *train, *test, "--arch", "dense(16) relu dense(1)", "--top", "5", "--steps", "5", "--trace-kernel"),
            ("mercer-train", *classes, "--arch", "dense(16) relu dense(3)", "--steps", "5", "--init", "gaussian"),
            ("mercer-train", "--model", "job14.h5", "--test", "csv:test.csv"),
        ]
        self.succeed("mercer-train", *train, "--arch", "dense(8) relu dense(1)", "--steps", "2", "--out", "T.h5", cwd=self.directory)
        unlisted, seen = {}, 0
        for i, job in enumerate(jobs):
            out = self.path(f"job{i}.h5")
            self.succeed(*job, "--out", out, cwd=self.directory)
            names = names_of(out)
            seen += len(names)
            missing = sorted(name for name in names if not self.listed(name))
            if missing:
                unlisted[" ".join(job)] = missing
        self.assertGreater(seen, 15 * len(jobs))
        self.assertEqual(sorted(set(sum(unlisted.values(), []))), [], "not on the page; by job: " + str(list(unlisted)))

    def run_lines(self, *headings):
        """The variables that the python lines below some headings of the page leave behind, one after the other."""
        variables = {}
        for heading in headings:
            section = self.page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
            lines = re.search(r"```python\n(.*?)```", section, re.S).group(1)
            with contextlib.chdir(self.directory):
                exec(lines, variables)  # pylint: disable=exec-used
        return variables

    def test_the_lines_that_predict_from_alpha_and_from_weights_give_the_predictions(self):
        common = ["--train", "npy:X.npy,y.npy", "--test", "npy:Z.npy,yz.npy"]
        ways = ((), ("--init", "gaussian"), ("--standardize",), ("--standardize", "--unit-norm", "--scale", "0.3"),
                ("--parametrization", "standard"), ("--parametrization", "standard", "--init", "gaussian", "--standardize"))
        for way in ways:
            self.succeed("mercer-train", *common, "--arch", "dense(64) relu dense(1)", "--bias-std", "0.5", "--steps", "20", *way,
                         "--out", "T.h5", cwd=self.directory)
            jobs = [("Predict from weights", "T.h5")]
            if not set(way) & {"--init", "--parametrization"}:
                self.succeed("mercer-krr", *common, "--depth", "1", "--bias-std", "1", "--ridge", "1e-3", *way, "--out", "R.h5",
                             cwd=self.directory)
                jobs.append(("Predict from alpha", "R.h5"))
            for heading, file in jobs:
                with self.subTest(way=way, file=file):
                    expected = read(self.path(file), "/predictions")
                    f = self.run_lines("Prepare rows", heading)["f"]
                    self.assertEqual(f.shape, expected.shape)
                    # acos of the plain formula loses half of the digits where rows are nearly parallel (none are here).
                    self.assertLessEqual(np.abs(f - expected).max(), 1e-9 * np.abs(expected).max())

    def test_the_lines_that_compute_a_checksum_give_that_of_the_file(self):
        self.succeed("mercer-kernel", "--data", "npy:X.npy", "--out", "K.h5", cwd=self.directory)
        size, total = self.run_lines("Checksum")["checksum"](self.path("K.h5"))
        with open(self.path("K.h5"), "rb") as file:
            self.assertEqual(file.read(512), f"Mercer checksum 1 {size} {total}\n".encode().ljust(512, b"\0"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
