"""Memory that plans promise beside the peak of the run, every method at two sizes: a table in Markdown.

python3 tests/bench/memory.py FOLDER-OF-THE-PROGRAMS [-n RANKS] [NAME...]      (about 15 minutes on 2 cores)"""

import json
import subprocess
import sys

JOBS = {
    "assembly": ("mercer-kernel", "--data", "gaussian:n={n},d=16", (6000, 16000)),
    "all pairs, direct": ("mercer-spectrum", "--data", "gaussian:n={n},d=16", "--solver", "elpa2", (3000, 8000)),
    "top pairs, direct": ("mercer-spectrum", "--data", "gaussian:n={n},d=16", "--solver", "elpa2", "--top", "50", (3000, 9000)),
    "top pairs, Krylov": ("mercer-spectrum", "--data", "gaussian:n={n},d=16", "--solver", "krylov", "--top", "50", "--storage",
                          "double", (6000, 24000)),
    "top pairs, Krylov, K computed again": ("mercer-spectrum", "--data", "gaussian:n={n},d=16", "--solver", "krylov", "--top", "50",
                                            "--storage", "none", "--memory-limit", "2G", (6000, 24000)),
    "Cholesky": ("mercer-krr", "--train", "gaussian:n={n},d=16", "--ridge-relative", "1e-3", "--solver", "cholesky", (6000, 17000)),
    "modified kernel": ("mercer-krr", "--train", "gaussian:n={n},d=16", "--ridge-relative", "1e-3", "--top", "50", "--g", "flat",
                        "--solver", "elpa2", (3000, 8000)),
    "ridge path": ("mercer-krr", "--train", "gaussian:n={n},d=16", "--ridge", "loo", "--solver", "elpa2", (3000, 7000)),
    "conjugate gradients": ("mercer-krr", "--train", "gaussian:n={n},d=16", "--ridge-relative", "1e-3", "--solver", "cg", "--rank",
                            "200", "--storage", "double", (6000, 24000)),
    "training": ("mercer-train", "--train", "gaussian:n={n},d=784", "--arch", "dense(1024) relu dense(1024) relu dense(1)",
                 "--steps", "3", "--precision", "single", (4000, 60000)),
    "training with S on the parameters": ("mercer-train", "--train", "gaussian:n={n},d=784", "--arch",
                                          "dense(1024) relu dense(1024) relu dense(1)", "--batch", "1024", "--top", "50", "--steps", "3",
                                          "--precision", "single", (4000, 60000)),
    "training with S, direct": ("mercer-train", "--train", "gaussian:n={n},d=64", "--arch", "dense(512) relu dense(1)", "--top", "20",
                                "--steps", "3", "--solver", "elpa2", (3000, 8000)),
    "training with S, Krylov": ("mercer-train", "--train", "gaussian:n={n},d=64", "--arch", "dense(512) relu dense(1)", "--top", "20",
                                "--steps", "3", "--solver", "krylov", "--storage", "double", (6000, 24000)),
}


def main():
    folder, ranks, wanted = sys.argv[1], "2", sys.argv[2:]
    if "-n" in wanted:
        at = wanted.index("-n")
        ranks = wanted[at + 1]
        del wanted[at:at + 2]
    print("| method | n | planned, MiB a rank | peak, MiB | planned / peak |\n|---|---|---|---|---|")
    for name, (driver, *options, sizes) in JOBS.items():
        if wanted and name not in wanted:
            continue
        for n in sizes:
            command = ["mpirun", "-n", ranks, f"{folder}/{driver}", *(o.format(n=n) for o in options), "--json", "-"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
            if done.returncode != 0:
                print(f"| {name} | {n} | {done.stderr.strip().splitlines()[-1]} | | |", flush=True)
                continue
            record = json.loads(done.stdout)
            planned, peak = record["result"]["peak_memory_bytes_planned"], record["peak_memory_bytes"]
            print(f"| {name} | {n} | {planned / 2**20:.0f} | {peak / 2**20:.0f} | {planned / peak:.3f} |", flush=True)


if __name__ == "__main__":
    main()
