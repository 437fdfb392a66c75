"""Large n through the drivers, on small sets: block Krylov and conjugate gradients against the direct solvers,
every way of keeping K, memory limits, checkpoints, plans, bad input."""

import os
import signal
import subprocess
import time
import unittest

import h5py
import numpy as np

from support import BIN, MPIEXEC, PipeTest, read, run

SPHERE = ("--data", "sphere:n=600,d=6,degree=2", "--depth", "2")
TRAIN = ("--train", "sphere:n=600,d=6,degree=2", "--test", "sphere:n=90,d=6,degree=2", "--depth", "2")
K = 12


class Spectrum(PipeTest):
    def pairs(self, *arguments, **options):
        """Eigenvalues, vectors and the record."""
        out = self.path("s.h5")
        record = self.record("mercer-spectrum", *arguments, "--out", out, **options)
        return read(out, "/eigenvalues"), read(out, "/eigenvectors"), record

    def same_spaces(self, values, V, exact, W, tolerance):
        """Vectors of every cluster of eigenvalues span the same space."""
        begin = 0
        compared = 0
        for i in range(1, len(values) + 1):
            if i < len(values) and exact[i - 1] - exact[i] < 1e-4 * exact[0]:
                continue
            if i < len(values):  # the last cluster may be cut
                P = V[:, begin:i].T @ W[:, begin:i]
                self.assertLess(abs(np.abs(np.linalg.det(P)) - 1), tolerance, (begin, i))
                compared += i - begin
            begin = i
        self.assertGreaterEqual(compared, 1)

    def test_krylov_gives_the_pairs_of_a_direct_solver_whatever_is_kept_of_the_matrix(self):
        exact, W, _ = self.pairs(*SPHERE, "--top", K, "--solver", "elpa1")
        for storage, tolerance in (("double", 1e-10), ("none", 1e-10), ("single", 1e-7), ("mixed", 1e-7)):
            with self.subTest(storage):
                limit = ("--memory-limit", "1G")
                values, V, record = self.pairs(*SPHERE, "--top", K, "--solver", "krylov", "--storage", storage, *limit)
                self.assertEqual(record["method"], "krylov")
                self.assertEqual(V.shape, (600, K))
                self.assertLess(np.abs(values - exact).max(), tolerance * exact[0])
                self.same_spaces(values, V, exact, W, 1e-4)
                self.assertLess(np.abs(V.T @ V - np.eye(K)).max(), 1e-12)
                result = record["result"]
                self.assertEqual(result["storage"], storage)
                self.assertEqual(result["stored_share"], 0 if storage == "none" else 1)
                self.assertGreaterEqual(result["products"], K)
                self.assertLessEqual(record["residual"], 1e-10)
                self.assertLess(abs(result["eigenvalue_next"]), exact[-1] + tolerance)

    def test_krylov_is_checked_and_does_not_depend_on_the_ranks(self):
        one = self.pairs(*SPHERE, "--top", K, "--solver", "krylov", "--check", ranks=1)
        three = self.pairs(*SPHERE, "--top", K, "--solver", "krylov", "--check", "--tol", "1e-9", ranks=3)
        self.assertLess(np.abs(one[0] - three[0]).max(), 1e-10 * one[0][0])
        with h5py.File(self.path("s.h5")) as file:
            self.assertEqual(file["residuals"].attrs["measured"], "exact")
        single = self.pairs(*SPHERE, "--top", K, "--storage", "single", "--check")
        self.assertLess(single[2]["residual"], 1e-7)

    def test_krylov_of_a_stored_matrix_values_only_and_single_precision(self):
        kernel = self.path("k.h5")
        self.succeed("mercer-kernel", *SPHERE, "--out", kernel)
        exact = np.linalg.eigvalsh(read(kernel, "/kernel") / 600)[::-1][:K]
        values, V, record = self.pairs("--kernel", f"file:{kernel}", "--top", K, "--solver", "krylov", "--check")
        self.assertLess(np.abs(values - exact).max(), 1e-10 * exact[0])
        out = self.path("v.h5")
        self.succeed("mercer-spectrum", *SPHERE, "--top", K, "--solver", "krylov", "--values-only", "--out", out)
        self.assertLess(np.abs(read(out, "/eigenvalues") - exact).max(), 1e-10 * exact[0])
        with h5py.File(out) as file:
            self.assertNotIn("eigenvectors", file)
        values, V, record = self.pairs(*SPHERE, "--top", K, "--solver", "krylov", "--precision", "single")
        self.assertEqual(V.dtype, np.float32)
        self.assertEqual(record["result"]["storage"], "single")
        self.assertLess(np.abs(values - exact).max(), 1e-7 * exact[0])

    def test_a_start_from_earlier_vectors_takes_fewer_products_and_may_have_fewer_rows(self):
        data = ("--data", "gaussian:n=900,d=3", "--kernel", "gaussian", "--bandwidth", "0.7", "--top", 40,
                "--solver", "krylov")
        values, _, cold = self.pairs(*data)
        first = self.path("first.h5")
        self.succeed("mercer-spectrum", *data, "--out", first)
        again, _, warm = self.pairs(*data, "--start", first)
        self.assertLess(np.abs(values - again).max(), 1e-10 * values[0])
        self.assertLess(warm["result"]["products"], cold["result"]["products"])
        self.succeed("mercer-spectrum", *data, "--limit", 600, "--out", first)
        self.assertLess(np.abs(self.pairs(*data, "--start", first)[0] - values).max(), 1e-10 * values[0])

    def test_estimates_of_the_whole_spectrum(self):
        kernel, out = self.path("k.h5"), self.path("e.h5")
        self.succeed("mercer-kernel", *SPHERE, "--out", kernel)
        exact = np.linalg.eigvalsh(read(kernel, "/kernel") / 600)
        for solver in ("krylov", "elpa1"):
            record = self.record("mercer-spectrum", *SPHERE, "--top", 3, "--solver", solver, "--estimates", "1e-2",
                                 "--out", out)
            e = record["result"]["estimates"]
            gamma = 1e-2 * exact.sum() / 600
            self.assertAlmostEqual(e["trace"] / exact.sum(), 1, places=10)
            self.assertAlmostEqual(e["ridge"] / gamma, 1, places=10)
            for name, truth in (("statistical_dimension", np.sum(exact / (exact + gamma))),
                                ("log_determinant", np.sum(np.log(exact + gamma)))):
                self.assertLess(abs(e[name]["value"] - truth), 5 * e[name]["error"] + 1e-9 * abs(truth), name)
                self.assertLess(e[name]["error"], 0.1 * abs(truth), name)
            self.assertGreaterEqual(e["lambda_min_bound"], exact[0] - 1e-12)
            node, weight = read(out, "/density/node"), read(out, "/density/weight")
            self.assertAlmostEqual(weight.sum() / 600, 1, places=9)
            self.assertTrue(np.all(np.diff(node) >= 0))
            self.assertLess(abs((weight * node).sum() / exact.sum() - 1), 0.1)

    def test_a_cut_cluster_is_warned_of(self):
        result = self.succeed("mercer-spectrum", "--data", "circle:n=300,freq=1,grid", "--bias-std", "1", "--top", 2,
                              "--solver", "krylov")
        self.assertIn("cuts", result.err)

    def test_too_little_memory_is_refused_with_what_would_do(self):
        big = ("--data", "gaussian:n=6000,d=5", "--kernel", "gaussian", "--top", 10, "--solver", "krylov")
        # Only what fits is advised: of 80 MB in double and 40 MB in single, neither, then the latter.
        self.refuse(["double", "limit", "--storage mixed or none"], "mercer-spectrum", *big, "--storage", "double",
                    "--memory-limit", "80M", code=3)
        self.refuse(["double", "limit", "--storage single"], "mercer-spectrum", *big, "--storage", "double",
                    "--memory-limit", "100M", code=3)
        self.refuse(["limit"], "mercer-spectrum", *big, "--storage", "none", "--memory-limit", "20M", code=3)

    def test_memory_stays_below_the_limit(self):
        record = self.record("mercer-spectrum", "--data", "gaussian:n=6000,d=5", "--kernel", "gaussian", "--top", 4,
                             "--tol", "1e-6", "--solver", "krylov", "--memory-limit", "60M")
        self.assertEqual(record["result"]["storage"], "mixed")
        self.assertLess(record["peak_memory_bytes"], 60 * 2**20)
        self.assertGreater(record["result"]["stored_share"], 0.05)
        self.assertLess(record["result"]["stored_share"], 1)

    def test_plans(self):
        result = self.succeed("mercer-spectrum", "--data", "gaussian:n=20000,d=5", "--kernel", "gaussian", "--top", 50,
                              "--memory-limit", "1G", "--dry-run")
        for word in ("krylov", "eigensolve", "peak"):
            self.assertIn(word, result.out)
        result = self.succeed("mercer-krr", "--train", "gaussian:n=20000,d=5", "--test", "gaussian:n=2000,d=5",
                              "--kernel", "gaussian", "--ridge", "1e-3", "--memory-limit", "1G", "--dry-run")
        for word in ("cg", "precondition", "predict", "peak"):
            self.assertIn(word, result.out)
        self.assertEqual(os.listdir(self.directory), [])


