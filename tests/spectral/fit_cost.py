"""Fits the coefficients of src/spectral/cost.cpp to the output of calibrate_eigensolvers on stdin.

seconds = 1e-9 (cube n^3/P + pairs n^2 k/P + square n^2/sqrt(P)) + 1e-6 column n log2(P), non-negative least
squares of the relative error; prints the C++ lines and, for every measured case, what `auto` would
take with them against the best backend.
"""

import re
import sys

import numpy as np
from scipy.optimize import nnls

LINE = re.compile(r"n (\d+) k (\d+) nb \d+ (\d+)x(\d+) (\w+) +ran (\w+) +([\d.]+) s")


def backend(method, n, k, ranks):
    """p?syevd and p?syevx are two backends of one method: takes_syevx() of backends.cpp."""
    if method != "scalapack":
        return method
    count = min(k + 1, n)
    return "syevx" if 8 * count <= n and count * ranks <= n else "syevd"


def features(name, n, k, ranks):
    count = min(k + 1, n)
    square = int(np.sqrt(ranks)) ** 2 if name == "syevx" else ranks
    across = 1 if name == "syevx" else ranks
    return np.array([1e-9 * n**3 / square, 1e-9 * n**2 * count / across, 1e-9 * n**2 / np.sqrt(ranks),
                     1e-6 * n * np.log2(ranks)])


cases = {}
for line in sys.stdin:
    found = LINE.match(line)
    if not found or found[5] == "auto":
        continue
    n, k, ranks = int(found[1]), int(found[2]), int(found[3]) * int(found[4])
    name, seconds = backend(found[5], n, k, ranks), float(found[7])
    best = cases.setdefault((n, k, ranks), {})
    best[name] = min(seconds, best.get(name, seconds))

fitted = {}
for name in ("elpa1", "elpa2", "syevd", "syevx"):
    rows = [(features(name, *key), times[name]) for key, times in cases.items() if name in times]
    if not rows:
        continue
    A = np.array([f / t for f, t in rows])
    if name == "syevd":
        A[:, 1] = 0  # it computes all pairs whatever k
    fitted[name], _ = nnls(A, np.ones(len(rows)))
    spread = np.abs(A @ fitted[name] - 1)
    print("constexpr Coefficients k%s{%s};  // relative error: mean %.2f, largest %.2f"
          % (name.capitalize(), ", ".join("%.4g" % c for c in fitted[name]), spread.mean(), spread.max()))

for key, times in sorted(cases.items()):
    choice = min(times, key=lambda name: features(name, *key) @ fitted[name])
    print("n %d k %d ranks %d: auto %s %.3f s, best %s %.3f s, ratio %.2f"
          % (*key, choice, times[choice], min(times, key=times.get), min(times.values()),
             times[choice] / min(times.values())))
