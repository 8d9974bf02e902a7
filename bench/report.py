"""Everything measured side by side in one run: steps compared with NumPy, the floor of the machine
and other libraries; fits of sparse and dense rows, and predictions, compared with other libraries.

    python bench/report.py [--quick] [--data FOLDER] [--only SECTION,SECTION] [--out FOLDER]
                           [--before FOLDER]

Figures are printed as they are measured and kept in FOLDER/report.json (bench/results), from which
pictures, report.md and report.html are made. A section that is measured again replaces its former
figures, so a long report can be made in pieces; --pages only makes the pages again.

The folder of --data contains 20news.tsv.gz (lines of split, label and text) and a9a.svm.gz. Other
libraries take part if they are installed: torch, deepspeed, numba, optax, vowpalwabbit,
liblinear-official, celer, skglm.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import auto
import default_quality
import dense
import floors
import linear
import linear_peers
import matrices
import minimize
import page
import paths
import peers
import pictures
import rate_free
import rates
import scale
import scaling
import softmax
import steps
import summary
import sweep
import time_to_gap
import time_to_optimum
from benchmarks.workloads import SIZES
from measure import surroundings
from tables import Section

from lrcore import _core
from lrcore._backend import threads

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Plan:
    """Sizes, numbers of rounds, and data."""

    quick: bool
    data: str | None
    counts: list[int]
    before: Path | None = None

    @property
    def sizes(self):
        return SIZES[:2] if self.quick else SIZES

    @property
    def rounds(self):
        """The rounds of calls that take milliseconds."""
        return 3 if self.quick else 7

    @property
    def fit_rounds(self):
        return 1 if self.quick else 5

    @property
    def rows(self):
        return 50_000 if self.quick else 1_000_000

    @property
    def bits(self):
        """The features of a small and of a large model, as powers of two."""
        return (12, 22) if self.quick else (16, 26)


class Entry(NamedTuple):
    """A section's title, its description, and the function that fills it."""

    title: str
    about: str
    fill: Callable[[Section, Plan], None]


SECTIONS = {
    "rules": Entry(
        "Steps of every rule",
        "Compared with the same formula in NumPy and with the bandwidth of the machine. float32.",
        lambda s, p: steps.report_rules(s, p.sizes[::-1], p.counts, p.rounds),
    ),
    "sizes": Entry(
        "Steps at powers of two",
        "Compared with a loop that reads and writes as many vectors. float32.",
        lambda s, p: steps.report_sizes(
            s, (10, 14, 20) if p.quick else (10, 12, 14, 16, 18, 20, 22, 24, 26), p.counts, p.rounds
        ),
    ),
    "sweep": Entry(
        "Bandwidth against size",
        "Steps of vectors of all sizes, from the first-level cache to main memory.",
        lambda s, p: sweep.report_sweep(s, 22 if p.quick else 25, p.counts, p.rounds),
    ),
    "peers": Entry(
        "Adam in other libraries",
        "Steps of one float32 vector.",
        lambda s, p: steps.report_peers(
            s, p.sizes, p.counts, p.rounds, peers.installed(peers.PEERS)
        ),
    ),
    "call": Entry(
        "Small steps", "The time of Python and checks.", lambda s, p: steps.report_call(s)
    ),
    "low": Entry(
        "States as bfloat16 and in 8 bits",
        "Half or a quarter of the bytes of the state.",
        lambda s, p: steps.report_low(s, p.sizes[-1], p.counts, p.rounds),
    ),
    "small": Entry(
        "Numbers below the normal range",
        "They count as 0 and take no additional time.",
        lambda s, p: steps.report_small_numbers(s, 20_000),
    ),
    "memory": Entry(
        "Memory of steps",
        "Measured in a fresh process.",
        lambda s, p: steps.report_memory(s, p.sizes[-1]),
    ),
    "minimize": Entry(
        "Minimising functions",
        "The time of a step of rule.minimize beside the function and its gradient.",
        lambda s, p: minimize.report_minimize(s, p.quick, p.rounds),
    ),
    "epochs": Entry(
        "Epochs of sparse logistic regression",
        f"float32, L2 with alpha = {linear.ALPHA:g}, set-up included.",
        lambda s, p: linear.report_epochs(
            s,
            lambda section: matrices.real(section, p.data),
            p.counts,
            p.fit_rounds,
            peers.installed(linear_peers.PEERS),
        ),
    ),
    "power_law": Entry(
        "Epochs of a large power law",
        f"float32, L2 with alpha = {linear.ALPHA:g}, set-up included.",
        lambda s, p: linear.report_epochs(
            s,
            lambda section: matrices.generated(section, p.quick),
            p.counts,
            1 if p.quick else 3,
            peers.installed(linear_peers.PEERS),
        ),
    ),
    "optimum": Entry(
        "Time to the optimum",
        "L2 logistic regression, one class against the rest, no intercept. Each solver is run with "
        "a series of settings, and each fit is timed as a whole; the time to an accuracy is that "
        "of the fastest setting that ends so close to the optimum.",
        lambda s, p: time_to_optimum.report_optimum(s, p.data, p.quick, 1 if p.quick else 3),
    ),
    "gap": Entry(
        "Time to a gap",
        "lrcore by its defaults at an alpha, compared with the fastest solver of other libraries. "
        "Each is run with a series of settings, and each fit is timed as a whole; the time to an "
        "accuracy is that of the fastest setting that ends so close to the optimum.",
        lambda s, p: time_to_gap.report_gap(s, p.data, p.quick, p.fit_rounds),
    ),
    "quality": Entry(
        "Fits by default",
        "Estimators without a single argument on the same rows, as they are: losses of rows held "
        "out, and times.",
        lambda s, p: default_quality.report_quality(s, p.data, p.quick),
    ),
    "softmax": Entry(
        "Softmax of twenty classes",
        "Text, words and pairs of words; epochs and alpha are chosen so that all are about equally "
        "accurate.",
        lambda s, p: softmax.report_softmax(s, p.data, p.fit_rounds),
    ),
    "dense": Entry(
        "Dense logistic regression",
        "Rows of 100 values.",
        lambda s, p: dense.report_dense(
            s, p.rows, p.counts, p.fit_rounds, peers.installed(linear_peers.PEERS)
        ),
    ),
    "threads": Entry(
        "Scaling with threads",
        "The bits are the same for any number of threads.",
        lambda s, p: scaling.report_threads(s, p.quick, p.counts, p.fit_rounds),
    ),
    "features": Entry(
        "Scaling with features",
        "Epochs of rows of 20 values, for models within the cache and far larger.",
        lambda s, p: scaling.report_features(s, p.quick, p.counts, p.fit_rounds),
    ),
    "far": Entry(
        "Models past the cache",
        "Features with frequencies by a power law, and all equally frequent.",
        lambda s, p: scale.report_far(s, p.rows, p.bits, p.counts, p.fit_rounds),
    ),
    "predict": Entry(
        "Predictions",
        "decision_function compared with SciPy's product.",
        lambda s, p: scale.report_predict(
            s, p.rows, (p.bits[0], p.bits[1] - 2), p.counts, 3 * p.fit_rounds
        ),
    ),
    "floors": Entry(
        "Kernels of linear models beside their floors",
        "Sparse rows of 20 values of 2^22 features by a power law, dense rows of 100; epochs "
        "without set-up.",
        lambda s, p: floors.report_floors(s, p.quick, p.counts, 1 if p.quick else 3, p.before),
    ),
    "auto": Entry(
        'What lr="auto" finds',
        "Compared with the best of a grid of rates.",
        lambda s, p: auto.report_auto(s, p.data, rounds=p.fit_rounds),
    ),
    "rates": Entry(
        "What the range test suggests",
        "Compared with the best of a grid of rates; fits of five epochs.",
        lambda s, p: rates.report_rates(s, p.data),
    ),
    "rate_free": Entry(
        "Fits without a rate",
        "Compared with the best of a grid of rates.",
        lambda s, p: rate_free.report_rate_free(s, p.data),
    ),
    "paths": Entry(
        "Paths of the rules",
        "On two functions of two variables, each at the best of some rates; nothing is timed.",
        lambda s, p: paths.report_paths(s),
    ),
    "schedules": Entry(
        "Schedules",
        "Every schedule of the registry; nothing is timed.",
        lambda s, p: paths.report_schedules(s),
    ),
}


