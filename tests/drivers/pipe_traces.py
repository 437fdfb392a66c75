"""mercer-train --eigenfunctions and --track: every number against the same descent in NumPy; resumed runs; what is refused."""

import csv
import unittest

import h5py
import numpy as np

from reference import relu_ntk
from support import PipeTest, read

RNG = np.random.default_rng(23)
N, M, D, WIDTH, OUTPUTS, STEPS, RATE, TOP, BIAS = 24, 40, 3, 16, 2, 12, 0.02, 5, 0.3
X, Y = RNG.normal(size=(N, D)), RNG.normal(size=(N, OUTPUTS))
Z, F = RNG.normal(size=(M, D)), RNG.normal(size=(M, OUTPUTS))
WIDTHS = [D, WIDTH, OUTPUTS]
W0 = [(RNG.standard_normal((a, b)), RNG.standard_normal(b)) for a, b in zip(WIDTHS, WIDTHS[1:])]
EXACT = 1e-9  # both sides in double; what is compared is of order 1 and passes through some hundred sums


def flat(layers):
    return np.concatenate([part for W, b in layers for part in (W.ravel(), b)])


def layers_of(w):
    result, at = [], 0
    for a, b in zip(WIDTHS, WIDTHS[1:]):
        result.append((w[at:at + a * b].reshape(a, b), w[at + a * b:at + a * b + b]))
        at += a * b + b
    return result


def outputs_and_jacobian(w, x):
    """Of one hidden layer of relu in the NTK parametrisation: n x c and n x c x p."""
    (W, b), (V, a) = layers_of(w)
    s, t = np.sqrt(2 / D), np.sqrt(2 / WIDTH)
    z = s * x @ W + BIAS * b
    h = np.maximum(z, 0)
    J = []
    for i in range(len(x)):
        rows = []
        for k in range(OUTPUTS):
            back = t * V[:, k] * (z[i] > 0)
            readout = np.zeros((WIDTH, OUTPUTS))
            readout[:, k] = t * h[i]
            rows.append(np.concatenate([(s * np.outer(x[i], back)).ravel(), BIAS * back, readout.ravel(), BIAS * np.eye(OUTPUTS)[k]]))
        J.append(rows)
    return t * h @ V + BIAS * a, np.array(J)


class Descent:
    """Gradient descent in NumPy, with what Mercer records of it."""

    def __init__(self, preconditioned):
        K = relu_ntk(X, X, 1, bias_variance=BIAS**2) / N
        np.fill_diagonal(K, (4 * (X**2).sum(1) / D + 3 * BIAS**2) / N)  # where arccos(1 - rounding) is off by 1e-8
        values, V = np.linalg.eigh(K)
        self.values, self.V = values[::-1], V[:, ::-1]
        ratio = np.ones(N)
        if preconditioned:
            ratio[:TOP] = self.values[TOP] / self.values[:TOP]
        self.S = self.V @ np.diag(ratio) @ self.V.T
        self.rates = self.values * ratio
        self.K_inf = K
        self.phi = relu_ntk(Z, X, 1, bias_variance=BIAS**2) @ self.V[:, :9] / (np.sqrt(N) * self.values[:9])
        w = flat(W0)
        self.w, self.records = [w], []
        for step in range(STEPS + 1):
            f, J = outputs_and_jacobian(w, X)
            self.records.append(self.record(w, J, f - Y, step))
            w = w - RATE * np.tensordot(J, self.S @ (f - Y), axes=([0, 1], [0, 1]))
            self.w.append(w)

    def record(self, w, J, r, step):
        K = np.einsum("iap,jap->ij", J, J) / (OUTPUTS * N)
        if step == 0:
            self.K_0 = K
        full = J.reshape(N * OUTPUTS, -1)
        eigenvalues = np.linalg.eigvalsh(full @ full.T / N)
        r_t = outputs_and_jacobian(w, Z)[0] - F
        if step == 0:
            self.r_0 = r_t
        a, a_0 = self.phi.T @ r_t / M, self.phi.T @ self.r_0 / M
        inverse = np.linalg.inv(self.phi.T @ self.phi / M)
        b, b_0 = inverse @ a, inverse @ a_0
        decay = (1 - RATE * N * self.rates[:9]) ** step
        off = r_t - self.r_0 + self.phi @ ((1 - decay)[:, None] * b_0)
        return {"frobenius": np.linalg.norm(K - self.K_0), "operator": np.linalg.norm(K - self.K_0, 2),
                "S": np.linalg.norm((K - self.K_0) @ self.S), "minimum": eigenvalues[0], "maximum": eigenvalues[-1],
                "alignment": np.sum(K * (Y @ Y.T)) / np.linalg.norm(K) / np.linalg.norm(Y @ Y.T),
                "path": sum(np.linalg.norm(y - x) for x, y in zip(self.w, self.w[1:])),
                "projection": np.linalg.norm(a, axis=1), "predicted": np.abs(decay) * np.linalg.norm(a_0, axis=1),
                "flow": np.exp(-self.rates[:9] * N * RATE * step) * np.linalg.norm(a_0, axis=1),
                "deviation": np.cumsum(np.sum((b - decay[:, None] * b_0) ** 2, axis=1)), "whole": np.sum(off**2) / M,
                "loss": np.mean(r**2), "factor": np.abs(1 - decay) / self.rates[:9]}

    def column(self, name):
        return np.array([record[name] for record in self.records])