class Checkpoints(PipeTest):
    """A run that is interrupted, or killed, goes on to the same bits."""

    JOBS = {
        "mercer-spectrum": ("--data", "gaussian:n=1500,d=12", "--kernel", "laplace", "--bandwidth", "3", "--top", "60",
                            "--storage", "none", "--block", "8", "--seed", "3"),
        "mercer-krr": ("--train", "gaussian:n=2000,d=8", "--kernel", "laplace", "--bandwidth", "3", "--solver", "cg",
                       "--ridge", "1e-2,1e-6", "--preconditioner", "none", "--storage", "none", "--seed", "3"),
    }
    RESULT = {"mercer-spectrum": ("/eigenvalues", "/eigenvectors"), "mercer-krr": ("/alpha",)}

    def interrupted(self, driver, job, checkpoint, with_signal):
        """Ends a run once its checkpoint is there. False where it was done before."""
        process = subprocess.Popen([MPIEXEC, "-n", "2", os.path.join(BIN, driver), *job],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        deadline = time.monotonic() + 120
        while not os.path.exists(checkpoint) and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if with_signal == signal.SIGKILL:
            ranks = subprocess.run(["pgrep", "-P", str(process.pid), driver], capture_output=True, text=True,
                                   check=False).stdout.split()
            if ranks:
                os.kill(int(ranks[-1]), signal.SIGKILL)
        else:
            process.send_signal(with_signal)
        code = process.wait(timeout=60)
        error = process.stderr.read()  # a few lines
        process.stderr.close()
        if code == 0:
            return False
        if with_signal == signal.SIGUSR1:
            self.assertEqual(code, 130, error)
            self.assertIn("--resume goes on", error)
        self.assertTrue(os.path.exists(checkpoint))
        return True

    def test_interrupted_and_killed_runs_go_on_to_the_same_values(self):
        for driver, job in self.JOBS.items():
            whole, out, checkpoint = self.path("whole.h5"), self.path("out.h5"), self.path("c.h5")
            self.succeed(driver, *job, "--out", whole)
            for with_signal in (signal.SIGUSR1, signal.SIGKILL):
                with self.subTest(driver=driver, signal=with_signal):
                    full = (*job, "--checkpoint", checkpoint, "--checkpoint-every", "1p", "--out", out)
                    if self.interrupted(driver, full, checkpoint, with_signal):
                        self.assertFalse(os.path.exists(out))
                        result = self.succeed(driver, *full, "--resume")
                        self.assertIn("resume", result.out)
                    for dataset in self.RESULT[driver]:
                        self.assertEqual(read(out, dataset).tobytes(), read(whole, dataset).tobytes(), dataset)
                    for left in (out, checkpoint):
                        if os.path.exists(left):
                            os.remove(left)

    def test_a_checkpoint_of_another_problem_is_refused(self):
        for driver, change in (("mercer-spectrum", {"--top": "20", "--block": "16", "--seed": "4", "--bandwidth": "2"}),
                               ("mercer-krr", {"--ridge": "0.1", "--preconditioner": "cholesky", "--seed": "4",
                                               "--kernel": "gaussian"})):
            checkpoint = self.path("c.h5")
            job = (*self.JOBS[driver], "--checkpoint", checkpoint)
            self.succeed(driver, *job, "--checkpoint-every", "1p", "--limit", "300", ranks=0)
            for option, value in change.items():
                with self.subTest(option):
                    words = list(job)
                    if option in words:
                        words[words.index(option) + 1] = value
                    else:
                        words += [option, value]
                    named = {"--seed": "hash", "--bandwidth": "kernel", "--kernel": "kernel"}.get(option, option)
                    self.refuse(["--resume", named, " there and "], driver, *words, "--limit", "300", "--resume", ranks=0)
            self.refuse(["--resume", "rows", "300", "299"], driver, *job, "--limit", "299", "--resume", ranks=0)
            self.refuse(["none.h5"], driver, *self.JOBS[driver], "--checkpoint", "none.h5", "--resume", ranks=0)
            with open(checkpoint, "r+b") as file:
                file.truncate(os.path.getsize(checkpoint) // 2)
            self.refuse(["c.h5"], driver, *job, "--limit", "300", "--resume", ranks=0)
            os.remove(checkpoint)

    def residual_of_ridge_regression(self, X, y, out):
        """|y - (K + gamma I) alpha|/|y| with the Laplace kernel of bandwidth 2, by NumPy."""
        distance = np.sqrt(np.maximum(((X[:, None] - X[None]) ** 2).sum(-1), 0))
        alpha, gamma = read(out, "/alpha")[:, 0], read(out, "/ridge")[0]
        return np.linalg.norm(y - np.exp(-distance / 2) @ alpha / len(X) - gamma * alpha) / np.linalg.norm(y)

    def begin_anew(self, checkpoint):
        if os.path.exists(checkpoint):
            os.remove(checkpoint)

    def test_conjugate_gradients_go_on_with_what_leaves_the_problem_the_same(self):
        rng = np.random.default_rng(8)
        X = rng.normal(size=(300, 5))
        y = np.sin(X[:, 0]) + X[:, 1]
        spec = f"{self.npy('x.npy', X)},{self.npy('y.npy', y)}"
        c, out = self.path("c.h5"), self.path("out.h5")
        job = ("--train", spec, "--kernel", "laplace", "--bandwidth", "2", "--solver", "cg", "--checkpoint", c,
               "--checkpoint-every", "1p", "--out", out)
        plain, sketch = ("--preconditioner", "none"), ("--preconditioner", "cholesky", "--rank", "20")
        for kind, ranks, first, more, said in (
                (plain, 1, "1e-3", ("--cg-tol", "1e-10"), ["ranks 2", "ranks 1", "--cg-tol 0.001", "--cg-tol 1e-10"]),
                (sketch, 3, "1e-3", ("--cg-tol", "1e-9", "--storage", "none"), ["ranks 2", "ranks 3", "--storage none"]),
                (sketch, 2, "1e-12", ("--cg-tol", "1e-4", "--max-iterations", "500"), ["--cg-tol 1e-12", "--max-iterations 500"]),
                (plain, 3, "1e-6", ("--cg-tol", "1e-9", "--storage", "double"), ["--storage single", "--storage double"]),
                (("--preconditioner", "eigenpairs", "--rank", "20"), 3, "1e-3", ("--cg-tol", "1e-9"), ["ranks 3"])):
            with self.subTest(kind=kind, ranks=ranks, more=more):
                self.begin_anew(c)
                storage = ("--storage", "single") if "double" in more else ()
                self.succeed("mercer-krr", *job, *kind, *storage, "--ridge", "1e-5", "--cg-tol", first)
                result = self.succeed("mercer-krr", *job, *kind, *more, "--ridge", "0.00001", "--resume", ranks=ranks)
                line = [text for text in result.out.splitlines() if text.startswith("resume")]
                self.assertEqual(len(line), 1)
                for word in ("was written with", "goes on with", *said):
                    self.assertIn(word, line[0])
                self.assertLessEqual(self.residual_of_ridge_regression(X, y, out), 1.001 * float(more[1]) + 1e-13)

    def test_eigenpairs_go_on_with_what_leaves_the_problem_the_same(self):
        rng = np.random.default_rng(9)
        X = rng.normal(size=(400, 6))
        spec, c, out = self.npy("x.npy", X), self.path("c.h5"), self.path("out.h5")
        distance = np.sqrt(np.maximum(((X[:, None] - X[None]) ** 2).sum(-1), 0))
        K = np.exp(-distance / 2) / 400
        exact = np.linalg.eigvalsh(K)[::-1][:12]
        job = ("--data", spec, "--kernel", "laplace", "--bandwidth", "2", "--top", "12", "--solver", "krylov", "--block", "4",
               "--checkpoint", c, "--checkpoint-every", "2p", "--out", out)
        for ranks, first, more, said in (
                (3, ("--tol", "1e-10"), ("--tol", "1e-10"), ["ranks 2", "ranks 3"]),
                (1, ("--tol", "1e-10"), ("--tol", "1e-4"), ["--tol 1e-10", "--tol 0.0001"]),
                (3, ("--tol", "1e-3"), ("--tol", "1e-11"), ["--tol 0.001", "--tol 1e-11"]),
                (2, ("--tol", "1e-6", "--storage", "single"), ("--tol", "1e-10", "--storage", "none"), ["--storage single"]),
                (2, ("--tol", "1e-10", "--storage", "none"), ("--tol", "1e-10", "--nb", "8", "--grid", "1x2"), ["--nb 8"])):
            with self.subTest(ranks=ranks, first=first, more=more):
                self.begin_anew(c)
                self.succeed("mercer-spectrum", *job, *first)
                result = self.succeed("mercer-spectrum", *job, *more, "--resume", ranks=ranks)
                line = [text for text in result.out.splitlines() if text.startswith("resume")]
                self.assertEqual(len(line), 1)
                for word in ("was written with", "goes on with", *said):
                    self.assertIn(word, line[0])
                values, V = read(out, "/eigenvalues"), read(out, "/eigenvectors")
                tolerance = float(more[1]) * exact[0] + 1e-15
                self.assertLessEqual(np.abs(values - exact).max(), tolerance)  # Weyl: no more than the residuals
                self.assertLessEqual(np.linalg.norm(K @ V - V * values, axis=0).max(), tolerance)


class Ridge(PipeTest):
    def predictions(self, *arguments, **options):
        out = self.path("r.h5")
        record = self.record("mercer-krr", *TRAIN, *arguments, "--out", out, **options)
        return read(out, "/predictions"), record

    def near(self, a, b, tolerance=1e-8):
        self.assertEqual(a.shape, b.shape)
        self.assertLess(np.abs(a - b).max(), tolerance * np.abs(b).max())

    def test_conjugate_gradients_give_the_predictions_of_cholesky(self):
        direct, record = self.predictions("--ridge-relative", "1e-3", "--solver", "cholesky")
        self.assertEqual(record["method"], "cholesky")
        for more in ((), ("--preconditioner", "none"), ("--preconditioner", "eigenpairs", "--rank", 30),
                     ("--rank", 50), ("--storage", "none"), ("--storage", "mixed", "--memory-limit", "1G")):
            with self.subTest(more):
                f, record = self.predictions("--ridge-relative", "1e-3", "--solver", "cg", "--cg-tol", "1e-12",
                                             "--check", *more)
                self.assertEqual(record["method"], "cg")
                self.near(f, direct, 1e-6 if "mixed" in more else 1e-8)
                self.assertLessEqual(record["residual"], 1e-12)
                self.assertTrue(record["result"]["converged"])
                self.assertGreater(record["result"]["iterations"], 0)
        single, record = self.predictions("--ridge-relative", "1e-3", "--storage", "single")
        self.assertEqual(record["result"]["storage"], "single")
        self.near(single, direct, 1e-5)

    def test_a_preconditioner_takes_fewer_iterations(self):
        plain = self.predictions("--ridge-relative", "1e-4", "--preconditioner", "none")[1]["result"]
        better = self.predictions("--ridge-relative", "1e-4", "--rank", 150)[1]["result"]
        self.assertLess(3 * better["iterations"], plain["iterations"])
        self.assertIn("150", better["preconditioner"])

    def test_a_modified_kernel_by_products_equals_the_direct_one(self):
        msk = ("--ridge-relative", "1e-2", "--top", 10, "--g", "flat:2")
        direct, _ = self.predictions(*msk)
        for more in ((), ("--preconditioner", "cholesky", "--rank", 60)):
            f, record = self.predictions(*msk, "--solver", "cg", "--cg-tol", "1e-11", "--check", *more)
            self.assertEqual(record["method"], "cg")
            self.near(f, direct, 1e-7)

    def test_stored_pairs_precondition_and_carry_a_modified_kernel(self):
        pairs = self.path("pairs.h5")
        self.succeed("mercer-spectrum", *SPHERE, "--top", 40, "--solver", "krylov", "--out", pairs)
        plain, _ = self.predictions("--ridge-relative", "1e-3", "--solver", "cholesky")
        f, record = self.predictions("--ridge-relative", "1e-3", "--solver", "cg", "--cg-tol", "1e-12",
                                     "--spectrum", pairs)
        self.assertIn("eigenpairs", record["result"]["preconditioner"])
        self.near(f, plain)
        msk = ("--ridge-relative", "1e-2", "--top", 10)
        self.near(self.predictions(*msk, "--solver", "cg", "--cg-tol", "1e-11", "--spectrum", pairs)[0],
                  self.predictions(*msk)[0], 1e-7)

    def test_several_ridges_and_ridges_that_are_chosen(self):
        ridges = "1e-6,1e-4,1e-2"
        out = self.path("p.h5")
        self.succeed("mercer-krr", *TRAIN, "--ridge-relative", ridges, "--out", out)
        rmse, loo = read(out, "/path/rmse"), read(out, "/path/loo_rmse")
        self.succeed("mercer-krr", *TRAIN, "--ridge-relative", ridges, "--solver", "cg", "--cg-tol", "1e-11", "--out", out)
        self.near(read(out, "/path/rmse"), rmse, 1e-6)
        self.near(read(out, "/path/loo_rmse"), loo, 0.2)
        for how in ("loo", "gcv"):
            best = self.record("mercer-krr", *TRAIN, "--ridge", how)["result"]["rmse"]
            found = self.record("mercer-krr", *TRAIN, "--ridge", how, "--solver", "cg", "--out", out)["result"]
            self.assertLess(found["rmse"], 1.1 * best)
            self.assertGreater(found["score_error"], 0)
            self.assertGreaterEqual(len(read(out, "/search/ridge")), 5)
        self.assertLess(self.record("mercer-krr", *TRAIN, "--ridge", "holdout")["result"]["rmse"], 1.2 * best)

    def test_a_run_that_does_not_converge_says_so_and_what_to_change(self):
        result = run("mercer-krr", *TRAIN, "--ridge-relative", "1e-9", "--preconditioner", "none", "--max-iterations", 4)
        self.assertEqual(result.code, 1, result.out + result.err)
        self.assertIn("after 4 iterations", result.err)
        self.assertIn("preconditioner", result.err)

    def test_a_model_that_was_fitted_by_cg_predicts_again(self):
        f, _ = self.predictions("--ridge-relative", "1e-3", "--solver", "cg")
        os.rename(self.path("r.h5"), self.path("model.h5"))
        out = self.path("again.h5")
        self.succeed("mercer-krr", "--model", self.path("model.h5"), "--test", TRAIN[3], "--out", out)
        self.near(read(out, "/predictions"), f, 1e-12)


class Errors(PipeTest):
    def test_bad_input_is_one_clear_line(self):
        spectrum = ("mercer-spectrum", "--data", "circle:n=60,freq=2", "--top", 3)
        krr = ("mercer-krr", "--train", "circle:n=60,freq=2")
        for words, command in (
                (["--storage", "magic"], (*spectrum, "--storage", "magic")),
                (["--storage", "elpa1"], (*spectrum, "--solver", "elpa1", "--storage", "none")),
                (["--block", "-1"], (*spectrum, "--block=-1")),
                (["--tol", "1e-15"], (*spectrum, "--solver", "krylov", "--tol", "1e-15")),
                (["none.h5"], (*spectrum, "--start", "none.h5")),
                (["--estimates", "-1"], (*spectrum, "--estimates=-1")),
                (["--resume", "--checkpoint"], (*spectrum, "--resume")),
                (["--checkpoint-every", "--checkpoint"], (*spectrum, "--checkpoint-every", "5")),
                (["--checkpoint-every", "2.5p"], (*spectrum, "--checkpoint", "c.h5", "--checkpoint-every", "2.5p")),
                (["--checkpoint-every", "soon"], (*spectrum, "--checkpoint", "c.h5", "--checkpoint-every", "soon")),
                (["--checkpoint", "scalapack"], (*spectrum, "--solver", "scalapack", "--checkpoint", "c.h5")),
                (["--solver", "magic"], (*krr, "--ridge", "1", "--solver", "magic")),
                (["--preconditioner", "magic"], (*krr, "--ridge", "1", "--preconditioner", "magic")),
                (["--rank", "-2"], (*krr, "--ridge", "1", "--rank=-2")),
                (["--cg-tol", "0"], (*krr, "--ridge", "1", "--cg-tol", "0")),
                (["--max-iterations", "0"], (*krr, "--ridge", "1", "--max-iterations", "0")),
                (["--storage", "cholesky"], (*krr, "--ridge", "1", "--solver", "cholesky", "--storage", "none")),
                (["holdout", "cholesky"], (*krr, "--ridge", "holdout", "--solver", "cholesky")),
                (["--top"], (*krr, "--ridge", "1", "--solver", "cg", "--g", "flat")),
                (["transductive"], (*krr, "--test", "circle:n=9,freq=2", "--ridge", "1", "--solver", "cg", "--predict",
                                    "transductive"))):
            with self.subTest(command):
                self.refuse(words, *command, ranks=0)

    def test_help_says_when_each_option_is_right(self):
        for driver, options in (("mercer-spectrum", ("--storage", "--estimates", "--start", "--checkpoint", "--resume")),
                                ("mercer-krr", ("--storage", "--preconditioner", "--rank", "--cg-tol", "--checkpoint"))):
            text = self.succeed(driver, "--help", ranks=0).out
            for option in options:
                self.assertIn(option, text)
            self.assertGreaterEqual(text.count("right"), 4, driver)


if __name__ == "__main__":
    unittest.main(verbosity=2)
