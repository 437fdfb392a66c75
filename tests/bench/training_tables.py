"""Tables of tests/bench/README.md on stochastic preconditioned training, in Markdown.

python3 tests/bench/training_tables.py FOLDER-OF-THE-PROGRAMS TABLE... [--data FOLDER] [-n RANKS]

frequencies: epochs to 0.05 |r_0| on the circle over frequencies 1 ... 20, k = 41, beside plain descent (10 minutes)
beyond:      the same past the cut-off
forms:       which stochastic form works when
amplitude:   at amplitude 1, widths 1024 ... 65 536, without and with a fresh S each epoch (20 minutes)
decay:       weight decay: distance to ridge regression over the width
steps:       S on the parameters and on residuals after 20 full-batch steps: their distance over the width
advise:      steps predicted by --advise beside those taken, and times, on circle, sphere and MNIST with 2000 rows;
             a large --weight-std makes the last two nearly linear (--data: folder with mnist/)"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import h5py
import numpy as np

WIDE = ("--depth", "1", "--bias-std", "1")


def run(driver, *options, timeout=3600):
    """The record's `result` of a run; None where it failed."""
    command = ["mpirun", "-n", ARGUMENTS.n, os.path.join(ARGUMENTS.folder, driver), *map(str, options), "--json", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    if done.returncode == 0:
        return json.loads(done.stdout)["result"]
    if "diverged" not in done.stderr:
        sys.exit(done.stderr)
    return None


def circle(n, f, kind="", amplitude=0.03, seed=0):
    return ("--train", f"circle:n={n},freq={f}{kind},amplitude={amplitude}", "--seed", seed)


def epochs(n, batch, *options, most=200):
    """Epochs to 0.05 |r_0|; None where `most` are not enough."""
    steps = -(-n // batch)
    result = run("mercer-train", *WIDE, "--batch", batch, "--tol", 0.05, "--steps", most * steps, *options)
    return result["steps"] / steps if result and result["converged"] else None


def shown(value):
    return "-" if value is None else f"{value:.3g}"


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def header(*cells):
    line(*cells)
    line(*["---"] * len(cells))


def per_frequency(n, batch, kind, frequencies, top=41):
    """Epochs at each frequency; of random points the median of five draws."""
    found = []
    for f in frequencies:
        each = [epochs(n, batch, *circle(n, f, kind, seed=seed), "--width", 4096, "--top", top) for seed in range(1 if kind else 5)]
        found.append(statistics.median(200 if e is None else e for e in each))
    return found


def frequencies():
    header("points", "n", "batch", "least", "largest", "ratio", "each frequency 1 ... 20", "plain at 12")
    for n in (64, 128):
        for batch in (8, 32):
            for name, kind in (("i.i.d.", ""), ("equispaced", ",grid")):
                found = per_frequency(n, batch, kind, range(1, 21))
                plain = epochs(n, batch, *circle(n, 12, kind), "--width", 4096, most=2000)
                line(name, n, batch, shown(min(found)), shown(max(found)), shown(max(found) / min(found)),
                     " ".join(map(shown, found)), "> 2000" if plain is None else shown(plain))


def beyond():
    many = range(16, 41, 2)
    header("points", "n", "batch", *many)
    for n in (64, 128):
        for name, kind in (("i.i.d.", ""), ("equispaced", ",grid")):
            line(name, n, 32, *map(shown, per_frequency(n, 32, kind, many)))


def forms():
    """Epochs, n = 128 i.i.d., batch 32."""
    which = {"S = I": (), "parameters": ("--top", 41), "rows, k = 41": ("--top", 41, "--stochastic", "rows"),
             "rows, k = 41, --safety 0.02": ("--top", 41, "--stochastic", "rows", "--safety", 0.02),
             "block, K^-1": ("--stochastic", "block", "--g", "inverse"),
             "block, K^-1, new blocks": ("--stochastic", "block", "--g", "inverse", "--new-blocks"),
             "block, K_0^-1, new blocks": ("--stochastic", "block", "--g", "inverse", "--new-blocks", "--precondition", "empirical")}
    many = (1, 6, 12, 20, 28)
    header("form", *(f"frequency {f}" for f in many))
    for name, options in which.items():
        line(name, *(shown(epochs(128, 32, *circle(128, f), "--width", 4096, *options)) for f in many))


def amplitude():
    header("width", "S", *(f"frequency {f}" for f in (1, 6, 12)))
    for width in (1024, 4096, 16384, 65536):
        for name, more in (("of the start", ()), ("anew each epoch", ("--refresh", 4))):
            line(width, name, *(shown(epochs(128, 32, *circle(128, f, amplitude=1), "--width", width, "--top", 41, *more))
                                for f in (1, 6, 12)))


def circle_file(folder, constant, n=48):
    t = np.random.default_rng(5).uniform(0, 2 * np.pi, n)
    x, y = np.stack([np.cos(t), np.sin(t)] + constant * [np.ones(n)], 1), np.sin(2 * t) + 0.5 * np.cos(5 * t)
    for name, values in (("x", x), ("y", y)):
        np.save(f"{folder}/{name}.npy", values)
    return f"npy:{folder}/x.npy,{folder}/y.npy", x, y


def read(path, name="/predictions"):
    with h5py.File(path) as file:
        return file[name][()].ravel()


def decay():
    """|f - ridge| / |ridge| at the training points; the exponent is of the width, by least squares. Decay to zero, of the first
    layer without biases, with a constant appended to the inputs, ends at eta L t = 1: later too little is left of the start."""
    widths = (256, 1024, 4096, 16384)
    header("training", "limit", *widths, "exponent")
    with tempfile.TemporaryDirectory() as folder:
        flat = (*WIDE, "--top", 12, "--g", "flat")
        kinds = {"S = I": (WIDE, WIDE), "k = 12, S of K": (flat, flat),
                 "k = 12, S on the parameters": ((*flat, "--batch", 48), flat),
                 "S = I, first layer, to zero": (("--depth", 1, "--train-layers", "first"),
                                                 ("--arch", "dense relu dense(fixed)"))}
        for name, (training, limit) in kinds.items():
            if ARGUMENTS.problem not in name:
                continue
            data, x, _ = circle_file(folder, constant="zero" in name)
            L = 0.1 if "zero" in name else 0.5
            common = ("--train", data, "--test", data, "--out")
            run("mercer-krr", *common, f"{folder}/krr.h5", *limit, "--ridge", L / len(x))
            expected, distances = read(f"{folder}/krr.h5"), []
            for width in widths:
                each = []
                for seed in range(5):
                    network = (*common, f"{folder}/t.h5", *training, "--width", width, "--seed", seed)
                    ending = ("--steps", 1000 if "k =" in name else 4000)
                    if "zero" in name:
                        rate = run("mercer-train", *network, "--steps", 0)["lr"] / 2
                        ending = ("--decay-to", "zero", "--lr", rate, "--steps", round(1 / (L * rate)))
                    run("mercer-train", *network, "--weight-decay", L, *ending)
                    each.append(np.linalg.norm(read(f"{folder}/t.h5") - expected) / np.linalg.norm(expected))
                distances.append(np.median(each))
            line(name, "Lemma B.2" if "k =" in name else "ridge regression, L/n", *(f"{d:.3g}" for d in distances),
                 f"{np.polyfit(np.log(widths), np.log(distances), 1)[0]:.2f}")


def steps():
    """|f_parameters - f_residuals| / |f_residuals| after 20 full-batch steps at one rate, frequency 6, k = 12."""
    header("width", "distance of the outputs", "largest |r|/|r_0| of the two")
    with tempfile.TemporaryDirectory() as folder:
        for width in (256, 1024, 4096, 16384):
            found, left = [], []
            for kind in ((), ("--batch", 64)):
                rate = 0.5 * run("mercer-train", *circle(64, 6), *WIDE, "--width", width, "--top", 12, "--precondition", "empirical",
                                 "--steps", 0)["lr"] if not found else rate
                result = run("mercer-train", *circle(64, 6), "--test", "circle:n=64,freq=6,amplitude=0.03", *WIDE, "--width", width,
                             "--top", 12, "--precondition", "empirical", "--lr", rate, "--steps", 20, "--out", f"{folder}/t.h5", *kind)
                found.append(read(f"{folder}/t.h5"))
                left.append(result["residual"])
            line(width, f"{np.linalg.norm(found[1] - found[0]) / np.linalg.norm(found[0]):.3g}", f"{max(left):.3g}")


def advise():
    """Full batches; the times are of whole runs, medians of three where they take less than 20 s."""
    mnist = f"{ARGUMENTS.data}/mnist"
    with tempfile.TemporaryDirectory() as folder:
        problems = {
            "circle, n = 128": (*circle(128, 6), *WIDE, "--width", 4096),
            "sphere, n = 500, d = 5": ("--train", "sphere:n=500,d=5,degree=3", *WIDE, "--width", 2048, "--weight-std", 14),
        }
        if ARGUMENTS.data:
            problems["MNIST, n = 2000"] = ("--train", mnist_part(mnist, folder, 2000), "--one-hot", "--unit-norm", "--depth", 1, "--width", 2048,
                                          "--precision", "single", "--weight-std", 14)
        header("data", "S", "k", "predicted steps", "steps", "ratio", "predicted s", "s")
        for name, options in problems.items():
            if ARGUMENTS.problem not in name:
                continue
            tolerance = ("--tol", 0.4 if "MNIST" in name else 0.05, "--steps", 20000)
            for s in ("kernel", "empirical"):
                options_s = (*options, *tolerance, "--precondition", s)
                advice = run("mercer-train", *options_s, "--advise")
                best = {}
                for top in advice["advice"]:
                    if top["top"] > 100 and top["top"] != advice.get("top_advised") or top["top"] == 0 and s == "empirical":
                        continue  # without S it is the same run
                    S = ("--precondition", "none") if top["top"] == 0 else ("--precondition", s, "--top", top["top"])
                    times = []
                    for _ in range(3 if top["reached"] else 0):
                        if times and times[0] > 20:
                            break
                        start = os.times().elapsed
                        result = run("mercer-train", *options, *tolerance, *S)
                        times.append(os.times().elapsed - start)
                    if not times:
                        continue
                    seconds = statistics.median(times)
                    taken = result["steps"] if result and result["converged"] else None
                    if taken:
                        best[top["top"]] = seconds
                    line(name, s, top["top"], top["steps"], taken or "-", f"{top['steps'] / taken:.2f}" if taken else "-",
                         f"{top['seconds_S'] + top['steps'] * top['seconds_step']:.2f}", f"{seconds:.2f}")
                named, least = advice.get("top_advised"), min(best, key=best.get)
                print(f"\n{name}, S of {s}: --advise names k = {named}: {best[named]:.2f} s; fastest k = {least}: {best[least]:.2f} s\n",
                      flush=True)


def mnist_part(mnist, folder, count):
    import gzip
    import struct
    names = sorted(os.listdir(mnist))
    images, labels = (next(n for n in names if n.startswith(k)) for k in ("train-images", "train-labels"))
    parts = []
    for name, skip, size in ((images, 16, 784), (labels, 8, 1)):
        with (gzip.open if name.endswith(".gz") else open)(f"{mnist}/{name}", "rb") as file:
            head, body = file.read(skip), file.read(count * size)
        parts.append(f"{folder}/{name.removesuffix('.gz')}")
        with open(parts[-1], "wb") as file:
            file.write(head[:4] + struct.pack(">I", count) + head[8:] + body)
    return "idx:" + ",".join(parts)


TABLES = {f.__name__: f for f in (frequencies, beyond, forms, amplitude, decay, steps, advise)}
parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("folder")
parser.add_argument("tables", nargs="+", choices=TABLES)
parser.add_argument("--data")
parser.add_argument("-n", default="2")
parser.add_argument("--problem", default="", help="advise, decay: only the rows whose name contains this")
ARGUMENTS = parser.parse_args()
for table in ARGUMENTS.tables:
    print(f"\n## {table}\n", flush=True)
    TABLES[table]()
