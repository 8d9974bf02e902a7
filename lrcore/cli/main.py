"""The lrcore command: fit, lr-find, predict, evaluate, schedule, demo.

Results go to stdout, progress and errors to stderr. The exit status is 0, 1 for data that cannot
be used, 2 for wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from typing import Any

import numpy as np

import lrcore
from lrcore import losses, schedules
from lrcore._backend import threads
from lrcore._utils import sparkline
from lrcore.cli import demo
from lrcore.cli.metrics import metrics_of
from lrcore.io import datafile
from lrcore.linear_model import LinearClassifier, LinearRegressor
from lrcore.linear_model import persistence as model_file
from lrcore.linear_model.monitor.callbacks import Event
from lrcore.rules import LINEAR_RULES


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    parser = build_parser()
    args = parser.parse_args(argv)
    try:
        return int(args.run(args, parser) or 0)
    except BrokenPipeError:
        # The reader of our output has gone; what is left in the buffer has nowhere to go.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("lrcore: stopped; nothing was written", file=sys.stderr)
        return 130
    except (ValueError, TypeError, FloatingPointError, OSError, ImportError) as error:
        print(f"lrcore: error: {error}", file=sys.stderr)
        return 1


#: The numbers of losses for regression: default, and whose.
LOSS_NUMBERS = {
    "epsilon": (0.1, "huber and the insensitive losses"),
    "quantile": (0.5, "quantile"),
    "power": (1.5, "tweedie"),
}


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lrcore", description="Fit large linear models at memory speed on a CPU."
    )
    parser.add_argument("--version", action="version", version=f"lrcore {lrcore.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    fit = commands.add_parser("fit", help="fit a model to a data file")
    add_data(fit)
    fit.add_argument("-o", "--output", required=True, metavar="MODEL", help="model file to write")
    add_model(fit)
    fit.add_argument(
        "--lr",
        type=rate,
        default="auto",
        metavar="RATE|SPEC",
        help="first rate, which falls linearly to 0, several with commas, of which the best "
        "is taken, a schedule such as 'cosine(0.5, 95%%).warmup(5%%)', or auto, which looks "
        "for one (default: auto)",
    )
    fit.add_argument("--epochs", type=count, default=5)
    fit.set_defaults(run=run_fit)

    find = commands.add_parser("lr-find", help="learn while the rate rises, and suggest rates")
    add_data(find)
    add_model(find)
    find.add_argument("--lr-min", type=not_negative, default=1e-5, help="the first rate")
    find.add_argument("--lr-max", type=not_negative, default=1e3, help="the last rate")
    find.add_argument("--steps", type=count, default=100, help="rates in between")
    find.add_argument("--rows-per-step", type=count, help="default: one pass, but 32 to 8,192")
    find.add_argument("--seeds", type=count, default=3, help="sweeps")
    find.add_argument("--plot", metavar="FILE", help="draw it (.png, .svg, .pdf)")
    find.set_defaults(run=run_lr_find)

    predict = commands.add_parser("predict", help="print a prediction for each row")
    predict.add_argument("model", metavar="MODEL")
    add_data(predict)
    predict.add_argument("--proba", action="store_true", help="probabilities of all classes")
    predict.set_defaults(run=run_predict)

    evaluate = commands.add_parser("evaluate", help="measure a model on labelled data")
    evaluate.add_argument("model", metavar="MODEL")
    add_data(evaluate)
    evaluate.set_defaults(run=run_evaluate)

    schedule = commands.add_parser("schedule", help="print and draw a learning rate schedule")
    schedule.add_argument(
        "spec", metavar="SPEC", type=spec, help="such as 'cosine(1e-3, steps=1000).warmup(100)'"
    )
    schedule.add_argument(
        "--steps", type=count, help="length of the run (default: until the rate comes to rest)"
    )
    schedule.add_argument("--steps-per-epoch", type=count, help="what 1ep comes to")
    schedule.add_argument("--plot", metavar="FILE", help="draw it (.png, .svg, .pdf)")
    schedule.add_argument("--json", action="store_true", help="one JSON object on stdout")
    schedule.set_defaults(run=run_schedule)

    show = commands.add_parser("demo", help="fit flight delays, beside scikit-learn and NumPy")
    show.add_argument("--rows", type=count, help="use only the first rows (default: all)")
    show.add_argument("--json", action="store_true", help="one JSON object on stdout")
    show.set_defaults(run=run_demo)
    return parser


def add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("data", metavar="DATA", help="svmlight text (also .gz, .bz2) or scipy .npz")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    parser.add_argument(
        "--zero-based",
        action=argparse.BooleanOptionalAction,
        help="whether svmlight indices start at 0 (default: if one is 0)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(losses.LOSSES)
    parser.add_argument(
        "--loss", default="log_loss", choices=losses.LOSSES, metavar="LOSS", help=f"one of {known}"
    )
    parser.add_argument(
        "--optimizer",
        default="adagrad",
        choices=[name.lower() for name in LINEAR_RULES],
        help="update rule",
    )
    parser.add_argument("--penalty", default="l2", choices=["l2", "l1", "elasticnet", "none"])
    parser.add_argument("--alpha", type=not_negative, default=1e-6, help="weight of the penalty")
    parser.add_argument("--l1-ratio", type=share, default=0.15, help="share of l1 in elasticnet")
    for name, (default, whose) in LOSS_NUMBERS.items():
        parser.add_argument(f"--{name}", type=float, default=default, help=f"of {whose}")
    parser.add_argument("--batch-size", type=count, default=1, help="1: online updates")
    parser.add_argument("--block-size", type=count, default=256, help="rows that may share margins")
    parser.add_argument("--no-intercept", action="store_true")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling")
    parser.add_argument("--threads", type=count, help="default: what the machine grants")
    parser.add_argument("--float64", action="store_true", help="instead of float32")


def number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def not_negative(text: str) -> float:
    value = number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def spec(text: str) -> schedules.Schedule:
    try:
        return schedules.parse(text)
    except schedules.SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def rate(text: str) -> str | float | list[float] | schedules.Schedule:
    if text == "auto" or "(" in text:
        return text if text == "auto" else spec(text)
    several = [not_negative(each) for each in text.split(",")]
    return several if len(several) > 1 else several[0]


def share(text: str) -> float:
    value = not_negative(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is above 1")
    return value


def count(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def read_labelled(args: argparse.Namespace) -> tuple[Any, np.ndarray, bool]:
    """Rows, labels, and whether indices start at 0."""
    dtype = np.float64 if args.float64 else np.float32
    X, y, zero_based = datafile.read(args.data, zero_based=args.zero_based, dtype=dtype)
    if y is None:
        raise datafile.DataError(f"{args.data}: no labels; put them in an array named y")
    return X, y, zero_based


def made_model(args: argparse.Namespace) -> LinearClassifier | LinearRegressor:
    """The estimator that the options of `add_model` describe."""
    classifies = losses.LOSSES[args.loss].classifies
    cls = LinearClassifier if classifies else LinearRegressor
    return cls(
        **({} if classifies else {name: getattr(args, name) for name in LOSS_NUMBERS}),
        loss=args.loss,
        optimizer=args.optimizer,
        lr=getattr(args, "lr", "auto"),
        penalty=None if args.penalty == "none" else args.penalty,
        alpha=args.alpha,
        l1_ratio=args.l1_ratio,
        fit_intercept=not args.no_intercept,
        batch_size=args.batch_size,
        block_size=args.block_size,
        random_state=args.seed,
        n_threads=args.threads,
    )


def run_fit(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    folder = os.path.dirname(args.output) or "."
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"{folder}: no such folder for the model file")
    start = time.perf_counter()
    X, y, zero_based = read_labelled(args)
    read_seconds = time.perf_counter() - start
    model = made_model(args).set_params(max_iter=args.epochs)
    start = time.perf_counter()
    with Bar(X.shape[0] * args.epochs) as bar:
        model.fit(X, y, callback=bar.update)
    seconds = time.perf_counter() - start
    model_file.save(model, args.output, extra={"zero_based": zero_based})
    rows_per_second = X.shape[0] * args.epochs / seconds
    result = {
        "model": args.output,
        "rows": X.shape[0],
        "features": X.shape[1],
        "epochs": args.epochs,
        "loss_curve": [float(v) for v in model.loss_curve_],
        "seconds_reading": round(read_seconds, 4),
        "seconds_fitting": round(seconds, 4),
        "rows_per_second": round(rows_per_second),
        "threads": threads.count(args.threads, X.nnz),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"read    {X.shape[0]:,} rows x {X.shape[1]:,} features in {read_seconds:.2f} s")
    print(
        f"fitted  {args.epochs} epochs in {seconds:.2f} s, {rows_per_second:,.0f} rows/s, "
        f"{result['threads']} thread(s)"
    )
    curve = [f"{v:.5f}" for v in model.loss_curve_]
    if len(curve) > 8:
        curve[4:-3] = ["..."]
    print(f"loss    {' '.join(curve)}  (each epoch, before each update)")
    print(f"model   {args.output}")


def run_lr_find(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    model = made_model(args)
    X, y, _ = read_labelled(args)
    found = lrcore.lr_range_test(
        model,
        X,
        y,
        lr_min=args.lr_min,
        lr_max=args.lr_max,
        n_steps=args.steps,
        rows_per_step=args.rows_per_step,
        n_seeds=args.seeds,
        random_state=args.seed,
    )
    if args.plot:
        found.plot().figure_.savefig(args.plot, dpi=150)
    if args.json:
        curve = {"lrs": found.lrs.tolist(), "losses": found.smoothed.tolist()}
        kept = {"suggestion": found.suggestion, "suggestions": found.suggestions}
        print(json.dumps({**kept, "reasons": found.reasons, "end": found.end, **curve}))
        return
    print(found.table())


def read_for(model: Any, args: argparse.Namespace) -> tuple[Any, np.ndarray | None]:
    """Rows for a model: its width, its dtype, and the base of indices that it was fitted with."""
    zero_based = args.zero_based
    if zero_based is None:
        zero_based = model.extra_.get("zero_based")
    X, y, _ = datafile.read(
        args.data,
        n_features=model.n_features_in_,
        zero_based=zero_based,
        dtype=model.coef_.dtype,
    )
    return X, y


def run_predict(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    model = model_file.load(args.model)
    if args.proba and not hasattr(model, "predict_proba"):
        parser.error("--proba needs a model fitted with --loss log_loss or modified_huber")
    X, _ = read_for(model, args)
    predicted = model.predict_proba(X) if args.proba else model.predict(X)
    if args.json:
        body: dict[str, Any] = {"predictions": predicted.tolist()}
        if args.proba:
            body["classes"] = model.classes_.tolist()
        print(json.dumps(body))
        return
    lines = (
        [" ".join(f"{p:.6g}" for p in row) for row in predicted]
        if args.proba
        else [
            f"{value:.6g}" if isinstance(value, float) else str(value)
            for value in predicted.tolist()
        ]
    )
    sys.stdout.write("\n".join(lines) + "\n")


def run_evaluate(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    model = model_file.load(args.model)
    X, y = read_for(model, args)
    if y is None:
        raise datafile.DataError(f"{args.data}: no labels; put them in an array named y")
    result = {"rows": X.shape[0], **metrics_of(model, X, y)}
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(
            f"{name.replace('_', ' '):<12} {value:,}"
            if name == "rows"
            else f"{name.replace('_', ' '):<12} {value:.5f}"
        )


def run_schedule(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    options = (("ep'", args.steps_per_epoch, "--steps-per-epoch"), ("%'", args.steps, "--steps"))
    for unit, given, option in options:
        relative = [each for each in args.spec.unresolved if each.endswith(unit)]
        if relative and given is None:
            parser.error(f"{relative[0]} needs {option}")
    schedule = args.spec.resolve(steps_per_epoch=args.steps_per_epoch, total_steps=args.steps)
    steps = args.steps or max(1, schedule.span - 1)
    shown = np.unique(np.linspace(0, steps, 11).round().astype(np.int64))
    rates = schedule(shown)
    if args.plot:
        schedule.plot(steps + 1).figure_.savefig(args.plot, dpi=150)
    if args.json:
        plain = {"schedule": schedule.to_dict(), "steps": shown.tolist(), "rates": rates.tolist()}
        print(json.dumps(plain))
        return
    width = max(4, len(f"{steps:,}"))
    print(f"{'step':>{width}}  rate")
    for step, value in zip(shown, rates):
        print(f"{step:>{width},}  {value:.6g}")
    print(sparkline.of(schedule(np.linspace(0, steps, 60).astype(np.int64))))


def run_demo(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    result = demo.run(args.rows, quiet=args.json)
    if args.json:
        print(json.dumps(result))


class Bar:
    """A progress bar on stderr, if that is a terminal: epoch, rate, loss, rows per second."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self._bar = tqdm(
            total=total,
            unit=" rows",
            unit_scale=True,
            disable=not sys.stderr.isatty(),
            file=sys.stderr,
            dynamic_ncols=True,
            leave=False,
        )

    def __enter__(self) -> Bar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, at: Event) -> None:
        self._bar.set_description(f"epoch {at.epoch + 1}/{at.max_iter}", refresh=False)
        self._bar.set_postfix(rate=f"{at.rate:.3g}", loss=f"{at.loss:.5f}", refresh=False)
        self._bar.update(at.epoch * at.n_rows + at.rows - self._bar.n)
