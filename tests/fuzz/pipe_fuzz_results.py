"""Mercer's own files with contents that were edited and signed again, by the thousand, in one process (tests/fuzz)."""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drivers"))
import pipe_damaged
from support import QUICK

FUZZ = os.environ["MERCER_FUZZ_RESULTS"]
SECONDS = os.environ.get("MERCER_FUZZ_SECONDS", "20")
KINDS = ("model", "regression", "spectrum", "kernel", "weights", "cg", "krylov", "descent")


class Fuzzed(pipe_damaged.Files):
    def test_every_kind(self):
        files = [self.path(kind + ".h5") for kind in KINDS]
        done = subprocess.run([FUZZ, "--seconds", SECONDS, *files], capture_output=True, text=True, cwd=self.directory, check=False,
                              timeout=60 + 2 * float(SECONDS), env=os.environ | QUICK)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        print(done.stdout)


if __name__ == "__main__":
    unittest.main(verbosity=2)
