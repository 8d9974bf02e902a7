"""Options that several subcommands share, the conversion of their values, and what they describe.

Functions that convert the text of an option raise ArgumentTypeError or ValueError, which argparse
reports together with the name of the option.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from typing import Any

import numpy as np

from lrcore import losses, schedules
from lrcore.cli import data
from lrcore.io import datafile
from lrcore.io.label_lists import LabelLists
from lrcore.linear_model.classifier import LinearClassifier
from lrcore.linear_model.regressor import LinearRegressor
from lrcore.rules import LINEAR_RULES

#: Parameters of the losses for regression: the default of each, and the losses that have it.
LOSS_PARAMETERS = {
    "epsilon": (0.1, "huber and the insensitive losses"),
    "quantile": (0.5, "quantile"),
    "power": (1.5, "tweedie"),
}


class OptionError(argparse.ArgumentTypeError, ValueError):
    """Text that an option cannot have; argparse prints the message as it is."""


def finite_number(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        raise OptionError(f"{text!r} is not a number") from None
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not finite")
    return value


def nonnegative_number(text: str) -> float:
    """A finite number >= 0."""
    value = finite_number(text)
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def rate(text: str) -> float:
    """A finite number > 0."""
    value = nonnegative_number(text)
    if value == 0:
        raise argparse.ArgumentTypeError(f"a rate of {text} learns nothing; give one above 0")
    return value


def number_or_auto(text: str) -> float | str:
    """A number at least 0, or "auto"."""
    return text if text == "auto" else nonnegative_number(text)


def share(text: str) -> float:
    """A number in [0, 1]."""
    value = nonnegative_number(text)
    if value > 1:
        raise argparse.ArgumentTypeError(f"{text} is above 1")
    return value


def count(text: str) -> int:
    """An integer >= 1."""
    value = whole_number(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def whole_number(text: str) -> int:
    """An integer."""
    try:
        return int(text)
    except ValueError:
        raise OptionError(f"{text!r} is not a whole number") from None


def seed(text: str) -> int:
    """An integer that NumPy takes as a seed."""
    value = whole_number(text)
    if not 0 <= value < 1 << 32:
        raise argparse.ArgumentTypeError(f"{text} is not in 0 to 2**32 - 1")
    return value


def plot_file(text: str) -> str:
    """A file to draw to, in a folder that exists, as a kind of picture that can be drawn."""
    folder, suffix = os.path.dirname(text) or ".", os.path.splitext(text)[1]
    if not os.path.isdir(folder):
        raise argparse.ArgumentTypeError(f"{folder}: no such folder")
    if os.path.isdir(text) or suffix not in (".png", ".svg", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text} is not a file that ends in .png, .svg or .pdf")
    return text


def schedule_spec(text: str) -> schedules.Schedule:
    """A schedule from text such as ``cosine(0.1, 100).warmup(10)``."""
    try:
        return schedules.parse(text)
    except schedules.SpecError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def learning_rate(text: str) -> str | float | list[float] | schedules.Schedule:
    """The value of ``--lr``: "auto", a rate, several rates with commas, or a schedule."""
    if text == "auto":
        return text
    if "(" in text:
        return schedule_spec(text)
    rates = [rate(each) for each in text.split(",")]
    return rates if len(rates) > 1 else rates[0]


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the data file and how to read it, and ``--json``."""
    parser.add_argument(
        "data",
        metavar="DATA",
        help="svmlight text, scipy .npz, a table (CSV, JSON lines, Parquet, Arrow) or vw text, "
        "also packed (.gz, .bz2, .xz, .zst); - reads it from stdin",
    )
    add_json_option(parser)
    parser.add_argument(
        "--zero-based",
        action=argparse.BooleanOptionalAction,
        help="whether svmlight indices start at 0 (default: if one is 0)",
    )


