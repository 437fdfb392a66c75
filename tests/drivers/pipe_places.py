"""Where results go: never over what a job reads, nor over what another job is writing."""

import os
import re
import shutil
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, QUICK, PipeTest, read, run

ARCH = ("--arch", "dense(8) relu dense(1)")
OUTPUTS = ("--out", "--json", "--plot", "--csv", "--checkpoint")


def file_options(driver, *words):
    """The options of --help whose value is a file's."""
    found = re.findall(r"^ +(--[a-z0-9-]+) ([^ ]+)", run(driver, *words, "--help", ranks=0).out, re.M)
    return {name for name, value in found if re.search(r"FILE|SPEC|\.h5|\.csv|\.json|\.svg|\.npy", value)}


class Overwriting(PipeTest):
    def setUp(self):
        super().setUp()
        rng = np.random.default_rng(3)
        self.rows = rng.normal(size=(24, 3))
        table = np.c_[self.rows, np.sin(self.rows[:, 0])]
        for name in ("m.csv", "t.csv"):
            np.savetxt(self.path(name), table, delimiter=",", header="a,b,c,y", comments="")
        self.npy("x.npy", self.rows)
        self.npy("y.npy", table[:, 3])
        np.savetxt(self.path("mask.csv"), np.arange(24) % 4 == 0, fmt="%d")
        np.savetxt(self.path("g.csv"), [[1e-9, 1e-9], [1, 1]], delimiter=",")

    def made(self, name, driver, *arguments):
        self.succeed(driver, *arguments, "--out", self.path(name), ranks=0)
        return self.path(name)

    def untouched(self, words, path, driver, *arguments):
        with open(path, "rb") as file:
            before = file.read()
        self.refuse(words, driver, *arguments, ranks=0)
        with open(path, "rb") as file:
            self.assertEqual(file.read(), before)

    def jobs(self):
        """driver -> option that reads -> (file, the job that reads it)."""
        m, t = self.path("m.csv"), self.path("t.csv")
        data, train = ("--data", f"csv:{m}"), ("--train", f"csv:{m}")
        ridge, weights = ("--ridge", "1e-3"), self.made("w.h5", "mercer-train", "--train", f"csv:{m}", *ARCH, "--steps", "1")
        matrix = self.made("k.h5", "mercer-kernel", *data, "--target", "y")
        pairs = self.made("s.h5", "mercer-spectrum", *data)
        trained = self.made("a.h5", "mercer-spectrum", *data, *ARCH, "--bias-std", "0")
        model = self.made("r.h5", "mercer-krr", *train, *ridge)
        config, machine, mask, g = self.path("c.ini"), self.path("p.json"), self.path("mask.csv"), self.path("g.csv")
        with open(config, "w", encoding="ascii") as file:
            file.write("seed=1\n")
        with open(machine, "w", encoding="ascii") as file:
            file.write("{}\n")

        def common(job):
            return {"--config": (config, (*job, "--config", config)), "--machine": (machine, (*job, "--machine", machine))}
        empirical = ("--kernel", "empirical", "--parameters", weights)
        return {
            "mercer-bench": {"--machine": (machine, ("plan", "--machine", machine))},
            "mercer-kernel": {"--data": (m, data), "--data2": (t, (*data, "--data2", f"csv:{t}")),
                              "--parameters": (weights, (*data, *empirical)),
                              "--split": (mask, (*data, "--split", f"{mask}:0")), **common(data)},
            "mercer-spectrum": {"--data": (m, data), "--parameters": (weights, (*data, *empirical)),
                                "--eval": (t, (*data, "--top", "2", "--eval", f"csv:{t}")),
                                "--start": (pairs, (*data, "--top", "2", "--start", pairs)),
                                "--split": (mask, (*data, "--split", f"{mask}:0")),
                                "--kernel": (matrix, ("--kernel", f"file:{matrix}")), **common(data)},
            "mercer-krr": {"--train": (m, (*train, *ridge)), "--test": (t, (*train, "--test", f"csv:{t}", *ridge)),
                           "--split": (mask, (*train, *ridge, "--split", f"{mask}:0")),
                           "--spectrum": (pairs, (*train, *ridge, "--spectrum", pairs)),
                           "--model": (model, ("--model", model, "--test", f"csv:{t}")),
                           "--parameters": (weights, (*train, *ridge, *empirical)),
                           "--kernel": (matrix, (*train, *ridge, "--kernel", f"file:{matrix}")),
                           "--g": (g, (*train, *ridge, "--top", "3", "--g", f"table:{g}")), **common((*train, *ridge))},
            "mercer-train": {"--train": (m, (*train, *ARCH)), "--test": (t, (*train, "--test", f"csv:{t}", *ARCH)),
                             "--split": (mask, (*train, *ARCH, "--split", f"{mask}:0")),
                             "--init-parameters": (weights, (*train, *ARCH, "--init-parameters", weights)),
                             "--parameters": (weights, (*train, *ARCH, *empirical, "--top", "3")),
                             "--model": (weights, ("--model", weights, "--test", f"csv:{t}")),
                             "--spectrum": (trained, (*train, *ARCH, "--spectrum", trained)),
                             "--g": (g, (*train, *ARCH, "--top", "3", "--g", f"table:{g}")), **common((*train, *ARCH))},
        }

    def test_no_output_goes_over_a_file_that_the_job_reads(self):
        self.checked = 0
        self.assertEqual(set(self.jobs()), {name for name in os.listdir(BIN) if name.startswith("mercer-")})
        for driver, jobs in self.jobs().items():
            taken = file_options(driver, *(["plan"] if driver == "mercer-bench" else []))
            if driver == "mercer-bench":  # of its inputs it reads one that matters
                taken &= {"--machine", "--json"}
            # An option that is new has a line above, or is an output.
            unknown = taken - set(jobs) - set(OUTPUTS) - {"--data2"}
            self.assertEqual(unknown, set(), f"{driver}: no job here reads or writes these")
            for option, (path, job) in jobs.items():
                for output in OUTPUTS:
                    if output not in taken or (driver, output) == ("mercer-kernel", "--plot"):
                        continue
                    with self.subTest(driver=driver, reads=option, writes=output):
                        self.untouched([output, option], path, driver, *job, output, path)
                        self.checked += 1
        self.assertGreater(self.checked, 70)

    def test_files_behind_an_hdf5_file_are_read_with_it(self):
        behind = self.path("behind.h5")
        with h5py.File(behind, "w") as file:
            file["x"] = np.arange(24.0).reshape(12, 2)
        np.arange(24.0).tofile(self.path("raw.h5"))
        layout = h5py.VirtualLayout((12, 2), "<f8")
        layout[:, :] = h5py.VirtualSource(behind, "x", (12, 2))
        with h5py.File(self.path("front.h5"), "w") as file:
            file["group/linked"] = h5py.ExternalLink("behind.h5", "/x")
            file.create_virtual_dataset("virtual", layout)
            file.create_dataset("external", (12, 2), "<f8", external=[(self.path("raw.h5"), 0, 192)])
        with h5py.File(self.path("before.h5"), "w") as file:
            file["far"] = h5py.ExternalLink("front.h5", "/group/linked")
        job = ("mercer-kernel", "--kernel", "linear")
        for spec, path in (("front.h5:/group/linked", behind), ("front.h5:/virtual", behind), ("before.h5:/far", behind),
                           ("front.h5:/external", self.path("raw.h5"))):
            with self.subTest(spec):
                data = ("--data", "h5:" + self.path(spec))
                self.succeed(*job, *data, "--quiet")
                self.untouched(["--out", "--data"], path, *job, *data, "--out", path)
        # A file that claims to be Mercer's is verified before HDF5 looks for files behind it.
        with h5py.File(self.path("claims.h5"), "w", userblock_size=512) as file:
            file["linked"] = h5py.ExternalLink("behind.h5", "/x")
        with open(self.path("claims.h5"), "r+b") as file:
            file.write(b"Mercer checksum 1 800 0123456789abcdef\n")
        self.untouched(["claims.h5", "is damaged"], behind, *job, "--data", "h5:" + self.path("claims.h5") + ":/linked", "--out",
                       behind)

    def test_links_and_other_spellings_are_the_same_file(self):
        m = self.path("m.csv")
        os.symlink(m, self.path("symbolic.h5"))
        os.link(m, self.path("hard.h5"))
        os.symlink(self.directory, self.path("folder"))
        job = ("--train", f"csv:{m}", "--ridge", "1e-3")
        for name in ("symbolic.h5", "hard.h5", "folder/m.csv", "./m.csv", "folder/.//m.csv", "m.csv"):
            with self.subTest(name):
                self.untouched(["--out", "--train"], m, "mercer-krr", *job, "--out", name if name == "m.csv" else self.path(name))
        for spec, path in ((f"npy:{self.path('x.npy')},{self.path('y.npy')}", self.path("y.npy")),
                           (f"{self.path('x.npy')},{self.path('y.npy')}", self.path("x.npy"))):
            with self.subTest(spec):
                self.untouched(["--json", "--train"], path, "mercer-krr", "--train", spec, "--ridge", "1e-3", "--json", path)
        comma = self.path("a,b.csv")
        os.rename(self.path("t.csv"), comma)
        self.untouched(["--plot", "--test"], comma, "mercer-krr", *job, "--test", f"csv:{comma}", "--plot", comma)

    def test_every_output_has_a_file_of_its_own(self):
        os.symlink(self.directory, self.path("folder"))
        job = ("--train", f"csv:{self.path('m.csv')}", "--ridge", "1e-3", "--solver", "cg")
        for first, second in (("--out", "--json"), ("--out", "--plot"), ("--json", "--plot"), ("--out", "--checkpoint")):
            for name in ("new", "folder/new"):
                with self.subTest(first=first, second=second, name=name):
                    self.refuse([first, second], "mercer-krr", *job, first, self.path("new"), second, self.path(name), ranks=0)
        train = ("--train", f"csv:{self.path('m.csv')}", *ARCH)
        self.refuse(["--csv", "--json"], "mercer-train", *train, "--csv", "x", "--json", "x", ranks=0)

    def test_the_name_of_a_lock_is_no_outputs(self):
        job = ("--train", f"csv:{self.path('m.csv')}", "--ridge", "1e-3", "--solver", "cg")
        a = self.path("a.h5")
        for first, second in (("--out", "--json"), ("--checkpoint", "--json"), ("--out", "--plot")):
            with self.subTest(first=first, second=second):
                self.refuse([second, "the lock file of " + first], "mercer-krr", *job, first, a, second, a + ".lock", ranks=0)
        os.symlink(a, self.path("l.json"))  # leads to nothing yet
        self.refuse(["--out", "--json", "are one file"], "mercer-krr", *job, "--out", a, "--json", self.path("l.json"), ranks=0)

    def test_what_standard_output_goes_to_is_not_replaced(self):
        log = self.path("log")
        job = f"{os.path.join(BIN, 'mercer-krr')} --train csv:{self.path('m.csv')} --ridge 1e-3"
        for command in (f"{job} --json /dev/stdout > {log}", f"{job} --json /dev/fd/3 3> {log}.3 > {log}; cat {log}.3 >> {log}"):
            with self.subTest(command):
                subprocess.run(["bash", "-c", command], check=True, timeout=60, env=os.environ | QUICK)
                with open(log, encoding="utf-8") as file:
                    text = file.read()
                self.assertTrue(text.startswith("mercer-krr ") and "residual of the solve" in text, text)
                self.assertIn('"status": "ok"', text)

    def test_the_rows_of_a_stored_model_are_kept(self):
        rows, table = self.path("rows.h5"), self.path("m.json")
        with h5py.File(rows, "w") as file:
            file["x"], file["y"] = self.rows, self.rows[:, 0]
        shutil.copy(self.path("m.csv"), table)
        for output, kept, spec in (("--out", rows, f"h5:{rows}:/x,/y"), ("--json", table, f"csv:{table}")):
            model = self.made("r.h5", "mercer-krr", "--train", spec, "--ridge", "1e-3")
            self.untouched([output, "--model", kept], kept, "mercer-krr", "--model", model, "--test", "npy:" + self.path("x.npy"),
                           output, kept)

    def test_an_earlier_result_is_replaced_and_devices_take_anything(self):
        out = self.path("r.h5")
        job = ("--train", f"csv:{self.path('m.csv')}", "--ridge", "1e-3", "--out", out, "--json", "/dev/null")
        for _ in range(2):
            self.succeed("mercer-krr", *job)
            self.assertEqual(read(out, "/ridge")[0], 1e-3)
        self.assertEqual(sorted(os.listdir(self.directory)), sorted(["m.csv", "t.csv", "x.npy", "y.npy", "mask.csv", "g.csv",
                                                                    "r.h5"]))
        # A dry run writes no result and disturbs nobody who does.
        self.succeed("mercer-train", "--train", f"csv:{self.path('m.csv')}", *ARCH, "--csv", "/dev/null", "--json", "/dev/null",
                     "--steps", "1")


