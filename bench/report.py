"""Everything measured side by side in one run: steps against NumPy, the machine's floor and other
libraries; fits of sparse and dense rows, and predictions, against those of others. Medians.

    python bench/report.py [--quick] [--data FOLDER] [--only SECTION,SECTION]

Sections: rules,peers,call,low,small,memory of steps; epochs,optimum,softmax,dense,far,rates,
auto,rate_free,predict of linear models.
FOLDER is where 20news.tsv.gz is: lines of split, label and text; rates also takes a9a.svm.gz.
Other libraries take part where they are installed: torch, deepspeed, numba, optax, vowpalwabbit,
liblinear-official.
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings

import auto
import dense
import linear
import linear_peers
import numpy as np
import peers
import rate_free
import rates
import scale
import scipy
import sklearn
import softmax
import steps
import time_to_optimum
from benchmarks.workloads import SIZES
from measure import processor

import lrcore
from lrcore import _core
from lrcore._core import threads


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", help="sections, with commas between")
    parser.add_argument("--data", help="the folder of 20news.tsv.gz")
    args = parser.parse_args()
    if _core.kernels is None:
        raise SystemExit("the report measures the compiled core; unset LRCORE_ISA=numpy")
    warnings.simplefilter("ignore")
    counts = sorted({1, min(threads.limits().values())})
    steppers, line = peers.installed(peers.PEERS)
    fitters, fitters_line = peers.installed(linear_peers.PEERS)
    print(
        f"lrcore {lrcore.__version__} ({_core.isa}), NumPy {np.__version__}, SciPy "
        f"{scipy.__version__}, scikit-learn {sklearn.__version__}, Python "
        f"{platform.python_version()}\n{processor()}, up to {counts[-1]} threads, "
        f"{time.strftime('%Y-%m-%d')}, float32, medians\nAdam of others: {line}\n"
        f"Fits of others: {fitters_line}\n"
    )
    sizes, rounds = (SIZES[:2], 3) if args.quick else (SIZES, 7)
    rows = 50_000 if args.quick else 1_000_000
    near, far = (12, 22) if args.quick else (16, 26)
    fit_rounds = 1 if args.quick else 5
    sections = {
        "rules": lambda: steps.report_rules(sizes[::-1], counts, rounds),
        "peers": lambda: steps.report_peers(sizes, counts, rounds, steppers),
        "call": steps.report_call,
        "low": lambda: steps.report_low(sizes[-1], counts, rounds),
        "small": lambda: steps.report_small_numbers(20_000),
        "memory": lambda: steps.report_memory(sizes[-1]),
        "epochs": lambda: linear.report_epochs(args.data, args.quick, counts, fit_rounds, fitters),
        "optimum": lambda: time_to_optimum.report_optimum(args.data, args.quick, fit_rounds),
        "softmax": lambda: softmax.report_softmax(args.data, fit_rounds),
        "dense": lambda: dense.report_dense(rows, counts, fit_rounds, fitters),
        "far": lambda: scale.report_far(rows, (near, far), counts, fit_rounds),
        "rates": lambda: rates.report_rates(args.data),
        "auto": lambda: auto.report_auto(args.data, rounds=fit_rounds),
        "rate_free": lambda: rate_free.report_rate_free(args.data, args.quick),
        "predict": lambda: scale.report_predict(rows, (near, far - 2), counts, 3 * fit_rounds),
    }
    wanted = args.only.split(",") if args.only else list(sections)
    for name in wanted:
        if name not in sections:
            parser.error(f"--only knows {', '.join(sections)}, got {name!r}")
    for name in wanted:
        sections[name]()


if __name__ == "__main__":
    main()
