"""What a plan refuses, and the memory planned against the memory taken."""

import json
import unittest

from support import PipeTest, run

GAUSSIAN = ("--data", "gaussian:n=2500,d=20", "--kernel", "gaussian")


class Limits(PipeTest):
    def test_machines_that_contradict_themselves_are_refused(self):
        job = ("mercer-krr", "--train", "circle:n=50,freq=3", "--ridge", "1")
        self.refuse(["--ranks", "--dry-run"], *job, "--ranks", 64, ranks=0)
        self.refuse(["--latency", "--dry-run"], *job, "--latency", 1e-6, ranks=0)
        job = (*job, "--dry-run")
        self.refuse(["--ranks 0"], *job, "--ranks", 0, ranks=0)
        self.refuse(["--latency", "positive"], *job, "--latency", -1, ranks=0)
        self.refuse(["--network-bandwidth"], *job, "--network-bandwidth", "nan", ranks=0)
        self.refuse(["--nodes 3", "take 4"], *job, "--ranks", 64, "--nodes", 3, "--ranks-per-node", 16, ranks=0)
        self.refuse(["--nodes 8", "--ranks 4"], *job, "--ranks", 4, "--nodes", 8, ranks=0)
        self.refuse(["--ranks-per-node", "--ranks or --nodes"], *job, "--ranks-per-node", 4, ranks=0)
        self.refuse(["--grid 2x2", "16 ranks"], *job, "--ranks", 16, "--grid", "2x2", ranks=0)
        self.refuse(["--ranks"], "mercer-bench", "gram", "--ranks", 16, ranks=0)

    def test_a_dry_run_ends_as_the_run_would(self):
        """Exit code 3 where the plan does not fit, after the plan; the record says refused."""
        jobs = (("mercer-spectrum", *GAUSSIAN, "--solver", "elpa1"), ("mercer-kernel", *GAUSSIAN),
                ("mercer-krr", "--train", "gaussian:n=2500,d=20", "--kernel", "gaussian", "--ridge", 1, "--solver",
                 "cholesky"),
                ("mercer-train", "--train", "gaussian:n=2500,d=20", "--arch", "dense(64) relu dense(1)", "--top", 20))
        for job in jobs:
            record = self.path("r.json")
            for dry in ((), ("--dry-run", "--json", record)):
                result = run(*job, "--memory-limit", "30M", *dry)
                self.assertEqual(result.code, 3, (job, result.out, result.err))
                own = [line for line in result.own_errors if "warning" not in line]
                self.assertEqual(len(own), 1, result.err)
                self.assertIn("30.00 MiB of --memory-limit", own[0])
            self.assertIn("stage '", own[0])
            self.assertIn("memory a rank", result.out)
            with open(record) as file:
                self.assertEqual(json.load(file)["status"], "refused")

    def test_wrong_options_are_refused(self):
        plan = ("mercer-bench", "plan")
        self.refuse(["--method", "fast"], *plan, "--method", "fast")
        self.refuse(["--n", "many"], *plan, "--n", "many")
        self.refuse(["--ranks", "0"], *plan, "--ranks", "0")
        self.refuse(["--k", "at least 1"], *plan, "--k", "0")
        self.refuse(["--network-bandwidth"], *plan, "--network-bandwidth", "-3")
        self.refuse(["--latency", "positive"], *plan, "--latency", "0")
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
