"""Weights go both ways between Mercer and PyTorch, by the lines of drivers/FILES.md: trained here and evaluated there,
made there and evaluated here. Where PyTorch cannot be imported, its Linear layers are those of NumPy alone."""

import os
import re
import unittest

import h5py
import numpy as np

from support import PipeTest, read

try:
    import torch
except ImportError:
    torch = None

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "drivers", "FILES.md")
D, WIDTHS = 4, (24, 16, 2)
ARCH = "dense(24) relu dense(16) relu dense(2)"
RNG = np.random.default_rng(21)
X, Z = RNG.normal(size=(40, D)) + [1, 0, -2, 0], 2 * RNG.normal(size=(15, D))
TARGETS = {len(A): np.c_[np.sin(A @ [1, 2, 0.5, 0]), 3 + A[:, 0] * A[:, 1]] for A in (X, Z)}
U = 2.0**-53
HOW = [(init, p) for init in ("antisymmetric", "gaussian") for p in ("ntk", "standard")]


def page_lines(heading):
    """What the Python lines below a heading of the page define."""
    with open(PAGE, encoding="utf-8") as file:
        section = file.read().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    variables = {}
    exec(re.search(r"```python\n(.*?)```", section, re.S).group(1), variables)  # pylint: disable=exec-used
    return variables


def by_numpy(layers, h):
    """Linear layers (weight, bias) with relu between them."""
    for l, (weight, bias) in enumerate(layers):
        h = (h if l == 0 else np.maximum(h, 0)) @ weight.T + bias
    return h


def network_of(layers):
    """The same in PyTorch, in double."""
    parts = []
    for weight, bias in layers:
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0]).double()
        linear.weight.data, linear.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
        parts += [linear, torch.nn.ReLU()]
    return torch.nn.Sequential(*parts[:-1])


def by_torch(layers, h):
    with torch.no_grad():
        return network_of(layers)(torch.from_numpy(h)).numpy()


EVALUATE = [by_numpy] + ([by_torch] if torch else [])


def bound(layers, h):
    """On the rounding errors of two evaluations at h, each of whose sums has at most fan_in + 2 terms: 2 N u times the
    same with absolute values, N the sum of all (terms + scaling and relative errors of h itself, prepared by either)."""
    terms = 4 * D + 20 + sum(weight.shape[1] + 4 for weight, _ in layers)
    h = np.abs(h)
    for weight, bias in layers:
        h = h @ np.abs(weight).T + np.abs(bias)
    return 2 * terms * U * h


def draw():
    """(weight, bias) of each layer, as PyTorch makes them, or alike."""
    layers = []
    for fan_in, fan_out in zip((D, *WIDTHS), WIDTHS):
        if torch:
            linear = torch.nn.Linear(fan_in, fan_out).double()
            layers.append((linear.weight.detach().numpy().copy(), linear.bias.detach().numpy().copy()))
        else:
            limit = fan_in**-0.5
            layers.append((RNG.uniform(-limit, limit, (fan_out, fan_in)), RNG.uniform(-limit, limit, fan_out)))
    return layers


