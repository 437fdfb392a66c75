"""Plans: --dry-run of every driver, and mercer-bench plan, with coefficients that are measured here."""

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
            "mercer-kernel": (*GAUSSIAN, {"load", "prepare", "assemble"}),
            "mercer-spectrum": (*GAUSSIAN, "--top", 50, {"load", "prepare", "assemble", "eigensolve"}),
            "mercer-krr": (*ridge, "--ridge", 0.1, {"load", "prepare", "assemble", "solve", "predict"}),
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
        common = ("plan", "--machine", self.machine(), "--n", "100000", "--ranks", "1,100", "--ranks-per-node", 10,
                  "--kernel", "gaussian", "--method", "product", "--storage", "double", "--memory-limit", "1000G")
        fast = self.record("mercer-bench", *common, "--network-bandwidth", 1e11)["result"]["rows"]  # 1e10 a rank
        slow = self.record("mercer-bench", *common, "--network-bandwidth", 1e8)["result"]["rows"]
        self.assertEqual(fast[0]["seconds"], slow[0]["seconds"])
        self.assertGreater(slow[1]["seconds"], fast[1]["seconds"])
        self.assertAlmostEqual((slow[1]["seconds"] - fast[1]["seconds"])
                               / (slow[1]["bytes_sent_per_rank"] * (1e-7 - 1e-10)), 1, delta=0.1)

    def test_a_laptop_plans_for_a_cluster(self):
        """Time and memory of 64 ranks from 1 or 2: shares of the matrix, and messages as they were stated."""
        machine = ("--machine", self.machine())
        jobs = (("mercer-spectrum", *GAUSSIAN, "--top", 50, "--solver", "scalapack"),
                ("mercer-kernel", *GAUSSIAN),
                ("mercer-krr", "--train", "gaussian:n=2000,d=20", "--test", "gaussian:n=500,d=20", "--kernel", "gaussian",
                 "--ridge", 0.1, "--solver", "cholesky"),
                ("mercer-train", "--train", "gaussian:n=2000,d=20", "--arch", "dense(64) relu dense(1)", "--top", 20))
        for job in jobs:
            there = (*job, *machine, "--dry-run", "--ranks", 64, "--ranks-per-node", 16, "--memory-limit", "4G")
            results = [self.record(*there, "--latency", 2e-6, "--network-bandwidth", b, ranks=r)["result"]
                       for b, r in ((1.6e10, 2), (1.6e8, 2), (1.6e10, 1))]
            fast, slow, alone = results
            for_ = fast["planned_for"]
            self.assertEqual((for_["ranks"], for_["nodes"], for_["ranks_per_node"], for_["grid"]), (64, 4, 16, "8x8"), job)
            self.assertEqual((for_["latency"], for_["bandwidth"]), (2e-6, 1e9), job)
            # What is sent takes 1/(1e7 bytes/s) - 1/(1e9 bytes/s) a byte longer; sums count their own way.
            sent = sum(s["sent"] for s in fast["plan"])
            self.assertGreater(slow["seconds_planned"] - fast["seconds_planned"], 0.2 * sent * (1e-7 - 1e-9), job)
            measured = {"load"}  # here and now
            if job[0] == "mercer-train":  # its kernel's entries are not in the file
                measured.add("assemble")
            for a, b in zip(fast["plan"], alone["plan"]):
                self.assertEqual(a["sent"], b["sent"], job)
                if a["name"] not in measured:
                    self.assertAlmostEqual(a["seconds"], b["seconds"], msg=str(job))
            own = self.record(*job, *machine, "--dry-run", ranks=2)["result"]
            for a, b in zip(fast["plan"], own["plan"]):
                self.assertLess(a["bytes"], b["bytes"] + 1, job)
            text = self.succeed(*there, "--latency", 2e-6, "--network-bandwidth", 1.6e10).out
            self.assertIn("64 ranks on 4 nodes, 16 a node, grid 8x8", text)

    def test_no_figure_of_one_node_is_taken_for_a_network(self):
        job = ("mercer-spectrum", *GAUSSIAN, "--top", 50, "--dry-run", "--machine", self.machine(), "--memory-limit", "4G")
        for_ = self.record(*job, "--nodes", 4, "--ranks-per-node", 8)["result"]["planned_for"]
        self.assertEqual((for_["ranks"], for_["latency"], for_["bandwidth"]), (32, 2e-6, 25e9 / 8))
        self.assertTrue(any("--latency" in a for a in for_["assumptions"]))
        self.assertTrue(any("--network-bandwidth" in a for a in for_["assumptions"]))
        text = self.succeed(*job, "--nodes", 4, "--ranks-per-node", 8).out
        self.assertIn("assumed --network-bandwidth", text)
        half = self.record(*job, "--nodes", 4, "--ranks-per-node", 8, "--latency", 1e-6)["result"]["planned_for"]
        self.assertEqual(half["latency"], 1e-6)
        self.assertFalse(any("--latency" in a for a in half["assumptions"]))
        self.assertTrue(any("--network-bandwidth" in a for a in half["assumptions"]))
        # On one node the measured figures are right.
        node = self.record(*job, "--ranks", 8, "--ranks-per-node", 8)["result"]["planned_for"]
        self.assertEqual((node["nodes"], node["bandwidth"]), (1, Plans.measured["result"]["machine"]["exchange"]))
        # A file of a machine that was measured across nodes has its own network.
        record = json.loads(json.dumps(Plans.measured))
        record["result"]["machine"]["nodes"] = 2
        with open(self.path("two.json"), "w") as file:
            json.dump(record, file)
        net = self.record(*job[:-4], "--machine", self.path("two.json"), "--memory-limit", "4G", "--ranks", 32,
                          "--ranks-per-node", 8)["result"]["planned_for"]
        self.assertEqual(net["bandwidth"], record["result"]["machine"]["exchange"])

    def test_a_node_of_too_many_ranks_is_refused(self):
        self.refuse(["--memory-limit for that machine's"], "mercer-spectrum", *GAUSSIAN, "--solver", "elpa1", "--dry-run",
                    "--nodes", 1, "--ranks-per-node", 100000, "--machine", self.machine(), code=3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
