"""Ranks that are started with other options, environments, files, folders or programs: each job ends at once with one
line that names the difference, or the difference does not matter."""

import os
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest, read

CIRCLE = ("--train", "circle:n=64,freq=2")
RIDGE = ("--ridge", "1e-2")


class Ranks(PipeTest):
    def setUp(self):
        super().setUp()
        random = np.random.default_rng(1)
        for folder in ("A", "B"):  # names and sizes alike, contents not
            os.mkdir(self.path(folder))
            X = random.normal(size=(60, 3))
            np.save(self.path(f"{folder}/X.npy"), X)
            np.save(self.path(f"{folder}/y.npy"), X[:, 0])
            np.savetxt(self.path(f"{folder}/t.csv"), np.c_[X, X[:, 0]], delimiter=",", header="a,b,c,y", comments="")
            with h5py.File(self.path(f"{folder}/D.h5"), "w") as file:
                file["x"], file["y"] = X, X[:, 0]
            for name, text in (("job.ini", f"ridge={len(os.listdir(self.path('.')))}e-3"), ("g.csv", f"1,{X[0, 0] ** 2}\n2,3\n")):
                with open(self.path(f"{folder}/{name}"), "w", encoding="utf-8") as file:
                    file.write(text)

    def run_mixed(self, *ranks):
        """ranks: (number, launcher options, driver, options) of each group."""
        command = [MPIEXEC]
        for number, (count, launcher, driver, options) in enumerate(ranks):
            command += ([":"] if number else []) + ["-n", str(count), *launcher, os.path.join(BIN, driver), *options]
        result = subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=self.directory, check=False,
                                env=os.environ | QUICK)
        return result, [line for line in result.stderr.splitlines() if line.startswith("mercer")]

    def differ(self, words, *ranks):
        result, own = self.run_mixed(*ranks)
        shown = f"{result.args}\n{result.stdout}\n{result.stderr}"
        self.assertEqual(result.returncode, 2, shown)
        self.assertEqual(len(own), 1, shown)
        for word in ("the ranks differ", *words):
            self.assertIn(word, own[0], shown)
        self.assertEqual(sorted(os.listdir(self.directory)), ["A", "B"])

    def options_differ(self, words, first, second, driver="mercer-krr", job=(*CIRCLE, *RIDGE), ranks=(1, 1)):
        self.differ(words, (ranks[0], (), driver, (*job, *first)), (ranks[1], (), driver, (*job, *second)))

    def folders_differ(self, words, driver, *options):
        self.differ(words, (1, ("-wdir", self.path("A")), driver, options), (1, ("-wdir", self.path("B")), driver, options))

    def test_options(self):
        self.options_differ(["--ridge is 1e-2 on rank 0 and 1e-3 on rank 2"], (), ("--ridge", "1e-3"), ranks=(2, 1))
        self.options_differ(["--seed is 0 on rank 0 and 7 on rank 1"], (), ("--seed", "7"), ranks=(1, 2))
        self.options_differ(["--precision"], ("--precision", "single"), ())
        self.options_differ(["--nb"], ("--nb", "8"), ())
        self.options_differ(["--solver is auto on rank 0 and cg on rank 1"], (), ("--solver", "cg"))
        self.options_differ(["--grid"], ("--grid", "1x2"), ("--grid", "2x1"))
        self.options_differ(["--ridge"], (), ("--ridge", "wrong"))  # an error of one rank alone
        self.options_differ(["--help"], (), ("--help",))
        self.options_differ(["--steps"], ("--steps", "3"), ("--steps", "4"), "mercer-train",
                            ("--train", "circle:n=64,freq=2", "--arch", "dense(8) relu dense(1)"))
        self.options_differ(["--top"], ("--top", "3"), ("--top", "4"), "mercer-spectrum", ("--data", "circle:n=64,freq=2"))
        self.options_differ(["--depth"], ("--depth", "2"), (), "mercer-kernel", ("--data", "circle:n=64,freq=2"))
        for option in (("--kernel", "nngp"), ("--bias-std", "1"), ("--activation", "erf"), ("--scale", "2"), ("--limit", "40"),
                       ("--standardize",), ("--check",), ("--quiet",), ("--memory-limit", "1G"), ("--dry-run",)):
            with self.subTest(option):
                began = time.monotonic()
                self.options_differ([option[0]], (), option, ranks=(2, 1))
                self.assertLess(time.monotonic() - began, 30)  # it takes less than one, alone

    def test_programs_environments_and_configurations(self):
        job = (*CIRCLE, *RIDGE)
        self.differ(["the program"], (1, (), "mercer-krr", job), (1, (), "mercer-spectrum", ("--data", "circle:n=64,freq=2")))
        other = "Sandybridge" if os.environ.get("OPENBLAS_CORETYPE") == "Nehalem" else "Nehalem"
        self.differ(["OPENBLAS_CORETYPE"], (1, ("-x", "OPENBLAS_CORETYPE=" + other), "mercer-krr", job), (1, (), "mercer-krr", job))
        self.folders_differ(["--ridge"], "mercer-krr", *CIRCLE, "--config", "job.ini")

    def test_files_that_every_rank_reads(self):
        for spec, name in (("npy:X.npy,y.npy", "X.npy"), ("h5:D.h5:/x,/y", "D.h5")):
            self.folders_differ(["the file " + name, "hash"], "mercer-krr", "--train", spec, *RIDGE)
        self.folders_differ(["the file g.csv of --g"], "mercer-krr", *CIRCLE, *RIDGE, "--top", "4", "--g", "table:g.csv")
        for folder in ("A", "B"):  # front.h5 is alike in both, and D.h5 behind it is not
            with h5py.File(self.path(f"{folder}/front.h5"), "w") as file:
                file["far"] = h5py.ExternalLink("D.h5", "/x")
        self.folders_differ(["the file D.h5 behind front.h5 of --data", "hash"], "mercer-spectrum", "--data", "h5:front.h5:/far")
        os.remove(self.path("B/D.h5"))
        self.folders_differ(["the file D.h5 behind front.h5", "absent on rank 1"], "mercer-spectrum", "--data", "h5:front.h5:/far")
        self.folders_differ(["the file D.h5", "absent on rank 1"], "mercer-spectrum", "--data", "h5:D.h5:/x")

    def test_results_that_every_rank_writes(self):
        self.folders_differ(["the folder of --out r.h5"], "mercer-krr", *CIRCLE, *RIDGE, "--out", "r.h5")
        self.folders_differ(["the folder of --checkpoint c.h5"], "mercer-krr", *CIRCLE, *RIDGE, "--solver", "cg", "--checkpoint",
                            "c.h5")

    def test_what_does_not_matter(self):
        """Rank 0 alone reads tables and writes records; copies of a file are as good as the file; --threads sets the threads."""
        there = [("-wdir", self.path(folder)) for folder in ("A", "B")]
        for options in (("--train", "csv:t.csv"), (*CIRCLE, "--json", "r.json")):
            result, _ = self.run_mixed(*((1, where, "mercer-krr", (*options, *RIDGE)) for where in there))
            self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual([os.path.exists(self.path(f"{folder}/r.json")) for folder in ("A", "B")], [True, False])
        for name in ("X.npy", "y.npy"):
            with open(self.path(f"A/{name}"), "rb") as source, open(self.path(f"B/{name}"), "wb") as copy:
                copy.write(source.read())
        out = self.path("r.h5")
        job = ("--train", "npy:X.npy,y.npy", *RIDGE, "--out", out)
        result, _ = self.run_mixed(*((1, (*where, "-x", f"OMP_NUM_THREADS={1 + place}"), "mercer-krr", job)
                                     for place, where in enumerate(there)))
        self.assertEqual(result.returncode, 0, result.stderr)
        mixed = read(out, "/alpha")
        self.succeed("mercer-krr", *job, cwd=self.path("A"))
        np.testing.assert_array_equal(read(out, "/alpha"), mixed)


if __name__ == "__main__":
    unittest.main(verbosity=2)
