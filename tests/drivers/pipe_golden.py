"""mercer-kernel against the 200-bit reference kernels: fully connected, residual and convolutional."""

import os
import unittest

import h5py
import numpy as np

from support import GOLDEN, PipeTest, needs, read

needs(GOLDEN, "MERCER_GOLDEN_DIR")

FAMILIES = ["fc_relu", "fc_erf", "fc_rect", "fc_activations", "fc_residual", "fc_edge", "cntk", "cnn_general"]


def token(group):
    name = group.attrs["activation"]
    name = name.decode() if isinstance(name, bytes) else str(name)
    count = int(group.attrs.get("n_activation_params", 0))
    parameters = np.atleast_1d(group.attrs.get("activation_params", []))[:count]
    return name + (f"({','.join(repr(float(p)) for p in parameters)})" if count else "")


def architecture(group):
    """The case's layers in Mercer's grammar, from its numbers."""
    text = lambda name: value.decode() if isinstance(value := group.attrs[name], bytes) else str(value)
    if "arch" in group.attrs:
        return text("arch")
    if "conv_layers" in group.attrs:
        conv = "conv(3,pad=circular) relu" if text("padding") == "CIRCULAR" else "conv(3) relu"
        return " ".join([*[conv] * int(group.attrs["conv_layers"]), text("readout"), "dense"])
    activation = token(group)
    if "residual_blocks" in group.attrs:
        block = f"res({activation} dense)"
        return " ".join(["dense", *[block] * int(group.attrs["residual_blocks"]), activation, "dense"])
    return " ".join([f"dense {activation}"] * int(group.attrs["hidden_layers"]) + ["dense"])


class Golden(PipeTest):
    def kernel(self, kind, group, *data, more=(), **options):
        out = self.path("k.h5")
        self.succeed("mercer-kernel", *data, "--kernel", kind, "--arch", architecture(group),
                     "--weight-std", repr(float(group.attrs["W_std"])),
                     "--bias-std", repr(float(group.attrs["b_std"])), "--out", out, *more, **options)
        return read(out, "/kernel")

    def test_images_in_single_precision_to_1e6(self):
        """cntk.h5 without pools: a few units of float's rounding for each layer, of angles too."""
        with h5py.File(os.path.join(GOLDEN, "cntk.h5"), "r") as file:
            for case in ("conv3_flatten", "conv3_gap"):
                exact = file[case]["ntk_exact"][()]
                K = self.kernel("ntk", file[case], "--data", "npy:" + self.npy("x.npy", file[case]["X1"][()]),
                                more=("--state", "single", "--check"))
                scale = np.sqrt(np.outer(np.diag(exact), np.diag(exact)))
                error = np.abs(K - exact) / scale
                self.assertLessEqual(error.max(), 1e-6, case)
                self.assertGreater(error.max(), 1e-10, case)

    def compare(self, family, limit):
        """Every entry of every case, relative to sqrt(T_ii T_jj) of its two rows."""
        compared = 0
        with h5py.File(os.path.join(GOLDEN, family + ".h5"), "r") as file:
            for case, group in file.items():
                x = ["--data", "npy:" + self.npy("x.npy", group["X1"][()])]
                shape = group["X1"].shape
                if len(shape) == 3:  # signals, which their file does not tell from images of one channel
                    x += ["--image", f"{shape[1]}x{shape[2]}"]
                for kind in ("ntk", "nngp"):
                    exact = group[kind + "_exact"][()]
                    if "X2" in group:
                        z = self.npy("z.npy", group["X2"][()])
                        K = self.kernel(kind, group, *x, "--data2", "npy:" + z)
                        rows = np.diag(self.kernel(kind, group, *x, ranks=0))
                        columns = np.diag(self.kernel(kind, group, "--data", "npy:" + z, ranks=0))
                    else:
                        K = self.kernel(kind, group, *x)
                        rows = columns = np.diag(exact)
                    self.assertEqual(K.shape, exact.shape)
                    scale = np.sqrt(np.outer(rows, columns))
                    error = np.abs(K - exact)
                    ok = error <= limit * scale
                    bad = np.argwhere(~ok)
                    self.assertEqual(len(bad), 0, f"{family}/{case} {kind}: " + "; ".join(
                        f"{error[i, j]:.2e} at ({i}, {j}), allowed {limit * scale[i, j]:.2e}" for i, j in bad[:5]))
                    compared += K.size
        return compared

    def test_families_to_1e12_and_edge_cases_to_1e12(self):
        for family in FAMILIES:
            with self.subTest(family):
                self.assertGreater(self.compare(family, 1e-12), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
