"""Steps of `lrcore.torch.Adam` beside those of `torch.optim.Adam`, fused and foreach.

``PYTHONPATH=. python bench/torch_door.py`` prints a table: medians of rounds in which all take
turns, and the ratio of torch's fused step to ours.
"""

from __future__ import annotations

import argparse

import torch
from measure import repeated, side_by_side, surroundings

import lrcore
import lrcore.torch

#: One tensor of these numbers of elements, or so many tensors of a network's sizes.
SHAPES = {
    "one tensor of 10,000": [(10_000,)],
    "one tensor of 1,000,000": [(1_000_000,)],
    "one tensor of 20,000,000": [(20_000_000,)],
    "200 tensors of 64 x 64": [(64, 64)] * 200,
    "1,000 tensors of 256": [(256,)] * 1000,
    "a transformer of 6 layers, 148 tensors": [
        shape
        for _ in range(6)
        for shape in [(768, 256), (768,), (256, 256), (256,)] + [(256,)] * 4
        + [(1024, 256), (1024,), (256, 1024), (256,)] + [(64, 64), (64,)] * 6
    ][:148],
}  # fmt: skip


def optimizers(shapes):
    """Return a step of each optimizer, each of parameters of its own."""

    def parameters():
        torch.manual_seed(0)
        params = [torch.nn.Parameter(torch.randn(shape)) for shape in shapes]
        for p in params:
            p.grad = torch.randn(p.shape)
        return params

    made = {
        "lrcore": lrcore.torch.Adam(parameters()),
        "lrcore, finite": lrcore.torch.Adam(parameters(), nonfinite="raise"),
        "fused": torch.optim.Adam(parameters(), fused=True),
        "foreach": torch.optim.Adam(parameters(), foreach=True),
        "plain": torch.optim.Adam(parameters(), foreach=False),
    }
    return {name: optimizer.step for name, optimizer in made.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    print(surroundings(max(arguments.threads)) | {"torch": torch.__version__})
    names = ["lrcore", "lrcore, finite", "fused", "foreach", "plain"]
    print(f"{'microseconds a step':42}{'threads':8}" + "".join(f"{n:>16}" for n in names))
    for label, shapes in SHAPES.items():
        size = sum(torch.Size(shape).numel() for shape in shapes)
        repeat = max(1, 200_000 // (size + 1000 * len(shapes)))
        for n in arguments.threads:
            torch.set_num_threads(n)
            lrcore.set_num_threads(n)  # at most: lrcore takes fewer where that is faster
            calls = {k: repeated(call, repeat) for k, call in optimizers(shapes).items()}
            times = side_by_side(calls, arguments.rounds)
            row = "".join(f"{times[k] / repeat * 1e6:16,.0f}" for k in names)
            ratio = times["fused"] / times["lrcore"]
            print(f"{label:42}{n:<8}{row}   fused/lrcore {ratio:.2f}")


if __name__ == "__main__":
    main()
