"""Bad input of mercer-train: exit code 2 (1 for a failed run), one line, all ranks end, nothing left behind."""

import unittest

import h5py
import numpy as np

from support import PipeTest

CIRCLE = "circle:n=24,freq=3,grid"
ARCH = ("--arch", "dense(16) relu dense(1)", "--bias-std", "1")


class Errors(PipeTest):
    def train(self, words, *more, arch=ARCH, spec=CIRCLE, steps=("--steps", "3"), **options):
        self.refuse(words, "mercer-train", "--train", spec, *arch, *steps, *more, **options)

    def options(self, words, *more, **options):
        """The same on one rank, without mpirun."""
        self.train(words, *more, ranks=0, **options)

    def test_networks(self):
        self.options(["--arch", "--width"], arch=())
        self.options(["width", "dense relu dense"], arch=("--arch", "dense relu dense"))
        self.options(["width"], arch=("--arch", "dense(8) relu dense"))
        self.options(["2 units", "1 columns"], arch=("--arch", "dense(8) relu dense(2)"))
        self.options(["--width"], "--width", "8")
        self.options(["--width -3"], arch=("--width", "-3"))
        self.options(["rleu"], arch=("--arch", "dense(8) rleu dense(1)"))
        self.options(["--train"], spec="")
        labels = self.npy("y.npy", np.arange(24) % 3)
        x = self.npy("x.npy", np.random.default_rng(0).normal(size=(24, 2)))
        self.options(["--one-hot"], spec=f"npy:{x},{labels}", arch=("--arch", "dense(8) relu dense(3)"))

    def test_unknown_values(self):
        self.options(["magic", "ntk"], "--parametrization", "magic")
        self.options(["magic", "gaussian"], "--init", "magic")
        self.options(["--precondition magic", "empirical"], "--precondition", "magic")
        self.options(["--stochastic magic", "block"], "--batch", "4", "--stochastic", "magic")
        self.options(["--safeguard maybe", "off"], "--safeguard", "maybe")
        self.options(["steep"], "--top", "4", "--g", "steep")
        self.options(["--solver"], "--top", "4", "--solver", "magic")
        self.options(["--directions 1.5"], "--directions", "1.5")
        self.options(["--directions", "one"], "--directions", "one")
        self.options(["--directions 3-2"], "--directions", "3-2")

    def test_numbers_out_of_range(self):
        for option, value in (("--tol", "-1"), ("--safety", "0"), ("--lr", "-1"), ("--lr", "nan"),
                              ("--lr", "fast"), ("--momentum", "1"), ("--batch", "0"), ("--top", "0"),
                              ("--checkpoint-every", "-1"), ("--loss", "nan")):
            with self.subTest(option=option, value=value):
                more = ["--checkpoint", self.path("c.h5")] if option == "--checkpoint-every" else []
                self.options([option], f"{option}={value}", *more)
        self.options(["--batch 25", "24"], "--batch", "25")
        self.options(["--top 25", "24"], "--top", "25")
        self.options(["--top 9", "8"], "--top", "9", "--batch", "8", "--stochastic", "block")
        self.options(["--directions 25", "24"], "--directions", "1,25")

    def test_options_that_do_not_go_together(self):
        self.options(["--resume", "--checkpoint"], "--resume")
        self.options(["--checkpoint-every", "--checkpoint"], "--checkpoint-every", "2")
        self.options(["--stochastic", "--batch"], "--stochastic", "block")
        self.options(["--residual-refresh", "--batch"], "--residual-refresh", "2")
        self.options(["--refresh", "empirical"], "--top", "4", "--refresh", "2")
        self.options(["--precondition none", "--top"], "--precondition", "none", "--top", "4")
        self.options(["standard", "gaussian"], "--parametrization", "standard", "--kernel", "gaussian", "--top", "4")
        self.options(["--safety", "--lr auto"], "--lr", "1e-3", "--safety", "0.5")
        self.options(["--safeguard", "--lr auto"], "--lr", "1e-3", "--safeguard", "on")
        self.options(["--directions", "block"], "--directions", "1", "--top", "4", "--batch", "8", "--stochastic", "block")

    def test_a_g_that_is_not_positive(self):
        self.options(["lk-l1", "positive"], "--top", "4", "--g", "lk-l1")
        self.options(["0*l", "positive"], "--top", "4", "--g", "0*l")

    def test_files(self):
        self.train(["none.h5"], "--init-parameters", "none.h5")
        self.train(["none.h5"], "--checkpoint", "none.h5", "--resume")
        self.train(["none.h5"], "--top", "4", "--spectrum", "none.h5")
        for option in ("--out", "--json", "--plot", "--csv", "--checkpoint"):
            with self.subTest(option):
                self.train([option], option, "/nowhere/at/all/result.h5")
        with h5py.File(self.path("empty.h5"), "w"):
            pass
        self.train(["empty.h5"], "--init-parameters", self.path("empty.h5"))
        self.train(["empty.h5"], "--checkpoint", self.path("empty.h5"), "--resume")

    def test_weights_of_another_network(self):
        out = self.path("w.h5")
        self.succeed("mercer-train", "--train", CIRCLE, *ARCH, "--steps", "1", "--out", out)
        self.train(["dense(16)", "dense(8)"], "--init-parameters", out, arch=("--arch", "dense(8) relu dense(1)"))

    def test_a_checkpoint_of_another_problem(self):
        checkpoint = self.path("c.h5")
        files = ("--checkpoint", checkpoint, "--checkpoint-every", "1")
        self.succeed("mercer-train", "--train", CIRCLE, *ARCH, "--steps", "3", "--top", "4", *files)
        resume = ("--top", "4", *files, "--resume")
        self.train(["target hash"], *resume, spec="circle:n=24,freq=4,grid")
        self.train(["dense(8)", "dense(16)"], *resume, arch=("--arch", "dense(8) relu dense(1)", "--bias-std", "1"))
        self.train(["momentum"], *resume, "--momentum", "0.5")
        self.train(["precision"], *resume, "--precision", "single")
        self.train(["--top", "5"], *files, "--resume", "--top", "5")
        with open(checkpoint, "r+b") as file:
            file.truncate(1000)
        self.train(["c.h5"], *resume)

    def test_divergence_says_what_to_change_and_writes_nothing(self):
        self.train(["diverged", "--lr"], "--lr", "1e6", "--out", self.path("d.h5"), steps=("--steps", "200"), code=1)

    def test_spectra_of_another_problem(self):
        s = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", CIRCLE, *ARCH, "--top", "6", "--out", s)
        self.options(["kernel"], "--top", "4", "--spectrum", s, arch=("--arch", "dense(16) relu dense(1)"))
        self.options(["hash"], "--top", "4", "--spectrum", s, "--seed", "3")
        self.options(["6 eigenpairs"], "--top", "7", "--spectrum", s)
        self.options(["--spectrum"], "--top", "4", "--spectrum", s, "--batch", "8", "--stochastic", "block")

    def test_memory(self):
        self.options(["parameters", "--memory-limit"], "--memory-limit", "200M", arch=("--depth", "2", "--width", "8192"), code=3)
        self.options(["plan", "--memory-limit"], "--memory-limit", "200M", arch=("--depth", "2", "--width", "1500"), code=3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
