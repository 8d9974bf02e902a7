"""The rows of DATA for a fitted model, batch by batch: of any format, from a file or stdin."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from lrcore.cli import raw
from lrcore.cli.data import STDIN
from lrcore.cli.progress import watched
from lrcore.io import scan_npz, scan_vw
from lrcore.io.batch import Batch, csr
from lrcore.io.dataset import Dataset
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes
from lrcore.io.paths import expanded
from lrcore.io.scans import svmlight_rows
from lrcore.io.svmlight import Width
from lrcore.linear_model.dataset_fit import batches_for

#: How a zip archive begins, which an .npz file is.
ZIP = b"PK\x03\x04"


def batches_of(
    model: Any, args: argparse.Namespace, *, labelled: bool = False, shown: bool = True
) -> Generator[Batch]:
    """The rows of DATA, of the model's width.

    Parameters
    ----------
    model : fitted estimator
    args : Namespace
    labelled : bool
        Whether rows have to have labels. If so, batches follow from the rows alone, so that sums
        over them have the same bits for any format.
    shown : bool
        Whether a terminal has a bar of the bytes that were read.

    Raises
    ------
    DataError
        If there are no rows, or what is wrong with one; then it comes after the rows before it.
    """
    n_rows = 0
    with _source(args) as (source, kind):
        dataset = _dataset(source, kind, model, args, labelled=labelled)
        batches = iter(dataset.batches() if labelled else dataset)
        if shown:
            batches = watched(batches, dataset.bytes_read)
        for batch in batches_for(model, batches, args.data):
            if labelled:
                _check_labels(batch.y, kind, model, args)
            n_rows += batch.n_rows
            yield batch
    if not n_rows:
        raise DataError(f"{args.data} has no rows")


def _check_labels(y: Any, kind: str, model: Any, args: argparse.Namespace) -> None:
    """Raise DataError if rows have no labels, or not such as the model's."""
    if y is None and kind == "npz":
        raise DataError(f"{args.data}: no labels; put them in an array named y")
    if y is None:
        raise DataError(f"{args.data}: which column has the labels? --label COLUMN")
    if getattr(model, "multilabel_", False) and y.dtype != object:
        raise DataError(f"{args.data}: lists of labels are for svmlight text, this is {kind}")


@contextmanager
def _source(args: argparse.Namespace) -> Iterator[tuple[Any, str]]:
    """What to read, and its format. Of stdin the beginning tells whether it is .npz, which is read
    from anywhere in it: then a file has a copy."""
    kind = raw.format_of(args)
    if args.data != STDIN or kind not in ("svmlight", "npz"):
        if kind == "svmlight" and zipfile.is_zipfile(args.data):
            raise DataError(
                f"{args.data}: an archive, as model files are; data is svmlight text, or .npz"
            )
        yield args.data, kind
        return
    stdin = Begun(sys.stdin.buffer)
    if kind != "npz" and stdin.start != ZIP:
        yield stdin, kind
        return
    with tempfile.NamedTemporaryFile("wb", suffix=".npz") as file:
        shutil.copyfileobj(stdin, file)
        file.flush()
        yield file.name, "npz"


class Begun(io.RawIOBase):
    """A binary file of which `start` was read to see what it is, and is read once more."""

    name = STDIN

    def __init__(self, file: Any) -> None:
        self._file = file
        self.start = self._left = file.read(len(ZIP))

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        more = self._left or self._file.read(len(room))
        part, self._left = more[: len(room)], more[len(room) :]
        room[: len(part)] = part
        return len(part)


def _dataset(
    source: Any, kind: str, model: Any, args: argparse.Namespace, *, labelled: bool
) -> Dataset:
    """The rows of a source, of the model's width and dtype."""
    dtype, n_features = model.coef_.dtype, model.n_features_in_
    if kind in raw.TABLES:
        return _table(source, kind, model, args, labelled=labelled)
    if kind == "vw":
        return scan_vw(source, bits=n_features.bit_length() - 1, dtype=dtype)
    if kind == "npz":
        dataset = scan_npz(source, dtype=dtype)
        if dataset.n_features > n_features and not args.ignore_unseen:
            raise DataError(
                f"{args.data}: {dataset.n_features} features, but the model has {n_features}"
            )
        rows, count = iter(dataset), dataset.bytes_read
    else:
        count = ReadBytes.of(expanded(source))
        rows = svmlight_rows(
            source, dtype=dtype, zero_based=zero_based_of(model, args), count=count,
            multilabel=getattr(model, "multilabel_", False), unlabelled=not labelled,
            width=None if args.ignore_unseen else Width(n_features, "the model has"),
        )  # fmt: skip
    batches = (replace(batch, X=of_width(batch.X, n_features)) for batch in rows)
    return Dataset(lambda number: batches, name=args.data, bytes_read=count).ahead()


def zero_based_of(model: Any, args: argparse.Namespace) -> Any:
    """Whether indices of DATA start at 0: as an option says, else as they did in the fit, if that
    was of such data."""
    known = model.extra_.get("zero_based") if args.zero_based is None else args.zero_based
    return "auto" if known is None else known


def of_width(X: Any, n_features: int) -> Any:
    """The rows with this number of features: without those beyond, or with empty ones added."""
    if X.indices.max(initial=-1) < n_features:
        return csr(X.data, X.indices, X.indptr, n_features)
    return X[:, :n_features]


def _table(
    source: Any, kind: str, model: Any, args: argparse.Namespace, *, labelled: bool
) -> Dataset:
    """The rows of a table, whose columns become what they did in the fit."""
    features = getattr(model, "features_", None)
    if features is None:
        raise DataError(
            f"{args.data} is a table, and {args.model} was not fitted to one: it does not know "
            "what to make of columns"
        )
    label = (args.label or model.extra_.get("label")) if labelled else None
    options = {"label": label, "features": features}
    if kind == "csv":
        options["delimiter"] = model.extra_.get("delimiter")
    return raw.TABLES[kind](source, **options)
