"""Endings by the dozen: ranks that are killed, signals, full disks, limits of memory, over the four drivers. Whatever the
moment, a result is there whole or not at all, nothing else that was there is touched, and no temporary file is left by a run
that could remove it (one that was killed by SIGKILL could not: the next run does)."""

import os
import random
import resource
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest, run

KILLS = int(os.environ.get("MERCER_KILLS", "60"))
SIGNALS = int(os.environ.get("MERCER_SIGNALS", "40"))
DISKS = int(os.environ.get("MERCER_DISKS", "20"))
LIMITS = int(os.environ.get("MERCER_LIMITS", "10"))

JOBS = {
    "mercer-kernel": ("--data", "gaussian:n=1500,d=6", "--depth", "12"),
    "mercer-spectrum": ("--data", "gaussian:n=1200,d=6", "--depth", "6", "--top", "20", "--storage", "double", "--checkpoint-every",
                        "1p"),
    "mercer-krr": ("--train", "gaussian:n=1500,d=6", "--test", "gaussian:n=200,d=6", "--depth", "6", "--solver", "cg",
                   "--ridge-relative", "1e-2,1e-3,1e-4", "--preconditioner", "none", "--storage", "double", "--checkpoint-every", "1p"),
    "mercer-train": ("--train", "circle:n=256,freq=5", "--test", "circle:n=64,freq=5", "--arch", "dense(256) relu dense(1)",
                     "--bias-std", "1", "--top", "20", "--steps", "400", "--checkpoint-every", "5"),
}