class Trip(PipeTest):
    @classmethod
    def setUpClass(cls):
        if torch:
            torch.manual_seed(3)

    def setUp(self):
        super().setUp()
        self.exchange, self.prepare = page_lines("PyTorch"), page_lines("Prepare rows")
        x, y, self.z, yz = (self.npy(name, A) for name, A in (("x.npy", X), ("y.npy", TARGETS[40]), ("z.npy", Z), ("yz.npy", TARGETS[15])))
        self.train, self.test = f"npy:{x},{y}", f"npy:{self.z},{yz}"

    def trained(self, *more):
        out = self.path("T.h5")
        self.succeed("mercer-train", "--train", self.train, "--test", self.test, "--arch", ARCH, "--bias-std", "0.5", "--steps", "25",
                     *more, "--out", out)
        return out

    def predicted(self, model, rows=None, **options):
        out = self.path("P.h5")
        self.succeed("mercer-train", "--model", model, "--test", rows or f"npy:{self.z}", "--out", out, **options)
        return read(out, "/predictions")

    def layers(self, file, group="parameters"):
        return [self.exchange["layer"](file, l, group) for l in range(len(WIDTHS))]

    def agree(self, f, g, limit):
        """To the error bound, which is far below 1e-6 of the largest output."""
        self.assertEqual(f.shape, g.shape)
        self.assertTrue(np.all(limit <= 1e-10 * np.abs(g).max()), limit.max() / np.abs(g).max())
        self.assertTrue(np.all(np.abs(f - g) <= limit), (np.abs(f - g) / limit).max())

    def test_a_network_trained_here_has_the_same_outputs_there(self):
        compared = 0
        for (init, parametrization), prepared in ((how, prepared) for how in HOW for prepared in ((), ("--standardize", "--unit-norm"))):
            path = self.trained("--init", init, "--parametrization", parametrization, *prepared)
            with h5py.File(path) as T, self.subTest(init=init, parametrization=parametrization, prepared=prepared):
                h, layers = self.prepare["prepared"](Z, T), self.layers(T)
                self.assertEqual("mirror" in T["parameters"], init == "antisymmetric")
                for evaluate in EVALUATE:
                    f, limit = evaluate(layers, h), bound(layers, h)
                    if "mirror" in T["parameters"]:
                        mirror = self.layers(T, "parameters/mirror")
                        f = (f - evaluate(mirror, h)) / np.sqrt(2)
                        limit = limit + bound(mirror, h)
                    f = self.prepare["in_target_units"](f, T)
                    if prepared:
                        s, m = T["preparation/target_deviation"][()], T["preparation/target_mean"][()]
                        limit = limit * s + 4 * U * (np.abs(f) + np.abs(m))
                    self.agree(f, T["predictions"][()], limit)
                    compared += 1
        self.assertEqual(compared, 8 * len(EVALUATE))

    def test_a_network_made_there_has_the_same_outputs_here(self):
        layers, w = draw(), self.path("W.h5")
        self.exchange["write_weights"](w, layers, ARCH)
        for evaluate in EVALUATE:
            f = evaluate(layers, Z)
            for ranks in (1, 2, 3):
                with self.subTest(evaluate=evaluate.__name__, ranks=ranks):
                    self.agree(self.predicted(w, ranks=ranks), f, bound(layers, Z))
        said = self.succeed("mercer-train", "--model", w, "--test", self.test).out
        self.assertIn(f"{w} states no preparation of inputs: new rows are taken as they are", said)
        result = self.record("mercer-train", "--model", w, "--test", self.test)["result"]
        error = by_numpy(layers, Z) - TARGETS[15]
        self.assertAlmostEqual(result["rmse"], np.sqrt(np.mean(error**2)), delta=1e-13)
        self.succeed("mercer-kernel", "--data", f"npy:{self.z}", "--kernel", "empirical", "--parameters", w, "--out", self.path("K.h5"))
        self.agree(read(self.path("K.h5"), "/outputs"), by_numpy(layers, Z), bound(layers, Z))

    def test_it_may_be_written_in_the_ntk_parametrisation_and_with_a_mirror(self):
        copies, w, sw, sb = (draw(), draw()), self.path("W.h5"), 1.3, 0.7
        with h5py.File(w, "w") as file:
            for group, layers in zip(("parameters", "parameters/mirror"), copies):
                for l, (weight, bias) in enumerate(layers):
                    file[f"{group}/layer{l}/W"] = weight.T * np.sqrt(weight.shape[1]) / sw
                    file[f"{group}/layer{l}/b"] = bias / sb
            file["parameters"].attrs.update(architecture=ARCH, weight_std=sw, bias_std=sb, parametrization="ntk", start="antisymmetric")
        for evaluate in EVALUATE:
            f = (evaluate(copies[0], Z) - evaluate(copies[1], Z)) / np.sqrt(2)
            self.agree(self.predicted(w), f, bound(copies[0], Z) + bound(copies[1], Z))

    def test_biases_that_have_no_effect_are_pointed_out(self):
        layers, w = draw(), self.path("W.h5")
        self.exchange["write_weights"](w, layers, ARCH)
        with h5py.File(w, "a") as file:
            del file["parameters"].attrs["parametrization"]  # then it is ntk, with bias_std 0
        said = self.succeed("mercer-train", "--model", w, "--test", f"npy:{self.z}").out
        self.assertIn("bias_std is 0: its biases have no effect", said)

    def test_there_and_back_again(self):
        for init, parametrization in HOW:
            path, w = self.trained("--init", init, "--parametrization", parametrization), self.path("W.h5")
            with h5py.File(path) as T, self.subTest(init=init, parametrization=parametrization):
                copies = [self.layers(T)] + ([self.layers(T, "parameters/mirror")] if init == "antisymmetric" else [])
                f, limit = 0, 0
                for layers, sign in zip(copies, (1, -1)):
                    if torch:
                        state = network_of(layers).state_dict()
                        layers = [(state[f"{2 * l}.weight"].numpy(), state[f"{2 * l}.bias"].numpy()) for l in range(len(WIDTHS))]
                    self.exchange["write_weights"](w, layers, ARCH)
                    scale = np.sqrt(len(copies))
                    f, limit = f + sign * self.predicted(w) / scale, limit + bound(layers, Z)
                self.agree(f, T["predictions"][()], limit)

    def test_training_goes_on_from_weights_made_there(self):
        layers, w, out = draw(), self.path("W.h5"), self.path("T.h5")
        self.exchange["write_weights"](w, layers, ARCH)
        run = self.succeed("mercer-train", "--train", self.train, "--arch", ARCH, "--parametrization", "standard", "--init", "gaussian",
                           "--init-parameters", w, "--steps", "0", "--out", out)
        self.assertNotIn("--init-parameters", run.err)  # it states no preparation: no warning
        loss = np.mean((by_numpy(layers, X) - TARGETS[40]) ** 2)
        self.assertAlmostEqual(read(out, "/loss_train")[0], loss, delta=1e-12 * loss)


