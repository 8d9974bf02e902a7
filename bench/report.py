"""Everything measured side by side in one run: steps against NumPy, the machine's floor and other
libraries, and a sparse epoch against SGDClassifier. Medians; ratios first.

    python bench/report.py [--quick] [--only rules,peers,call,low,small,memory,epochs]

Other libraries take part where they are installed: torch, deepspeed, numba, optax.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from functools import partial

import numpy as np
import peers
import scipy
import sklearn
import steps
from benchmarks.workloads import SIZES, power_law
from measure import processor, side_by_side
from sklearn.linear_model import SGDClassifier

import lrcore
from lrcore import LinearClassifier, _core
from lrcore._core import threads


def report_epochs(matrices, counts, rounds):
    """Epochs of logistic regression, set-up included, against SGDClassifier's."""
    print("logistic epoch     Mnnz   SGDClassifier ms   ", end="")
    print("   ".join(f"online {n}T x   batch 256 {n}T x" for n in counts))
    for name, (X, y, alpha) in matrices.items():
        calls = {}
        epochs = 5
        calls["sgd"] = SGDClassifier(
            loss="log_loss", alpha=alpha, max_iter=epochs, tol=None, random_state=0
        )
        for n in counts:
            for batch in (1, 256):
                calls[f"{batch} {n}"] = LinearClassifier(
                    alpha=alpha, max_iter=epochs, random_state=0, n_threads=n, batch_size=batch
                )
        fits = {key: partial(model.fit, X, y) for key, model in calls.items()}
        t = side_by_side(fits, rounds)
        line = f"{name:<16} {X.nnz / 1e6:6.1f}   {t['sgd'] / epochs * 1e3:16.1f}   "
        line += "   ".join(
            f"{t['sgd'] / t[f'1 {n}']:11.2f}   {t['sgd'] / t[f'256 {n}']:14.2f}" for n in counts
        )
        print(line, flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", help="sections, with commas between")
    args = parser.parse_args()
    if _core.kernels is None:
        raise SystemExit("the report measures the compiled core; unset LRCORE_ISA=numpy")
    warnings.simplefilter("ignore")
    counts = sorted({1, min(threads.limits().values())})
    others, line = peers.installed()
    print(
        f"lrcore {lrcore.__version__} ({_core.isa}), NumPy {np.__version__}, SciPy "
        f"{scipy.__version__}, scikit-learn {sklearn.__version__}, Python "
        f"{platform.python_version()}\n{processor()}, up to {counts[-1]} threads, "
        f"{time.strftime('%Y-%m-%d')}, float32, medians\nAdam of others: {line}\n"
    )
    sizes, rounds = (SIZES[:2], 3) if args.quick else (SIZES, 7)
    rows = 20_000 if args.quick else 200_000
    matrices = {f"power law 2^{bits}": (rows, 1 << bits) for bits in (18, 22)}
    sections = {
        "rules": lambda: steps.report_rules(sizes[::-1], counts, rounds),
        "peers": lambda: steps.report_peers(sizes, counts, rounds, others),
        "call": steps.report_call,
        "low": lambda: steps.report_low(sizes[-1], counts, rounds),
        "small": lambda: steps.report_small_numbers(20_000),
        "memory": lambda: steps.report_memory(sizes[-1]),
        "epochs": lambda: report_epochs(
            {name: (*power_law(*shape), 1e-6) for name, shape in matrices.items()}, counts, 3
        ),
    }
    wanted = args.only.split(",") if args.only else list(sections)
    for name in wanted:
        if name not in sections:
            parser.error(f"--only knows {', '.join(sections)}, got {name!r}")
    for name in wanted:
        sections[name]()


if __name__ == "__main__":
    main()
