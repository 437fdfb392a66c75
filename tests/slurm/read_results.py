"""Opens a driver's HDF5 result as a user would: python3 read_results.py krr|spectrum FILE n m."""
import sys

import h5py
import numpy as np

kind, path, n, m = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with h5py.File(path, "r") as f:
    assert int(f.attrs["n"]) == n, dict(f.attrs)
    assert int(f.attrs["ranks"]) == 2, dict(f.attrs)
    if kind == "krr":
        names, shapes = ["predictions", "alpha"], [(m, 1), (n, 1)]
    else:
        names, shapes = ["eigenvalues", "eigenvectors"], [(m,), (n, m)]
    for name, shape in zip(names, shapes):
        value = f[name][...]
        assert value.shape == shape, (name, value.shape, shape)
        assert np.isfinite(value).all(), name
    if kind == "spectrum":
        values = f["eigenvalues"][...]
        assert (np.diff(values) <= 0).all() and values[-1] > 0, values
        vectors = f["eigenvectors"][...]
        assert np.abs(vectors.T @ vectors - np.eye(m)).max() <= 1e-10
