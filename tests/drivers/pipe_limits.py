"""Memory that is not there: ulimit -d and -v count as the machine's memory does, sizes are planned before rows are read,
and no job spins, is killed or dies of an exception."""

import os
import resource
import subprocess
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest

KINDS = {"-d": resource.RLIMIT_DATA, "-v": resource.RLIMIT_AS}


class Limits(PipeTest):
    def run_within(self, kind, mebibytes, driver, *options, ranks=0):
        launcher = [MPIEXEC, "-n", str(ranks)] if ranks else []
        limit = mebibytes << 20
        return subprocess.run([*launcher, os.path.join(BIN, driver), *options], capture_output=True, text=True, timeout=60,
                              check=False, env=os.environ | QUICK, preexec_fn=lambda: resource.setrlimit(KINDS[kind], (limit, limit)))

    def refuse_within(self, words, *run, **options):
        result = self.run_within(*run, **options)
        shown = f"{run}\n{result.stdout}\n{result.stderr}"
        self.assertEqual(result.returncode, 3, shown)
        own = [line for line in result.stderr.splitlines() if line.startswith("mercer")]
        self.assertEqual(len(own), 1, shown)
        for word in words:
            self.assertIn(word, own[0], shown)

    def test_too_little_for_the_libraries_is_said_before_they_start(self):
        for kind in KINDS:
            for mebibytes in (150, 240) if kind == "-d" else (300, 500):
                for ranks in (0, 2):
                    self.refuse_within([f"ulimit {kind}", "MPI and BLAS"], kind, mebibytes, "mercer-krr", "--train",
                                       "circle:n=64,freq=2", "--ridge", "1", ranks=ranks)

    def test_little_gives_a_result_or_one_line(self):
        for kind, sizes in (("-d", range(250, 420, 40)), ("-v", range(500, 740, 60))):
            for mebibytes in sizes:
                for driver, options in (("mercer-krr", ("--train", "circle:n=64,freq=2", "--ridge", "1")),
                                        ("mercer-kernel", ("--data", "gaussian:n=3000,d=3"))):
                    with self.subTest(kind=kind, mebibytes=mebibytes, driver=driver):
                        result = self.run_within(kind, mebibytes, driver, *options)
                        shown = f"{result.stdout}\n{result.stderr}"
                        self.assertIn(result.returncode, (0, 3), shown)
                        if result.returncode == 3:
                            own = [line for line in result.stderr.splitlines() if line.startswith("mercer")]
                            self.assertEqual(len(own), 1, shown)
                            self.assertIn(f"ulimit {kind}", own[0])

    def test_the_plan_knows_the_limit(self):
        for kind, mebibytes in (("-d", 500), ("-v", 800)):
            job = ("--data", "gaussian:n=8000,d=5")
            self.refuse_within([f"ulimit {kind} leaves", "plan needs"], kind, mebibytes, "mercer-kernel", *job)
            self.refuse_within([f"ulimit {kind} leaves", "plan needs"], kind, mebibytes, "mercer-kernel", "--data",
                               "gaussian:n=12000,d=5", "--dry-run", ranks=2)
            # What a user allows cannot be more than what the system does.
            self.refuse_within([f"ulimit {kind} leaves", "plan needs"], kind, mebibytes, "mercer-kernel", *job, "--memory-limit",
                               "64G")
            # Where another way fits, it is taken.
            result = self.run_within(kind, mebibytes, "mercer-krr", "--train", "gaussian:n=8000,d=5", "--ridge", "1")
            self.assertEqual(result.returncode, 0, result.stderr)

    def test_rows_are_counted_before_they_are_read(self):
        with h5py.File(self.path("huge.h5"), "w") as file:  # 16 KB
            file.create_dataset("x", shape=(10**12, 4), dtype="f8", chunks=(1024, 4))
            file.create_dataset("y", shape=(10**12,), dtype="f8", chunks=(1024,))
            file.create_dataset("z", shape=(4, 3, 6 * 10**18), dtype="i1", chunks=(1, 1, 1024))
        with open(self.path("wide.svm"), "w", encoding="utf-8") as file:
            file.write("1 100000000:1\n")
        with open(self.path("wider.svm"), "w", encoding="utf-8") as file:
            file.write("1 9223372036854775807:1\n")
        for code, spec, *more in (
                (3, "circle:n=9223372036854775807,freq=2"), (3, "sphere:n=1000000000000,d=3,degree=2"),
                (2, "sphere:n=10,d=3,degree=9223372036854775807"), (3, "gaussian:n=100,d=9223372036854775807"), (3, "gaussian:n=9223372036854775807,d=9223372036854775807"),
                (3, f"h5:{self.path('huge.h5')}:/x,/y"), (3, f"h5:{self.path('huge.h5')}:/x,/y", "--limit", "10"),
                (2, f"h5:{self.path('huge.h5')}:/z"), (3, f"libsvm:{self.path('wide.svm')}", "--memory-limit", "100M"),
                (2, f"libsvm:{self.path('wider.svm')}")):
            with self.subTest(spec=spec):
                self.refuse([spec.split(",")[0].split(":")[1]], "mercer-krr", "--train", spec, "--ridge", "1", *more, code=code,
                            ranks=0)
        np.save(self.path("X.npy"), np.zeros((4, 2)))
        self.refuse(["rows of 2 features"], "mercer-krr", "--train", "circle:n=64,freq=2", "--test",
                    "circle:n=100000000000,freq=2", "--ridge", "1", code=3, ranks=0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
