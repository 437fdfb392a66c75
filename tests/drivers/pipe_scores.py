"""What mercer-krr and mercer-train say that predictions are worth, against NumPy: stored models, units, classes,
rows without targets."""

import unittest

import h5py
import numpy as np

from support import PipeTest, read

RNG = np.random.default_rng(11)
N, M, D = 60, 37, 3
X, Z = RNG.normal(size=(N, D)), RNG.normal(size=(M, D))
KERNEL = ["--kernel", "gaussian", "--bandwidth", "1.5"]
NAMES = ["setosa", "versicolor", "virginica"]
RIDGES = [1e-1, 1e-2, 1e-3]
EIGENPAIRS = ["--ridge", ",".join(map(str, RIDGES))]


def curve(A):
    return 1000 + 50 * np.sin(A[:, 0]) + 5 * A[:, 1]


def noisy_labels(A):
    """0, 1, 2, that the inputs tell but for every seventh row."""
    labels = (A[:, 0] > -0.4).astype(int) + (A[:, 0] + A[:, 1] > 0.6)
    labels[::7] = (labels[::7] + 1) % 3
    return labels


def gaussian(A, B, bandwidth=1.5):
    return np.exp(-((A[:, None, :] - B[None, :, :]) ** 2).sum(2) / (2 * bandwidth**2))


def left_out_errors(A, Y, gamma):
    """e_i of plain kernel ridge regression, K = k/n."""
    inverse = np.linalg.inv(gaussian(A, A) / len(A) + gamma * np.eye(len(A)))
    return inverse @ Y / np.diag(inverse)[:, None]


def log_softmax(F):
    F = F - F.max(1, keepdims=True)
    return F - np.log(np.exp(F).sum(1, keepdims=True))


