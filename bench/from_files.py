"""From raw files to a saved model, beside Vowpal Wabbit and scikit-learn's out-of-core way.

    python bench/from_files.py FOLDER [--only news,flights] [--rounds 3] [--rows 4e6] [--bytes 2e9]
        [--data DATA] [--made] [--peer-rows 50000]

The files are those of raw_files.py. Each run is a process of its own, from its start to the saved
model: one pass with the defaults of both sides; then the loss of the held-out rows. Vowpal Wabbit
reads its own text, which was written beforehand and is not counted; it is measured as the package
of PyPI is used, and by the time inside its library alone, which a program in C++ would take.
scikit-learn learns from the first --peer-rows rows of a text, and its rows a second are compared.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import raw_files
from measure import Measured

VW = """
import sys, time
from vowpalwabbit import Workspace
start = time.perf_counter()
model = Workspace(sys.argv[1] + " --quiet")
model.finish()
print(time.perf_counter() - start)
"""

VW_LOSS = """
import sys
import numpy as np
true, path, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(true) as file:
    y = np.array([float(line.split(" ", 1)[0]) for line in file])
if n == 2:
    z = np.loadtxt(path)[:, 1] if np.loadtxt(path, max_rows=1).ndim else np.loadtxt(path)
    p = 1 / (1 + np.exp(-np.clip(z, -50, 50)))
    p = np.where(y > 0, p, 1 - p)
else:
    rows = [[float(c.split(":")[1]) for c in line.split()] for line in open(path) if line.strip()]
    rows = np.array(rows)
    p = (rows / rows.sum(axis=1, keepdims=True))[np.arange(len(y)), y.astype(int) - 1]
print(-np.log(np.clip(p, 2.2e-16, 1)).mean())
"""

SKLEARN = """
import itertools, pickle, sys
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import SGDClassifier
path, to, n_rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
vectorizer = HashingVectorizer(n_features=2**20, alternate_sign=False)
model, classes = SGDClassifier(loss="log_loss"), sorted(set(sys.argv[4].split(",")))
with open(path, encoding="utf-8") as file:
    next(file)
    rows = itertools.islice(file, n_rows)
    while batch := list(itertools.islice(rows, 1000)):
        labels, texts = zip(*(line.rstrip("\\n").split("\\t", 1) for line in batch))
        model.partial_fit(vectorizer.transform(texts), labels, classes=classes)
with open(to, "wb") as file:
    pickle.dump(model, file)
"""


class Run(NamedTuple):
    """What a process took: seconds by the wall, and of processors; its peak of memory in MB."""

    seconds: float
    processor: float
    megabytes: float
    output: str


def run(*words):
    """Run a process to its end."""
    start = time.perf_counter()
    process = subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.communicate()
    seconds = time.perf_counter() - start
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, words))[:500]}\n{errors}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Run(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, output)


def lrcore_fit(made, folder):
    model = folder / f"{made.name}.lrcore"
    return run(
        sys.executable, "-m", "lrcore", "fit", made.train, "-o", model, "--json", *made.options
    )


def lrcore_loss(made, folder):
    words = "-m", "lrcore", "evaluate", folder / f"{made.name}.lrcore", made.test, "--json"
    found = json.loads(run(sys.executable, *words).output)
    return found["log_loss"]


def vw_fit(made, folder):
    options = f"-d {made.vw_train} -f {folder / made.name}.model {made.vw_options}"
    return run(sys.executable, "-c", VW, options)


def vw_loss(made, folder):
    scores = folder / f"{made.name}.scores"
    binary = made.n_classes == 2
    options = (
        f"-t -d {made.vw_test} -i {folder / made.name}.model "
        f"{'-r' if binary else '--probabilities -p'} {scores}"
    )
    run(sys.executable, "-c", VW, options)
    if binary:
        text = scores.read_text()
        scores.write_text(text.replace(":", " ") if ":" in text.split("\n", 1)[0] else text)
    return float(run(sys.executable, "-c", VW_LOSS, made.vw_test, scores, made.n_classes).output)


def sklearn_fit(made, folder, n_rows):
    with made.train.open(encoding="utf-8") as file:
        next(file)
        labels = ",".join(sorted({line.split("\t", 1)[0] for line in file}))
    return run(sys.executable, "-c", SKLEARN, made.train, folder / "sklearn", n_rows, labels)


def compare(made, folder, rounds, peer_rows):
    """Print the figures of one kind of files."""
    ours, theirs, inside = [], [], []
    for _ in range(rounds):
        ours.append(lrcore_fit(made, folder))
        theirs.append(vw_fit(made, folder))
        inside.append(float(theirs[-1].output))
    fitted = json.loads(ours[-1].output)
    mine = Measured([each.seconds for each in ours])
    megabytes = made.train.stat().st_size / 1e6
    print(
        f"{made.name}: {fitted['rows']:,} rows, {megabytes:,.0f} MB; lrcore {mine:.2f} s, "
        f"{megabytes / mine:,.0f} MB/s"
    )
    whole = Measured([each.seconds for each in theirs])
    print(
        f"    Vowpal Wabbit {whole:.2f} s, lrcore takes {mine / whole:.2f} of it; in its "
        f"library {Measured(inside):.2f} s, {mine / Measured(inside):.2f}"
    )
    print(
        f"    held-out log loss: lrcore {lrcore_loss(made, folder):.4f}, Vowpal Wabbit "
        f"{vw_loss(made, folder):.4f}"
    )
    if made.text:
        n_rows = min(peer_rows, fitted["rows"])
        peer = sklearn_fit(made, folder, n_rows)
        speed = fitted["rows"] / mine
        print(
            f"    scikit-learn, {n_rows:,} rows: {peer.seconds:.1f} s; lrcore "
            f"{speed / (n_rows / peer.seconds):.1f} times as many rows a second",
        )
    sys.stdout.flush()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    raw_files.add_options(parser)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--made", action="store_true", help="the files are there already")
    parser.add_argument("--peer-rows", type=int, default=50_000)
    args = parser.parse_args()
    made = raw_files.make(
        args.folder, args.only.split(","), args.data, int(args.rows), int(args.bytes),
        write=not args.made,
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        for each in made:
            compare(each, Path(folder), args.rounds, args.peer_rows)


if __name__ == "__main__":
    main()
