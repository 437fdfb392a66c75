"""--kernel empirical: weight files that h5py alone wrote, against reference values and NumPy, and what is refused."""

import os
import unittest

import h5py
import numpy as np

from support import GOLDEN, PipeTest, read, run

ROOT2 = float(np.sqrt(2.0))


def network(rng, widths):
    """N(0, 1) weights (W, b) of each layer."""
    return [(rng.standard_normal((a, b)), rng.standard_normal(b)) for a, b in zip(widths, widths[1:])]


def forward(layers, x, weight_std, bias_std):
    """The inputs of every layer and the outputs, relu between."""
    inputs = []
    for l, (W, b) in enumerate(layers):
        h = x if l == 0 else np.maximum(z, 0)
        inputs.append(h)
        z = weight_std / np.sqrt(W.shape[0]) * h @ W + bias_std * b
    return inputs, z


def jacobian(layers, x, weight_std, bias_std):
    """n x c x p, row by row: slow and plain."""
    inputs, f = forward(layers, x, weight_std, bias_std)
    J = []
    for i in range(len(x)):
        rows = []
        for a in range(f.shape[1]):
            signal, parts = np.eye(f.shape[1])[a], []
            for l in reversed(range(len(layers))):
                W, _ = layers[l]
                scale = weight_std / np.sqrt(W.shape[0])
                parts.append(np.concatenate([scale * np.outer(inputs[l][i], signal).ravel(), bias_std * signal]))
                signal = scale * W @ signal * (inputs[l][i] > 0)
            rows.append(np.concatenate(parts[::-1]))
        J.append(rows)
    return np.array(J)


