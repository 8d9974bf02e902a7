"""``lrcore features``: the features of a model with the largest weights."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Any, NamedTuple

from lrcore.cli import raw
from lrcore.cli.data import labels_of, load_model
from lrcore.cli.options import OptionError, add_json_option, count, strict_json
from lrcore.cli.predict import lines_of
from lrcore.io.csv_files import CSVLayout
from lrcore.io.errors import DataError
from lrcore.io.record_batches import record_batches
from lrcore.io.vw import vw_names

#: Names of a feature that are printed; ``--json`` has all.
MOST_NAMES = 3


class Heavy(NamedTuple):
    """A feature of one row of the coefficients.

    Parameters
    ----------
    of : str, int, float or None
        The class, or the number of the target, that a positive weight speaks for; None for the only
        target.
    feature : str or int
        The name of the column, or the number of the feature as data files have it.
    column : int
        The column of X.
    weight : float
    """

    of: Any
    feature: Any
    column: int
    weight: float


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of the subcommand."""
    parser.description = (
        "List the features with the largest weights, either way. Values of tables and names of vw "
        "text are hashed, and a model does not keep them: DATA gives the features their names."
    )
    parser.add_argument("model", metavar="MODEL", help="a model file that lrcore fit has written")
    parser.add_argument(
        "data",
        metavar="DATA",
        nargs="?",
        help="a table or vw text to look for the values behind hashed features in; its first "
        "rows are read again, in the memory of a batch, which takes a second or a few",
    )
    raw.add_format_option(parser)
    parser.add_argument(
        "--rows", type=count, default=100_000, help="of DATA to look at (default: 100000)"
    )
    parser.add_argument(
        "--top", type=count, default=20, metavar="N", help="features of each class (default: 20)"
    )
    parser.add_argument(
        "--class", dest="label", metavar="CLASS", help="those that speak for or against this class"
    )
    add_json_option(parser)


def run(args: argparse.Namespace, parser: argparse.ArgumentParser) -> None:
    """Print the features, a line for each."""
    model = load_model(args.model, args)
    found = heaviest(model, args.top, args.label)
    names: dict[int, list[str]] = {}
    if args.data is not None:
        names = names_in(args, model, sorted({each.column for each in found}))
    kind = "class" if hasattr(model, "classes_") else "target"
    if args.json:
        print(strict_json({"features": [record(kind, each, names) for each in found]}))
        return
    print("\n".join(lines(kind, found, names)))


def heaviest(model: Any, n: int, label: str | None = None) -> list[Heavy]:
    """The features with the largest weights of each class or target, or of the class alone that is
    written like `label`.

    Raises
    ------
    OptionError
        If there is no such class.
    """
    columns = model.top_features(n, names=range(model.n_features_in_))
    names = getattr(model, "feature_names_in_", None)
    if names is None:
        first = 1 if model.extra_.get("zero_based") is False else 0
        names = range(first, first + model.n_features_in_)
    return [
        Heavy(of, names[column], column, sign * weight)
        for of, row, sign in speakers(model, len(columns), label)
        for column, weight in columns[row]
    ]


def speakers(model: Any, n_rows: int, label: str | None) -> list[tuple[Any, int, int]]:
    """Classes or targets, each with its row of the coefficients and its sign there.

    Two classes share a row, whose weights speak for the second: it stands for both, unless a class
    is asked for.
    """
    if not hasattr(model, "classes_"):
        if label is not None:
            raise OptionError("--class is for classifiers, and the model is a regressor")
        return [(k if n_rows > 1 else None, k, 1) for k in range(n_rows)]
    classes = labels_of(model) if model.multilabel_ else model.classes_
    if n_rows == len(classes):
        every = [(each, k, 1) for k, each in enumerate(classes.tolist())]
    else:
        every = [(classes.tolist()[0], 0, -1), (classes.tolist()[1], 0, 1)]
    if label is None:
        return every if len(every) == n_rows else every[1:]
    texts = lines_of(classes)
    if label not in texts:
        raise OptionError(f"the model has no class {label!r}, but {', '.join(texts)}")
    return [every[texts.index(label)]]


def names_in(args: argparse.Namespace, model: Any, columns: list[int]) -> dict[int, list[str]]:
    """What the first rows of DATA have behind each of these columns of X.

    Raises
    ------
    DataError
        If it has no names, or the model was not fitted to such data.
    """
    kind = raw.format_of(args)
    features = getattr(model, "features_", None)
    if kind == "vw" and features is None:
        bits = model.n_features_in_.bit_length() - 1
        if model.n_features_in_ != 1 << bits:
            raise DataError(
                f"{args.model} was not fitted to vw text, which has 2**BITS features: it has "
                f"{model.n_features_in_:,}"
            )
        return vw_names(args.data, columns, bits, args.rows)
    if kind not in raw.TABLES:
        raise DataError(f"{args.data}: tables and vw text have names, and this is {kind}")
    if features is None:
        raise DataError(
            f"{args.model} was not fitted to a table, so its features have no names in {args.data}"
        )
    layout = CSVLayout(model.extra_.get("delimiter"), None, features, set())
    found: dict[int, dict[str, None]] = {column: {} for column in columns}
    left = args.rows
    with closing(record_batches(args.data, kind, layout)) as tables:
        for table in tables:
            for column, names in features.inverse(columns, table.slice(0, left)).items():
                found[column].update(dict.fromkeys(names))
            left -= table.num_rows
            if left <= 0:
                break
    return {column: list(names) for column, names in found.items()}


def record(kind: str, heavy: Heavy, names: dict[int, list[str]]) -> dict[str, Any]:
    """A feature as plain values; without names if none were looked for."""
    found = {"names": names[heavy.column]} if names else {}
    return {kind: heavy.of, "feature": heavy.feature, **found, "weight": heavy.weight}


def lines(kind: str, found: list[Heavy], names: dict[int, list[str]]) -> list[str]:
    """The features as text for people, below the class or target that they speak for."""
    width = max([7, *(len(str(each.feature)) for each in found)])
    text: list[str] = []
    of = None
    for each in found:
        if each.of is not None and each.of != of:
            of = each.of
            text += ["", f"{kind} {of}"] if text else [f"{kind} {of}"]
        line = f"{each.weight:+12.5f}  {each.feature!s:<{width}}"
        if names:
            line += "  " + name_of(names[each.column])
        text.append(line.rstrip())
    return text


def name_of(names: list[str]) -> str:
    """The first of the names that share a feature, and how many others do."""
    if not names:
        return "(not in these rows)"
    more = len(names) - MOST_NAMES
    return " | ".join(names[:MOST_NAMES]) + (f" | {more} more" if more > 0 else "")