class TwoJobs(PipeTest):
    """The second of two jobs with one file to write."""

    LONG = {  # minutes of work each: nobody waits for their end
        "mercer-krr": ("--train", "gaussian:n=3000,d=8", "--kernel", "laplace", "--bandwidth", "3", "--solver", "cg",
                       "--ridge", "1e-9,1e-10,1e-11,1e-12", "--cg-tol", "1e-14", "--max-iterations", "5000", "--preconditioner",
                       "none", "--storage", "none", "--checkpoint-every", "1p"),
        "mercer-train": ("--train", "circle:n=512,freq=5", "--arch", "dense(512) relu dense(1)", "--bias-std", "1", "--top",
                         "20", "--steps", "1000000", "--checkpoint-every", "5"),
    }

    def start(self, driver, *arguments, stdout=subprocess.DEVNULL):
        # Open MPI kills its ranks a second after SIGTERM; where other tests hold the processors and the disk, that is little.
        process = subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, driver), *arguments], stdout=stdout,
                                   stderr=subprocess.PIPE, text=True,
                                   env=os.environ | {"OMPI_MCA_odls_base_sigkill_timeout": "5"})
        self.addCleanup(process.stderr.close)
        if process.stdout is not None:
            self.addCleanup(process.stdout.close)
        self.addCleanup(lambda: process.poll() is None and process.kill())
        return process

    def wait_for(self, path, process):
        deadline = time.monotonic() + 60
        while not os.path.exists(path):
            self.assertIsNone(process.poll(), process.stderr.read() if process.poll() is not None else "")
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)

    def test_is_told_of_the_first_which_goes_on(self):
        for driver, job in self.LONG.items():
            with self.subTest(driver):
                c, out, record = self.path("c.h5"), self.path("r.h5"), self.path("r.json")
                first = self.start(driver, *job, "--checkpoint", c, "--out", out, "--json", record)
                self.wait_for(c, first)
                for ranks in (0, 2):
                    second = run(driver, *job, "--checkpoint", c, "--out", self.path("2.h5"), ranks=ranks)
                    own = second.own_errors
                    self.assertEqual((second.code, len(own)), (2, 1), second.err)
                    for word in ("--checkpoint", c, "being written by another job (pid ", " on ", " since "):
                        self.assertIn(word, own[0])
                for option, path in (("--out", out), ("--json", record)):
                    second = run(driver, *job, "--checkpoint", self.path("2.c.h5"), option, path, ranks=0)
                    self.assertEqual(second.code, 2, second.err)
                    self.assertIn(f"{option} {path}: is being written by another job", second.err)
                self.assertIsNone(first.poll(), "the first job ended before it was disturbed")
                first.send_signal(signal.SIGUSR1)
                error = first.stderr.read()
                self.assertEqual(first.wait(timeout=60), 130, error)
                left = set(os.listdir(self.directory))
                self.assertTrue(all(name.startswith("c.h5") and "tmp" not in name and "lock" not in name for name in left), left)
                for name in left:
                    os.remove(self.path(name))

    def test_may_write_beside_the_first(self):
        job = ("--train", "gaussian:n=600,d=4", "--kernel", "gaussian", "--ridge", "1e-4", "--solver", "cg",
               "--preconditioner", "none", "--checkpoint-every", "1p")
        both = [self.start("mercer-krr", *job, "--checkpoint", self.path(f"{i}c.h5"), "--out", self.path(f"{i}r.h5"))
                for i in range(2)]
        for process in both:
            error = process.stderr.read()
            self.assertEqual(process.wait(timeout=120), 0, error)
        np.testing.assert_array_equal(read(self.path("0r.h5"), "/alpha"), read(self.path("1r.h5"), "/alpha"))
        self.assertEqual(sorted(os.listdir(self.directory)), ["0c.h5", "0r.h5", "1c.h5", "1r.h5"])

    def test_a_killed_job_stands_in_nobodys_way(self):
        job, c = self.LONG["mercer-krr"], self.path("c.h5")
        first = self.start("mercer-krr", *job, "--checkpoint", c)
        self.wait_for(c, first)
        ranks = subprocess.run(["pgrep", "-P", str(first.pid), "mercer-krr"], capture_output=True, text=True,
                               check=False).stdout.split()
        for rank in ranks:
            os.kill(int(rank), signal.SIGKILL)
        first.wait(timeout=60)
        os.remove(c)  # another problem's checkpoint
        # What another machine may have left.
        with open(self.path("c.h5.tmp-00000000-1-2-0"), "wb") as file:
            file.write(b"x")
        os.utime(self.path("c.h5.tmp-00000000-1-2-0"), (1, 1))
        self.succeed("mercer-krr", "--train", "gaussian:n=100,d=3", "--ridge", "1e-2", "--solver", "cg", "--checkpoint", c,
                     "--checkpoint-every", "1p")
        self.assertEqual(os.listdir(self.directory), ["c.h5"])

    def test_what_a_user_calls_like_a_temporary_file_stays(self):
        names = ["c.h5.tmp-17", "c.h5.tmp-notes", "c.h5.S-0123456789abcdef", "r.h5.tmp-1-2-3"]
        for name in names:
            with open(self.path(name), "wb") as file:
                file.write(b"x")
        ridge = ("mercer-krr", "--train", "gaussian:n=60,d=3", "--ridge", "1e-2", "--solver", "cg", "--checkpoint-every", "1p")
        train = ("mercer-train", "--train", "gaussian:n=60,d=3", *ARCH, "--top", "5", "--steps", "6", "--checkpoint-every", "2")
        for job in (ridge, train):
            self.succeed(*job, "--checkpoint", self.path("c.h5"), "--out", self.path("r.h5"), ranks=0)
            os.remove(self.path("c.h5"))
        self.assertLessEqual(set(names), set(os.listdir(self.directory)))

    def test_a_result_keeps_the_permissions_and_the_link_that_are_there(self):
        job = ("mercer-krr", "--train", "gaussian:n=60,d=3", "--ridge", "1e-2,1e-1")
        os.mkdir(self.path("far"))
        for option, name in (("--out", "r.h5"), ("--json", "r.json"), ("--plot", "r.svg")):
            with self.subTest(option):
                target, link = self.path(os.path.join("far", name)), self.path(name)
                with open(target, "wb") as file:
                    file.write(b"old")
                os.chmod(target, 0o640)
                os.symlink(os.path.join("far", name), link)
                self.succeed(*job, option, link, ranks=0)
                self.assertTrue(os.path.islink(link))
                self.assertGreater(os.path.getsize(target), 3)
                self.assertEqual(os.stat(target).st_mode & 0o777, 0o640)
                os.remove(target)  # a link to nothing yet
                self.succeed(*job, option, link, ranks=0)
                self.assertTrue(os.path.islink(link) and os.path.isfile(target))

    def test_a_signal_leaves_nothing(self):
        for sent in (signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGINT, signal.SIGHUP):
            with self.subTest(sent):
                for name in os.listdir(self.directory):  # of the signal before, had it failed
                    os.remove(self.path(name))
                out = self.path("r.h5")
                job = ("--data", "gaussian:n=6000,d=8", "--kernel", "laplace", "--bandwidth", "3", "--solver", "elpa1", "--out", out)
                process = self.start("mercer-spectrum", *job, stdout=subprocess.PIPE)
                while not process.stdout.readline().startswith("data"):
                    self.assertIsNone(process.poll())
                self.assertTrue(os.path.exists(out + ".lock"))
                process.send_signal(sent)
                said = process.stderr.read()
                self.assertNotEqual(process.wait(timeout=60), 0)
                if sent in (signal.SIGUSR1, signal.SIGUSR2):
                    self.assertIn("mercer-spectrum: interrupted: files are as they were", said)
                self.assertEqual(os.listdir(self.directory), [])

    def test_a_checkpoint_is_not_begun_anew_without_a_word(self):
        c = self.path("c.h5")
        for driver, job in (("mercer-krr", ("--train", "gaussian:n=100,d=3", "--ridge", "1e-2", "--solver", "cg")),
                            ("mercer-spectrum", ("--data", "gaussian:n=100,d=3", "--top", "3", "--storage", "double")),
                            ("mercer-train", ("--train", "circle:n=20,freq=2", "--arch", "dense(8) relu dense(1)", "--steps", "4"))):
            with self.subTest(driver):
                every = "1" if driver == "mercer-train" else "1p"
                job = (*job, "--checkpoint", c, "--checkpoint-every", every)
                self.succeed(driver, *job, ranks=0)
                with open(c, "rb") as file:
                    kept = file.read()
                self.refuse(["--checkpoint " + c, "--resume", "remove it"], driver, *job)
                with open(c, "rb") as file:
                    self.assertEqual(file.read(), kept)
                self.succeed(driver, *job, "--dry-run", ranks=0)  # writes nothing
                self.succeed(driver, *job, "--resume", ranks=0)
                os.remove(c)
        open(c, "wb").close()  # as mktemp makes it
        self.succeed("mercer-krr", "--train", "gaussian:n=100,d=3", "--ridge", "1e-2", "--solver", "cg", "--checkpoint", c, ranks=0)

    def test_a_plan_is_made_beside_a_run(self):
        job, c = self.LONG["mercer-krr"], self.path("c.h5")
        first = self.start("mercer-krr", *job, "--checkpoint", c)
        self.wait_for(c, first)
        plan = self.succeed("mercer-krr", *job, "--checkpoint", c, "--dry-run", ranks=0)
        self.assertIn("plan", plan.out)
        first.send_signal(signal.SIGTERM)
        first.stderr.read()
        first.wait(timeout=60)


if __name__ == "__main__":
    unittest.main(verbosity=2)
