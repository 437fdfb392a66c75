#!/usr/bin/env python3
"""The kernel of `mercer-bench gram` in plain NumPy, for comparison: seconds to fill the n x n matrix.

    OPENBLAS_NUM_THREADS=2 python3 tests/bench/numpy_ntk.py --n 8192 --d 784 --depth 3
"""

import argparse
import os
import sys
import time

import numpy as np

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "drivers"))
from reference import relu_ntk

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--n", type=int, default=8192)
parser.add_argument("--d", type=int, default=784)
parser.add_argument("--depth", type=int, default=3)
parser.add_argument("--repeat", type=int, default=3)
job = parser.parse_args()

X = np.random.default_rng(0).normal(size=(job.n, job.d))
X /= np.linalg.norm(X, axis=1, keepdims=True)
times = []
for _ in range(job.repeat):
    start = time.perf_counter()
    relu_ntk(X, X, job.depth)
    times.append(time.perf_counter() - start)
print(f"NumPy: n = {job.n}, d = {job.d}, {job.depth} layers: {np.median(times):.2f} s (median of {job.repeat}), "
      f"{job.n**2 / np.median(times):.3g} entries/s")