class Scores(PipeTest):
    def csv(self, name, inputs, target=None, columns="abc"):
        path = self.path(name)
        with open(path, "w") as file:
            file.write(",".join(columns) + ("" if target is None else ",y") + "\n")
            for i, row in enumerate(inputs):
                cells = [repr(float(x)) for x in row] + ([] if target is None else [str(target[i])])
                file.write(",".join(cells) + "\n")
        return "csv:" + path

    def libsvm(self, name, inputs, target):
        path = self.path(name)
        with open(path, "w") as file:
            for row, y in zip(inputs, target):
                file.write(f"{y} " + " ".join(f"{j + 1}:{float(x)!r}" for j, x in enumerate(row)) + "\n")
        return "libsvm:" + path

    def hdf5(self, name, inputs, target=None):
        path = self.path(name)
        with h5py.File(path, "w") as file:
            file["x"] = inputs
            if target is not None:
                file["y"] = target
        return f"h5:{path}:/x" + ("" if target is None else ",/y")

    def npy_set(self, name, inputs, target=None):
        spec = "npy:" + self.npy(name + "x.npy", inputs)
        return spec if target is None else spec + "," + self.npy(name + "y.npy", target)

    def fit_and_model(self, train, test, *options, ranks=2, again=()):
        """Records and files of a fit, and of the stored model's predictions of the same test rows."""
        fit, model = self.path("fit.h5"), self.path("model.h5")
        first = self.record("mercer-krr", "--train", train, *(["--test", test] if test else []), *options, "--out", fit,
                            ranks=ranks)
        second = self.record("mercer-krr", "--model", fit, *(["--test", test] if test else []), *again, "--out", model,
                             ranks=ranks)
        return first["result"], second["result"], fit, model

    def same_predictions(self, fit, model):
        with h5py.File(fit) as one, h5py.File(model) as other:
            compared = 0
            for name in ("predictions", "targets", "rows", "labels", "probabilities", "score/rmse", "score/r2",
                         "score/accuracy", "score/accuracy_by_class", "score/confusion"):
                self.assertEqual(name in one, name in other, name)
                if name in one:
                    a, b = one[name][()], other[name][()]
                    self.assertEqual(a.shape, b.shape, name)
                    scale = max(1.0, np.nanmax(np.abs(a)))
                    np.testing.assert_allclose(b, a, rtol=0, atol=1e-12 * scale, err_msg=name)
                    compared += 1
            if "classes" in one:
                self.assertEqual(list(one["classes"].asstr()), list(other["classes"].asstr()))
        return compared

    # A stored model

    def test_a_stored_model_has_the_fits_own_scores_in_every_format_and_preparation(self):
        two = np.stack([curve(X), X[:, 2] ** 2], 1), np.stack([curve(Z), Z[:, 2] ** 2], 1)
        y, yz = curve(X), curve(Z)
        labels, test_labels = noisy_labels(X), noisy_labels(Z)
        formats = {
            "csv": (self.csv("a.csv", X, y), self.csv("b.csv", Z, yz)),
            "npy": (self.npy_set("a", X, two[0]), self.npy_set("b", Z, two[1])),
            "libsvm": (self.libsvm("a.svm", X, y), self.libsvm("b.svm", Z, yz)),
            "h5": (self.hdf5("a.h5", X, two[0]), self.hdf5("b.h5", Z, two[1])),
            "circle": ("circle:n=60,freq=3", "circle:n=37,freq=3")}
        classes = {
            "csv": (self.csv("c.csv", X, [NAMES[t] for t in labels]), self.csv("d.csv", Z, [NAMES[t] for t in test_labels])),
            "npy": (self.npy_set("c", X, labels + 60000), self.npy_set("d", Z, test_labels + 60000)),
            "libsvm": (self.libsvm("c.svm", X, 2 * (labels > 0) - 1), self.libsvm("d.svm", Z, 2 * (test_labels > 0) - 1)),
            "h5": (self.hdf5("c.h5", X, labels + 1), self.hdf5("d.h5", Z, test_labels + 1))}
        cases = 0
        for prepare in ([], ["--standardize"], ["--scale", "0.3", "--unit-norm"], ["--standardize", "--unit-norm"]):
            for sets, more in ((formats, []), (classes, ["--one-hot"])):
                for name, (train, test) in sets.items():
                    with self.subTest(format=name, prepare=prepare + more):
                        fit, model, *files = self.fit_and_model(train, test, *KERNEL, "--ridge", "1e-3", *prepare, *more,
                                                                ranks={"csv": 2, "npy": 3}.get(name, 0))
                        for key in ("rmse", "mse", "r2", "rmse_standardized", "accuracy"):
                            self.assertEqual(key in fit, key in model, key)
                            if key in fit:
                                self.assertAlmostEqual(fit[key], model[key], delta=1e-12 * abs(fit[key]), msg=key)
                        self.assertGreaterEqual(self.same_predictions(*files), 5)
                        cases += 1
        self.assertEqual(cases, 36)

    def test_a_stored_model_of_a_split_scores_the_split_s_test_rows(self):
        everything, target = np.vstack([X, Z]), curve(np.vstack([X, Z]))
        chosen = RNG.permutation(N + M) < M
        with open(self.path("mask.csv"), "w") as file:
            file.writelines(f"{int(c)},0\n" for c in chosen)
        data = self.csv("all.csv", everything, target)
        fit, model, *files = self.fit_and_model(data, "", *KERNEL, "--ridge", "1e-3", "--standardize", "--split",
                                                self.path("mask.csv") + ":0", ranks=3)
        self.assertAlmostEqual(fit["rmse"], model["rmse"], delta=1e-12 * fit["rmse"])
        self.same_predictions(*files)
        np.testing.assert_array_equal(read(files[0], "/rows"), np.flatnonzero(chosen))
        np.testing.assert_allclose(read(files[0], "/targets")[:, 0], target[chosen], rtol=1e-14)

    def test_class_probabilities_come_from_a_stored_model_too(self):
        train = self.csv("c.csv", X, [NAMES[t] for t in noisy_labels(X)])
        test = self.csv("d.csv", Z, [NAMES[t] for t in noisy_labels(Z)])
        for ranks in (1, 3):
            fit, model, *files = self.fit_and_model(train, test, *KERNEL, *EIGENPAIRS, "--one-hot", ranks=ranks)
            self.assertAlmostEqual(fit["log_loss"], model["log_loss"], delta=1e-12)
            self.same_predictions(*files)
            self.assertEqual(read(files[1], "/probabilities").shape, (M, 3))

    # Scores

    def test_r_squared_is_one_minus_the_unexplained_share_of_every_output(self):
        Y, YZ = (np.stack([curve(A), A[:, 2] ** 2], 1) for A in (X, Z))
        out = self.path("r.h5")
        for more in ([], ["--standardize"], ["--predict", "transductive"]):
            result = self.record("mercer-krr", "--train", self.npy_set("a", X, Y), "--test", self.npy_set("b", Z, YZ),
                                 *KERNEL, "--ridge", "1e-3", *more, "--out", out)["result"]
            error = read(out, "/predictions") - YZ
            r2 = 1 - (error**2).sum(0) / ((YZ - YZ.mean(0)) ** 2).sum(0)
            self.assertAlmostEqual(result["r2"], r2.mean(), delta=1e-12)
            self.assertAlmostEqual(read(out, "/score/r2")[0], r2.mean(), delta=1e-12)
            np.testing.assert_allclose(read(out, "/targets"), YZ, rtol=1e-13)
            np.testing.assert_array_equal(read(out, "/rows"), np.arange(M))

    def test_targets_that_are_all_equal_have_no_r_squared_but_an_rmse(self):
        for rows, value in ((M, 0.1), (1, 3.0)):
            result = self.succeed("mercer-krr", "--train", self.npy_set("a", X, curve(X)), "--test",
                                  self.npy_set("b", Z[:rows], np.full(rows, value)), *KERNEL, "--ridge", "1e-3",
                                  "--json", self.path("r.json"))
            self.assertNotIn("nan", result.out)
            with open(self.path("r.json")) as file:
                text = file.read()
            self.assertIn('"r2": null', text)
            self.assertNotIn("NaN", text)

    def test_accuracy_by_class_and_confusion_are_counted_from_the_predictions(self):
        labels, test_labels = noisy_labels(X), noisy_labels(Z)
        test_labels[test_labels == 1] = 2  # a class without test rows
        out = self.path("r.h5")
        for values, texts in ((None, NAMES), ([-1, 0, 2.5], ["-1", "0", "2.5"]), ([60000, 60001, 70000], ["60000", "60001", "70000"])):
            shown = [NAMES[t] for t in labels] if values is None else [values[t] for t in labels]
            tested = [NAMES[t] for t in test_labels] if values is None else [values[t] for t in test_labels]
            for more in ([], ["--predict", "transductive"]):
                with self.subTest(classes=texts, more=more):
                    result = self.record("mercer-krr", "--train", self.csv("c.csv", X, shown), "--test",
                                         self.csv("d.csv", Z, tested), *KERNEL, "--ridge", "1e-3", "--one-hot", *more,
                                         "--out", out)["result"]
                    f = read(out, "/predictions")
                    counts = np.zeros((3, 3), int)
                    np.add.at(counts, (test_labels, f.argmax(1)), 1)
                    np.testing.assert_array_equal(read(out, "/score/confusion"), counts)
                    self.assertEqual(result["confusion"], counts.tolist())
                    self.assertAlmostEqual(result["accuracy"], np.trace(counts) / M, delta=1e-15)
                    shares = [counts[0, 0] / counts[0].sum(), None, counts[2, 2] / counts[2].sum()]
                    self.assertEqual(result["accuracy_by_class"], shares)
                    self.assertEqual(result["classes"], texts)
                    with h5py.File(out) as file:
                        self.assertEqual(list(file["classes"].asstr()), texts)
                    np.testing.assert_array_equal(read(out, "/labels"), test_labels)
                    own = test_labels if values is None else np.array(values)[test_labels]
                    np.testing.assert_array_equal(read(out, "/targets")[:, 0], own)

    def test_probabilities_are_those_of_a_temperature_fitted_to_leave_one_out_predictions(self):
        labels, test_labels = noisy_labels(X), noisy_labels(Z)
        Y = np.eye(3)[labels] - 1 / 3
        targets = (np.eye(3)[labels] * N + 1 / 3) / (N + 1)
        out = self.path("r.h5")
        result = self.record("mercer-krr", "--train", self.npy_set("c", X, labels), "--test",
                             self.npy_set("d", Z, test_labels), *KERNEL, *EIGENPAIRS, "--one-hot", "--out", out)["result"]
        gamma = read(out, "/ridge")[0]
        left_out = Y - left_out_errors(X, Y, gamma)
        grid = np.logspace(-2, 4, 2001)
        for step in (*np.logspace(-3, -8, 6), None):  # pattern search: without derivatives
            b = grid[np.argmin([-(targets * log_softmax(x * left_out)).sum() for x in grid])]
            grid = b * (1 + (step or 0) * np.arange(-15, 16))
        F = gaussian(Z, X) / N @ np.linalg.solve(gaussian(X, X) / N + gamma * np.eye(N), Y)
        P = read(out, "/probabilities")
        np.testing.assert_allclose(P, np.exp(log_softmax(b * F)), atol=1e-6)
        np.testing.assert_allclose(P.sum(1), 1, atol=1e-13)
        np.testing.assert_array_equal(P.argmax(1), read(out, "/predictions").argmax(1))
        self.assertAlmostEqual(result["log_loss"], -np.log(P[np.arange(M), test_labels]).mean(), delta=1e-12)

    def test_a_fit_without_leave_one_out_predictions_says_why_it_has_no_probabilities(self):
        train, test = self.npy_set("c", X, noisy_labels(X)), self.npy_set("d", Z, noisy_labels(Z))
        for more in (["--ridge", "1e-2"], ["--ridge", "1e-2", "--top", "5"], ["--ridge", "1e-2", "--solver", "cg"]):
            out = self.path("r.h5")
            result = self.succeed("mercer-krr", "--train", train, "--test", test, *KERNEL, *more, "--one-hot", "--out", out)
            self.assertIn("no class probabilities", result.out)
            with h5py.File(out) as file:
                self.assertNotIn("probabilities", file)

    # Units

    def test_leave_one_out_and_gcv_are_in_the_units_of_the_test_error(self):
        Y, YZ = (np.stack([curve(A), 1e-3 * A[:, 2] ** 2], 1) for A in (X, Z))
        mean, deviation = X.mean(0), X.std(0)
        S, W = (X - mean) / deviation, (Y - Y.mean(0)) / Y.std(0)
        out = self.path("r.h5")
        for outputs in (1, 2):
            train, test = self.npy_set("a", X, Y[:, :outputs]), self.npy_set("b", Z, YZ[:, :outputs])
            result = self.record("mercer-krr", "--train", train, "--test", test, *KERNEL, "--standardize", *EIGENPAIRS,
                                 "--out", out)["result"]
            loo, gcv = [], []
            for gamma in RIDGES:
                left_out = left_out_errors(S, W[:, :outputs], gamma)
                loo.append([np.sqrt((left_out**2).mean()), np.sqrt(((left_out * Y.std(0)[:outputs]) ** 2).mean())])
                inverse = np.linalg.inv(gaussian(S, S) / N + gamma * np.eye(N))
                squares = N * ((inverse @ W[:, :outputs]) ** 2).sum(0) / np.trace(inverse) ** 2
                gcv.append([squares.mean(), (squares * Y.std(0)[:outputs] ** 2).mean()])
            for name, values in (("loo_rmse", loo), ("gcv", gcv)):
                own, standardized = [v[1] for v in values], [v[0] for v in values]
                np.testing.assert_allclose(read(out, "/path/" + name), own, rtol=1e-8)
                np.testing.assert_allclose(read(out, f"/path/{name}_standardized"), standardized, rtol=1e-8)
                place = RIDGES.index(float(read(out, "/ridge")[0]))
                self.assertAlmostEqual(result[name], own[place], delta=1e-8 * own[place])
                self.assertAlmostEqual(read(out, "/score/" + name)[0], own[place], delta=1e-8 * own[place])
                self.assertAlmostEqual(result[name + "_standardized"], standardized[place], delta=1e-8 * standardized[place])
            units = result["units"]
            self.assertEqual([units[key] for key in ("rmse", "loo_rmse", "mse", "gcv")],
                             ["target", "target", "target^2", "target^2"])
            with h5py.File(out) as file:
                self.assertEqual([file[f"path/{name}"].attrs["unit"] for name in ("rmse", "loo_rmse", "gcv")],
                                 ["target", "target", "target^2"])
            for key in ("rmse_standardized", "loo_rmse_standardized"):
                self.assertEqual(units[key], "deviation of the training targets")

    def test_estimates_of_outputs_of_different_deviations_stay_standardised_beside_a_standardised_test_error(self):
        Y, YZ = (np.stack([curve(A), 1e-3 * A[:, 2] ** 2], 1) for A in (X, Z))
        out = self.path("r.h5")
        arguments = ["--train", self.npy_set("a", X, Y), "--test", self.npy_set("b", Z, YZ), *KERNEL, "--standardize",
                     *EIGENPAIRS, "--solver", "cg", "--out", out]
        unit, titles, rows = self.table(*arguments)
        self.assertIn("deviations of the training targets", unit)
        self.assertEqual(titles, ["ridge", "test_rmse", "test_R^2", "leave-one-out"])
        error = (read(out, "/predictions") - YZ) / Y.std(0)
        place = RIDGES.index(float(read(out, "/ridge")[0]))
        self.assertAlmostEqual(rows[place, 1], np.sqrt((error**2).mean()), delta=1e-6)
        S, W = (X - X.mean(0)) / X.std(0), (Y - Y.mean(0)) / Y.std(0)
        loo = [np.sqrt((left_out_errors(S, W, gamma) ** 2).mean()) for gamma in RIDGES]
        np.testing.assert_allclose(rows[:2, 3], loo[:2], rtol=0.1)  # by 32 probes: rough at small ridges
        np.testing.assert_allclose(rows[:, 3], read(out, "/search/score"), rtol=1e-7)
        units = self.record("mercer-krr", *arguments)["result"]["units"]
        self.assertEqual((units["rmse"], units["loo_rmse"]), ("target", "deviation of the training targets"))
        with h5py.File(out) as file:
            self.assertEqual(file["path/loo_rmse"].attrs["unit"], "deviation of the training targets")

    def table(self, *arguments):
        """Titles and columns of the printed table of errors, and the line above it."""
        lines = self.succeed("mercer-krr", *arguments).out.splitlines()
        place = next(i for i, line in enumerate(lines) if line.split()[:1] == ["ridge"] and "rmse" in line)
        titles = lines[place].replace("test ", "test_").split()
        rows = [line.split() for line in lines[place + 1:]]
        rows = [[float(x) for x in row] for row in rows[:next(i for i, row in enumerate(rows) if not row)]]
        return lines[place - 1], titles, np.array(rows)

    def test_the_table_has_one_named_unit_and_no_column_that_the_job_has_not(self):
        train, test = self.csv("a.csv", X, curve(X)), self.csv("b.csv", Z, curve(Z))
        unit, titles, rows = self.table("--train", train, "--test", test, *KERNEL, "--standardize", *EIGENPAIRS)
        self.assertIn("y's own unit", unit)
        self.assertEqual(titles, ["ridge", "test_rmse", "test_R^2", "leave-one-out", "sqrt(gcv)"])
        self.assertEqual(rows.shape, (3, 5))
        self.assertTrue((rows[:, [1, 3, 4]] > 0.5).all() and (rows[:, [1, 3, 4]] < 100).all(), rows)
        unit, titles, rows = self.table("--train", train, "--test", test, *KERNEL, "--ridge", "1e-2")
        self.assertEqual(titles, ["ridge", "test_rmse", "test_R^2"])
        train, test = self.npy_set("c", X, noisy_labels(X)), self.npy_set("d", Z, noisy_labels(Z))
        unit, titles, rows = self.table("--train", train, "--test", test, *KERNEL, "--ridge", "1e-2", "--one-hot")
        self.assertIn("one-hot outputs", unit)
        self.assertEqual(titles, ["ridge", "test_rmse", "test_R^2", "accuracy"])

    def test_the_picture_names_its_unit_and_draws_classes_as_a_table_of_counts(self):
        picture = self.path("r.svg")

        def drawn(*arguments):
            self.succeed("mercer-krr", *arguments, *KERNEL, *EIGENPAIRS, "--plot", picture)
            with open(picture) as file:
                return file.read()
        svg = drawn("--train", self.csv("a.csv", X, curve(X)), "--test", self.csv("b.csv", Z, curve(Z)), "--standardize")
        for text in ("rmse in y's own unit", "target, y's own unit", "prediction = target"):
            self.assertIn(text, svg)
        svg = drawn("--train", self.csv("c.csv", X, [NAMES[t] for t in noisy_labels(X)]), "--test",
                    self.csv("d.csv", Z, [NAMES[t] for t in noisy_labels(Z)]), "--one-hot")
        for text in ("predicted class", "true class", *NAMES):
            self.assertIn(text, svg)
        self.assertNotIn("prediction = target", svg)

    # Rows without targets

    def test_rows_without_targets_are_predicted_in_every_format(self):
        trains = {"csv": self.csv("a.csv", X, curve(X)), "npy": self.npy_set("a", X, curve(X)),
                  "h5": self.hdf5("a.h5", X, curve(X))}
        fresh = {"csv": self.csv("z.csv", Z), "npy": self.npy_set("z", Z), "h5": self.hdf5("z.h5", Z)}
        out, again = self.path("r.h5"), self.path("m.h5")
        for name, train in trains.items():
            for prepare in ([], ["--standardize"]):
                kept = self.path("k.h5")
                self.succeed("mercer-krr", "--train", train, "--test", self.npy_set("b", Z, curve(Z)), *KERNEL, "--ridge",
                             "1e-3", *prepare, "--out", kept)
                expected = read(kept, "/predictions")
                for spec in fresh.values():
                    with self.subTest(train=name, test=spec, prepare=prepare):
                        runs = [self.succeed("mercer-krr", "--train", train, "--test", spec, *KERNEL, "--ridge", "1e-3",
                                             *prepare, "--out", out),
                                self.succeed("mercer-krr", "--model", kept, "--test", spec, "--out", again)]
                        for result, path in zip(runs, (out, again)):
                            self.assertIn(f"{M} rows without targets predicted", result.out)
                            self.assertNotIn("rmse", result.out)
                            self.assertNotIn("nan", result.out)
                            np.testing.assert_allclose(read(path, "/predictions"), expected, rtol=1e-11)
                            with h5py.File(path) as file:
                                for absent in ("targets", "score/rmse", "score/r2"):
                                    self.assertNotIn(absent, file)
                                np.testing.assert_array_equal(file["rows"][()], np.arange(M))

    def test_rows_without_targets_have_a_class_and_its_probability(self):
        train = self.csv("c.csv", X, [NAMES[t] for t in noisy_labels(X)])
        out, again = self.path("r.h5"), self.path("m.h5")
        self.succeed("mercer-krr", "--train", train, "--test", self.csv("z.csv", Z), *KERNEL, *EIGENPAIRS, "--one-hot",
                     "--out", out, "--plot", self.path("r.svg"))
        self.succeed("mercer-krr", "--model", out, "--test", self.csv("z.csv", Z), "--out", again)
        for path in (out, again):
            self.assertEqual(read(path, "/probabilities").shape, (M, 3))
            with h5py.File(path) as file:
                self.assertEqual(list(file["classes"].asstr()), NAMES)
                self.assertNotIn("labels", file)

    def test_rows_without_targets_in_transductive_prediction_and_with_a_model_alone(self):
        train = self.csv("a.csv", X, curve(X))
        out = self.path("r.h5")
        result = self.succeed("mercer-krr", "--train", train, "--test", self.csv("z.csv", Z), *KERNEL, "--ridge", "1e-3",
                              "--predict", "transductive", "--out", out)
        self.assertIn(f"{M} rows without targets predicted", result.out)
        F = gaussian(Z, X) / N @ np.linalg.solve(gaussian(X, X) / N + 1e-3 * np.eye(N), curve(X))
        np.testing.assert_allclose(read(out, "/predictions")[:, 0], F, rtol=1e-8)
        self.succeed("mercer-krr", "--train", train, *KERNEL, "--ridge", "1e-3", "--out", self.path("k.h5"))
        shown = self.succeed("mercer-krr", "--model", self.path("k.h5"), "--test", self.csv("z.csv", Z)).out
        self.assertIn(f"{M} rows without targets predicted", shown)

    KNOWN = np.arange(M) % 3 != 1

    def partly(self, target):
        """`target` of the rows KNOWN, and what people write for the others."""
        return [target[i] if known else ("", "nan", "NaN", "NA")[i % 4] for i, known in enumerate(self.KNOWN)]

    def test_rows_with_targets_are_scored_beside_rows_without_in_every_format(self):
        y, yz = curve(X), curve(Z)
        with_nan = np.where(self.KNOWN, yz, np.nan)
        two, two_z = np.stack([y, X[:, 2] ** 2], 1), np.stack([yz, Z[:, 2] ** 2], 1)
        half = two_z.copy()
        half[~self.KNOWN, 1] = np.nan
        cases = {
            "csv": (self.csv("a.csv", X, y), self.csv("b.csv", Z, self.partly(yz)), yz[:, None]),
            "npy": (self.npy_set("a", X, y), self.npy_set("b", Z, with_nan), yz[:, None]),
            "h5": (self.hdf5("a.h5", X, y), self.hdf5("b.h5", Z, with_nan), yz[:, None]),
            "libsvm": (self.libsvm("a.svm", X, y), self.libsvm("b.svm", Z, with_nan), yz[:, None]),
            "two outputs": (self.npy_set("c", X, two), self.npy_set("d", Z, half), two_z)}
        known = int(self.KNOWN.sum())
        for ranks, (name, (train, test, own)) in enumerate(cases.items()):
            for more in (["--standardize"], ["--predict", "transductive"])[:2 if name in ("csv", "two outputs") else 1]:
                with self.subTest(name, more=more):
                    options = [*KERNEL, "--ridge", "1e-3", *more]
                    out, model = self.path("fit.h5"), self.path("model.h5")
                    run = ("mercer-krr", "--train", train, "--test", test, *options, "--out", out)
                    results, files = [self.record(*run, ranks=(2, 3, 0, 0, 3)[ranks])["result"]], [out]
                    if "transductive" not in more:
                        results.append(self.record("mercer-krr", "--model", out, "--test", test, "--out", model,
                                                   ranks=(3, 0, 2, 0, 2)[ranks])["result"])
                        files.append(model)
                        self.same_predictions(out, model)
                    for result, path in zip(results, files):
                        error = (read(path, "/predictions") - own)[self.KNOWN]
                        rmse = np.sqrt((error**2).mean())
                        self.assertAlmostEqual(result["rmse"], rmse, delta=1e-11 * rmse)
                        r2 = 1 - (error**2).sum(0) / ((own[self.KNOWN] - own[self.KNOWN].mean(0)) ** 2).sum(0)
                        self.assertAlmostEqual(result["r2"], r2.mean(), delta=1e-10)
                        self.assertEqual(result["rows_scored"], known)
                        targets = read(path, "/targets")
                        np.testing.assert_array_equal(np.isnan(targets), np.repeat(~self.KNOWN[:, None], own.shape[1], 1))
                        np.testing.assert_allclose(targets[self.KNOWN], own[self.KNOWN], rtol=1e-13)
        shown = self.succeed("mercer-krr", "--train", cases["csv"][0], "--test", cases["csv"][1], *KERNEL, *EIGENPAIRS,
                             "--json", self.path("r.json"), "--plot", self.path("r.svg")).out
        self.assertIn(f"{known} of {M} test rows have targets and are scored", shown)
        self.assertIn(f"from {M} rows, {M - known} of them without targets", shown)
        with open(self.path("r.json")) as file:
            self.assertNotIn("NaN", file.read())

    def test_a_table_whose_rows_without_targets_are_the_test_rows_of_a_split(self):
        everything = np.vstack([X, Z])
        target = [*curve(X), *self.partly(curve(Z))]
        table = self.csv("all.csv", everything, target)
        test = np.arange(N + M) >= N
        np.save(self.path("mask.npy"), test)
        fit, model, *files = self.fit_and_model(table, "", *KERNEL, "--ridge", "1e-3", "--standardize", "--split",
                                                self.path("mask.npy"), ranks=3)
        reference, _, *other = self.fit_and_model(self.csv("a.csv", X, curve(X)), self.csv("z.csv", Z), *KERNEL, "--ridge",
                                                  "1e-3", "--standardize")
        np.testing.assert_allclose(read(files[0], "/predictions"), read(other[0], "/predictions"), rtol=1e-11)
        self.same_predictions(*files)
        self.assertEqual((fit["rows_scored"], model["rows_scored"]), (self.KNOWN.sum(),) * 2)
        unknown = M - int(self.KNOWN.sum())
        self.refuse(["all.csv", f"{unknown} of {N + M} training rows have no target", f"data row {N + 2}", "--split"],
                    "mercer-krr", "--train", table, *KERNEL, "--ridge", "1e-3")
        self.refuse(["all.csv", f"{unknown} of {N + M} training rows have no target"], "mercer-train", "--train", table,
                    *self.TRAIN)

    def test_classes_of_some_rows(self):
        labels, test_labels = noisy_labels(X), noisy_labels(Z)
        known, out, again = self.KNOWN, self.path("r.h5"), self.path("m.h5")
        for values in (NAMES, [-1, 0, 2.5]):
            train = self.csv("c.csv", X, [values[t] for t in labels])
            test = self.csv("d.csv", Z, self.partly([values[t] for t in test_labels]))
            run = ("mercer-krr", "--train", train, "--test", test, *KERNEL, *EIGENPAIRS, "--one-hot", "--out", out)
            self.assertIn(f"{known.sum()} of {M} test rows have targets", self.succeed(*run, "--plot", self.path("r.svg")).out)
            results = [self.record(*run, ranks=3)["result"],
                       self.record("mercer-krr", "--model", out, "--test", test, "--out", again)["result"]]
            for result, path in zip(results, (out, again)):
                F, P = read(path, "/predictions"), read(path, "/probabilities")
                counts = np.zeros((3, 3), int)
                np.add.at(counts, (test_labels[known], F.argmax(1)[known]), 1)
                self.assertEqual(result["confusion"], counts.tolist())
                self.assertAlmostEqual(result["accuracy"], np.trace(counts) / known.sum(), delta=1e-15)
                self.assertAlmostEqual(result["log_loss"], -np.log(P[known, test_labels[known]]).mean(), delta=1e-11)
                self.assertEqual(F.shape, (M, 3))
                np.testing.assert_array_equal(read(path, "/labels"), np.where(known, test_labels, -1))
                own = test_labels if values is NAMES else np.array(values)[test_labels]
                np.testing.assert_array_equal(read(path, "/targets")[:, 0], np.where(known, own, np.nan))

    # Training

    TRAIN = ["--arch", "dense(32) relu dense(1)", "--steps", "20"]
    CLASSES = ["--arch", "dense(32) relu dense(3)", "--steps", "20"]

    def test_training_tells_the_units_of_its_losses_and_errors(self):
        out, y, yz = self.path("t.h5"), curve(X), curve(Z)
        arguments = ["--train", self.csv("a.csv", X, y), "--test", self.csv("b.csv", Z, yz), "--standardize", *self.TRAIN,
                     "--out", out]
        shown = self.succeed("mercer-train", *arguments).out
        self.assertIn("losses are means of r^2, r in deviations of the training targets", shown)
        error = read(out, "/predictions")[:, 0] - yz
        rmse = np.sqrt((error**2).mean())
        self.assertIn(f"test    rmse {rmse:.6g} in y's own unit ({rmse / y.std():.6g} in deviations", shown)
        result = self.record("mercer-train", *arguments)["result"]
        self.assertAlmostEqual(result["loss_test"], (rmse / y.std()) ** 2, delta=1e-9)
        self.assertEqual(result["units"]["loss_train"], "(deviations of the training targets)^2")
        self.assertEqual(result["units"]["rmse"], "target")
        self.assertAlmostEqual(result["r2"], 1 - (error**2).mean() / yz.var(), delta=1e-9)
        np.testing.assert_allclose(read(out, "/targets")[:, 0], yz, rtol=1e-13)
        np.testing.assert_array_equal(read(out, "/rows"), np.arange(M))
        self.assertAlmostEqual(read(out, "/score/r2")[0], result["r2"], delta=1e-12)

    def test_training_predicts_rows_without_targets_and_counts_classes(self):
        out = self.path("t.h5")
        shown = self.succeed("mercer-train", "--train", self.csv("a.csv", X, curve(X)), "--test", self.csv("z.csv", Z),
                             *self.TRAIN, "--out", out, "--plot", self.path("t.svg")).out
        self.assertIn(f"{M} rows without targets predicted", shown)
        self.assertNotIn("test loss", shown)
        self.assertEqual(read(out, "/predictions").shape, (M, 1))
        result = self.record("mercer-train", "--train", self.csv("a.csv", X, curve(X)), "--test",
                             self.csv("p.csv", Z, self.partly(curve(Z))), "--standardize", *self.TRAIN, "--out", out)["result"]
        error = (read(out, "/predictions")[:, 0] - curve(Z))[self.KNOWN]
        self.assertAlmostEqual(result["loss_test"], (error**2).mean() / curve(X).var(), delta=1e-9)
        self.assertAlmostEqual(result["rmse"], np.sqrt((error**2).mean()), delta=1e-9)
        self.assertEqual(result["rows_scored"], self.KNOWN.sum())
        np.testing.assert_array_equal(np.isnan(read(out, "/targets")[:, 0]), ~self.KNOWN)
        labels, test_labels = noisy_labels(X), noisy_labels(Z)
        result = self.record("mercer-train", "--train", self.npy_set("c", X, labels), "--test",
                             self.npy_set("d", Z, test_labels), "--one-hot", *self.CLASSES, "--out", out)["result"]
        counts = np.zeros((3, 3), int)
        np.add.at(counts, (test_labels, read(out, "/predictions").argmax(1)), 1)
        self.assertEqual(result["confusion"], counts.tolist())
        np.testing.assert_array_equal(read(out, "/score/confusion"), counts)
        with h5py.File(out) as file:
            self.assertNotIn("probabilities", file)


if __name__ == "__main__":
    unittest.main(verbosity=2)
