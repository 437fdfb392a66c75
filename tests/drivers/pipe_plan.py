"""Plans: --dry-run of every driver, mercer-bench plan, and the memory planned against the memory taken."""

import json
import unittest

from support import PipeTest

GAUSSIAN = ("--data", "gaussian:n=2500,d=20", "--kernel", "gaussian")
METHODS = {"eig", "eig-top", "krylov", "cholesky", "cg", "product"}


class Plans(PipeTest):
    measured = None

    def machine(self):
        """A file of this machine's coefficients, measured once."""
        path = self.path("machine.json")
        if Plans.measured is None:
            Plans.measured = self.record("mercer-bench", "plan", "--n", "1000", "--d", "20", "--kernel", "gaussian")
        with open(path, "w") as file:
            json.dump(Plans.measured, file)
        return path

    def stages(self, driver, *arguments):
        record = self.record(driver, *arguments, "--dry-run")
        self.assertEqual(record["status"], "planned")
        self.assertAlmostEqual(sum(s["seconds"] for s in record["result"]["plan"]), record["result"]["seconds_planned"])
        return {s["name"]: s for s in record["result"]["plan"]}

    def test_every_driver_predicts_the_time_of_its_stages(self):
        machine = ("--machine", self.machine())
        ridge = ("--train", "gaussian:n=2000,d=20", "--test", "gaussian:n=500,d=20", "--kernel", "gaussian")
        jobs = {
            "mercer-kernel": (*GAUSSIAN, {"load", "assemble"}),
            "mercer-spectrum": (*GAUSSIAN, "--top", 50, {"load", "assemble", "eigensolve"}),
            "mercer-krr": (*ridge, "--ridge", 0.1, {"load", "assemble", "solve", "predict"}),
            "mercer-train": ("--train", "gaussian:n=2000,d=20", "--arch", "dense(64) relu dense(1)", "--top", 20,
                             {"load", "assemble", "eigensolve", "train"}),
        }
        for driver, (*arguments, names) in jobs.items():
            stages = self.stages(driver, *arguments, *machine)
            self.assertEqual(set(stages), names, driver)
            for name, stage in stages.items():
                self.assertGreater(stage["seconds"], 0, (driver, name))
                self.assertGreater(stage["bytes"], 0, (driver, name))

    def test_a_dry_run_shows_the_time_and_measures_the_machine_by_itself(self):
        text = self.succeed("mercer-spectrum", *GAUSSIAN, "--dry-run").out
        for word in ("time", "memory a rank", "eigensolve", "dgemm", "measured on 2 ranks"):
            self.assertIn(word, text)

    def test_a_run_with_a_machine_file_records_what_was_planned(self):
        record = self.record("mercer-spectrum", "--data", "gaussian:n=300,d=5", "--kernel", "gaussian", "--top", 5,
                             "--machine", self.machine())
        self.assertEqual(record["status"], "ok")
        self.assertGreater(record["result"]["seconds_planned"], 0)

    def test_the_table_covers_every_method_size_and_number_of_ranks(self):
        machine = self.machine()
        record = self.record("mercer-bench", "plan", "--machine", machine, "--n", "2000,1000000", "--ranks", "1,100,10000",
                             "--kernel", "gaussian", "--d", "20", "--k", "100", "--memory-limit", "4G")
        rows = record["result"]["rows"]
        self.assertEqual(len(rows), 2 * 3 * len(METHODS))
        self.assertEqual({r["method"] for r in rows}, METHODS)
        at = {(r["n"], r["ranks"], r["method"]): r for r in rows}
        for n in (2000, 1000000):
            for method in METHODS:
                one, many = at[n, 1, method], at[n, 100, method]
                if n == 1000000 and many["seconds"] is not None and one["seconds"] is not None:
                    self.assertLess(many["seconds"], one["seconds"], (n, method))
        for r in rows:
            if r["seconds"] is None:
                self.assertFalse(r["fits"])
                continue
            self.assertGreater(r["seconds"], 0)
            self.assertEqual(r["fits"], r["bytes_per_rank"] <= 4 * 2**30, r)
            self.assertAlmostEqual(sum(s["seconds"] for s in r["stages"]) / r["seconds"], 1)
        self.assertFalse(at[1000000, 1, "eig"]["fits"])
        self.assertTrue(at[1000000, 10000, "krylov"]["fits"])
        self.assertLess(at[1000000, 10000, "krylov"]["seconds"], at[1000000, 10000, "eig"]["seconds"])

    def test_a_slower_network_takes_longer(self):
        common = ("plan", "--machine", self.machine(), "--n", "100000", "--ranks", "1,100", "--kernel", "gaussian",
                  "--method", "product", "--storage", "double", "--memory-limit", "1000G")
        fast = self.record("mercer-bench", *common, "--network-bandwidth", 10)["result"]["rows"]
        slow = self.record("mercer-bench", *common, "--network-bandwidth", 0.01)["result"]["rows"]
        self.assertEqual(fast[0]["seconds"], slow[0]["seconds"])
        self.assertGreater(slow[1]["seconds"], fast[1]["seconds"])
        self.assertAlmostEqual((slow[1]["seconds"] - fast[1]["seconds"])
                               / (slow[1]["bytes_sent_per_rank"] * (1e-7 - 1e-10)), 1, delta=0.1)

    def test_wrong_options_are_refused(self):
        plan = ("mercer-bench", "plan")
        self.refuse(["--method", "fast"], *plan, "--method", "fast")
        self.refuse(["--n", "many"], *plan, "--n", "many")
        self.refuse(["--ranks", "0"], *plan, "--ranks", "0")
        self.refuse(["--k", "at least 1"], *plan, "--k", "0")
        self.refuse(["--network-bandwidth"], *plan, "--network-bandwidth", "-3")
        self.refuse(["--machine", "nowhere.json"], *plan, "--machine", "nowhere.json")
        with open(self.path("empty.json"), "w") as file:
            json.dump({}, file)
        self.refuse(["--machine", "gemm"], "mercer-spectrum", *GAUSSIAN, "--dry-run", "--machine", self.path("empty.json"))

    def test_the_memory_planned_is_the_memory_taken(self):
        """The peak of the largest rank: at most a tenth above the plan, and not far below it."""
        ridge = ("--train", "gaussian:n=4000,d=20", "--test", "gaussian:n=1000,d=20", "--kernel", "gaussian")
        jobs = [
            ("mercer-kernel", "--data", "gaussian:n=4000,d=20", "--kernel", "gaussian"),
            ("mercer-spectrum", *GAUSSIAN, "--solver", "elpa1"),
            ("mercer-krr", *ridge, "--ridge-relative", 0.1),
        ]
        compared = 0
        for job in jobs:
            record = self.record(*job)
            ratio = record["peak_memory_bytes"] / record["result"]["peak_memory_bytes_planned"]
            self.assertLess(ratio, 1.10, job)
            self.assertGreater(ratio, 0.75, job)
            compared += 1
        self.assertEqual(compared, len(jobs))


if __name__ == "__main__":
    unittest.main(verbosity=2)
