"""Modified spectrum kernels end to end: a k that cuts an eigenspace, and leave-one-out against refitting."""

import gzip
import itertools
import json
import os
import unittest

import numpy as np
import scipy.linalg

import reference
from support import DATA, PipeTest, read

MAPS = {  # g(l, lk, l1), and is it continuous at lambda_k?
    "flat": (lambda l, lk, l1: lk + 0 * l, True),
    "power:0.5": (lambda l, lk, l1: np.sqrt(l * lk), True),
    "0.5*(l+lk)": (lambda l, lk, l1: (l + lk) / 2, True),
    "l1": (lambda l, lk, l1: l1 + 0 * l, False),
    "sqrt(l*l1)": (lambda l, lk, l1: np.sqrt(l * l1), False),
    "flat:3": (lambda l, lk, l1: 3 * lk + 0 * l, False),
    "inverse": (lambda l, lk, l1: 1 + 0 * l, False),
}


def modified(K, k, g):
    """Eigenvectors of K = k/n, g of the spectrum, g/lambda: g on the top k, modes below 1e-13 lambda_1 left out."""
    w, V = scipy.linalg.eigh(K)
    w, V = w[::-1], V[:, ::-1]
    kept = w > 1e-13 * w[0]
    last = w[kept][-1] if k == len(w) or not kept[k] else w[k]
    values = np.where(kept & (np.arange(len(w)) < k), MAPS[g][0](w, last, w[0]), w)
    return V, values, np.where(kept, values / np.where(kept, w, 1), 1)


def predictions(K, cross, Y, k, g, gamma):
    """k_x^T S (K S + gamma I)^-1 Y."""
    V, values, ratio = modified(K, k, g)
    return cross @ (V @ ((ratio / (values + gamma))[:, None] * (V.T @ Y)))


def relative(A, B):
    return np.abs(A - B).max() / np.abs(B).max()


