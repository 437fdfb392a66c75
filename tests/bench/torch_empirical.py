#!/usr/bin/env python3
"""The empirical NTK of LeNet-5 by forming J in PyTorch, for comparison with `mercer-kernel --kernel empirical`: one thread each, double precision.

    OPENBLAS_NUM_THREADS=1 python3 tests/bench/torch_empirical.py build/bin/mercer-kernel [--n 2000]

PyTorch: gradients of one output in all rows by functorch's vmap(grad), a batch of rows at a time, then J J^T. The mean over the outputs adds these
products up, output by output, so that one J is kept. Entries of both are compared. Needs PyTorch and h5py, which Mercer does not.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

for threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[threads] = "1"

import functorch
import h5py
import numpy as np
import torch

LENET5 = "conv(5,6) relu avgpool(2) conv(5,16,pad=valid) relu avgpool(2) flatten dense(120) relu dense(84) relu dense(10)"
OUTPUTS = 10


def lenet5():
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(),
                         nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, OUTPUTS)).double()


def write_weights(path, model):
    """In the standard parametrisation; the first dense layer reads rows of H, W, C."""
    layers = [(m.weight.detach().numpy(), m.bias.detach().numpy()) for m in model if hasattr(m, "weight")]
    with h5py.File(path, "w") as file:
        for l, (weight, bias) in enumerate(layers):
            if weight.shape == (120, 400):
                weight = weight.reshape(120, 16, 5, 5).transpose(0, 2, 3, 1).reshape(120, 400)
            file[f"parameters/layer{l}/W"] = weight.transpose(2, 3, 1, 0) if weight.ndim == 4 else weight.T
            file[f"parameters/layer{l}/b"] = bias
        file["parameters"].attrs.update(architecture=LENET5, parametrization="standard", image="28x28x1")


def kernel_of(model, images, outputs, batch):
    """(1/len(outputs)) sum_a J_a J_a^T, with the seconds for J and for the products."""
    network, weights = functorch.make_functional(model, disable_autograd_tracking=True)
    gradient = lambda a: functorch.vmap(functorch.grad(lambda w, x: network(w, x[None])[0, a]), (None, 0))
    parameters = sum(w.numel() for w in weights)
    J, K, forming, products = torch.empty(len(images), parameters, dtype=torch.double), 0, 0.0, 0.0
    for a in outputs:
        start = time.perf_counter()
        for first in range(0, len(images), batch):
            rows = images[first : first + batch]
            torch.cat([g.reshape(len(rows), -1) for g in gradient(a)(weights, rows)], 1, out=J[first : first + len(rows)])
        middle = time.perf_counter()
        K = K + J @ J.T
        forming += middle - start
        products += time.perf_counter() - middle
    return (K / len(outputs)).numpy(), forming, products


def mercer(program, folder, images, output):
    rows, kernel, record = (os.path.join(folder, name) for name in ("x.npy", "k.h5", "k.json"))
    np.save(rows, images.numpy().transpose(0, 2, 3, 1))
    command = [program, "--kernel", "empirical", "--parameters", os.path.join(folder, "w.h5"), "--data", f"npy:{rows}", "--out", kernel, "--json",
               record, "--quiet"]
    subprocess.run(command + ([] if output is None else ["--output", str(output)]), check=True)
    with open(record) as file, h5py.File(kernel) as results:
        run = json.load(file)
        return results["kernel"][()], run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kernel", help="a mercer-kernel")
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=100, help="rows of J that are formed at once")
    job = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model, images = lenet5(), torch.randn(job.n, 1, 28, 28, dtype=torch.double)
    functorch.vmap(lambda x: x + 1)(images[:2])  # loads what it needs
    with tempfile.TemporaryDirectory() as folder:
        write_weights(os.path.join(folder, "w.h5"), model)
        for name, output, outputs in (("output 0", 0, [0]), ("mean over 10 outputs", None, range(OUTPUTS))):
            theirs, forming, products = kernel_of(model, images, outputs, job.batch)
            ours, run = mercer(job.kernel, folder, images, output)
            error = np.abs(ours - theirs).max() / np.abs(np.diag(theirs)).max()
            if not error <= 1e-12:
                sys.exit(f"{name}: entries differ by {error:.1e}")
            seconds = run["phases"]["assemble"]["max"]
            print(f"{name}, n = {job.n}: PyTorch {forming:.2f} s for J, {products:.2f} s for J J^T; Mercer {seconds:.2f} s, "
                  f"{(forming + products) / seconds:.1f} times as fast; entries agree to {error:.0e}", flush=True)
            print(f"  memory: J alone {8e-6 * job.n * sum(p.numel() for p in model.parameters()):.0f} MB; Mercer {1e-6 * run['peak_memory_bytes']:.0f} MB in all")


main()