def add_multilabel_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--multilabel``, for what learns from data; a model knows by itself."""
    parser.add_argument(
        "--multilabel",
        action="store_true",
        help="rows begin with a list of labels, which may be empty: 1,3 5:0.5",
    )


def add_json_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")


def strict_json(value: Any) -> str:
    """The value as JSON of any reader's: numbers that it does not know become null.

    >>> strict_json({"r2": float("nan"), "losses": [0.5, float("inf")]})
    '{"r2": null, "losses": [0.5, null]}'
    """
    return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def add_model_options(parser: argparse.ArgumentParser) -> None:
    """Add the parameters of an estimator, apart from its rate; see `make_estimator`."""
    known = ", ".join(losses.LOSSES)
    parser.add_argument(
        "--loss", default="log_loss", choices=losses.LOSSES, metavar="LOSS", help=f"one of {known}"
    )
    parser.add_argument(
        "--optimizer",
        default="auto",
        choices=["auto", *(name.lower() for name in LINEAR_RULES)],
        help="update rule of the stochastic solver (auto: adagrad)",
    )
    parser.add_argument(
        "--penalty",
        default="l2",
        choices=["l2", "l1", "elasticnet", "none"],
        help="of the weights (l2)",
    )
    parser.add_argument(
        "--alpha",
        type=number_or_auto,
        default="auto",
        help="weight of the penalty; auto finds one by rows held out (1e-6 for steps of a rule)",
    )
    parser.add_argument(
        "--scale",
        default="auto",
        choices=["auto", "std", "max", "none"],
        help="penalise columns divided by their spread; auto: if they are in different units",
    )
    parser.add_argument("--l1-ratio", type=share, default=0.15, help="share of l1 in elasticnet")
    for name, (default, whose) in LOSS_PARAMETERS.items():
        about = f"parameter of {whose}"
        parser.add_argument(f"--{name}", type=finite_number, default=default, help=about)
    parser.add_argument("--batch-size", type=count, default=1, help="1: online updates")
    parser.add_argument(
        "--block-size",
        type=count,
        default=256,
        help="rows, at most, whose predictions are computed together before the updates",
    )
    parser.add_argument(
        "--average",
        action="store_true",
        help="the model is the mean of the weights over all steps; asks for --solver stochastic",
    )
    parser.add_argument(
        "--no-intercept", action="store_true", help="no constant term: a row of zeros scores 0"
    )
    parser.add_argument("--seed", type=seed, default=0, help="seed of the shuffling")
    parser.add_argument("--threads", type=count, help="default: what the machine grants")
    parser.add_argument("--float64", action="store_true", help="instead of float32")


def make_estimator(args: argparse.Namespace) -> LinearClassifier | LinearRegressor:
    """The estimator that the options of `add_model_options` describe."""
    classifies = losses.LOSSES[args.loss].classifies
    cls = LinearClassifier if classifies else LinearRegressor
    loss_parameters = {} if classifies else {name: getattr(args, name) for name in LOSS_PARAMETERS}
    return cls(
        **loss_parameters,
        loss=args.loss,
        average=args.average,
        optimizer=args.optimizer,
        lr=getattr(args, "lr", "auto"),
        penalty=None if args.penalty == "none" else args.penalty,
        alpha=args.alpha,
        scale=None if args.scale == "none" else args.scale,
        l1_ratio=args.l1_ratio,
        fit_intercept=not args.no_intercept,
        batch_size=args.batch_size,
        block_size=args.block_size,
        random_state=args.seed,
        n_threads=args.threads,
    )


def read_labelled(args: argparse.Namespace) -> tuple[Any, np.ndarray | LabelLists, bool]:
    """Read the data file to learn from.

    Returns
    -------
    X : CSR matrix
    y : ndarray of shape (n_rows,), or LabelLists
    zero_based : bool
        Whether the indices of the file start at 0.

    Raises
    ------
    DataError
        If the file cannot be used, or has no labels.
    """
    dtype = np.float64 if args.float64 else np.float32
    if args.multilabel and not losses.LOSSES[args.loss].classifies:
        raise OptionError(f"--multilabel is for losses of classes, got --loss {args.loss}")
    X, y, zero_based = data.read(
        args, zero_based=args.zero_based, dtype=dtype, multilabel=args.multilabel
    )
    check_width(args.data, X.shape[1])
    return X, require_labels(y, args), zero_based


def add_unseen_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--ignore-unseen``."""
    parser.add_argument(
        "--ignore-unseen",
        action="store_true",
        help="leave out features that the model has not seen, instead of refusing the data",
    )


def read_for_model(
    model: Any, args: argparse.Namespace
) -> tuple[Any, np.ndarray | LabelLists | None]:
    """Read the data file for a model whose fit goes on: with its number of features, in its dtype,
    and its labels before others.

    Unless an option says otherwise, indices start where they did in the file that the model was
    fitted on.
    """
    zero_based = args.zero_based
    if zero_based is None:
        zero_based = model.extra_.get("zero_based")
    X, y, _ = data.read(
        args, n_features=model.n_features_in_, zero_based=zero_based, dtype=model.coef_.dtype,
        multilabel=getattr(model, "multilabel_", False),
    )  # fmt: skip
    return X, y.among(data.labels_of(model)) if isinstance(y, LabelLists) else y


#: Bytes of each feature that a fit takes at least: its weights, and sums over the rows.
FEATURE_BYTES = 32


def check_width(path: str, n_features: int) -> None:
    """Raise DataError if a model of so many features does not fit the memory of the machine."""
    least = FEATURE_BYTES * n_features
    try:
        most = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return
    if least > most > 0:
        raise datafile.DataError(
            f"{path}: the largest index makes {n_features:,} features, of which a model takes "
            f"{least / 2**30:.1f} GiB at least, and this machine has {most / 2**30:.1f}; hash the "
            "indices to fewer"
        )


def require_labels(
    y: np.ndarray | LabelLists | None, args: argparse.Namespace
) -> np.ndarray | LabelLists:
    """The labels of the data file; raises DataError if it has none."""
    if y is None:
        raise datafile.DataError(f"{args.data}: no labels; put them in an array named y")
    return y