class CutEigenspaces(PipeTest):
    WAYS = [("--nb", "8"), ("--nb", "16", "--solver", "lapack"), ("--solver", "elpa1"), ("--solver", "elpa2"),
            ("--solver", "scalapack", "--nb", "4"), ("--solver", "krylov"), ("--solver", "cg", "--cg-tol", "1e-12")]

    def cases(self):
        """name: X, Z, kernel options, g, k that is asked for, k at the end of the eigenspace."""
        r = np.random.default_rng(1)
        angles = 2 * np.pi * np.arange(64) / 64
        circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
        vertices = np.array(list(itertools.product([-1, 1], repeat=5)))
        sphere = np.vstack([np.eye(5), -np.eye(5), vertices / np.sqrt(5)])
        away = r.normal(size=(30, 5))
        ntk = ("--depth", "2", "--bias-std", "1")
        lines = r.normal(size=(50, 3))
        return {
            "circle": (circle, circle[:7] + 0.1, ntk, "l1", 20, 21),
            "5-sphere": (sphere, away, ntk, "inverse", 4, 6),
            "5-sphere, further down": (sphere, away, ntk, "flat:3", 10, 16),
            "duplicated rows": (np.vstack([sphere, sphere]), away, ntk, "l1", 3, 6),
            "K = I": (lines, lines, ("--kernel", "gaussian", "--bandwidth", "1e-3"), "inverse", 5, 50),
        }

    def matrix(self, X, Z, kernel):
        """[k(x_i, z_j)]/n: what follows from it is computed here anew."""
        out = self.path("K.h5")
        self.succeed("mercer-kernel", "--data", f"npy:{self.npy('A.npy', X)}", "--data2", f"npy:{self.npy('B.npy', Z)}",
                     *kernel, "--out", out, ranks=1)
        return read(out, "/kernel") / len(Z)

    def test_the_same_predictions_for_every_solver_block_size_and_number_of_ranks(self):
        for name, (X, Z, kernel, g, asked, k) in self.cases().items():
            n = len(X)
            Y = np.sin(3 * X[:, :1]) + np.random.default_rng(2).normal(size=(n, 1))
            train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
            test = f"npy:{self.npy('Z.npy', Z)},{self.npy('T.npy', Z[:, 0])}"
            K, cross = self.matrix(X, X, kernel), self.matrix(Z, X, kernel)
            gamma = 1e-2 * np.trace(K) / n
            expected = predictions(K, cross, Y, k, g, gamma)
            for ranks, way in zip(itertools.cycle((2, 1, 3)), self.WAYS):
                with self.subTest(case=name, way=way, ranks=ranks):
                    out = self.path("R.h5")
                    log = self.succeed("mercer-krr", "--train", train, "--test", test, *kernel, "--ridge", gamma,
                                       "--top", asked, "--g", g, *way, "--out", out, ranks=ranks).out
                    self.assertIn(f"extended to k = {k},", log)
                    self.assertIn(f"on the top {k} of {n} eigenvalues", log)
                    self.assertLessEqual(relative(read(out, "/predictions"), expected), 1e-9)
            # k at the end, or one that is continuous, is taken as it is.
            for top, map_ in ((k, g), (asked, "flat"), (asked, "power:0.5")):
                log = self.succeed("mercer-krr", "--train", train, "--test", test, *kernel, "--ridge", gamma,
                                   "--top", top, "--g", map_, ranks=0).out
                self.assertNotIn("extended", log)

    def test_all_ridges_and_chosen_ones_take_the_extended_k(self):
        X, Z, kernel, g, asked, k = self.cases()["circle"]
        n, Y = len(X), np.sin(3 * X[:, :1]) + np.random.default_rng(2).normal(size=(len(X), 1))
        train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
        test = f"npy:{self.npy('Z.npy', Z)},{self.npy('T.npy', Z[:, 0])}"
        K, cross = self.matrix(X, X, kernel), self.matrix(Z, X, kernel)
        for ridges in ("1e-3,1e-2", "loo", "gcv"):
            out = self.path("R.h5")
            log = self.succeed("mercer-krr", "--train", train, "--test", test, *kernel, "--ridge", ridges, "--top",
                               asked, "--g", g, "--out", out).out
            self.assertIn(f"extended to k = {k},", log)
            gamma = read(out, "/ridge")[0]
            self.assertLessEqual(
                relative(read(out, "/predictions"), predictions(K, cross, Y, k, g, gamma)), 1e-9)

    def test_transductive_predictions_take_it_too(self):
        angles = 2 * np.pi * np.arange(60) / 60
        P = np.stack([np.cos(angles), np.sin(angles)], axis=1)  # every third row is tested
        rows = np.arange(60) % 3 != 0
        X, Z, Y = P[rows], P[~rows], np.sin(5 * angles[rows])[:, None]
        train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
        test = f"npy:{self.npy('Z.npy', Z)},{self.npy('T.npy', np.sin(5 * angles[~rows]))}"
        n, N, gamma = len(X), 60, 1e-3
        all_rows = np.vstack([X, Z])
        K = self.matrix(all_rows, all_rows, ("--depth", "1", "--bias-std", "1"))
        V, values, _ = modified(K, 11, "l1")
        Kg = (V * values) @ V.T
        expected = Kg[n:, :n] @ np.linalg.solve(Kg[:n, :n] + gamma * n / N * np.eye(n), Y)
        for ranks, way in ((1, ("--nb", "16")), (2, ("--nb", "4")), (3, ("--solver", "lapack")),
                           (2, ("--solver", "krylov"))):
            out = self.path("R.h5")
            log = self.succeed("mercer-krr", "--train", train, "--test", test, "--depth", "1", "--bias-std", "1",
                               "--ridge", gamma, "--top", 10, "--g", "l1", "--predict", "transductive", *way,
                               "--out", out, ranks=ranks).out
            self.assertIn("extended to k = 11,", log)
            self.assertLessEqual(relative(read(out, "/predictions"), expected), 1e-9)

    def test_training_takes_it_too(self):
        losses = []
        for ranks, nb in ((1, 16), (2, 4), (3, 5)):
            out = self.path("T.h5")
            log = self.succeed("mercer-train", "--train", "circle:n=48,freq=3,grid", "--arch",
                               "dense(64) relu dense(1)", "--bias-std", "1", "--top", 6, "--g", "flat:0.5", "--steps",
                               20, "--nb", nb, "--out", out, ranks=ranks).out
            self.assertIn("extended to k = 7,", log)
            losses.append(read(out, "/loss_train"))
        for loss in losses[1:]:
            np.testing.assert_allclose(loss, losses[0], rtol=1e-9)

    def test_stored_pairs_that_end_within_the_eigenspace_are_refused_with_a_k_that_does(self):
        data = ("circle:n=64,freq=5,grid", "--depth", "1", "--bias-std", "1")
        stored = self.path("S.h5")
        self.succeed("mercer-spectrum", "--data", *data, "--top", 20, "--out", stored)
        fit = ("mercer-krr", "--train", *data, "--ridge-relative", "1e-2", "--spectrum", stored, "--g", "l1", "--top")
        for solver in ("auto", "cg"):
            self.refuse(["--top 20", "eigenspace", "--top 19 would do", "S.h5"], *fit, 20, "--solver", solver)
            log = self.succeed(*fit, 19, "--solver", solver).out
            self.assertIn("on the top 19 of 64", log)
            self.assertIn("extended to k = 19,", self.succeed(*fit, 18, "--solver", solver).out)
        train = ("mercer-train", "--train", *data[:1], "--arch", "dense(8) relu dense(1)", "--bias-std", "1", "--steps",
                 "1", "--spectrum", stored, "--g", "l1", "--top")
        self.refuse(["--top 20", "--top 19 would do"], *train, 20)
        self.succeed(*train, 19)

    def test_conjugate_gradients_refuse_an_eigenspace_without_end(self):
        r = np.random.default_rng(3)
        train = f"npy:{self.npy('X.npy', r.normal(size=(200, 3)))},{self.npy('Y.npy', r.normal(size=200))}"
        self.refuse(["--top 2", "--top 200 would do"], "mercer-krr", "--train", train, "--kernel", "gaussian",
                    "--bandwidth", "1e-3", "--ridge", "1e-3", "--top", 2, "--g", "inverse", "--solver", "cg")

    def test_a_g_of_the_index_has_one_value_on_an_eigenspace(self):
        found = []
        for ranks, way in ((1, ()), (2, ("--nb", "4")), (3, ("--solver", "lapack"))):
            out = self.path("R.h5")
            log = self.succeed("mercer-krr", "--train", "circle:n=64,freq=5,grid", "--test", "circle:n=40,freq=5",
                               "--depth", "1", "--bias-std", "1", "--ridge-relative", "1e-2", "--top", 9, "--g",
                               "l/i", *way, "--out", out, ranks=ranks).out
            self.assertIn("their mean is taken", log)
            found.append(read(out, "/predictions"))
        for values in found[1:]:
            self.assertLessEqual(relative(values, found[0]), 1e-9)


