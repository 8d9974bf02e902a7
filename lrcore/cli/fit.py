"""``lrcore fit``: fit a model to a data file and write it to a model file."""

from __future__ import annotations

import argparse
import time
import warnings
from typing import Any

from lrcore._backend import threads
from lrcore._utils.replacing import check_writable
from lrcore.cli import cluster, raw
from lrcore.cli.data import load_model
from lrcore.cli.options import (
    OptionError,
    add_data_options,
    add_model_options,
    add_multilabel_option,
    count,
    learning_rate,
    make_estimator,
    number_or_auto,
    read_for_model,
    read_labelled,
    require_labels,
    strict_json,
)
from lrcore.cli.progress import new_bar
from lrcore.io.datafile import DataError
from lrcore.io.label_lists import LabelLists
from lrcore.linear_model.monitor.callbacks import Event
from lrcore.linear_model.monitor.diagnostics import UselessFitWarning
from lrcore.linear_model.persistence import save
from lrcore.linear_model.solvers.select import SOLVERS


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    add_data_options(parser)
    parser.add_argument("more", nargs="*", metavar="DATA", help="further files, with --dask")
    add_multilabel_option(parser)
    raw.add_format_option(parser)
    raw.add_column_options(parser)
    parser.add_argument(
        "-o", "--output", required=True, metavar="MODEL", help="model file to write"
    )
    add_model_options(parser)
    parser.add_argument(
        "--lr",
        type=learning_rate,
        default="auto",
        metavar="RATE|SPEC",
        help="first rate, which falls to 0; several with commas, of which the best "
        "is taken; a schedule such as 'cosine(0.5, 95%%).warmup(5%%)'; or auto, which looks "
        "for one (default: auto)",
    )
    parser.add_argument(
        "--solver",
        default="auto",
        choices=["auto", *SOLVERS],
        help="auto: by the loss, the penalty and the size of the data; --optimizer, --lr and "
        "--epochs 1 ask for stochastic",
    )
    parser.add_argument(
        "--epochs",
        type=count,
        help="default: the solver's own, 5 of stochastic; with --dask rounds at most, or "
        "passes of stochastic",
    )
    parser.add_argument(
        "--tol",
        type=number_or_auto,
        default="auto",
        help="relative duality gap at which a fit ends (auto: 0.001)",
    )
    parser.add_argument(
        "--resume",
        metavar="MODEL",
        help="go on from the weights of a model file, by its own parameters; --epochs, --tol and "
        "--threads may differ",
    )
    cluster.add_option(parser)
    parser.set_defaults(own_parser=parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Fit the model, save it, and print what was done."""
    # What cannot be is said before anything is read.
    check_writable(args.output)
    if args.dask:
        cluster.check_options(args)
        cluster.run(new_model(args), args)
        return
    if args.more:
        raise OptionError("DATA is one file, or with --dask several; a quoted pattern names many")
    raw.check_options(args)
    model = new_model(args) if args.resume is None else resumed(args)
    if raw.is_raw(args):
        fit_raw(model, args)
        return
    start = time.perf_counter()
    if args.resume is None:
        X, y, zero_based = read_labelled(args)
    else:
        X, labels = read_for_model(model, args)
        y, zero_based = require_labels(labels, args), model.extra_.get("zero_based")
    extra: dict[str, Any] = {"zero_based": zero_based}
    if isinstance(y, LabelLists):
        if args.resume is not None:
            check_known(y, model, args)
        y, extra["labels"] = y.indicator, y.labels.tolist()
    seconds_reading = time.perf_counter() - start
    warm_start = model.warm_start
    model.set_params(warm_start=args.resume is not None)
    start = time.perf_counter()
    bar = ProgressBar(args.epochs and X.shape[0] * args.epochs)
    with bar, warnings.catch_warnings():
        # A script would not see the warning: such a model is not written.
        warnings.simplefilter("error", UselessFitWarning)
        model.fit(X, y, callback=bar.update)
    seconds_fitting = time.perf_counter() - start
    model.set_params(warm_start=warm_start)
    save(model, args.output, extra=extra)
    result = {
        "model": args.output,
        "rows": X.shape[0],
        "features": X.shape[1],
        **({"labels": len(extra["labels"])} if "labels" in extra else {}),
        "solver": model.solver_,
        "epochs": model.n_iter_,
        "alpha": model.alpha_,
        "dual_gap": model.dual_gap_,
        "loss_curve": [float(v) for v in model.loss_curve_],
        "seconds_reading": round(seconds_reading, 4),
        "seconds_fitting": round(seconds_fitting, 4),
        "rows_per_second": round(X.shape[0] * model.n_iter_ / seconds_fitting),
        "threads": threads.count(args.threads, X.nnz),
    }
    print(strict_json(result) if args.json else report(result))


def fit_raw(model: Any, args: argparse.Namespace) -> None:
    """Fit the model to data that is read batch by batch, save it, and print what was done."""
    before = getattr(model, "extra_", {})
    for name in raw.KEPT:
        if getattr(args, name) is None:
            setattr(args, name, before.get(name))
    dataset = raw.dataset_to_learn_from(args, getattr(model, "features_", None))
    result = raw.fit(model, dataset, args)
    save(model, args.output, extra={name: getattr(args, name) for name in raw.KEPT})
    raw.finish(result, args)


def check_known(y: LabelLists, model: Any, args: argparse.Namespace) -> None:
    """Raise DataError unless the model that a fit goes on from has all labels of the data."""
    new = y.labels[len(model.classes_) :]
    if new.size:
        raise DataError(
            f"{args.data}: {args.resume} has no label {new[0]}; fit anew without --resume"
        )


def new_model(args: argparse.Namespace) -> Any:
    """The model with the parameters that the options name."""
    model = make_estimator(args)
    model.set_params(solver=args.solver, max_iter=args.epochs, tol=args.tol)
    model._check_params()
    return model


#: What may be given with ``--resume``.
RESUMABLE = {
    "data",
    "more",
    "output",
    "json",
    "zero_based",
    "epochs",
    "tol",
    "threads",
    "resume",
    "label",
    "weight",
    "delimiter",
    "format",
    "cache",
}


def resumed(args: argparse.Namespace) -> Any:
    """The model to go on from; options that its own parameters stand for are wrong usage."""
    parser = args.own_parser
    given = [
        action.option_strings[-1]
        for action in parser._actions
        if action.dest in vars(args)
        and action.dest not in RESUMABLE
        and getattr(args, action.dest) != action.default
    ]
    if given:
        parser.error(
            f"--resume goes on with the parameters of {args.resume}: leave out {', '.join(given)}"
        )
    model = load_model(args.resume, args)
    own = {"max_iter": args.epochs, "n_threads": args.threads}
    own["tol"] = None if args.tol == "auto" else args.tol
    return model.set_params(**{name: value for name, value in own.items() if value is not None})


def report(result: dict[str, Any]) -> str:
    """The result as text for people."""
    curve = [f"{loss:.5f}" for loss in result["loss_curve"]]
    if len(curve) > 8:
        curve[4:-3] = ["..."]
    labels = f", {result['labels']:,} labels" if "labels" in result else ""
    gap = (
        ""
        if result["dual_gap"] is None
        else (f", no more than {result['dual_gap']:.1e} of the objective above its minimum")
    )
    return (
        f"read    {result['rows']:,} rows x {result['features']:,} features{labels} in "
        f"{result['seconds_reading']:.2f} s\n"
        f"fitted  {result['epochs']} epochs in {result['seconds_fitting']:.2f} s, "
        f"{result['rows_per_second']:,.0f} rows/s, {result['threads']} thread(s), "
        f"{result['solver']}\n"
        f"loss    {' '.join(curve)}  (each epoch, before each update)\n"
        f"alpha   {result['alpha']:.3g}{gap}\n"
        f"model   {result['model']}"
    )


class ProgressBar:
    """A progress bar on stderr, if that is a terminal: epoch, rate, loss, rows per second.

    Parameters
    ----------
    total : int, optional
        Rows of all epochs together, if that is known.
    """

    def __init__(self, total: int | None) -> None:
        self._bar = new_bar(total, " rows")

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def update(self, event: Event) -> None:
        """Show the state of the fit; given to ``fit`` as its callback."""
        self._bar.set_description(f"epoch {event.epoch + 1}/{event.max_iter}", refresh=False)
        self._bar.set_postfix(rate=f"{event.rate:.3g}", loss=f"{event.loss:.5f}", refresh=False)
        self._bar.update(event.epoch * event.n_rows + event.rows - self._bar.n)
