"""mercer-kernel killed at random moments, and stopped by SIGUSR1: --resume gives the file of an undisturbed run to the bit,
on any number of ranks. MERCER_KILLS kills, 3 unless told otherwise."""

import os
import random
import signal
import subprocess
import time
import unittest

import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest, read

KILLS = int(os.environ.get("MERCER_KILLS", "3"))
N, SHAPE = 288, (12, 12, 1)
JOB = ("--arch", "conv(3) relu avgpool(2) conv(3) relu avgpool(2) flatten dense relu dense")


class Kill(PipeTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(15)
        self.data = "npy:" + self.npy("X.npy", rng.normal(size=(N, *SHAPE)))
        self.other = "npy:" + self.npy("Z.npy", rng.normal(size=(N // 2, *SHAPE)))

    def start(self, ranks, *options):
        """A run in a session of its own, whose processes can be killed together."""
        return subprocess.Popen([MPIEXEC, "-n", str(ranks), os.path.join(BIN, "mercer-kernel"), *options],
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | QUICK,
                                start_new_session=True)

    def ranks_of(self, process):
        return [int(pid) for pid in subprocess.run(["pgrep", "-P", str(process.pid), "mercer-kernel"], capture_output=True,
                                                   text=True, check=False).stdout.split()]

    def wait_for_tiles(self, process, checkpoint, share):
        """Until the checkpoint has `share` of its pages written."""
        pages = 0
        while process.poll() is None:
            if os.path.exists(checkpoint):
                with open(checkpoint, "rb") as file:
                    written = np.frombuffer(file.read(), dtype="<u8").reshape(-1, 512)[1:, 0]
                pages = np.count_nonzero(written)
                if pages >= share * len(written):
                    return True
            time.sleep(0.01)
        return False

    def whole(self, *options):
        """K of an undisturbed run, and the seconds that it was assembled in."""
        record = self.record("mercer-kernel", *options, "--out", self.path("whole.h5"))
        return read(self.path("whole.h5"), "/kernel"), record["phases"]["assemble"]["min"]

    def test_a_killed_run_goes_on_to_the_same_bits_on_any_number_of_ranks(self):
        job = ("--data", self.data, *JOB)
        whole, _ = self.whole(*job)
        draw = random.Random(20261202)
        for kill in range(KILLS):
            checkpoint = self.path(f"{kill}.checkpoint")
            options = (*job, "--out", self.path("K.h5"), "--checkpoint", checkpoint, "--checkpoint-every", "0.05")
            process = self.start(2, *options)
            self.assertTrue(self.wait_for_tiles(process, checkpoint, draw.uniform(0.05, 0.8)))
            for pid in [process.pid, *self.ranks_of(process)]:
                os.kill(pid, signal.SIGKILL)
            process.communicate(timeout=60)
            self.assertFalse(os.path.exists(self.path("K.h5")))
            result = self.succeed("mercer-kernel", *options, "--resume", ranks=1 + kill % 3)
            with self.subTest(kill=kill):
                self.assertRegex(result.out, rf"resume +{checkpoint}: [1-9][0-9.]* % of the entries")
                np.testing.assert_array_equal(read(self.path("K.h5"), "/kernel").view("u8"), whole.view("u8"))
            os.remove(self.path("K.h5"))

    def test_a_signal_ends_the_run_at_once_and_loses_nothing(self):
        for second in ((), ("--data2", self.other)):
            job = ("--data", self.data, *second, *JOB, "--precision", "single")
            whole, duration = self.whole(*job)
            checkpoint = self.path(f"{len(second)}.checkpoint")
            options = (*job, "--out", self.path("K.h5"), "--checkpoint", checkpoint)
            process = self.start(2, *options)
            # Nothing is written by time; the place for it is there.
            while not os.path.exists(checkpoint) and process.poll() is None:
                time.sleep(0.01)
            time.sleep(0.3 * duration)
            process.send_signal(signal.SIGUSR1)
            start = time.monotonic()
            out, err = process.communicate(timeout=60)
            self.assertEqual(process.returncode, 130, out + err)
            self.assertLess(time.monotonic() - start, 5)
            own = [line for line in err.splitlines() if line.startswith("mercer")]
            self.assertEqual(len(own), 1, err)
            self.assertRegex(own[0], rf"interrupted after [0-9.]+ % of the entries: {checkpoint} .*--resume")
            self.assertFalse(os.path.exists(self.path("K.h5")))
            self.refuse([checkpoint, "--resume"], "mercer-kernel", *options)
            result = self.succeed("mercer-kernel", *options, "--resume", "--grid", "3x1", "--nb", "10", ranks=3)
            self.assertRegex(result.out, r"resume +.*: [1-9][0-9.]* % of the entries")
            self.assertEqual(read(self.path("K.h5"), "/kernel").tobytes(), whole.tobytes())
            os.remove(self.path("K.h5"))

    def test_another_problem_is_refused(self):
        job = ["mercer-kernel", "--data", self.data, *JOB, "--checkpoint", self.path("C"), "--resume"]
        self.succeed(*job[:-1], "--limit", "20")
        for words, change in ((["data hash"], []), (["data hash"], ["--limit", "19"]),
                              (["the kernel", "bias_std=0.5"], ["--limit", "20", "--bias-std", "0.5"]),
                              (["precision", "double", "single"], ["--limit", "20", "--precision", "single"]),
                              (["second data set"], ["--limit", "20", "--data2", self.other])):
            self.refuse([self.path("C"), "another problem", *words], *job, *change)
        self.succeed(*job, "--limit", "20")

    def test_what_cannot_be_resumed_is_refused(self):
        job = ["mercer-kernel", "--data", self.data, *JOB, "--limit", "20"]
        self.refuse(["--resume", "--checkpoint FILE"], *job, "--resume")
        self.refuse(["--checkpoint-every", "--checkpoint FILE"], *job, "--checkpoint-every", "5")
        self.refuse(["--checkpoint-every", "seconds"], *job, "--checkpoint", self.path("C"), "--checkpoint-every", "5p")
        self.refuse([self.path("C"), "no such file"], *job, "--checkpoint", self.path("C"), "--resume")
        self.refuse([self.path("X.npy"), "--checkpoint"], *job, "--checkpoint", self.path("X.npy"), "--resume")
        self.succeed(*job, "--out", self.path("K.h5"))
        self.refuse([self.path("K.h5"), "not a checkpoint"], *job, "--checkpoint", self.path("K.h5"), "--resume")

    def test_direct_solvers_point_to_it(self):
        for job in (["mercer-spectrum", "--data", "circle:n=64,freq=5", "--solver", "lapack"],
                    ["mercer-krr", "--train", "circle:n=64,freq=5", "--test", "circle:n=9,freq=5", "--ridge", "0.1", "--solver",
                     "cholesky"]):
            self.refuse(["--checkpoint", "mercer-kernel", "file:K.h5"], *job, "--checkpoint", self.path("C"))

    def test_the_plan_names_the_bytes_on_the_disk(self):
        options = ["--data", self.data, *JOB, "--checkpoint", self.path("C")]
        out = self.succeed("mercer-kernel", *options, "--dry-run").out
        self.assertRegex(out, r"assemble .* checkpoint of [0-9.]+ [KM]iB on disk")
        self.assertFalse(os.path.exists(self.path("C")))


if __name__ == "__main__":
    unittest.main(verbosity=2)
