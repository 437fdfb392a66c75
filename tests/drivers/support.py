"""Running Mercer's drivers under mpirun, for the pipe_* tests."""

import atexit
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

import h5py
import numpy as np

BIN = os.environ["MERCER_BIN"]
MPIEXEC = os.environ.get("MERCER_MPIEXEC", "mpirun")
GOLDEN = os.environ.get("MERCER_GOLDEN_DIR", "")
DATA = os.environ.get("MERCER_DATA_DIR", "")


# After the first rank that exits with non-zero, mpirun sends SIGCONT, SIGTERM and SIGKILL to the others, and sleeps a
# second before each of the last two, although Mercer's ranks wait for one another and end together. A program without
# mpirun starts Open MPI's daemon beside itself. The runs below do without both, but for those that ask for `defaults`,
# and where a sanitizer looks for leaks at the end. Programs without the daemon all take one folder for Open MPI's files,
# and remove it at their end, below others that run: each test program has a place of its own for it.
QUICK = {"OMPI_MCA_odls_base_sigkill_timeout": "0", "OMPI_MCA_ess_singleton_isolated": "1"}
if "ASAN_OPTIONS" in os.environ:
    QUICK = {}
else:
    QUICK["OMPI_MCA_orte_tmpdir_base"] = tempfile.mkdtemp(prefix="mercer-mpi-")
    atexit.register(shutil.rmtree, QUICK["OMPI_MCA_orte_tmpdir_base"], ignore_errors=True)


class Run:
    def __init__(self, process):
        self.code = process.returncode
        self.out = process.stdout
        self.err = process.stderr

    @property
    def own_errors(self):
        """The lines on stderr that are Mercer's own, not the launcher's notice."""
        return [line for line in self.err.splitlines() if line.startswith("mercer")]


def run(driver, *arguments, ranks=2, timeout=300, cwd=None, defaults=False):
    """One run of a driver; never longer than `timeout` seconds. 0 ranks: without mpirun. `defaults`: with Open MPI's
    own settings where QUICK has others."""
    launcher = [MPIEXEC, "-n", str(ranks)] if ranks > 0 else []
    command = [*launcher, os.path.join(BIN, driver), *map(str, arguments)]
    return Run(subprocess.run(command, capture_output=True, text=True, timeout=timeout, cwd=cwd,
                              env=os.environ if defaults else os.environ | QUICK))


class PipeTest(unittest.TestCase):
    """A test with a directory of its own."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mercer-test-")
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def succeed(self, driver, *arguments, **options):
        result = run(driver, *arguments, **options)
        self.assertEqual(result.code, 0, f"{driver} {' '.join(map(str, arguments))}\n{result.out}\n{result.err}")
        return result

    def record(self, driver, *arguments, **options):
        """The JSON record of a run that must succeed."""
        return json.loads(self.succeed(driver, *arguments, "--json", "-", **options).out)

    def refuse(self, words, driver, *arguments, code=2, ranks=2, defaults=False):
        """The run ends with `code` and exactly one line of Mercer's own, which holds every one of `words`."""
        before = sorted(os.listdir(self.directory))
        result = run(driver, *arguments, ranks=ranks, timeout=60, cwd=self.directory, defaults=defaults)
        shown = f"{driver} {' '.join(map(str, arguments))}\n{result.out}\n{result.err}"
        self.assertEqual(result.code, code, shown)
        own = [line for line in result.own_errors if "warning" not in line]
        self.assertEqual(len(own), 1, shown)
        for word in words:
            self.assertIn(word, own[0], shown)
        self.assertEqual(sorted(os.listdir(self.directory)), before, "files were left behind: " + shown)

    def npy(self, name, array):
        np.save(self.path(name), array)
        return self.path(name)


def needs(folder, name):
    """Skips the whole program, with a line, where a folder of reference data is not there."""
    if not folder:
        print(f"skipped: {name} is not set")
        sys.exit(77)


def read(path, dataset):
    with h5py.File(path, "r") as file:
        return file[dataset][()]


def sign(path):
    """Gives an edited file of Mercer's the checksum of its bytes (drivers/FILES.md), so that what it holds is looked at."""
    with open(path, "r+b") as file:
        data = file.read()
        words = np.frombuffer(data[512:] + bytes(-len(data) % 8), dtype="<u8")
        x = words ^ (np.arange(1, len(words) + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15))
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        total = int((x ^ (x >> np.uint64(31))).sum(dtype=np.uint64))
        file.seek(0)
        file.write(f"Mercer checksum 1 {len(data)} {total:016x}\n".encode().ljust(512, b"\0"))


def parameters(path):
    """Every dataset below /parameters, by name."""
    with h5py.File(path, "r") as file:
        values = {}
        file["/parameters"].visititems(
            lambda name, item: values.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
        return values