class Traces(PipeTest):
    def job(self, *more):
        with h5py.File(self.path("w.h5"), "w") as file:
            for l, (W, b) in enumerate(W0):
                file[f"/parameters/layer{l}/W"], file[f"/parameters/layer{l}/b"] = W, b
            attributes = {"architecture": f"dense({WIDTH}) relu dense({OUTPUTS})", "weight_std": np.sqrt(2), "bias_std": BIAS}
            for name, value in attributes.items():
                file["/parameters"].attrs[name] = value
        names = [self.npy(name, array) for name, array in (("x.npy", X), ("y.npy", Y), ("z.npy", Z), ("f.npy", F))]
        return ("--train", f"npy:{names[0]},{names[1]}", "--test", f"npy:{names[2]},{names[3]}", "--depth", "1", "--width", str(WIDTH),
                "--bias-std", str(BIAS), "--init", "gaussian", "--init-parameters", self.path("w.h5"), "--lr", str(RATE), "--steps", str(STEPS),
                "--record-every", "1", "--solver", "scalapack", *more)

    def close(self, measured, exact, what, tolerance=EXACT):
        scale = max(1e-3, np.abs(exact).max())
        self.assertTrue(np.abs(measured - exact).max() <= tolerance * scale, (what, measured, exact))

    def test_every_number_is_that_of_the_same_descent_in_numpy(self):
        for preconditioned, ranks in ((False, 1), (False, 3), (True, 2)):
            with self.subTest(preconditioned=preconditioned, ranks=ranks):
                out, table = self.path("t.h5"), self.path("t.csv")
                more = ("--precondition", "kernel", "--top", str(TOP)) if preconditioned else ()
                self.succeed("mercer-train", *self.job(*more), "--eigenfunctions", "1-9", "--track", "kernel,minimum,path,alignment",
                             "--out", out, "--csv", table, ranks=ranks)
                exact = Descent(preconditioned)
                self.compare(out, exact, preconditioned)
                self.compare_csv(table, exact)

    def compare(self, out, exact, preconditioned):
        for name, column in (("kernel_frobenius", "frobenius"), ("kernel_S", "S"), ("minimum", "minimum"), ("maximum", "maximum"),
                             ("alignment", "alignment"), ("path", "path")):
            self.close(read(out, "/track/" + name), exact.column(column), name)
        # Lanczos' norm is from below, and ends where it no longer changes.
        self.close(read(out, "/track/kernel_operator"), exact.column("operator"), "operator", 1e-4)
        for name, column in (("test_projection", "projection"), ("predicted", "predicted"), ("predicted_flow", "flow"),
                             ("deviation", "deviation"), ("whole", "whole")):
            self.close(read(out, "/eigenfunctions/" + name), exact.column(column), name, 1e-8)
        inverse = np.linalg.inv(exact.phi.T @ exact.phi / M)  # up to the signs of the functions
        self.close(np.abs(read(out, "/eigenfunctions/inverse_gram")), np.abs(inverse), "inverse_gram", 1e-8)
        factors = np.maximum.accumulate(exact.column("factor"), axis=1)
        epsilon = (exact.column("deviation")[1:] / factors[1:] ** 2).max()
        with h5py.File(out, "r") as file:
            self.close(file["/eigenfunctions"].attrs["epsilon"], epsilon, "epsilon", 1e-7)
            theory = file["/eigenfunctions"].attrs
            self.close(theory["target"], np.linalg.norm(exact.r_0, axis=1).max(), "target")
            self.assertEqual(bool(np.isnan(theory["theorem"])), preconditioned)  # it is for S = I
            track = file["/track"].attrs
            self.close(track["distance_frobenius"], np.linalg.norm(exact.K_0 - exact.K_inf), "distance")
            self.close(track["distance_operator"], np.linalg.norm(exact.K_0 - exact.K_inf, 2), "distance", 1e-4)
            self.close(track["limit_minimum"], exact.values[-1], "lambda_min")
            self.assertEqual("loss_bound" in file["/track"], not preconditioned)
        self.close(read(out, "/eigenfunctions/bound"), factors**2 * epsilon, "bound", 1e-7)
        if not preconditioned:
            low = exact.column("minimum")
            integral = np.concatenate([[0], np.cumsum(np.minimum(low[1:], low[:-1]).clip(0) * RATE)])
            self.close(read(out, "/track/loss_bound"), exact.records[0]["loss"] * np.exp(-2 * N * integral), "bound")

    def compare_csv(self, table, exact):
        with open(table, encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual(len(rows), STEPS + 1)
        self.close(np.array([float(row["projection_3"]) for row in rows]), exact.column("projection")[:, 2], "csv")
        self.close(np.array([float(row["kernel_frobenius"]) for row in rows]), exact.column("frobenius"), "csv")
        self.close(np.array([float(row["time"]) for row in rows]), RATE * np.arange(STEPS + 1), "csv")

    def test_spaces_are_summed_and_equal_eigenvalues_become_one(self):
        out, exact = self.path("t.h5"), Descent(False)
        self.succeed("mercer-train", *self.job(), "--eigenfunctions", "2,4+5+6", "--directions", "1", "--out", out)
        a = exact.column("projection")
        self.close(read(out, "/eigenfunctions/test_projection"), np.stack([a[:, 1], np.linalg.norm(a[:, 3:6], axis=1)], 1), "spaces")
        self.assertEqual(read(out, "/eigenfunctions/index").tolist(), [2, 4, 5, 6])
        self.assertEqual(read(out, "/eigenfunctions/space").tolist(), [1, 2, 2, 2])
        self.assertEqual(read(out, "/directions").tolist(), [1, 2, 4, 5, 6])
        # Equispaced points: 1, then pairs. 1-4 ends within one.
        self.succeed("mercer-train", "--train", "circle:n=32,freq=1,grid", "--test", "circle:n=50,freq=1", "--depth", "1", "--width", "32",
                     "--bias-std", "1", "--steps", "2", "--eigenfunctions", "1-4", "--out", out)
        self.assertEqual(read(out, "/eigenfunctions/space").tolist(), [1, 2, 2, 3, 3])

    def test_a_resumed_run_records_the_same(self):
        whole, half, checkpoint = self.path("whole.h5"), self.path("half.h5"), self.path("c.h5")
        more = ("--eigenfunctions", "1-4", "--track", "kernel,minimum,path,alignment")
        self.succeed("mercer-train", *self.job(*more), "--out", whole)
        first = [*self.job(*more)]
        first[first.index("--steps") + 1] = "5"
        self.succeed("mercer-train", *first, "--checkpoint", checkpoint, "--checkpoint-every", "5")
        self.succeed("mercer-train", *self.job(*more), "--checkpoint", checkpoint, "--resume", "--out", half)
        with h5py.File(whole, "r") as one, h5py.File(half, "r") as other:
            for folder in ("/track", "/eigenfunctions"):
                self.assertEqual(sorted(one[folder]), sorted(other[folder]))
                for name in one[folder]:
                    self.assertTrue(np.array_equal(one[folder][name][()], other[folder][name][()], equal_nan=True), name)

    def test_bad_input_is_one_line(self):
        job = self.job()
        without_test = [word for i, word in enumerate(job) if "--test" not in (word, job[i - 1])]
        self.refuse(["--eigenfunctions", "--test"], "mercer-train", *without_test, "--eigenfunctions", "1-3")
        self.refuse(["--eigenfunctions", "25", "24"], "mercer-train", *job, "--eigenfunctions", "1-25")
        for text in ("0", "1-", "a", "3-2", "1,1", "2,1", "1+3", "-1", "1e3", ""):
            self.refuse(["--eigenfunctions"], "mercer-train", *self.job()[:-2], "--eigenfunctions=" + text)
        self.refuse(["--eigenfunctions", "block"], "mercer-train", *job, "--eigenfunctions", "1", "--batch", "8", "--stochastic", "block")
        few = [self.npy(name, rows) for name, rows in (("few_z.npy", np.repeat(Z[:4], 3, axis=0)), ("few_f.npy", np.repeat(F[:4], 3, axis=0)))]
        for rows, functions in ((12, 13), (12, 6)):  # too few; equal ones
            self.refuse(["--eigenfunctions", str(rows), str(functions)], "mercer-train", *job[:2], "--test", f"npy:{few[0]},{few[1]}", *job[4:],
                        "--eigenfunctions", f"1-{functions}")
        self.refuse(["--track", "energy"], "mercer-train", *job, "--track", "kernel,energy")
        self.refuse(["--track"], "mercer-train", *job, "--track", "")
        self.refuse(["--eigenfunctions", "targets"], "mercer-train", *job[:2], "--test", "npy:" + self.path("z.npy"), *job[4:],
                    "--eigenfunctions", "1")


if __name__ == "__main__":
    unittest.main()
