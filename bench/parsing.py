"""Readers of text beside scikit-learn's, in turns: medians, and ratios round by round.

    python bench/parsing.py [--mb 50] [--rounds 5] [--file rows.svm ...]

One thread is measured in processor time, which other programs do not change. For two threads the
wall clock counts, and beside it what two threads gain in plain arithmetic at the same time.
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from measure import Measured
from sklearn.datasets import load_svmlight_file

from lrcore.io import read_svmlight, read_vw


def categories(rng):
    """A line like those of a9a: 14 ones among 123 columns."""
    columns = np.sort(rng.choice(123, 14, replace=False)) + 1
    return f"{rng.choice([-1, 1])} {' '.join(f'{j}:1' for j in columns)}\n"


def tf_idf(rng):
    """A line like those of words with values of 6 to 17 digits."""
    columns = np.unique(np.minimum(rng.pareto(0.8, rng.integers(20, 200)) * 50, 3e5).astype(int))
    values = rng.random(len(columns)) * 0.3
    digits = rng.integers(6, 18)
    pairs = (f"{j + 1}:{v:.{digits}g}" for j, v in zip(columns, values))
    return f"{rng.choice([-1, 1])} {' '.join(pairs)}\n"


def words(rng):
    """A line of Vowpal Wabbit's: some thirty words, of a power law, and three numbers."""
    names = (f"w{k * k % 9973:x}" for k in np.minimum(rng.zipf(1.3, rng.integers(10, 60)), 10**6))
    numbers = f"a:{rng.random():.6f} b:{rng.random():.4f} 17:3"
    return f"{rng.choice([-1, 1])} {rng.random():.3f} |text {' '.join(names)} |num {numbers}\n"


def write(path, line, size):
    """Write so many bytes of lines; after ten megabytes they repeat."""
    rng = np.random.default_rng(0)
    block, length = [], 0
    while length < min(size, 10**7):
        block.append(line(rng))
        length += len(block[-1])
    with open(path, "w") as file:
        for _ in range(max(1, size // length)):
            file.writelines(block)
    return path


def turns(calls, rounds, clock):
    """The seconds of each call by this clock; the calls take turns."""
    times = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in calls.items():
            start = clock()
            call()
            times[name].append(clock() - start)
    return {name: Measured(values) for name, values in times.items()}


def arithmetic(n_threads, block=bytes(1 << 22), times=12):
    """Digests of the same bytes, in threads: work that needs next to no memory."""
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(lambda _: hashlib.sha256(block).digest(), range(times)))


def shown(figure):
    low, high = figure.quartiles()
    return f"{figure:.3g} ({low:.3g} to {high:.3g})"


def report(name, path, readers, rounds):
    """Print the speed of lrcore's reader, and its ratios."""
    megabytes = path.stat().st_size / 1e6
    calls = {library: lambda r=read: r(path, 1) for library, read in readers.items()}
    seconds = turns(calls, rounds, time.process_time)
    speed = megabytes / seconds["lrcore"]
    print(f"{name}, {megabytes:.0f} MB, one thread: {shown(speed)} MB/s", end="")
    for library in set(readers) - {"lrcore"}:
        print(f", {shown(seconds[library] / seconds['lrcore'])} times {library}", end="")
    calls = {n: lambda n=n: readers["lrcore"](path, n) for n in (1, 2)}
    calls |= {f"arithmetic {n}": lambda n=n: arithmetic(n) for n in (1, 2)}
    seconds = turns(calls, rounds, time.perf_counter)
    print(
        f"\n    two threads: {shown(seconds[1] / seconds[2])} times as fast as one; plain "
        f"arithmetic: {shown(seconds['arithmetic 1'] / seconds['arithmetic 2'])}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mb", type=int, default=50, help="of each file that is made")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--file", type=Path, nargs="*", default=[], help="svmlight text")
    args = parser.parse_args()
    svmlight = {
        "lrcore": lambda path, n: read_svmlight(path, dtype=np.float32, n_threads=n),
        "scikit-learn": lambda path, n: load_svmlight_file(str(path), dtype=np.float32),
    }
    vw = {"lrcore": lambda path, n: read_vw(path, bits=22, n_threads=n)}
    with tempfile.TemporaryDirectory() as folder:
        for path in args.file:
            report(path.name, path, svmlight, args.rounds)
        for line, readers in ((categories, svmlight), (tf_idf, svmlight), (words, vw)):
            path = write(Path(folder, line.__name__), line, args.mb * 10**6)
            report(line.__name__, path, readers, args.rounds)


if __name__ == "__main__":
    main()
