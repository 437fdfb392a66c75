"""How runs end that do not end by themselves: signals, full disks, readers that go away, gnuplot that fails."""

import json
import os
import resource
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest, read, run

# Products of seconds, a handful of them: nothing of K is kept, and an entry takes 400 layers.
SLOW = ("--train", "gaussian:n=1600,d=8", "--depth", "400", "--storage", "none", "--solver", "cg", "--preconditioner", "none",
        "--ridge-relative", "1", "--cg-tol", "1e-6", "--checkpoint-every", "3600", "--progress", "always")


def ranks_of(process):
    """The processes that mpirun has started."""
    found = subprocess.run(["pgrep", "-P", str(process.pid), "mercer"], capture_output=True, text=True, check=False)
    return [int(pid) for pid in found.stdout.split()]


class Signals(PipeTest):
    def start(self, driver, *arguments, ranks=2):
        # Open MPI leaves its ranks a second after SIGTERM; beside other tests that is little.
        process = subprocess.Popen([MPIEXEC, "-n", str(ranks), os.path.join(BIN, driver), *arguments], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True,
                                   env=os.environ | {"OMPI_MCA_odls_base_sigkill_timeout": "5"})
        self.addCleanup(process.stderr.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def in_the_second_product(self, *job):
        """A run that has iterated once and is well inside the next product."""
        process = self.start("mercer-krr", *job)
        for line in process.stderr:  # the first report of progress
            if line.startswith("solve"):
                break
        time.sleep(0.15)
        self.assertIsNone(process.poll(), "it has ended before it was disturbed")
        return process

    def test_a_product_under_way_is_given_up_for_a_checkpoint(self):
        out = self.path("undisturbed.h5")
        c = self.path("c.h5")
        self.succeed("mercer-krr", *SLOW, "--checkpoint", self.path("u.h5"), "--out", out)
        alpha = read(out, "/alpha")
        for sent, to_mpirun in ((signal.SIGTERM, True), (signal.SIGUSR1, True), (signal.SIGUSR2, True), (signal.SIGINT, False),
                                (signal.SIGHUP, False)):
            with self.subTest(sent=sent, to_mpirun=to_mpirun):
                process = self.in_the_second_product(*SLOW, "--checkpoint", c)
                if to_mpirun:
                    process.send_signal(sent)
                else:
                    os.kill(ranks_of(process)[-1], sent)  # one rank alone
                error = process.stderr.read()
                code = process.wait(timeout=60)
                if not (to_mpirun and sent == signal.SIGTERM):  # what mpirun says of its own end is its matter
                    self.assertEqual(code, 130, error)
                    self.assertIn("interrupted after 1 iterations: " + c, error)
                self.assertTrue(os.path.exists(c), error)
                self.assertEqual(sorted(os.listdir(self.directory)), ["c.h5", "undisturbed.h5"])
                with h5py.File(c, "r") as file:
                    self.assertIn("/cg/history", file)
                if sent == signal.SIGHUP:  # of all signals once: what is resumed is the same
                    self.succeed("mercer-krr", *SLOW, "--checkpoint", c, "--resume", "--out", self.path("r.h5"))
                    np.testing.assert_array_equal(read(self.path("r.h5"), "/alpha"), alpha)
                    os.remove(self.path("r.h5"))
                os.remove(c)

    def test_block_krylov_too(self):
        job = ("--data", "gaussian:n=900,d=8", "--depth", "400", "--storage", "none", "--top", "10", "--block", "4",
               "--checkpoint-every", "3600", "--progress", "always", "--checkpoint", self.path("c.h5"))
        process = self.start("mercer-spectrum", *job)
        for line in process.stderr:
            if line.startswith("eigensolve"):
                break
        time.sleep(0.1)
        process.send_signal(signal.SIGUSR1)
        error = process.stderr.read()
        self.assertEqual(process.wait(timeout=60), 130, error)
        self.assertIn("--resume goes on", error)
        self.assertEqual(os.listdir(self.directory), ["c.h5"])
        record = self.record("mercer-spectrum", *job, "--resume")
        self.assertEqual(record["status"], "ok")

    def test_results_that_are_being_written_are_left_alone(self):
        """A signal after the solver's end ends nothing: the results are there within the second that is left."""
        job = ("--train", "gaussian:n=400,d=4", "--ridge", "1e-2", "--solver", "cg", "--checkpoint", self.path("c.h5"))
        for sent in (signal.SIGUSR1, signal.SIGUSR2):
            process = self.start("mercer-krr", *job, "--out", self.path("r.h5"))
            while not os.path.exists(self.path("r.h5.lock")) and process.poll() is None:
                time.sleep(0.001)
            process.send_signal(sent)
            error = process.stderr.read()
            self.assertIn(process.wait(timeout=60), (0, 130), error)
            self.assertTrue(set(os.listdir(self.directory)) <= {"r.h5", "c.h5"}, os.listdir(self.directory))
            for name in os.listdir(self.directory):
                os.remove(self.path(name))


class Disks(PipeTest):
    def test_a_checkpoint_that_cannot_be_written_ends_no_job(self):
        # Files of at most 1.5 MB: results have room, and checkpoints only at first.
        jobs = (("mercer-krr", "--train", "gaussian:n=6000,d=8", "--kernel", "laplace", "--bandwidth", "3", "--solver", "cg",
                 "--ridge", ",".join(f"1e-{k}" for k in range(1, 4)) + ",3e-2" * 20, "--preconditioner", "none",
                 "--storage", "double", "--checkpoint-every", "20p"),
                ("mercer-spectrum", "--data", "gaussian:n=3000,d=8", "--kernel", "laplace", "--bandwidth", "3", "--top", "20",
                 "--storage", "double", "--values-only", "--checkpoint-every", "2p"),
                ("mercer-train", "--train", "gaussian:n=3000,d=4", "--arch", "dense(16) relu dense(1)", "--bias-std", "1",
                 "--top", "60", "--steps", "400", "--checkpoint-every", "100"))
        for driver, *job in jobs:
            for quiet in ((), ("--quiet",)) if driver == "mercer-krr" else ((),):  # said in one place for all
                with self.subTest(driver=driver, quiet=quiet):
                    c, out = self.path("c.h5"), self.path("r.h5")
                    process = subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, driver), *job, *quiet, "--checkpoint", c,
                                                "--out", out], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                    self.addCleanup(process.stderr.close)
                    self.addCleanup(lambda process=process: process.poll() is None and process.kill())
                    while not os.path.exists(c + ".lock") and process.poll() is None:
                        time.sleep(0.002)
                    for pid in ranks_of(process):  # MPI's own files are there
                        resource.prlimit(pid, resource.RLIMIT_FSIZE, (1500000, 1500000))
                    error = process.stderr.read()
                    self.assertEqual(process.wait(timeout=300), 0, error)
                    self.assertIn(f"warning: --checkpoint {c}", error)
                    self.assertIn("it would exceed the limit of 1.43 MiB a file (ulimit -f)", error)
                    with h5py.File(out, "r") as file:
                        self.assertGreater(len(file), 0)
                    self.assertFalse([name for name in os.listdir(self.directory) if "tmp" in name or "lock" in name])
                    for name in os.listdir(self.directory):
                        os.remove(self.path(name))

    @staticmethod
    def shell(command):
        return subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120, check=False,
                              env=os.environ | QUICK)

    def test_lost_output_is_an_error_and_the_results_are_written(self):
        out, record, krr = self.path("r.h5"), self.path("r.json"), os.path.join(BIN, "mercer-krr")
        job = f"{krr} --train gaussian:n=100,d=3 --ridge 1e-2"
        full, gone = "{} > /dev/full", "(sleep 0.5; exec {}) | true; exit ${{PIPESTATUS[0]}}"
        for how, words in ((full, "No space left on device"), (gone, "Broken pipe")):
            with self.subTest(words):
                done = self.shell(how.format(f"{job} --out {out} --json {record}"))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn("mercer-krr: standard output: cannot be written: " + words, done.stderr)
                self.assertGreater(len(read(out, "/alpha")), 0)
                with open(record, encoding="utf-8") as file:
                    self.assertEqual(json.load(file)["status"], "ok")
                os.remove(out)
                os.remove(record)
            for command in (f"{krr} --help", f"{krr} --version", f"{job} --json -"):
                with self.subTest(words=words, command=command):
                    done = self.shell(how.format(command))
                    self.assertEqual(done.returncode, 1, done.stderr)
                    self.assertIn(words, done.stderr)


