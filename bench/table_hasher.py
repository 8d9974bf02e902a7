"""Hash a table like Criteo's: python bench/table_hasher.py [--rows 400000] [--rounds 5]

13 columns of integers, of which some are missing, and 26 of categories, 8 hex digits drawn by
Zipf's law. Prints medians of times that are taken in turns, on one thread: pyarrow reads the CSV
file, with categories as strings and as dictionaries; reads and hashes it; scikit-learn's
FeatureHasher on a share of the same rows, as dicts and as pairs. Seconds are those of the clock,
and those of the processor, which other programs disturb less.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import csv
from sklearn.feature_extraction import FeatureHasher

import lrcore

N_NUMBERS, N_CATEGORIES = 13, 26
NUMBERS = [f"i{j}" for j in range(1, N_NUMBERS + 1)]
CATEGORIES = [f"c{j}" for j in range(1, N_CATEGORIES + 1)]


def criteo_like(n_rows: int, seed: int = 0) -> pa.Table:
    """A label, counts that fall off quickly, and categories of 4 to 2**18 values."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {"label": pa.array(rng.random(n_rows) < 0.25).cast(pa.int8())}
    for j, name in enumerate(NUMBERS):
        numbers = np.floor(rng.lognormal(1 + j % 5, 1.5, n_rows)).astype(np.int64)
        columns[name] = pa.array(numbers, mask=rng.random(n_rows) < 0.2 * (j % 3))
    for j, name in enumerate(CATEGORIES):
        n_values = 1 << 2 + 2 * (j % 9)
        ranks = np.minimum(rng.zipf(1.3, n_rows), n_values)
        digits = [f"{(rank * 2654435761 + j) % (1 << 32):08x}" for rank in range(n_values + 1)]
        columns[name] = pa.array(digits).take(pa.array(ranks))
    return pa.table(columns)


def read(path: Path, as_dictionaries: bool) -> pa.Table:
    """The file by one thread of pyarrow."""
    kind = pa.dictionary(pa.int32(), pa.string()) if as_dictionaries else pa.string()
    return csv.read_csv(
        path,
        read_options=csv.ReadOptions(use_threads=False),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(CATEGORIES, kind)),
    )


def measure(tasks: dict, n_rounds: int) -> dict[str, np.ndarray]:
    """The median seconds of each task, of the clock and the processor; tasks take turns."""
    times: dict[str, list[np.ndarray]] = {name: [] for name in tasks}
    for _ in range(n_rounds):
        for name, task in tasks.items():
            start = np.array([time.perf_counter(), time.process_time()])
            task()
            times[name].append(np.array([time.perf_counter(), time.process_time()]) - start)
    return {name: np.median(each, axis=0) for name, each in times.items()}


def shown(ratios: np.ndarray) -> str:
    """Both ratios."""
    return f"{ratios[0]:.2f} (processor: {ratios[1]:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    made = criteo_like(options.rows)
    share = made.slice(0, options.rows // 20).to_pylist()
    dicts = [{k: v for k, v in row.items() if v is not None and k != "label"} for row in share]
    pairs = [
        [(f"{k}={v}", 1) if isinstance(v, str) else (k, v) for k, v in row.items()] for row in dicts
    ]
    hasher = lrcore.TableHasher(n_threads=1).fit(made, leave_out=["label"])
    one, other = FeatureHasher(), FeatureHasher(input_type="pair")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "table.csv")
        csv.write_csv(made, path)
        megabytes = path.stat().st_size / 1e6
        plain, coded = read(path, False), read(path, True)
        found = measure(
            {
                "read, strings": lambda: read(path, False),
                "read and hash, strings": lambda: hasher.transform(read(path, False)),
                "read, dictionaries": lambda: read(path, True),
                "read and hash, dictionaries": lambda: hasher.transform(read(path, True)),
                "hash strings": lambda: hasher.transform(plain),
                "hash dictionaries": lambda: hasher.transform(coded),
                "FeatureHasher of dicts, all rows": lambda: one.transform(dicts),
                "FeatureHasher of pairs, all rows": lambda: other.transform(pairs),
            },
            options.rounds,
        )
    for name in found:
        if name.startswith("FeatureHasher"):
            found[name] *= options.rows / len(share)
    print(f"{options.rows:,} rows, {megabytes:.0f} MB of CSV, medians of {options.rounds}")
    print(f"{'seconds of the clock and the processor':40} M rows/s")
    for name, (clock, processor) in found.items():
        speed = options.rows / processor / 1e6
        print(f"{name:34} {clock:8.3f} {processor:8.3f} {speed:8.2f}")
    for kind in ("strings", "dictionaries"):
        ratio = found[f"read and hash, {kind}"] / found[f"read, {kind}"]
        print(f"reading and hashing takes {shown(ratio)} times reading, categories as {kind}")
    for kind in ("dicts", "pairs"):
        ratio = found[f"FeatureHasher of {kind}, all rows"] / found["hash strings"]
        print(f"hashing is {shown(ratio)} times as fast as FeatureHasher of {kind}")


if __name__ == "__main__":
    main()
