"""How long a round of a fit over a cluster takes, from costs that were measured on one machine.

    python bench/cluster_model.py [--rows 4e9] [--values 39] [--features 16777216] [--gbit 10]
        [--threads 16]

It is arithmetic, not a measurement: workers go over their rows, weights are sent to all of them,
each passing them on, and sums are merged by eight. Bandwidth is that of each machine, both ways.
"""

from __future__ import annotations

import argparse
import math

#: Values of X that one thread evaluates a second, and dual ascent goes over: flights, 20 values a
#: row, 224,000 features (a round of 6.5 million values took 0.060 s, one of dual ascent 0.1).
VALUES_PER_SECOND = 1.1e8
#: Seconds of a round that are Dask's, on one machine.
OVERHEAD = 0.025
#: Bytes a second at which whole numbers are added up, and the client's vectors are gone over.
MEMORY = 8e9
#: Vectors of float64 that the client reads or writes between two rounds: ten pairs, twice.
VECTORS = 50
FAN_IN = 8


def seconds(workers, *, rows, values, features, gbit, threads):
    """Return the seconds of the parts of a round: rows, weights sent, sums merged, client."""
    network = gbit * 1e9 / 8
    on_rows = rows * values / (workers * threads * VALUES_PER_SECOND)
    weights, sums = 4 * features, 8 * features
    sent = weights / network * (1 + math.ceil(math.log2(workers)) if workers > 1 else 1)
    own = min(threads, 64) * sums / MEMORY
    levels = math.ceil(math.log(workers, FAN_IN)) if workers > 1 else 0
    across = levels * (FAN_IN - 1) * sums * (1 / network + 1 / MEMORY)
    to_client = min(workers, FAN_IN) * sums / network
    client = VECTORS * 8 * features / MEMORY
    return on_rows, sent, own + across + to_client, client + OVERHEAD


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=float, default=4e9)
    parser.add_argument("--values", type=float, default=39)
    parser.add_argument("--features", type=float, default=2**24)
    parser.add_argument("--gbit", type=float, default=10)
    parser.add_argument("--threads", type=int, default=16, help="of a worker")
    args = vars(parser.parse_args())
    print("workers    rows  weights   sums  client   round    rows/s  of rows alone")
    for workers in (1, 3, 10, 30, 100, 300, 1000):
        parts = seconds(workers, **args)
        whole = sum(parts)
        numbers = " ".join(f"{part:7.2f}" for part in parts)
        speed, share = args["rows"] / whole, parts[0] / whole
        print(f"{workers:7d} {numbers} {whole:7.2f} {speed:9.2e} {share:8.0%}")


if __name__ == "__main__":
    main()