class Pictures(PipeTest):
    JOB = ("--train", "gaussian:n=100,d=3", "--test", "gaussian:n=40,d=3", "--ridge", "1e-2")

    def with_gnuplot(self, script, *job, **variables):
        """One run with another gnuplot in its PATH: `script` is what it does where it is asked to plot."""
        place = self.path("bin")
        os.makedirs(place, exist_ok=True)
        with open(os.path.join(place, "gnuplot"), "w", encoding="ascii") as file:
            file.write(f"#!/bin/bash\nif [[ $(cat) == *multiplot* ]]; then\n{script}\nfi\n")
        os.chmod(os.path.join(place, "gnuplot"), 0o755)
        return subprocess.run([os.path.join(BIN, "mercer-krr"), *job], capture_output=True, text=True, timeout=120, check=False,
                              env=os.environ | QUICK | {"PATH": place + ":" + os.environ["PATH"]} | variables)

    def test_a_gnuplot_that_fails_loses_nothing_else(self):
        out, record, svg = self.path("r.h5"), self.path("r.json"), self.path("r.svg")
        for script, words in (("echo no font >&2; exit 3", "gnuplot drew nothing: no font"), ("kill -9 $$", "drew nothing"),
                              ("echo '<svg>'", "drew nothing"), ("exit 0", "drew nothing")):
            for quiet in ((), ("--quiet",)):
                with self.subTest(script=script, quiet=quiet):
                    done = self.with_gnuplot(script, *self.JOB, "--out", out, "--json", record, "--plot", svg, *quiet)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertIn("mercer-krr: warning: --plot " + svg, done.stderr)
                    self.assertIn(words, done.stderr)
                    with open(record, encoding="utf-8") as file:
                        self.assertEqual(json.load(file)["status"], "ok")
                    self.assertEqual(sorted(os.listdir(self.directory)), ["bin", "r.h5", "r.json"])

    def test_nothing_to_draw(self):
        done = run("mercer-krr", "--train", "gaussian:n=100,d=3", "--ridge", "1e-2", "--solver", "cholesky", "--out",
                   self.path("r.h5"), "--plot", self.path("r.svg"), ranks=0)
        self.assertEqual((done.code, os.listdir(self.directory)), (0, ["r.h5"]), done.err)
        self.assertIn("there is nothing to draw", done.err)

    def test_nothing_is_written_to_the_folder_of_temporary_files(self):
        """There, somebody may have planted links under the names to come. (Open MPI has its own business there.)"""
        place = self.path("tmp")
        os.mkdir(place)
        done = self.with_gnuplot(f"ls -A {place} > {self.path('seen')}; exit 1", *self.JOB, "--plot", self.path("r.svg"), TMPDIR=place)
        self.assertEqual(done.returncode, 0, done.stderr)
        with open(self.path("seen"), encoding="utf-8") as file:
            self.assertNotIn("mercer", file.read())


