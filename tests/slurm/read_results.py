"""Opens a driver's HDF5 result as a user would: python3 read_results.py krr|spectrum FILE n m.
Compares the parameters of two training runs to the bit: python3 read_results.py same FILE FILE."""
import sys

import h5py
import numpy as np



def parameters(path):
    values = {}
    with h5py.File(path, "r") as f:
        f["/parameters"].visititems(
            lambda name, item: values.__setitem__(name, item[()].tobytes()) if isinstance(item, h5py.Dataset) else None)
    return values


if sys.argv[1] == "same":
    a, b = parameters(sys.argv[2]), parameters(sys.argv[3])
    assert len(a) >= 4 and a == b, [name for name in a if a[name] != b.get(name)]
    sys.exit(0)

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
