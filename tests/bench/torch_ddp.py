#!/usr/bin/env python3
"""The step of `mercer-bench train` in PyTorch, for comparison: DistributedDataParallel over gloo, one thread a
process, float32, full batch, mean squared error, SGD. Needs PyTorch, which Mercer does not.

    python3 tests/bench/torch_ddp.py [--processes 2] [--repeat 20]
"""

import argparse
import os
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")

import numpy as np
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

def dense(*widths):
    layers = []
    for a, b in zip(widths, widths[1:]):
        layers += [torch.nn.Linear(a, b, bias=False), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1])


def lenet5():
    nn = torch.nn
    return nn.Sequential(nn.Conv2d(1, 6, 5, padding=2, bias=False), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5, bias=False), nn.ReLU(),
                         nn.AvgPool2d(2), nn.Flatten(), *dense(400, 120, 84, 10))


def conv64():
    nn, layers = torch.nn, []
    for a, b in ((3, 64), (64, 64), (64, 64)):
        layers += [nn.Conv2d(a, b, 3, padding=1, bias=False), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 32 * 32, 10, bias=False))


# name, network, shape of a row, rows, multiply-adds of a row in each layer
NETWORKS = (
    ("784-1024-1024-10", lambda: dense(784, 1024, 1024, 10), (784,), 8192, (784 * 1024, 1024 * 1024, 1024 * 10)),
    ("784-256-256-10", lambda: dense(784, 256, 256, 10), (784,), 1024, (784 * 256, 256 * 256, 256 * 10)),
    ("LeNet-5", lenet5, (1, 28, 28), 4096, (784 * 25 * 6, 100 * 150 * 16, 400 * 120, 120 * 84, 84 * 10)),
    ("3 of 64 channels", conv64, (3, 32, 32), 128, (1024 * 27 * 64, 1024 * 576 * 64, 1024 * 576 * 64, 65536 * 10)),
)


def flops(products):
    """Of a row: forward, and backward without the gradient of the inputs, as mercer-bench counts."""
    return 2 * (3 * sum(products) - products[0])


def steps(rank, processes, network, shape, rows, repeat):
    """Seconds of each full-batch step on the slowest process."""
    torch.manual_seed(0)
    model = DistributedDataParallel(network())
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    loss = torch.nn.MSELoss()
    mine = rows // processes + (1 if rank < rows % processes else 0)
    inputs, targets = torch.randn(mine, *shape), torch.randn(mine, 10)
    times = []
    for step in range(repeat + 3):
        dist.barrier()
        start = time.perf_counter()
        optimiser.zero_grad(set_to_none=True)
        loss(model(inputs), targets).backward()
        optimiser.step()
        spent = torch.tensor([time.perf_counter() - start])
        dist.all_reduce(spent, op=dist.ReduceOp.MAX)
        if step >= 3:  # the first ones build the buckets
            times.append(float(spent))
    return times


def peak(size=2048):
    """sgemm's rate with every process busy."""
    a, b = torch.ones(size, size), torch.ones(size, size)
    times = []
    for _ in range(5):
        dist.barrier()
        start = time.perf_counter()
        a @ b
        times.append(time.perf_counter() - start)
    return 2e-9 * size**3 / float(np.median(times))


def work(rank, processes, repeat, meeting):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=processes)
    ceiling = peak()
    if rank == 0:
        print(f"PyTorch {torch.__version__}, {processes} processes; sgemm {ceiling:.1f} GFLOP/s a process")
        print(f"{'network':<22}{'rows':>7}{'seconds a step':>16}{'GFLOP/s a process':>20}{'of peak':>9}")
    for name, network, shape, rows, products in NETWORKS:
        seconds = float(np.median(steps(rank, processes, network, shape, rows, repeat)))
        rate = 1e-9 * flops(products) * rows / processes / seconds
        if rank == 0:
            print(f"{name:<22}{rows:>7}{seconds:>16.4f}{rate:>20.1f}{rate / ceiling:>9.0%}", flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=20)
    job = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(work, (job.processes, job.repeat, os.path.join(folder, "meeting")), job.processes)