class Words(PipeTest):
    def test_cg_that_does_not_converge_says_so_with_quiet(self):
        job = ("--train", "gaussian:n=200,d=3", "--ridge", "1e-9", "--solver", "cg", "--preconditioner", "none",
               "--max-iterations", "3")
        for quiet in ((), ("--quiet",), ("--json", "-")):
            with self.subTest(quiet):
                done = run("mercer-krr", *job, *quiet, ranks=0)
                self.assertEqual((done.code, len(done.own_errors)), (1, 1), done.err)
                self.assertIn("after 3 iterations the residual is", done.own_errors[0])

    def test_places_that_wait_or_never_end_are_refused(self):
        fifo, folder = self.path("fifo"), self.path("folder")
        os.mkfifo(fifo)
        os.mkdir(folder)
        job = ("--train", "gaussian:n=50,d=3", "--ridge", "1e-2")
        for option in ("--config", "--machine"):
            for place in (fifo, folder, "/dev/zero"):
                with self.subTest(option=option, place=place):
                    self.refuse([option + " " + place + ": is not a file"], "mercer-krr", *job, option, place)
            self.refuse([option, "no such file"], "mercer-krr", *job, option, self.path("none"))
        for place in (fifo, folder, "/dev/zero"):
            with self.subTest(table=place):
                self.refuse(["table:" + place + ": is not a file"], "mercer-krr", *job, "--top", "3", "--g", "table:" + place)
        for option in ("--json", "--plot"):
            with self.subTest(option):
                self.refuse([option + " " + fifo + ": is a pipe that nobody reads"], "mercer-krr", *job, option, fifo)
        for place in (fifo, "/dev/null"):
            for option in ("--out", "--checkpoint"):
                with self.subTest(option=option, place=place):
                    self.refuse([f"{option} {place}: is a device or a pipe: give the name of a file"], "mercer-krr", *job,
                                "--solver", "cg", option, place)
        for spec in ("csv:" + fifo, "npy:" + fifo, "h5:" + fifo + ":/x", "libsvm:" + fifo):
            with self.subTest(spec):
                self.refuse([fifo], "mercer-krr", "--train", spec, "--ridge", "1e-2")

    def test_a_pipe_that_is_read_is_written_to(self):
        fifo = self.path("fifo")
        os.mkfifo(fifo)
        reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE, text=True)
        self.addCleanup(reader.stdout.close)
        self.addCleanup(lambda: reader.poll() is None and reader.kill())
        time.sleep(0.3)
        self.succeed("mercer-krr", "--train", "gaussian:n=50,d=3", "--ridge", "1e-2", "--json", fifo, ranks=0, timeout=60)
        self.assertEqual(json.loads(reader.communicate(timeout=20)[0])["status"], "ok")


if __name__ == "__main__":
    unittest.main(verbosity=2)