class Endings(PipeTest):
    def setUp(self):
        super().setUp()
        self.draw = random.Random(20261130)
        self.users = {"r.h5.tmp-17": b"mine", "c.h5.S-0123456789abcdef": b"mine too", "r.json": b"{}"}

    def options(self, driver, place):
        job = [*JOBS[driver], "--out", os.path.join(place, "r.h5")]
        return job if driver == "mercer-kernel" else [*job, "--checkpoint", os.path.join(place, "c.h5")]

    def prepare(self, place):
        os.makedirs(place, exist_ok=True)
        for name in os.listdir(place):
            os.remove(os.path.join(place, name))
        for name, content in self.users.items():
            with open(os.path.join(place, name), "wb") as file:
                file.write(content)

    def check(self, place, removed=True):
        """What is there is whole, or the user's; `removed`: and no temporary file is."""
        for name in sorted(os.listdir(place)):
            path = os.path.join(place, name)
            if name in self.users:
                with open(path, "rb") as file:
                    self.assertEqual(file.read(), self.users[name], name)
            elif ".tmp-" in name or name.endswith(".lock"):
                self.assertFalse(removed, name + " was left")
            else:
                with h5py.File(path, "r") as file:
                    file.visititems(lambda _, item: item[()] if isinstance(item, h5py.Dataset) else None)

    def durations(self):
        result = {}
        for driver in JOBS:
            self.prepare(self.path("d"))
            began = time.monotonic()
            done = run(driver, *self.options(driver, self.path("d")))
            self.assertEqual(done.code, 0, done.err)
            result[driver] = time.monotonic() - began
        return result

    def start(self, driver, place, **more):
        resume = ("--resume",) if os.path.exists(os.path.join(place, "c.h5")) and driver != "mercer-kernel" else ()
        return subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, driver), *self.options(driver, place), *resume],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, **more)

    def end(self, process):
        try:
            _, error = process.communicate(timeout=300)  # hundreds of checkpoints on a machine with other work
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        return process.returncode, error

    @staticmethod
    def ranks_of(process):
        found = subprocess.run(["pgrep", "-P", str(process.pid), "mercer"], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def test_kills(self):
        durations, resumed = self.durations(), 0
        place = self.path("k")
        for i in range(KILLS):
            driver = list(JOBS)[i % len(JOBS)]
            with self.subTest(i=i, driver=driver):
                self.prepare(place)
                process = self.start(driver, place)
                time.sleep(self.draw.uniform(0.1, 1.0) * durations[driver])
                ranks = self.ranks_of(process)
                if ranks:
                    try:
                        os.kill(self.draw.choice(ranks), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                self.end(process)
                self.check(place, removed=False)
                resumed += os.path.exists(os.path.join(place, "c.h5"))
                process = self.start(driver, place)
                code, error = self.end(process)
                self.assertEqual(code, 0, error)
                self.check(place)  # the next run removes what the killed one could not
        print(f"{KILLS} kills, {resumed} resumed")

    def test_signals(self):
        durations, codes = self.durations(), []
        place = self.path("s")
        kinds = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
        for i in range(SIGNALS):
            driver, sent = list(JOBS)[i % len(JOBS)], kinds[(i // len(JOBS)) % len(kinds)]
            with self.subTest(i=i, driver=driver, sent=sent):
                self.prepare(place)
                process = self.start(driver, place, env=os.environ | {"OMPI_MCA_odls_base_sigkill_timeout": "5"})
                time.sleep(self.draw.uniform(0.1, 1.0) * durations[driver])
                ranks = self.ranks_of(process)
                try:  # to mpirun, which passes on what it does, or to all of its ranks
                    if sent in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2) and i % 2 == 0:
                        process.send_signal(sent)
                    else:
                        for rank in ranks:
                            os.kill(rank, sent)
                except ProcessLookupError:
                    pass
                code, error = self.end(process)
                codes.append(code)
                self.check(place)
                if code == 130 and "holds the state" in error:
                    code, error = self.end(self.start(driver, place))
                    self.assertEqual(code, 0, error)
        print(f"{SIGNALS} signals, exit codes {sorted(set(codes))}: {[codes.count(c) for c in sorted(set(codes))]}")

    def test_full_disks(self):
        place = self.path("disk")
        os.mkdir(place)
        codes = []
        for i in range(DISKS):
            driver = list(JOBS)[i % len(JOBS)]
            size = self.draw.choice((300, 1500, 2500, 6000))
            if os.system(f"mount -t tmpfs -o size={size}k tmpfs {place} 2>/dev/null") != 0:
                self.skipTest("no file system can be mounted here")
            try:
                with self.subTest(i=i, driver=driver, size=size):
                    self.prepare(place)
                    code, error = self.end(self.start(driver, place))
                    codes.append(code)
                    self.assertIn(code, (0, 1, 2), error)
                    if code != 0:
                        self.assertIn("cannot be written", error)
                    self.check(place)
            finally:
                os.system(f"umount {place}")
        print(f"{DISKS} full disks, exit codes {sorted(set(codes))}: {[codes.count(c) for c in sorted(set(codes))]}")

    def limited(self, place, driver, command, **more):
        self.prepare(place)
        done = subprocess.run([*command, os.path.join(BIN, driver), *self.options(driver, place)], capture_output=True, text=True,
                              timeout=120, check=False, env=os.environ | QUICK, **more)
        self.assertIn(done.returncode, (0, 3), f"{done.stdout}\n{done.stderr}")
        if done.returncode == 3:
            self.assertEqual(len([line for line in done.stderr.splitlines() if line.startswith("mercer")]), 1, done.stderr)
        self.check(place)
        return done.returncode

    def test_limits_of_memory(self):
        place, drivers = self.path("l"), list(JOBS)
        for kind, which, sizes in (("-v", resource.RLIMIT_AS, (400, 1100)), ("-d", resource.RLIMIT_DATA, (200, 700))):
            codes = []
            for i in range(LIMITS):
                limit = int(np.interp(i, (0, LIMITS - 1), sizes)) << 20
                with self.subTest(kind=kind, limit=limit):
                    codes.append(self.limited(place, drivers[i % 4], [],
                                              preexec_fn=lambda which=which, limit=limit: resource.setrlimit(which, (limit, limit))))
            print(f"ulimit {kind}: exit codes {codes}")

    def test_limits_of_a_control_group(self):
        group, place, codes = "/sys/fs/cgroup/mercer-test", self.path("g"), []
        memory = os.path.join(group, "memory.max")
        if os.path.isdir("/sys/fs/cgroup/memory"):  # version 1
            group = "/sys/fs/cgroup/memory/mercer-test"
            memory = os.path.join(group, "memory.limit_in_bytes")
        try:
            os.makedirs(group, exist_ok=True)
            with open(memory, "w", encoding="ascii") as file:
                file.write("200000000")
        except OSError as error:
            self.skipTest(f"no control group can be made here: {error}")
        self.addCleanup(os.rmdir, group)
        for i in range(LIMITS):
            with open(memory, "w", encoding="ascii") as file:
                file.write(str(int(np.interp(i, (0, LIMITS - 1), (60, 400))) * 1000000))
            inside = ["bash", "-c", f"echo $$ > {group}/cgroup.procs; exec \"$@\"", "_"]
            with self.subTest(i=i):
                codes.append(self.limited(place, list(JOBS)[i % 4], inside))
        print(f"control group: exit codes {codes}")


if __name__ == "__main__":
    unittest.main(verbosity=2)
