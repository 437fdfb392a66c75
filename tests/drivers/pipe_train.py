"""mercer-train end to end on small circles."""

import os
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, PipeTest, parameters, read

TRAIN = ("--train", "circle:n=48,freq=3,grid", "--test", "circle:n=17,freq=3", "--bias-std", "1")
ARCH = ("--arch", "dense(64) relu dense(1)")
DATASETS = {"steps", "loss_train", "loss_test", "loss_preconditioned", "residual", "rate", "distance", "seconds",
            "predictions"}


class Train(PipeTest):
    def train(self, name, *arguments, arch=ARCH, **options):
        """The result's path and the JSON record's `result`."""
        out = self.path(name + ".h5")
        record = self.record("mercer-train", *TRAIN, *arch, *arguments, "--out", out, **options)
        return out, record["result"]

    def same(self, a, b):
        """The parameters of two results, to the bit."""
        a, b = parameters(a), parameters(b)
        self.assertEqual(sorted(a), sorted(b))
        self.assertGreaterEqual(len(a), 4)
        for name in a:
            self.assertEqual(a[name].tobytes(), b[name].tobytes(), name)

    def test_every_kind_of_run_gives_the_same_on_1_2_and_3_ranks(self):
        for kind in ((), ("--top", "12"), ("--precondition", "empirical", "--top", "12", "--refresh", "10"),
                     ("--batch", "12", "--top", "6", "--safety", "0.02"), ("--batch", "12", "--stochastic", "block", "--g", "inverse")):
            f = {}
            for ranks in (1, 2, 3):
                out, result = self.train("r", "--steps", "30", *kind, ranks=ranks)
                loss = read(out, "/loss_train")
                self.assertTrue(loss[-1] < loss[0], (kind, loss))
                self.assertTrue(np.all(np.isfinite(loss)))
                f[ranks] = read(out, "/predictions")
                self.assertEqual(f[ranks].shape, (17, 1))
            for ranks in (2, 3):
                with self.subTest(kind=kind, ranks=ranks):
                    error = np.abs(f[ranks] - f[1]).max() / np.abs(f[1]).max()
                    self.assertTrue(error <= 1e-9, error)

    def test_no_rate_is_said_of_no_step(self):
        common = ("mercer-train", *TRAIN, *ARCH, "--steps", 0)
        self.assertNotRegex(self.succeed(*common).out, r"GFLOP/s|\binf\b|\bnan\b")
        self.assertIsNone(self.record(*common)["result"]["gflops_per_rank"])

    def test_the_result_and_the_record_are_complete(self):
        plot, csv = self.path("r.svg"), self.path("r.csv")
        out, result = self.train("r", "--top", "12", "--directions", "1-2,7,20", "--trace-kernel", "--steps", "60",
                                 "--operator-spectrum", "--check", "--plot", plot, "--csv", csv)
        with h5py.File(out) as file:
            records = len(file["steps"])
            self.assertLessEqual(DATASETS | {"kernel_change"}, set(file))
            for name in DATASETS - {"predictions"}:
                self.assertEqual(file[name].shape, (records,), name)
            self.assertEqual((file["steps"][0], file["steps"][-1]), (0, 60))
            self.assertEqual(list(file["directions"]), [1, 2, 7, 20])
            for name in ("residual_by_eigendirection", "residual_predicted"):
                self.assertEqual(file[name].shape, (records, 4), name)
            np.testing.assert_allclose(file["residual_predicted"][0], file["residual_by_eigendirection"][0], rtol=1e-12)
            self.assertEqual(file["parameters/layer0/W"].shape, (2, 64))
            self.assertEqual(file["parameters/layer1/b"].shape, (1,))
            self.assertEqual(file["parameters/mirror/layer0/W"].shape, (2, 64))
            for name in ("mercer_version", "command", "ranks", "precision", "kernel", "n", "data_hash", "network"):
                self.assertIn(name, file.attrs)
            self.assertEqual(file["residual"][0], 1)
            self.assertEqual(file["kernel_change"][0], 0)
            self.assertTrue(np.all(file["kernel_change"][1:] > 0))
            self.assertEqual(result["loss_train"], file["loss_train"][-1])
            self.assertEqual(result["loss_test"], file["loss_test"][-1])
        for name in ("steps", "converged", "ending", "loss_train", "loss_test", "lr", "lambda_max", "rejected",
                     "seconds_per_step", "gflops_per_rank", "rmse", "operator_lambda_max", "operator_lambda_min"):
            self.assertIn(name, result)
        self.assertEqual((result["steps"], result["converged"]), (60, False))
        self.assertGreater(result["gflops_per_rank"], 0)
        table = np.genfromtxt(csv, delimiter=",", names=True)
        self.assertEqual(len(table), records)
        np.testing.assert_allclose(table["residual"], read(out, "/residual"), rtol=1e-9)
        self.assertGreater(os.path.getsize(plot), 1000)

    def test_wide_networks_follow_the_theory(self):
        arch = ("--arch", "dense(4096) relu dense(1)")
        small = ("--train", "circle:n=48,freq=3,grid,amplitude=0.01", "--directions", "1,4,6,7", "--safety", "0.5")
        for kind in (("--precondition", "none"), ("--top", "12")):
            with self.subTest(kind):
                out = self.path("r.h5")
                self.succeed("mercer-train", *small, "--bias-std", "1", *arch, "--steps", "20", *kind, "--out", out)
                measured, predicted = read(out, "/residual_by_eigendirection"), read(out, "/residual_predicted")
                self.assertGreater(len(measured), 10)
                self.assertTrue(np.abs(measured - predicted).max() <= 0.1 * measured.max(),
                                np.abs(measured - predicted).max() / measured.max())

    def test_stops_where_it_is_told_to(self):
        _, result = self.train("r", "--top", "12", "--tol", "0.2", "--steps", "2000")
        self.assertEqual((result["converged"], result["ending"]), (True, "converged"))
        self.assertLessEqual(result["residual"], 0.2)
        self.assertLess(result["steps"], 2000)
        _, result = self.train("r", "--loss", "0.1", "--steps", "2000", "--top", "12")
        self.assertLessEqual(result["loss_train"], 0.1)
        self.assertTrue(result["converged"])

    def test_an_interrupted_run_goes_on_to_the_same_bits(self):
        for kind in (("--top", "8", "--steps", "900", "--momentum", "0.3"),
                     ("--top", "8", "--batch", "16", "--safety", "0.02", "--steps", "900")):
            with self.subTest(kind):
                whole, _ = self.train("whole", *kind)
                checkpoint, out = self.path("c.h5"), self.path("parts.h5")
                job = (*TRAIN, *ARCH, *kind, "--checkpoint", checkpoint, "--checkpoint-every", "20", "--out", out)
                process = subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, "mercer-train"), *job],
                                           stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                deadline = time.monotonic() + 60
                while not os.path.exists(checkpoint) and process.poll() is None and time.monotonic() < deadline:
                    time.sleep(0.01)
                process.send_signal(signal.SIGUSR1)
                said = process.communicate(timeout=60)[1]
                self.assertEqual(process.returncode, 130, said)
                own = [line for line in said.splitlines() if line.startswith("mercer-train: interrupted")]
                self.assertEqual(len(own), 1, said)
                self.assertFalse(os.path.exists(out))
                self.succeed("mercer-train", *job, "--resume")
                self.same(whole, out)
                np.testing.assert_array_equal(read(whole, "/loss_train"), read(out, "/loss_train"))
                for name in os.listdir(self.directory):
                    os.remove(self.path(name))

    def test_more_steps_on_another_number_of_ranks_go_on_from_a_checkpoint(self):
        whole, checkpoint, out = self.path("whole.h5"), self.path("c.h5"), self.path("parts.h5")
        job = (*TRAIN, *ARCH, "--top", "8", "--checkpoint", checkpoint, "--checkpoint-every", "10")
        self.succeed("mercer-train", *TRAIN, *ARCH, "--top", "8", "--steps", "60", "--out", whole)
        self.succeed("mercer-train", *job, "--steps", "20")
        self.refuse(["--steps 12: " + checkpoint + " is at step 20 already"], "mercer-train", *job, "--steps", "12", "--resume")
        for ranks in (3, 1):
            with self.subTest(ranks=ranks):
                steps = 40 if ranks == 3 else 60
                result = self.succeed("mercer-train", *job, "--steps", steps, "--tol", "1e-9", "--out", out, "--resume", ranks=ranks)
                for word in (f"step {steps - 20}", "was written with ranks", f"goes on with ranks {ranks}", f"--steps {steps}"):
                    self.assertIn(word, result.out)
        a, b = parameters(whole), parameters(out)
        for name, value in a.items():
            self.assertLessEqual(np.abs(value - b[name]).max(), 1e-9 * np.abs(value).max(), name)

    def test_the_plan_is_shown_and_nothing_is_done(self):
        out = self.path("none.h5")
        result = self.succeed("mercer-train", *TRAIN, *ARCH, "--top", "12", "--dry-run", "--out", out)
        for word in ("load", "assemble", "eigensolve", "train", "peak"):
            self.assertIn(word, result.out)
        self.assertFalse(os.path.exists(out))
        plain = self.record("mercer-train", *TRAIN, *ARCH, "--dry-run")
        self.assertGreater(plain["result"]["peak_memory_bytes_planned"], 0)

    def test_weights_start_another_run_and_have_a_kernel(self):
        first, end = self.train("first", "--top", "12", "--steps", "20")
        again, _ = self.train("again", "--steps", "3", "--init-parameters", first)
        self.assertAlmostEqual(read(again, "/loss_train")[0], end["loss_train"], delta=1e-12)
        self.assertEqual(read(again, "/distance")[0], 0)
        kernel = self.path("k.h5")
        self.succeed("mercer-kernel", "--data", TRAIN[1], "--kernel", "empirical", "--parameters", first, "--out", kernel)
        K = read(kernel, "/kernel")
        self.assertEqual(K.shape, (48, 48))
        np.testing.assert_array_equal(K, K.T)
        self.assertTrue(np.linalg.eigvalsh(K)[0] >= -1e-12 * np.trace(K))

    def test_stored_spectra_give_the_same(self):
        s = self.path("s.h5")
        self.succeed("mercer-spectrum", "--data", TRAIN[1], *TRAIN[4:], *ARCH, "--top", "12", "--out", s)
        a, _ = self.train("a", "--steps", "10", "--top", "12")
        b, _ = self.train("b", "--steps", "10", "--top", "12", "--spectrum", s)
        np.testing.assert_allclose(read(b, "/predictions"), read(a, "/predictions"), rtol=1e-8, atol=1e-12)

    def test_a_short_form_of_the_architecture(self):
        a, _ = self.train("a", "--steps", "5")
        b, _ = self.train("b", "--steps", "5", arch=("--depth", "1", "--width", "64"))
        self.same(a, b)

    def test_classes_single_precision_and_the_other_parametrization(self):
        draw = np.random.default_rng(1)
        x = draw.normal(size=(60, 3))
        labels = (x @ [1, -1, 0.5] > 0).astype(int) + (x[:, 2] > 0.5)
        data = f"npy:{self.npy('x.npy', x)},{self.npy('y.npy', labels)}"
        for more in (("--precision", "single"), ("--parametrization", "standard"), ("--init", "gaussian"),
                     ("--precondition", "empirical", "--top", "20", "--parametrization", "standard")):
            with self.subTest(more):
                result = self.record("mercer-train", "--train", data, "--test", data, "--one-hot", "--arch",
                                     "dense(128) relu dense(64) relu dense(3)", "--steps", "60", "--check", *more)["result"]
                self.assertGreater(result["accuracy"], 0.8)


if __name__ == "__main__":
    unittest.main(verbosity=2)