class LeaveOneOut(PipeTest):
    """Against refitting: K of the other n - 1 rows over n - 1, its own eigenpairs, the same k and g, and the ridge
    gamma n/(n - 1)."""

    KS = (5, 20, 60)
    RIDGES = (1e-2, 1e-1)  # times trace(K)/n

    def sets(self):
        r = np.random.default_rng(3)
        X = r.normal(size=(200, 4))
        yield "synthetic", X, np.sin(2 * X[:, :1]) + 0.5 * X[:, 1:2] ** 2 + 0.3 * r.normal(size=(200, 1))
        if not DATA:
            print("skipped: MERCER_DATA_DIR is not set")
            return
        for name in ("housing", "yacht"):
            with gzip.open(os.path.join(DATA, "uci", name, "data.csv.gz"), "rt") as file:
                A = np.loadtxt(file, delimiter=",")
            A = A[np.random.default_rng(0).permutation(len(A))[:220]]
            A = (A - A.mean(0)) / A.std(0)
            yield name, A[:, :-1], A[:, -1:]
        X, Y, *_ = reference.mnist(DATA, 200)
        yield "mnist", X, Y

    def refitted(self, kernel, Y, cases):
        """{(k, g, gamma): rmse}."""
        n = len(kernel)
        errors = {case: np.zeros_like(Y) for case in cases}
        for i in range(n):
            rest = np.arange(n) != i
            w, V = scipy.linalg.eigh(kernel[np.ix_(rest, rest)] / (n - 1))
            w, V = w[::-1], V[:, ::-1]
            kept = w > 1e-13 * w[0]
            VY, at = V.T @ Y[rest], kernel[i, rest] / (n - 1) @ V
            for k, g, gamma in cases:
                values = np.where(kept & (np.arange(n - 1) < k), MAPS[g][0](w, w[k], w[0]), w)
                ratio = np.where(kept, values / np.where(kept, w, 1), 1)
                errors[k, g, gamma][i] = Y[i] - (at * ratio / (values + gamma * n / (n - 1))) @ VY
        return {case: np.sqrt(np.mean(e**2)) for case, e in errors.items()}

    def test_it_is_that_of_refitting_and_ranks_k_and_g_alike(self):
        sets = compared = 0
        for name, X, Y in self.sets():
            sets += 1
            train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
            kernel = reference.relu_ntk(X, X, 1, bias_variance=0.25)
            n = len(X)
            ridges = [G * np.trace(kernel) / n**2 for G in self.RIDGES]
            maps = [g for g in MAPS if g != "inverse"]
            cases = [(k, g, gamma) for k in self.KS for g in maps for gamma in ridges]
            refitted, estimated = self.refitted(kernel, Y, cases), {}
            for k, g in itertools.product(self.KS, maps):
                out = self.path("R.h5")
                self.succeed("mercer-krr", "--train", train, "--depth", 1, "--bias-std", 0.5, "--ridge",
                             ",".join(f"{r:.17g}" for r in ridges), "--top", k, "--g", g, "--out", out, ranks=0)
                for gamma, rmse in zip(ridges, read(out, "/path/loo_rmse")):
                    estimated[k, g, gamma] = rmse
            for (k, g, gamma), exact in refitted.items():
                off = estimated[k, g, gamma] / exact - 1
                print(f"{name:10} k {k:3} g {g:11} G {gamma * n**2 / np.trace(kernel):.2f} refitted {exact:.6f} "
                      f"estimated {estimated[k, g, gamma]:.6f} {100 * off:+.2f} %")
                with self.subTest(set=name, k=k, g=g, gamma=gamma):
                    self.assertLessEqual(abs(off), 0.02 if MAPS[g][1] else 0.12)
            for gamma in ridges:
                of = [case for case in cases if case[2] == gamma]
                # Pairs that differ by more than the errors allowed above.
                margin = lambda a, b: 1.04 if MAPS[a[1]][1] and MAPS[b[1]][1] else 1.12
                pairs = [(a, b) for a in of for b in of if refitted[a] < refitted[b] / margin(a, b)]
                compared += len(pairs)
                for a, b in pairs:
                    with self.subTest(set=name, better=a, worse=b):
                        self.assertLess(estimated[a], estimated[b])
                best = min(of, key=estimated.get)
                self.assertLessEqual(refitted[best], 1.12 * min(refitted[case] for case in of))
        self.assertGreater(compared, 50 * sets)
        self.assertEqual(sets, 4 if DATA else 1)

    def test_at_identity_it_is_refitting_to_rounding(self):
        r = np.random.default_rng(4)
        X, Y = r.normal(size=(90, 3)), r.normal(size=(90, 2))
        train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
        kernel = reference.relu_ntk(X, X, 1, bias_variance=0.25)
        ridges = [1e-3, 1e-2]
        for options in ((), ("--top", 30, "--g", "identity"), ("--top", 30, "--g", "l")):
            out = self.path("R.h5")
            self.succeed("mercer-krr", "--train", train, "--depth", 1, "--bias-std", 0.5, "--ridge", "1e-3,1e-2",
                         *options, "--out", out)
            np.testing.assert_allclose(read(out, "/path/loo_rmse"),
                                       [reference.leave_one_out_rmse(kernel, Y, g) for g in ridges], rtol=1e-9)

    def test_conjugate_gradients_estimate_the_same(self):
        r = np.random.default_rng(5)
        X = r.normal(size=(150, 3))
        Y = np.sin(2 * X[:, :1]) + 0.3 * r.normal(size=(150, 1))
        train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', Y)}"
        fit = ("mercer-krr", "--train", train, "--depth", 1, "--bias-std", 0.5, "--ridge-relative", "1e-2,1e-1",
               "--top", 40)
        for g in ("flat", "l1", "inverse"):
            direct, iterative = self.path("D.h5"), self.path("I.h5")
            self.succeed(*fit, "--g", g, "--out", direct)
            exact = read(direct, "/path/loo_rmse")
            for preconditioner in ("eigenpairs", "cholesky"):
                self.succeed(*fit, "--g", g, "--solver", "cg", "--preconditioner", preconditioner, "--out", iterative)
                found, error = read(iterative, "/search/score"), read(iterative, "/search/error")
                for value, uncertain, right in zip(found, error, exact):
                    self.assertLessEqual(abs(value - right), 4 * uncertain + 1e-6 * right, (g, preconditioner))
                    self.assertLessEqual(uncertain, 0.15 * right)

    def test_the_search_spans_the_scale_of_k_g(self):
        # g = 1 on all modes: trace(K_g)/n = 1, while trace(K)/n is about 1/n.
        r = np.random.default_rng(6)
        X = r.normal(size=(80, 3))
        train = f"npy:{self.npy('X.npy', X)},{self.npy('Y.npy', r.normal(size=80))}"
        result = self.record("mercer-krr", "--train", train, "--depth", 1, "--bias-std", 0.5, "--ridge", "loo",
                             "--top", 80, "--g", "inverse", "--quiet")["result"]
        self.assertGreater(result["ridge"], 5)  # targets of noise take the upper end, 10


