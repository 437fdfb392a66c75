"""Ranks of mercer-train killed at random moments: mpirun ends, no file is broken, and --resume gives the
parameters of an undisturbed run to the bit, with full batches, with S on the parameters and with batches without S in
turn. MERCER_KILLS runs, 4 unless told otherwise."""

import os
import random
import signal
import subprocess
import time
import unittest

import h5py

from support import BIN, MPIEXEC, PipeTest, parameters

KILLS = int(os.environ.get("MERCER_KILLS", "4"))
JOB = ("--train", "circle:n=512,freq=5", "--test", "circle:n=64,freq=5", "--arch", "dense(512) relu dense(512) relu dense(1)",
       "--bias-std", "1", "--safety", "0.5")
FULL = (*JOB, "--steps", "150", "--top", "20")
BATCHES = (*JOB, "--steps", "400", "--batch", "128", "--top", "20", "--refresh", "150")
PLAIN = (*JOB, "--steps", "400", "--batch", "128", "--momentum", "0.5")


class Kill(PipeTest):
    def same(self, a, b):
        self.assertEqual(sorted(a), sorted(b))
        self.assertGreaterEqual(len(a), 6)
        for name in a:
            self.assertEqual(a[name].tobytes(), b[name].tobytes(), name)

    def test_a_killed_rank_breaks_nothing_and_the_run_goes_on_to_the_same_bits(self):
        undisturbed = []
        for kind in (FULL, BATCHES, PLAIN):
            start = time.monotonic()
            self.succeed("mercer-train", *kind, "--out", self.path("whole.h5"))
            undisturbed.append((kind, time.monotonic() - start, parameters(self.path("whole.h5"))))
        draw = random.Random(20261121)
        resumed = 0
        for kill in range(KILLS):
            kind, duration, whole = undisturbed[kill % 3]
            out, checkpoint = self.path(f"{kill}.h5"), self.path(f"{kill}.checkpoint.h5")
            job = (*kind, "--out", out, "--checkpoint", checkpoint, "--checkpoint-every", "7")
            process = subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, "mercer-train"), *job],
                                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            time.sleep(draw.uniform(0.15, 1.0) * duration)
            ranks = subprocess.run(["pgrep", "-P", str(process.pid), "mercer-train"], capture_output=True,
                                   text=True, check=False).stdout.split()
            if ranks:
                os.kill(int(draw.choice(ranks)), signal.SIGKILL)
            code = process.wait(timeout=60)
            with self.subTest(kill=kill):
                if code == 0:  # it was done before the signal came
                    self.same(parameters(out), whole)
                    continue
                self.assertFalse(os.path.exists(out))
                resume = ()
                if os.path.exists(checkpoint):
                    with h5py.File(checkpoint, "r"):
                        pass
                    resume, resumed = ("--resume",), resumed + 1
                self.succeed("mercer-train", *job, *resume)
                self.same(parameters(out), whole)
        self.assertGreater(resumed, 0)
        print(f"{KILLS} kills, {resumed} runs resumed from a checkpoint")


if __name__ == "__main__":
    unittest.main(verbosity=2)
