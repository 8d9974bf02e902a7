"""The memory that a stream through partial_fit takes, which has to stay constant (`make stream`).

    python bench/stream.py [--values 1e9] [--bits 22] [--rows 100000] [--batch-size 1]

A few blocks are drawn; each call gets a new copy of one of them with its rows rolled. The script
ends with an error if memory grows by more than 1 % after the first tenth.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from benchmarks.workloads import power_law
from measure import memory
from scipy import sparse

from lrcore import LinearClassifier

VALUES_PER_ROW, BLOCKS = 20, 4


def blocks(n_rows, bits):
    """Yield blocks of rows and labels without end, in new arrays."""
    X, y = power_law(BLOCKS * n_rows, 1 << bits, nnz=VALUES_PER_ROW)
    columns = X.indices.reshape(BLOCKS, n_rows, VALUES_PER_ROW)
    values, labels = X.data.reshape(columns.shape), y.reshape(BLOCKS, n_rows)
    indptr, number = X.indptr[: n_rows + 1], 0
    while True:
        which, by = number % BLOCKS, number // BLOCKS * 37
        rolled = (np.roll(part[which], by, axis=0).ravel() for part in (values, columns))
        part = sparse.csr_matrix((*rolled, indptr.copy()), shape=(n_rows, 1 << bits))
        yield part, np.roll(labels[which], by)
        number += 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", type=float, default=1e9)
    parser.add_argument("--bits", type=int, default=22)
    parser.add_argument("--rows", type=int, default=100_000, help="of a block")
    parser.add_argument("--batch-size", type=int, default=1)
    args = parser.parse_args()
    n_blocks = max(10, round(args.values / (args.rows * VALUES_PER_ROW)))
    model = LinearClassifier(batch_size=args.batch_size)
    print(
        f"{n_blocks:,} blocks of {args.rows:,} rows of {VALUES_PER_ROW} of 2^{args.bits} features"
    )
    print("       values   resident MB   peak MB   Mnnz/s in partial_fit   mean loss of the block")
    seconds, peaks = 0.0, []
    for number, (X, y) in enumerate(blocks(args.rows, args.bits), start=1):
        start = time.perf_counter()
        model.partial_fit(X, y, classes=[0, 1])
        seconds += time.perf_counter() - start
        if number * 10 // n_blocks > len(peaks):
            now, peak = memory()
            peaks.append(peak)
            done = number * args.rows * VALUES_PER_ROW
            print(
                f"{done:>13,} {now / 1e6:>13.1f} {peak / 1e6:>9.1f} {done / seconds / 1e6:>23.1f} "
                f"{model.loss_curve_[-1]:>24.5f}",
                flush=True,
            )
        if number == n_blocks:
            break
    growth = peaks[-1] / peaks[0] - 1
    print(f"peak memory after the first tenth: {growth:+.2%}; {model.t_:,} rows")
    if growth > 0.01:
        raise SystemExit("memory is not constant")


if __name__ == "__main__":
    main()
