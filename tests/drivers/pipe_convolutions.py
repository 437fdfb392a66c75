"""Networks of images through the programs: the same steps on every number of ranks, S of their kernels, the empirical kernel,
and what is refused."""

import unittest

import numpy as np

from support import PipeTest, parameters, read

ARCH = "conv(3,6) relu avgpool(2) conv(3,8,pad=valid) res(relu conv(3,8)) relu flatten dense(5) relu dense(2)"
RNG = np.random.default_rng(8)


class Networks(PipeTest):
    def setUp(self):
        super().setUp()
        images = RNG.normal(size=(60, 8, 10, 2))
        means = images[:, :, :5].mean((1, 2, 3)), images[:, 4:].std((1, 2, 3))
        y = self.npy("y.npy", np.stack([8 * means[0], means[1] - 1], 1))
        self.images, self.rows = self.npy("x.npy", images), self.npy("rows.npy", images.reshape(60, -1))
        self.train, self.flat = f"npy:{self.images},{y}", f"npy:{self.rows},{y}"

    def weights(self, *more, ranks, name="T.h5"):
        self.succeed("mercer-train", "--train", self.train, "--arch", ARCH, "--bias-std", "0.3", *more, "--out", self.path(name), ranks=ranks)
        return parameters(self.path(name))

    def test_steps_are_the_same_on_every_number_of_ranks(self):
        """1e-12 after steps that shrink no error: of plain descent, and with S of the analytic and of the empirical kernel, whose
        eigenpairs are found to 1e-10."""
        ways = ((("--init", "gaussian"), 1e-12), ((), 1e-12), (("--precondition", "kernel", "--top", "8"), 1e-8),
                (("--precondition", "empirical", "--top", "8"), 1e-8), (("--batch", "16", "--top", "6"), 1e-8))
        for more, tolerance in ways:
            found = {ranks: self.weights("--steps", "3", *more, ranks=ranks) for ranks in (1, 2, 3, 4)}
            self.assertEqual(len(found[1]), 10 * (1 if "gaussian" in more else 2), sorted(found[1]))
            loss = read(self.path("T.h5"), "/loss_train")
            self.assertTrue(np.all(np.isfinite(loss)) and loss[-1] < loss[0], loss)
            for ranks in (2, 3, 4):
                for name, value in found[1].items():
                    difference = np.abs(found[ranks][name] - value).max()
                    self.assertLessEqual(difference, tolerance * np.abs(value).max(), (more, ranks, name))

    def test_an_antisymmetric_network_starts_at_zero(self):
        self.weights("--steps", "0", ranks=2)
        y = np.load(self.path("y.npy"))
        self.assertAlmostEqual(read(self.path("T.h5"), "/loss_train")[0], np.mean(y**2), delta=1e-15)

    def test_the_empirical_kernel_is_the_same_on_every_number_of_ranks(self):
        self.weights("--steps", "2", "--init", "gaussian", ranks=2)
        for more in ((), ("--full",), ("--output", "1")):
            found = {}
            for ranks in (1, 2, 3):
                out = self.path("K.h5")
                self.succeed("mercer-kernel", "--data", f"npy:{self.images}", "--kernel", "empirical", "--parameters", self.path("T.h5"), *more,
                             "--out", out, ranks=ranks)
                found[ranks] = read(out, "/kernel")
                error = np.abs(found[ranks] - found[1]).max() / np.abs(found[1]).max()
                self.assertLessEqual(error, 1e-13, (more, ranks))
            if more == ("--full",):
                full = found[1].reshape(60, 2, 60, 2)
            elif more:
                self.assertLessEqual(np.abs(found[1] - full[:, 1, :, 1]).max(), 1e-13 * np.abs(full).max())
            else:
                trace = found[1]
        self.assertLessEqual(np.abs(trace - np.einsum("iaja->ij", full) / 2).max(), 1e-13 * np.abs(trace).max())

    def test_rows_of_numbers_need_the_shape_and_are_then_the_same(self):
        shaped = self.weights("--steps", "1", ranks=2)
        self.refuse(["image"], "mercer-train", "--train", self.flat, "--arch", ARCH)
        self.succeed("mercer-train", "--train", self.flat, "--image", "8x10x2", "--arch", ARCH, "--bias-std", "0.3", "--steps", "1",
                     "--out", self.path("F.h5"))
        for name, value in parameters(self.path("F.h5")).items():
            np.testing.assert_array_equal(value, shaped[name])

    def test_what_does_not_fit_is_refused_at_its_token(self):
        train = ("mercer-train", "--train", self.train, "--arch")
        refused = {"conv(9,3,pad=valid) relu flatten dense(2)": "'conv(9,3,pad=valid)' at character 1",
                   "conv(3,3) relu avgpool(4) flatten dense(2)": "'avgpool(4)'",
                   "conv(2,3) relu flatten dense(2)": "'conv(2,3)'",
                   "conv(3) relu flatten dense(2)": "width",
                   "conv(3,4) res(relu conv(3,5)) relu flatten dense(2)": "res(",
                   "conv(3,4) relu flatten conv(3,4) relu flatten dense(2)": "conv(3,4)",
                   "gap conv(3,4) relu flatten dense(2)": "gap",
                   "conv(3,4) relu flatten dense(3)": "3 units"}
        for arch, words in refused.items():
            with self.subTest(arch):
                for ranks in (1, 3):
                    self.refuse([words], *train, arch, ranks=ranks)
        for image in ("8x10x3", "900000x900000x900000"):
            self.refuse(["rows.npy", "160 numbers", f"--image is {image}"], "mercer-train", "--train", self.flat, "--image", image, "--arch", ARCH)
            self.refuse(["rows.npy", "160 numbers", f"--image is {image}"], "mercer-kernel", "--data", f"npy:{self.rows}", "--image", image,
                        "--arch", ARCH, "--out", self.path("K.h5"))
        self.weights("--steps", "0", ranks=1)
        empirical = ("mercer-kernel", "--data", f"npy:{self.images}", "--out", self.path("K.h5"), "--kernel", "empirical", "--parameters",
                     self.path("T.h5"))
        self.refuse(["output 2", "0 ... 1"], *empirical, "--output", "2")
        self.refuse(["--full", "--output"], *empirical, "--output", "1", "--full")
        for way in ("none", "empirical"):
            self.refuse(["--state", "--precondition kernel"], *train, ARCH, "--precondition", way, "--state", "single")
        self.refuse(["--image", "10x8x2", "8x10x2"], *empirical, "--image", "10x8x2")
        self.refuse(["--output", "empirical"], "mercer-kernel", "--data", f"npy:{self.images}", "--out", self.path("K.h5"), "--arch",
                    "conv(3) relu flatten dense", "--output", "0")

    def test_a_model_with_an_empirical_kernel_knows_the_shape(self):
        self.weights("--steps", "0", ranks=1)
        self.succeed("mercer-krr", "--train", self.train, "--kernel", "empirical", "--parameters", self.path("T.h5"), "--ridge", "1e-3", "--out",
                     self.path("R.h5"))
        other = self.npy("other.npy", np.load(self.images).reshape(60, 10, 8, 2))
        self.refuse(["other.npy", "10x8x2", "8x10x2"], "mercer-krr", "--model", self.path("R.h5"), "--test", f"npy:{other}")
        self.succeed("mercer-krr", "--model", self.path("R.h5"), "--test", f"npy:{self.images}", "--out", self.path("P.h5"))

    def test_a_network_that_does_not_fit_is_refused_before_it_is_made(self):
        for arch in ("conv(3,100000) relu conv(3,100000) relu gap dense(2)", "conv(65535,60000) relu gap dense(2)"):
            for ranks in (1, 3):
                self.refuse(["parameters", "--memory-limit", "1.00 GiB"], "mercer-train", "--train", self.train, "--arch", arch, "--memory-limit",
                            "1G", ranks=ranks, code=3)

    def test_the_time_of_preparing_images_is_a_phase(self):
        record = self.record("mercer-kernel", "--data", f"npy:{self.images}", "--arch", ARCH, "--out", self.path("K.h5"))
        self.assertGreater(record["phases"]["prepare"]["min"], 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