class Edges(PipeTest):
    def test_a_ridge_at_the_lower_end_is_told_with_one_range(self):
        # Without noise leave-one-out falls down to ridges among which rounding alone tells.
        x = np.linspace(0, 1, 60)[:, None]
        train = f"npy:{self.npy('X.npy', x)},{self.npy('Y.npy', np.sin(3 * x[:, 0]))}"
        fit = ("mercer-krr", "--train", train, "--kernel", "gaussian", "--bandwidth", "0.5")
        for score in ("loo", "gcv"):
            record = self.path("R.json")
            log = self.succeed(*fit, "--ridge", score, "--json", record).out
            line = [l for l in log.splitlines() if l.startswith("edge")]
            self.assertEqual(len(line), 1, log)
            with open(record, encoding="utf-8") as file:
                result = json.load(file)["result"]
            self.assertEqual(result["ridge_edge"], "lower")
            least, most = result["ridge_searched"]
            self.assertLess(least, most)
            self.assertIn(f"{least:.2e}", line[0])
            if result["ridge"] > 1.01 * least:
                self.assertIn("same score to rounding", line[0])
                self.assertIn(f"to {result['ridge']:.2e}", line[0])
                self.assertNotIn("the ridge is at", line[0])
            else:
                self.assertIn("lower end", line[0])

    def test_the_record_says_what_the_scores_estimate(self):
        r = np.random.default_rng(7)
        train = f"npy:{self.npy('X.npy', r.normal(size=(50, 2)))},{self.npy('Y.npy', r.normal(size=50))}"
        fit = ("mercer-krr", "--train", train, "--depth", "1", "--bias-std", "1", "--ridge", "1e-2,1e-1", "--quiet")
        plain = self.record(*fit)["result"]
        self.assertTrue(plain["loo_exact"])
        self.assertNotIn("score_estimates", plain)
        modified = self.record(*fit, "--top", 10, "--g", "flat")["result"]
        self.assertFalse(modified["loo_exact"])
        self.assertEqual(modified["top"], 10)
        for word in ("estimates", "S of all rows", "gcv", "fixed matrix K_g"):
            self.assertIn(word, modified["score_estimates"])