def measured(name, plan):
    """Measure a section; return plain values with the date and the machine."""
    entry = SECTIONS[name]
    begun = {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "quick": plan.quick,
        **surroundings(plan.counts[-1]),
    }
    start = time.perf_counter()
    section = Section(entry.title, entry.about)
    entry.fill(section, plan)
    took = round(time.perf_counter() - start, 1)
    print(f"  ({took:.0f} s)", flush=True)
    return {**begun, "took": took, **section.as_plain()}


def read(folder):
    """Return former measurements by section."""
    path = folder / "report.json"
    return json.loads(path.read_text())["sections"] if path.is_file() else {}


def write(folder, found):
    """Write the sections in the order of the report; the file is replaced in one piece."""
    ordered = {name: found[name] for name in SECTIONS if name in found}
    temporary = folder / "report.json.new"
    temporary.write_text(json.dumps({"format": 1, "sections": ordered}, indent=1) + "\n")
    os.replace(temporary, folder / "report.json")
    return ordered


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small sizes, few rounds")
    parser.add_argument("--only", help="sections, with commas between")
    parser.add_argument("--data", help="the folder of 20news.tsv.gz and a9a.svm.gz")
    parser.add_argument("--out", type=Path, default=RESULTS, help="the folder of the results")
    parser.add_argument(
        "--before", type=Path, help="a former checkout, built, that kernels are compared with"
    )
    parser.add_argument("--pages", action="store_true", help="measure nothing, draw and write")
    args = parser.parse_args()
    wanted = args.only.split(",") if args.only else list(SECTIONS)
    for name in wanted:
        if name not in SECTIONS:
            parser.error(f"--only knows {', '.join(SECTIONS)}, got {name!r}")
    if _core.kernels is None:
        raise SystemExit("the report measures the compiled core; unset LRCORE_ISA=numpy")
    warnings.simplefilter("ignore")
    counts = sorted({1, min(threads.limits().values())})
    plan = Plan(args.quick, args.data, counts, args.before)
    args.out.mkdir(parents=True, exist_ok=True)
    found = read(args.out)
    for name in [] if args.pages else wanted:
        found[name] = measured(name, plan)
        found = write(args.out, found)
    drawn = pictures.draw(found, args.out)
    print(*page.write(found, drawn, args.out), summary.write(found, args.out), sep="\n")


if __name__ == "__main__":
    main()
