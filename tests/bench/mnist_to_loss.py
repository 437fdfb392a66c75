"""Time to a training loss on all of MNIST, set-up included: S on the parameters, plain descent, PyTorch's.

python3 tests/bench/mnist_to_loss.py FOLDER-OF-THE-PROGRAMS [WHAT...] --data FOLDER-WITH-mnist [--loss 0.01] [--then 0.005]
        [--top K] [--rates ETA...] [--weight-std X] [-n RANKS]

WHAT: S, S-momentum, plain, plain-momentum, torch (Debian's python3-torch, as many processes, gloo); all by default.
784-1024-1024-10 in float32, batches of 1024 rows over all ranks, mean squared error of one-hot targets, rows of unit norm, one
thread a rank. k is that of --advise. Each with five constant rates, up to the loss or twice the time of its best rate so far;
the best one once more, up to --then. All rows are evaluated after each epoch, and once the losses of the last epoch's batches
are below the target on average. The time is that of the whole command.
About 30 minutes on 2 cores."""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
EPOCH = -(-60000 // 1024)
WHAT = ("S", "S-momentum", "plain", "plain-momentum", "torch")
ARCH = "dense(1024) relu dense(1024) relu dense(10)"


def line(*cells):
    print("| " + " | ".join(map(str, cells)) + " |", flush=True)


def mercer(*options, loss):
    """Seconds of the whole command; its result, or None where it diverged."""
    files = {part: "idx:" + ",".join(f"{ARGUMENTS.data}/mnist/{part}-{kind}.gz"
                                     for kind in ("images-idx3-ubyte", "labels-idx1-ubyte")) for part in ("train", "t10k")}
    command = ["mpirun", "-n", str(ARGUMENTS.n), os.path.join(ARGUMENTS.folder, "mercer-train"), "--train", files["train"],
               "--test", files["t10k"], "--one-hot", "--unit-norm", "--precision", "single", "--arch", ARCH, "--batch", "1024",
               "--weight-std", str(ARGUMENTS.weight_std), "--loss", str(loss), "--steps", str(200 * EPOCH), "--record-every", str(EPOCH),
               *map(str, options), "--json", "-"]
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - start
    if done.returncode != 0 and "diverged" not in done.stderr:
        sys.exit(done.stderr)
    if done.returncode != 0:
        return seconds, None
    result = json.loads(done.stdout)["result"]
    if "steps" in result:
        result |= {"epochs": result["steps"] / EPOCH, "loss": result["loss_train"], "accuracy": result["accuracy"]}
    return seconds, result


def torch_process(rank, processes):
    import numpy as np
    import torch
    import torch.distributed as dist
    from torch.nn.parallel import DistributedDataParallel

    folder, rate, most, wanted = ARGUMENTS.scratch, *(float(x) for x in (ARGUMENTS.torch_rate, ARGUMENTS.most, ARGUMENTS.torch_loss))
    torch.set_num_threads(1)
    torch.manual_seed(0)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=processes)
    x, y, x_test, label_test = (torch.from_numpy(np.load(f"{folder}/{name}.npy")) for name in ("x", "y", "x_test", "label_test"))
    layers = [torch.nn.Linear(784, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 10)]
    model = DistributedDataParallel(torch.nn.Sequential(*layers))
    optimiser = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    mse = torch.nn.MSELoss()
    order = torch.Generator().manual_seed(1)
    start, step, loss, recent = time.monotonic(), 0, 1.0, collections.deque(maxlen=EPOCH)

    def of_all_rows():
        parts = zip(x[rank::processes].split(4096), y[rank::processes].split(4096))
        with torch.no_grad():
            total = sum(((model.module(a) - b) ** 2).sum() for a, b in parts)
        dist.all_reduce(total)
        return float(total) / y.numel()

    going = True
    while going and wanted < loss < 10:
        for rows in torch.randperm(len(x), generator=order).split(1024):
            mine = rows[rank::processes]
            optimiser.zero_grad(set_to_none=True)
            value = mse(model(x[mine]), y[mine])
            value.backward()
            optimiser.step()
            state = torch.tensor([float(value) * len(mine), float(time.monotonic() - start >= most)])
            dist.all_reduce(state)
            step += 1
            recent.append(float(state[0]) / len(rows))
            if step % EPOCH == 0 or (step > EPOCH and sum(recent) <= EPOCH * wanted):
                loss = of_all_rows()
            going = float(state[1]) == 0
            if loss <= wanted or not going:
                break
    with torch.no_grad():
        right = (model.module(x_test).argmax(1) == label_test).float().mean()
    if rank == 0:
        with open(f"{folder}/report.json", "w") as file:
            json.dump({"epochs": step / EPOCH, "loss": loss, "accuracy": float(right)}, file)