IMAGE, KERNELS = (6, 7, 2), ((3, 3, 2, 5), (2, 3, 5, 4))  # images H, W, C; filters f1, f2, C, C_out
CONV = "conv(3,5) relu avgpool(2x1) conv(2x3,4,pad=valid,stride=2) relu flatten dense(6) relu dense(2)"
FLAT = (1, 3)  # pixels before flatten


def convolution(h, weight, bias, stride, pad):
    """n x C x H x W images and C_out x C x f1 x f2 filters, by NumPy."""
    h = np.pad(h, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(h, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
    return np.einsum("nchwij,ocij->nohw", windows, weight) + bias[None, :, None, None]


def images_by_numpy(layers, h):
    h = np.maximum(convolution(h, *layers[0], 1, 1), 0)
    h = (h[:, :, ::2] + h[:, :, 1::2]) / 2
    h = np.maximum(convolution(h, *layers[1], 2, 0), 0)
    return by_numpy(layers[2:], h.reshape(len(h), -1))


def images_by_torch(layers, h):
    nn = torch.nn
    parts = [nn.Conv2d(2, 5, 3, padding=1), nn.ReLU(), nn.AvgPool2d((2, 1)), nn.Conv2d(5, 4, (2, 3), stride=2), nn.ReLU(), nn.Flatten(),
             nn.Linear(12, 6), nn.ReLU(), nn.Linear(6, 2)]
    for part, (weight, bias) in zip((part for part in parts if hasattr(part, "weight")), layers):
        part.weight.data, part.bias.data = torch.from_numpy(weight.copy()), torch.from_numpy(bias.copy())
    with torch.no_grad():
        return nn.Sequential(*parts).double()(torch.from_numpy(h)).numpy()


class Images(PipeTest):
    """The same with convolutions: PyTorch's images are n x C x H x W."""

    def setUp(self):
        super().setUp()
        self.exchange = page_lines("PyTorch")
        self.images = RNG.normal(size=(20, IMAGE[2], *IMAGE[:2]))
        rows = self.images.transpose(0, 2, 3, 1)
        self.rows = self.npy("rows.npy", rows.reshape(20, -1))
        self.shaped = self.npy("shaped.npy", rows)
        self.targets = self.npy("targets.npy", RNG.normal(size=(20, 2)))

    def agree(self, layers, f):
        """Sums of at most 50 terms in four layers, of size 1 or so: far below 1e-12."""
        for evaluate in [images_by_numpy] + ([images_by_torch] if torch else []):
            g = evaluate(layers, self.images)
            self.assertEqual(f.shape, g.shape)
            self.assertTrue(np.all(np.abs(f - g) <= 1e-12 * np.abs(g).max()), np.abs(f - g).max())

    def test_a_network_trained_here_has_the_same_outputs_there(self):
        for init, parametrization in HOW:
            out = self.path("T.h5")
            with self.subTest(init=init, parametrization=parametrization):
                self.succeed("mercer-train", "--train", f"npy:{self.shaped},{self.targets}", "--test", f"npy:{self.shaped},{self.targets}",
                             "--arch", CONV, "--bias-std", "0.5", "--init", init, "--parametrization", parametrization, "--steps", "20",
                             "--out", out)
                with h5py.File(out) as T:
                    self.assertEqual(T["parameters"].attrs["image"], "6x7x2")
                    copies = [[self.exchange["layer"](T, l, group) for l in range(4)]
                              for group in ("parameters", "parameters/mirror")[:1 + ("mirror" in T["parameters"])]]
                    f = T["predictions"][()]
                for layers in copies:
                    weight, bias = layers[2]
                    layers[2] = self.exchange["to_chw"](weight, *FLAT), bias
                if len(copies) == 1:
                    self.agree(copies[0], f)
                else:
                    one, two = (images_by_numpy(layers, self.images) for layers in copies)
                    g = (one - two) / np.sqrt(2)
                    self.assertTrue(np.all(np.abs(f - g) <= 1e-12 * np.abs(one).max()), np.abs(f - g).max())

    def test_a_network_made_there_has_the_same_outputs_here(self):
        layers = [(RNG.normal(size=(c_out, c, f1, f2)) / np.sqrt(f1 * f2 * c), RNG.normal(size=c_out)) for f1, f2, c, c_out in KERNELS]
        layers += [(RNG.normal(size=(6, 12)) / 3, RNG.normal(size=6)), (RNG.normal(size=(2, 6)) / 2, RNG.normal(size=2))]
        here = list(layers)
        here[2] = self.exchange["to_hwc"](layers[2][0], *FLAT), layers[2][1]
        np.testing.assert_array_equal(self.exchange["to_chw"](here[2][0], *FLAT), layers[2][0])
        w, out = self.path("W.h5"), self.path("P.h5")
        self.exchange["write_weights"](w, here, CONV, image="6x7x2")
        for ranks in (1, 2, 3):
            self.succeed("mercer-train", "--model", w, "--test", f"npy:{self.rows}", "--out", out, ranks=ranks)
            self.agree(layers, read(out, "/predictions"))
        self.refuse(["--image 7x6x2", "6x7x2"], "mercer-train", "--model", w, "--image", "7x6x2", "--test", f"npy:{self.rows}", "--out", out)
        self.exchange["write_weights"](self.path("V.h5"), here, CONV)  # no shape
        self.refuse(["image"], "mercer-train", "--model", self.path("V.h5"), "--test", f"npy:{self.rows}", "--out", out)
        self.succeed("mercer-train", "--model", self.path("V.h5"), "--image", "6x7x2", "--test", f"npy:{self.rows}", "--out", out)
        self.agree(layers, read(out, "/predictions"))
        self.succeed("mercer-kernel", "--data", f"npy:{self.shaped}", "--kernel", "empirical", "--parameters", w, "--out", self.path("K.h5"))
        self.agree(layers, read(self.path("K.h5"), "/outputs"))


if __name__ == "__main__":
    print("PyTorch " + torch.__version__ if torch else "without PyTorch: NumPy takes its place")
    unittest.main(verbosity=2)
