#!/usr/bin/env python3
"""The kernels of `mercer-bench images` in NumPy, for comparison: milliseconds of one core for a pair of images, in double precision.

    OPENBLAS_NUM_THREADS=1 python3 tests/bench/numpy_cntk.py [build/bin/mercer-bench]

With a mercer-bench, it is run too, and the ratio of the times printed. The recursion is the textbook's on K and T (cosine, arccos), with filters as
sums along the image's two directions in turn, on arrays that fit a core's second cache: with gap all pairs of pixels whose rows differ by dy, with
flatten the pairs p = p' of a batch of images with one. With MERCER_GOLDEN_DIR its values are compared with cntk.h5 first.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

import numpy as np

LAYERS = 21


def along(a, left, axes):
    """left = a plus a shifted by one to either side, along several axes together; 0 comes from outside."""
    np.copyto(left, a)
    here, there = [slice(None)] * a.ndim, [slice(None)] * a.ndim
    for axis in axes:
        here[axis], there[axis] = slice(1, None), slice(None, -1)
    here, there = tuple(here), tuple(there)
    left[here] += a[there]
    left[there] += a[here]
    return left


def filtered(a, scratch, axes, weight):
    """a <- weight times its sums over 3 x 3 pixels: first along the rows' axes, then along the columns'."""
    rows, columns = axes
    along(a, scratch, rows)
    along(scratch, a, columns)
    a *= weight


def variances(x, layers, weight):
    """sqrt(q) of every pixel before each activation: q <- weight (3 x 3 sum of q), then q/2 behind relu."""
    q = np.mean(x * x, axis=-1)
    scratch, norms = np.empty_like(q), []
    for _ in range(layers):
        filtered(q, scratch, ((-2,), (-1,)), weight)
        norms.append(np.sqrt(q))
        q *= 0.5
    return norms


def recursion(K, norms, axes, weight):
    """T behind all layers and the sums before it in K: K <- A(K), T <- A(T) + A(K), then those of relu. `norms`: for each layer a pair of arrays
    that broadcast, sqrt(q) of the pixels p and p'."""
    T, a, b = np.zeros_like(K), np.empty_like(K), np.empty_like(K)
    for si, sj in norms:
        filtered(K, a, axes, weight)
        filtered(T, a, axes, weight)
        T += K
        np.multiply(si, sj, out=a)  # sqrt(q q')
        np.divide(K, a, out=b)
        np.clip(b, -1, 1, out=b)
        np.multiply(b, b, out=K)
        np.subtract(1, K, out=K)
        np.sqrt(K, out=K)           # sin
        a *= 0.5 / np.pi
        K *= a
        a *= b
        np.arccos(b, out=b)
        np.subtract(np.pi, b, out=b)
        a *= b
        K += a
        b *= 0.5 / np.pi
        T *= b
    return T, K


def gap(x, z, layers, weight=2 / 9):
    """K and T of (conv(3) relu) x layers, gap, dense, weight_std sqrt(2)."""
    n = len(x)
    norms = list(zip(variances(x, layers, weight), variances(z, layers, weight)))
    total_T = total_K = 0.0
    for dy in range(1 - n, n):
        top, low = slice(max(0, dy), n + min(0, dy)), slice(max(0, -dy), n - max(0, dy))
        K = x[top] @ z[low].transpose(0, 2, 1) / x.shape[-1]  # rows y, columns x and x'
        T, K = recursion(K, [(si[top][:, :, None], sj[low][:, None, :]) for si, sj in norms], ((0,), (1, 2)), weight)
        total_T += T.sum()
        total_K += K.sum()
    k = 2 * total_K / n**4
    return k, k + 2 * total_T / n**4


def flatten(x, z, layers, weight=2 / 9):
    """The same with flatten, of a batch x with one image z."""
    norms = list(zip(variances(x, layers, weight), variances(z, layers, weight)))
    T, K = recursion(np.einsum("byxc,yxc->byx", x, z) / x.shape[-1], norms, ((1,), (2,)), weight)
    k = 2 * K.mean(axis=(1, 2))
    return k, k + 2 * T.mean(axis=(1, 2))


def compare_with_golden():
    """Largest error of sqrt(k(x, x) k(z, z)) in the golden files' cases of this network; cosines lose half of the digits of equal images."""
    import h5py
    worst = 0.0
    with h5py.File(os.path.join(os.environ["MERCER_GOLDEN_DIR"], "cntk.h5")) as file:
        for name, of in (("conv3_gap", gap), ("conv3_flatten", lambda x, z, layers: [float(v[0]) for v in flatten(x[None], z, layers)])):
            case = file[name]
            X, layers = case["X1"][()], int(case.attrs["conv_layers"])
            for kind, exact in (("nngp", case["nngp_exact"][()]), ("ntk", case["ntk_exact"][()])):
                for i in range(len(X)):
                    for j in range(len(X)):
                        value = of(X[i], X[j], layers)[kind == "ntk"]
                        worst = max(worst, abs(value - exact[i, j]) / np.sqrt(exact[i, i] * exact[j, j]))
    return worst


def median_seconds(f, repeat):
    times = []
    for _ in range(repeat):
        start = time.process_time()
        f()
        times.append(time.process_time() - start)
    return float(np.median(times))


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bench", nargs="?", help="a mercer-bench to compare with")
parser.add_argument("--repeat", type=int, default=5)
job = parser.parse_args()

if "MERCER_GOLDEN_DIR" in os.environ:
    error = compare_with_golden()
    print(f"largest error in cntk.h5: {error:.1e}")
    if not error <= 5e-8:
        sys.exit("the recursion is wrong")
random = np.random.default_rng(0)
image = lambda *batch: random.normal(size=(*batch, 32, 32, 3))
one, other, batch = image(), image(), image(16)
seconds = {"gap": median_seconds(lambda: gap(one, other, LAYERS), job.repeat),
           "flatten": median_seconds(lambda: flatten(batch, other, LAYERS), 3 * job.repeat) / len(batch)}
entries = {"gap": LAYERS * 1024**2, "flatten": LAYERS * 1024}
mercer = {}
if job.bench:
    with tempfile.TemporaryDirectory() as folder:
        record = os.path.join(folder, "images.json")
        subprocess.run([job.bench, "images", "--repeat", str(job.repeat), "--json", record, "--quiet"], check=True)
        with open(record) as file:
            for row in json.load(file)["result"]["rows"]:
                if row["state"] == "double":
                    mercer[row["name"].split()[-1]] = row["seconds_per_pair"]
for name, time_of in seconds.items():
    line = f"{LAYERS} conv(3) relu, {name}: NumPy {1e3 * time_of:.4g} ms a pair, {1e9 * time_of / entries[name]:.1f} ns an entry and layer"
    if name in mercer:
        line += f"; Mercer {1e3 * mercer[name]:.4g} ms, {time_of / mercer[name]:.1f} times as fast"
    print(line)
