"""An independent dense implementation in NumPy: the textbook formulas, for comparison only."""

import gzip
import os

import numpy as np
import scipy.linalg


def relu_ntk(X, Z, hidden_layers, weight_variance=2.0, bias_variance=0.0):
    """Theta of (dense relu) x hidden_layers dense, by the arc-cosine recursion."""
    d = X.shape[1]
    qx = weight_variance * (X**2).sum(1) / d + bias_variance
    qz = weight_variance * (Z**2).sum(1) / d + bias_variance
    K = weight_variance * (X @ Z.T) / d + bias_variance
    T = K.copy()
    for _ in range(hidden_layers):
        p = np.sqrt(np.outer(qx, qz))
        with np.errstate(invalid="ignore", divide="ignore"):
            c = np.where(p > 0, np.clip(K / p, -1, 1), 0)
        theta = np.arccos(c)
        slope = (np.pi - theta) / (2 * np.pi)
        K = weight_variance * p * (np.sin(theta) + (np.pi - theta) * c) / (2 * np.pi) + bias_variance
        T = K + weight_variance * T * slope
        qx = weight_variance * qx / 2 + bias_variance
        qz = weight_variance * qz / 2 + bias_variance
    return T


def ridge(K, Y, gamma):
    """(K/n + gamma I)^-1 Y."""
    n = len(K)
    return scipy.linalg.cho_solve(scipy.linalg.cho_factor(K / n + gamma * np.eye(n)), Y)


def leave_one_out_rmse(K, Y, gamma):
    n = len(K)
    inverse = np.linalg.inv(K / n + gamma * np.eye(n))
    return np.sqrt(np.mean((inverse @ Y / np.diag(inverse)[:, None]) ** 2))


def idx(path):
    data = gzip.open(path).read()
    dimensions = data[3]
    shape = [int.from_bytes(data[4 + 4 * i : 8 + 4 * i], "big") for i in range(dimensions)]
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def mnist(folder, n):
    """Unit-norm images and one-hot labels minus 0.1: training (first n), test, and the test labels."""
    def images(name):
        x = idx(os.path.join(folder, "mnist", name)).reshape(-1, 784).astype(float)
        return x / np.linalg.norm(x, axis=1, keepdims=True)

    train = images("train-images-idx3-ubyte.gz")[:n]
    test = images("t10k-images-idx3-ubyte.gz")
    y_train = np.eye(10)[idx(os.path.join(folder, "mnist", "train-labels-idx1-ubyte.gz"))[:n]] - 0.1
    labels = idx(os.path.join(folder, "mnist", "t10k-labels-idx1-ubyte.gz"))
    return train, y_train, test, np.eye(10)[labels] - 0.1, labels


def uci(folder, name, split=0):
    """Training and test rows, standardised by the training rows, and the target's deviation."""
    with gzip.open(os.path.join(folder, "uci", name, "data.csv.gz")) as file:
        data = np.loadtxt(file, delimiter=",")
    with gzip.open(os.path.join(folder, "uci", name, "test_mask.csv.gz")) as file:
        test = np.loadtxt(file, delimiter=",", ndmin=2)[:, split] == 1
    mean, deviation = data[~test].mean(0), data[~test].std(0)
    deviation[deviation == 0] = 1
    data = (data - mean) / deviation
    return data[~test, :-1], data[~test, -1:], data[test, :-1], data[test, -1:], deviation[-1]
