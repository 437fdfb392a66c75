#!/usr/bin/env python3
"""What mercer's plans predict beside what the runs take: ratios measured/planned of time and memory.

Runs a handful of jobs of mercer-kernel, mercer-spectrum and mercer-krr on this machine, on synthetic points,
with the coefficients that `mercer-bench plan` has just measured. Time is that of the stages in the plan,
without reading and writing; a stage's phase is the slowest rank's. What the plan says of iterative solvers is for
a number of products or iterations that it states; here it is taken for as many as the run did. Of several runs the
median counts, and the range is shown: a virtual machine may take seconds for every GB of memory that it has to get
from its host, in one run and not in the next, which no plan can know. For a quiet machine:

    python3 tests/bench/plan_against_runs.py BIN_DIR [--ranks 2] [--n 6000] [--repeat 3] [--only WORD] [--csv FILE]
"""

import argparse
import json
import os
import re
import shlex
import statistics
import subprocess
import sys
import tempfile


def jobs(n):
    """Name, command, and the plan's stages by the phases that hold them."""
    kernel = ["--kernel", "ntk", "--depth", "3"]
    data = ["--data", f"gaussian:n={n},d=784", *kernel]
    half = ["--data", f"gaussian:n={n // 2},d=784", *kernel]
    ridge = ["--train", f"gaussian:n={n},d=784", "--test", f"gaussian:n={n // 2},d=784", *kernel,
             "--ridge-relative", "1e-2"]
    k = str(n // 50)
    return [
        ("kernel", ["mercer-kernel", *data]),
        ("kernel single", ["mercer-kernel", *data, "--precision", "single"]),
        ("elpa1 all", ["mercer-spectrum", *half, "--solver", "elpa1"]),
        ("elpa2 top", ["mercer-spectrum", *data, "--solver", "elpa2", "--top", k]),
        ("elpa1 top", ["mercer-spectrum", *data, "--solver", "elpa1", "--top", k]),
        ("scalapack all", ["mercer-spectrum", *half, "--solver", "scalapack"]),
        ("krylov double", ["mercer-spectrum", *data, "--solver", "krylov", "--top", k, "--storage", "double"]),
        ("krylov single", ["mercer-spectrum", *data, "--solver", "krylov", "--top", k, "--storage", "single"]),
        ("krylov none", ["mercer-spectrum", *data, "--solver", "krylov", "--top", k, "--storage", "none"]),
        ("cholesky", ["mercer-krr", *ridge]),
        ("path", ["mercer-krr", "--train", f"gaussian:n={n // 2},d=784", *kernel, "--ridge-relative", "1e-3,1e-2,1e-1"]),
        ("cg double", ["mercer-krr", *ridge, "--solver", "cg", "--storage", "double"]),
        ("cg single", ["mercer-krr", *ridge, "--solver", "cg", "--storage", "single"]),
        ("cg none", ["mercer-krr", *ridge, "--solver", "cg", "--storage", "none"]),
    ]


def counted(stage, result):
    """The run's iterations (products) over those that the plan assumes, 1 where there are none."""
    assumed = re.match(r"(cg|krylov), (\d+) (iterations|products)", stage.get("method", ""))
    return result[assumed.group(3)] / int(assumed.group(2)) if assumed else 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bin", help="folder of the programs")
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--n", type=int, default=6000)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", default="", help="jobs whose name holds this word")
    parser.add_argument("--mpirun", default="mpirun", help="the launcher, with its options")
    parser.add_argument("--csv", help="the ratios as a table")
    options = parser.parse_args()
    launcher = [*shlex.split(options.mpirun), "-n", str(options.ranks)]

    def run(program, *arguments):
        command = [*launcher, os.path.join(options.bin, program), *arguments, "--json", "-"]
        done = subprocess.run(command, capture_output=True, text=True)
        return (json.loads(done.stdout) if done.returncode == 0 else None), done.stderr

    rows = []
    with tempfile.TemporaryDirectory() as folder:
        machine = os.path.join(folder, "machine.json")
        record, error = run("mercer-bench", "plan", "--n", "1000", "--d", "784")
        if record is None:
            sys.exit("mercer-bench plan failed: " + error)
        with open(machine, "w") as file:
            json.dump(record, file)
        print("machine:", ", ".join(f"{k} {v:.3g}" for k, v in record["result"]["machine"].items() if k != "kernel"))
        print(f"{'job':<16} {'stage':<12} {'planned s':>10} {'measured s':>11} {'ratio':>6}    {'planned':>9} {'measured':>9} {'ratio':>6}")
        for name, command in jobs(options.n):
            if options.only not in name:
                continue
            runs, stages, memory = [], {}, None
            for _ in range(options.repeat):
                record, error = run(*command, "--machine", machine)
                if record is None:
                    break
                result = record["result"]
                stages = {}
                for stage in result["plan"]:
                    if stage["name"] != "load":
                        stages[stage["name"]] = stages.get(stage["name"], 0) + stage["seconds"] * counted(stage, result)
                runs.append({phase: t["max"] for phase, t in record["phases"].items() if phase not in ("load", "write", "check")})
                memory = (result["peak_memory_bytes_planned"], record["peak_memory_bytes"])
            if record is None:
                print(f"{name:<16} left out: {error.strip().splitlines()[0] if error.strip() else 'failed'}")
                continue
            totals = sorted(sum(run.values()) for run in runs)
            planned, took = sum(stages.values()), statistics.median(totals)
            for phase in [*stages, *(p for p in runs[0] if p not in stages)]:
                seconds = statistics.median(run.get(phase, 0) for run in runs)
                expected = stages.get(phase, 0)
                ratio = f"{seconds / expected:6.2f}" if expected and seconds else "     -"
                print(f"{name:<16} {phase:<12} {expected:10.3f} {seconds:11.3f} {ratio}")
            print(f"{name:<16} {'all':<12} {planned:10.3f} {took:11.3f} {took / planned:6.2f}    "
                  f"{memory[0] / 2**20:6.0f}MiB {memory[1] / 2**20:6.0f}MiB {memory[1] / memory[0]:6.2f}    "
                  f"({totals[0]:.3f} ... {totals[-1]:.3f} s)", flush=True)
            rows.append((name, planned, took, *memory))
    if not rows:
        sys.exit("no job ran")
    time = [r[2] / r[1] for r in rows]
    space = [r[4] / r[3] for r in rows]
    print(f"\nmeasured/planned: time {min(time):.2f} ... {max(time):.2f}, median {statistics.median(time):.2f}; "
          f"memory {min(space):.2f} ... {max(space):.2f}")
    if options.csv:
        with open(options.csv, "w") as file:
            print("job,seconds_planned,seconds,bytes_planned,bytes", file=file)
            for row in rows:
                print(*row, sep=",", file=file)


if __name__ == "__main__":
    main()