class BeforeAnyWork(PipeTest):
    def test_g_is_parsed_before_the_data_are_read(self):
        for g, words in (("flatt", ["flatt"]), ("power:x", ["power:x"]), ("sqrt(l*", ["sqrt(l*"]),
                         ("table:none.csv", ["none.csv"])):
            self.refuse(words, "mercer-krr", "--train", "npy:missing.npy,y.npy", "--ridge", "1", "--g", g, ranks=0)
            self.refuse(words, "mercer-train", "--train", "npy:missing.npy,y.npy", "--arch", "dense(4) relu dense(1)",
                        "--g", g, ranks=0)

    def test_more_pairs_than_are_stored_are_refused(self):
        data = ("circle:n=40,freq=3", "--depth", "1", "--bias-std", "1")
        stored = self.path("S.h5")
        self.succeed("mercer-spectrum", "--data", *data, "--top", 12, "--out", stored)
        for options in ((), ("--solver", "lapack"), ("--solver", "cg")):
            self.refuse(["--top 13", "S.h5", "12 eigenpairs"], "mercer-krr", "--train", *data, "--ridge", "1e-2",
                        "--spectrum", stored, "--top", 13, "--g", "flat", *options)
            self.succeed("mercer-krr", "--train", *data, "--ridge", "1e-2", "--spectrum", stored, "--top", 12, "--g",
                         "flat", *options)


if __name__ == "__main__":
    unittest.main(verbosity=2)