def torch_run(rate, loss, most):
    if os.path.exists(f"{ARGUMENTS.scratch}/meeting"):
        os.remove(f"{ARGUMENTS.scratch}/meeting")
    command = [sys.executable, *sys.argv, "--scratch", ARGUMENTS.scratch, "--torch-rate", str(rate), "--torch-loss",
               str(loss), "--most", str(most)]
    start = time.monotonic()
    processes = [subprocess.Popen([*command, "--torch-rank", str(r)]) for r in range(ARGUMENTS.n)]
    if any([p.wait() for p in processes]):
        sys.exit("PyTorch failed")
    seconds = time.monotonic() - start
    with open(f"{ARGUMENTS.scratch}/report.json") as file:
        return seconds, json.load(file)


def save_mnist():
    """The arrays of PyTorch's runs: as --unit-norm and --one-hot prepare them."""
    import gzip

    import numpy as np
    for part, suffix in (("train", ""), ("t10k", "_test")):
        with gzip.open(f"{ARGUMENTS.data}/mnist/{part}-images-idx3-ubyte.gz") as file:
            x = np.frombuffer(file.read()[16:], np.uint8).reshape(-1, 784).astype(np.float32)
        with gzip.open(f"{ARGUMENTS.data}/mnist/{part}-labels-idx1-ubyte.gz") as file:
            label = np.frombuffer(file.read()[8:], np.uint8).astype(np.int64)
        np.save(f"{ARGUMENTS.scratch}/x{suffix}.npy", x / np.linalg.norm(x, axis=1, keepdims=True))
        np.save(f"{ARGUMENTS.scratch}/label{suffix}.npy", label)
        np.save(f"{ARGUMENTS.scratch}/y{suffix}.npy", (np.eye(10, dtype=np.float32) - np.float32(0.1))[label])


def measured(name, rates, run):
    """A line for each rate; afterwards the best one to --then."""
    found = []
    for rate in ARGUMENTS.rates or rates:
        if "PyTorch" not in name:  # f is homogeneous of degree 3 in the weights
            rate = float(f"{rate * (2**0.5 / ARGUMENTS.weight_std) ** 6:.3g}")
        seconds, result = run(rate, ARGUMENTS.loss, 2 * min([s for s, _ in found], default=150))
        report(name, rate, seconds, result)
        if result and result["loss"] <= ARGUMENTS.loss:
            found.append((seconds, rate))
    if found and ARGUMENTS.then:
        seconds, rate = min(found)
        report(f"{name}, to {ARGUMENTS.then}", rate, *run(rate, ARGUMENTS.then, 6 * seconds))


def report(name, rate, seconds, result):
    if result is None:
        return line(name, rate, f"{seconds:.1f}", "", "diverged", "")
    line(name, rate, f"{seconds:.1f}", f"{result['epochs']:.3g}", f"{result['loss']:.5f}", f"{result['accuracy']:.4f}")


def main():
    top = mercer("--advise", loss=ARGUMENTS.loss)[1]["top_advised"] if ARGUMENTS.top == "advise" else ARGUMENTS.top
    line("training", "rate", "seconds", "epochs", "loss", "test accuracy")
    line(*["---"] * 6)
    S, plain, momentum = ("--top", top), ("--precondition", "none"), ("--momentum", 0.9)
    trained = {
        "S": (f"S, k = {top}", (1, 1.5, 2, 2.5, 3), S),
        "S-momentum": (f"S, k = {top}, momentum 0.9", (0.3, 0.6, 0.9, 1.2, 1.8), S + momentum),
        "plain": ("plain", (0.6, 1, 1.4, 1.8, 2.4), plain),
        "plain-momentum": ("plain, momentum 0.9", (0.1, 0.3, 0.6, 0.9, 1.2), plain + momentum),
    }
    for which in ARGUMENTS.what or WHAT:
        if which == "torch":
            save_mnist()
            measured("PyTorch, momentum 0.9", (0.3, 1, 2, 4, 8), torch_run)
            continue
        name, rates, options = trained[which]
        measured(name, rates, lambda rate, loss, most: mercer(*options, "--lr", rate, "--max-seconds", most, loss=loss))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder")
    parser.add_argument("what", nargs="*", choices=(*WHAT, []))
    parser.add_argument("--data", required=True)
    parser.add_argument("--loss", type=float, default=0.01)
    parser.add_argument("--then", type=float, default=0.005, help="0: not run")
    parser.add_argument("--top", default="advise")
    parser.add_argument("--rates", nargs="*", type=float)
    parser.add_argument("--weight-std", type=float, default=2**0.5)
    parser.add_argument("-n", type=int, default=2)
    for hidden in ("--scratch", "--torch-rank", "--torch-rate", "--torch-loss", "--most"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    ARGUMENTS = parser.parse_args()
    if ARGUMENTS.torch_rank is not None:
        torch_process(int(ARGUMENTS.torch_rank), ARGUMENTS.n)
    else:
        with tempfile.TemporaryDirectory() as ARGUMENTS.scratch:
            main()