class Empirical(PipeTest):
    def weights(self, name, layers, at="/parameters", architecture=None, **attributes):
        """A weight file by h5py alone."""
        text = " relu ".join(f"dense({W.shape[1]})" for W, _ in layers) if architecture is None else architecture
        with h5py.File(self.path(name), "w") as file:
            for l, (W, b) in enumerate(layers):
                file[f"/parameters/layer{l}/W"] = W
                file[f"/parameters/layer{l}/b"] = b
            if text:
                file[at].attrs["architecture"] = text
            for key, value in attributes.items():
                file[at].attrs[key] = value
        return self.path(name)

    def kernel(self, weights, *more, **options):
        out = self.path("k.h5")
        self.succeed("mercer-kernel", "--kernel", "empirical", "--parameters", weights, "--out", out, *more, **options)
        return out

    @unittest.skipUnless(GOLDEN, "MERCER_GOLDEN_DIR is not set")
    def test_reference_networks_trace_full_and_outputs(self):
        compared = 0
        with h5py.File(os.path.join(GOLDEN, "empirical_mlp.h5"), "r") as golden:
            for case, group in golden.items():
                layers = [(group[f"W{l}"][()], group[f"b{l}"][()]) for l in range(1, 10) if f"W{l}" in group]
                # As other programs write them: attributes at the root, of fixed-length text and float32.
                scales = {"weight_std": float(group.attrs["W_std"]), "bias_std": float(group.attrs["b_std"])}
                w = self.weights("w.h5", layers, at="/" if case.endswith("1") else "/parameters", **scales)
                x = "npy:" + self.npy("x.npy", group["X"][()])
                trace, full, f = group["ntk_trace"][()], group["ntk_full"][()], group["f"][()]
                n, c = f.shape
                for ranks in (1, 3):
                    out = self.kernel(w, "--data", x, "--check", ranks=ranks)
                    K = read(out, "/kernel")
                    scale = np.sqrt(np.outer(np.diag(trace), np.diag(trace)))
                    self.assertTrue(np.all(np.abs(K - trace) <= 1e-12 * scale), case)
                    self.assertTrue(np.all(np.abs(read(out, "/outputs") - f) <= 1e-12), case)
                    compared += K.size
                out = self.kernel(w, "--data", x, "--full")
                K = read(out, "/kernel")
                exact = full.transpose(0, 2, 1, 3).reshape(n * c, n * c)
                scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
                self.assertTrue(np.all(np.abs(K - exact) <= 1e-12 * scale), case)
                with h5py.File(out, "r") as file:
                    self.assertIn(f"i*{c} + a", file["/kernel"].attrs["rows"])
                    self.assertTrue(file.attrs["kernel"].startswith("empirical(dense("))
                compared += K.size
        self.assertEqual(compared, 2 * 2 * 64 + 64 + 576)

    def test_cross_kernels_are_products_of_jacobians(self):
        rng = np.random.default_rng(1)
        layers = network(rng, [3, 20, 15, 2])
        w = self.weights("w.h5", layers, bias_std=0.25)
        x, z = rng.standard_normal((9, 3)), rng.standard_normal((5, 3))
        data = ["--data", "npy:" + self.npy("x.npy", x), "--data2", "npy:" + self.npy("z.npy", z)]
        J, L = jacobian(layers, x, ROOT2, 0.25), jacobian(layers, z, ROOT2, 0.25)
        out = self.kernel(w, *data)
        exact = np.einsum("iap,jap->ij", J, L) / 2
        self.assertTrue(np.all(np.abs(read(out, "/kernel") - exact) <= 1e-12 * np.abs(exact).max()))
        for name, rows in (("/outputs", x), ("/outputs2", z)):
            f = forward(layers, rows, ROOT2, 0.25)[1]
            self.assertEqual(read(out, name).shape, f.shape)
            self.assertTrue(np.all(np.abs(read(out, name) - f) <= 1e-12))
        full = read(self.kernel(w, *data, "--full"), "/kernel")
        exact = J.reshape(18, -1) @ L.reshape(10, -1).T
        self.assertTrue(np.all(np.abs(full - exact) <= 1e-12 * np.abs(exact).max()))

    def test_a_dense_network_with_its_own_arch_and_depth(self):
        rng = np.random.default_rng(2)
        w = self.weights("w.h5", network(rng, [2, 6, 1]), parametrization="standard")
        same = ["--data", "circle:n=20,freq=1"]
        K = read(self.kernel(w, *same), "/kernel")
        for more in (["--arch", "dense(6) relu dense(1)"], ["--arch", "dense relu dense"], ["--depth", 1]):
            self.assertTrue(np.array_equal(read(self.kernel(w, *same, *more), "/kernel"), K))

    def test_spectrum_and_ridge_regression_end_to_end(self):
        rng = np.random.default_rng(3)
        layers = network(rng, [2, 400, 1])
        w = self.weights("w.h5", layers, bias_std=0.5)
        empirical = ["--kernel", "empirical", "--parameters", w]
        circle = "circle:n=60,freq=3,grid"
        K = read(self.kernel(w, "--data", circle), "/kernel")
        self.succeed("mercer-spectrum", "--data", circle, *empirical, "--out", self.path("s.h5"))
        values = np.linalg.eigvalsh(K / 60)[::-1]
        self.assertTrue(np.all(np.abs(read(self.path("s.h5"), "/eigenvalues") - values) <= 1e-13 * values[0]))

        train, test = rng.standard_normal((60, 2)), rng.standard_normal((17, 2))
        y = np.sin(train[:, :1])
        spec = f"npy:{self.npy('x.npy', train)},{self.npy('y.npy', y)}"
        new = f"npy:{self.npy('z.npy', test)},{self.npy('t.npy', np.sin(test[:, :1]))}"
        out = self.path("r.h5")
        record = self.record("mercer-krr", "--train", spec, "--test", new, *empirical, "--ridge", "1e-3", "--out", out)
        self.assertLess(record["result"]["rmse"], 0.5)
        J, L = jacobian(layers, train, ROOT2, 0.5)[:, 0], jacobian(layers, test, ROOT2, 0.5)[:, 0]
        f = L @ J.T / 60 @ np.linalg.solve(J @ J.T / 60 + 1e-3 * np.eye(60), y)
        self.assertTrue(np.all(np.abs(read(out, "/predictions") - f) <= 1e-9 * np.abs(f).max()))
        self.succeed("mercer-krr", "--model", out, "--test", new, "--out", self.path("again.h5"))
        self.assertTrue(np.allclose(read(self.path("again.h5"), "/predictions"), f, rtol=0, atol=1e-9))
        # Other weights under the same name are none of its business: it has its own.
        self.weights("w.h5", network(rng, [2, 400, 1]), bias_std=0.5)
        self.succeed("mercer-krr", "--model", out, "--test", new, "--out", self.path("alone.h5"))
        np.testing.assert_array_equal(read(self.path("alone.h5"), "/predictions"), read(self.path("again.h5"), "/predictions"))

    def refuse_weights(self, words, weights, *more):
        self.refuse(words, "mercer-kernel", "--data", "circle:n=20,freq=1", "--kernel", "empirical",
                    "--parameters", weights, *more)

    def test_every_driver_that_takes_a_kernel_refuses_weights_of_other_inputs(self):
        w = self.weights("w.h5", network(np.random.default_rng(6), [3, 4, 1]))
        for driver, *data in (("mercer-spectrum", "--data", "circle:n=20,freq=1"),
                              ("mercer-krr", "--train", "circle:n=20,freq=1", "--test", "circle:n=5,freq=1",
                               "--ridge", 1),
                              ("mercer-kernel", "--data", "circle:n=20,freq=1")):
            with self.subTest(driver):
                self.refuse(["3 inputs", "2 columns"], driver, *data, "--kernel", "empirical", "--parameters", w)

    def test_weight_files_that_cannot_be_used(self):
        rng = np.random.default_rng(4)
        layers = network(rng, [2, 4, 1])
        with self.subTest("missing"):
            self.refuse_weights(["none.h5"], "none.h5")
        with self.subTest("no hdf5"):
            with open(self.path("text.h5"), "w") as file:
                file.write("weights")
            self.refuse_weights(["text.h5"], self.path("text.h5"))
        with self.subTest("no parameters"):
            with h5py.File(self.path("empty.h5"), "w") as file:
                file.attrs["architecture"] = "dense(4) relu dense(1)"
            self.refuse_weights(["empty.h5", "/parameters"], self.path("empty.h5"))
        with self.subTest("no architecture"):
            self.refuse_weights(["a.h5", "architecture"], self.weights("a.h5", layers, architecture=""))
        with self.subTest("shape"):
            self.refuse_weights(["s.h5", "layer0/W", "2 x 4", "2 x 5"],
                                self.weights("s.h5", layers, architecture="dense(5) relu dense(1)"))
        with self.subTest("bias shape"):
            odd = [layers[0], (layers[1][0], np.zeros((1, 1)))]
            self.refuse_weights(["b.h5", "layer1/b", "1 x 1"], self.weights("b.h5", odd))
        with self.subTest("layer missing"):
            self.refuse_weights(["l.h5", "layer2/W"],
                                self.weights("l.h5", layers, architecture="dense(4) relu dense(1) relu dense(1)"))
        with self.subTest("nan"):
            bad = [(layers[0][0].copy(), layers[0][1]), layers[1]]
            bad[0][0][1, 2] = np.nan
            self.refuse_weights(["n.h5", "layer0/W", "nan"], self.weights("n.h5", bad))
        with self.subTest("text for numbers"):
            with h5py.File(self.path("t.h5"), "w") as file:
                file["/parameters/layer0/W"] = np.array([b"one", b"two"])
                file["/parameters"].attrs["architecture"] = "dense(1)"
            self.refuse_weights(["t.h5", "layer0/W"], self.path("t.h5"))

    def test_options_that_contradict_the_weights(self):
        w = self.weights("w.h5", network(np.random.default_rng(5), [2, 4, 1]), weight_std=1.5, bias_std=0.25)
        self.refuse_weights(["--arch", "dense(5)", "dense(4)"], w, "--arch", "dense(5) relu dense(1)")
        self.refuse_weights(["--depth"], w, "--depth", 2)
        self.refuse_weights(["--weight-std"], w, "--weight-std", 1)
        self.refuse_weights(["--bias-std"], w, "--bias-std", 0.5)
        data = ["--data", "circle:n=20,freq=1"]
        self.refuse(["--parameters"], "mercer-kernel", *data, "--kernel", "empirical")
        self.refuse(["--parameters", "--kernel empirical"], "mercer-kernel", *data, "--parameters", w)
        self.refuse(["--full"], "mercer-kernel", *data, "--full")

    def test_help_says_how(self):
        text = run("mercer-kernel", "--help", ranks=1).out
        for word in ("empirical", "--parameters", "layer0/W", "--full", "architecture"):
            self.assertIn(word, text)


if __name__ == "__main__":
    unittest.main()
