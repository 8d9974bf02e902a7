"""Data that is read at once, and models, as the command line takes them: from files or stdin."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from lrcore.io import datafile
from lrcore.io.label_lists import LabelLists
from lrcore.linear_model.persistence import ModelFileError, load

#: What the argument DATA is to read stdin.
STDIN = "-"

#: How the bytes of stdin begin that are not plain text, and the suffix of a file of such.
SUFFIXES = {b"PK\x03\x04": ".npz", b"\x1f\x8b": ".svm.gz", b"BZh": ".svm.bz2"}


def load_model(path: str, args: argparse.Namespace) -> Any:
    """The model of a file.

    Raises
    ------
    ModelFileError
        If it is none; the message says so if it and the data seem to have changed places.
    """
    try:
        model = load(path)
    except ModelFileError:
        if args.data and zipfile.is_zipfile(args.data) and not zipfile.is_zipfile(path):
            raise ModelFileError(
                f"{path}: not a model file, but {args.data} looks like one; have they changed "
                "places?"
            ) from None
        raise
    if hasattr(model, "steps"):
        raise ModelFileError(
            f"{path}: a pipeline, whose steps take rows in Python: lrcore.load(path).predict(X)"
        )
    return model


#: What a data file has: rows, labels if there are any, and whether its indices start at 0.
Data = tuple[Any, np.ndarray | LabelLists | None, bool]


def read(args: argparse.Namespace, **options: Any) -> Data:
    """Read the data of the argument DATA; the options and the result are `datafile.read`'s."""
    with _as_file(args.data) as path:
        return _read_file(path, args.data, **options)


def labels_of(model: Any) -> np.ndarray:
    """The labels of a model of several a row, as data files name them: those of the file that it
    was fitted on, else the numbers of the columns of y.

    Raises
    ------
    ModelFileError
    """
    n_labels = len(model.classes_)
    labels = np.asarray(model.extra_.get("labels", model.classes_))
    if labels.shape != (n_labels,) or labels.dtype.kind not in "if" or np.any(np.diff(labels) <= 0):
        raise ModelFileError(
            f"the labels beside this model must be {n_labels} rising numbers, got {labels!r:.60}"
        )
    return labels


def _read_file(path: str, name: str, **options: Any) -> Data:
    """Read a file that stands for data of this name, which is what errors name."""
    suffix = Path(path).suffix
    if suffix != ".npz" and zipfile.is_zipfile(path):
        raise datafile.DataError(
            f"{name}: an archive, as model files are; data is svmlight text, or .npz"
        )
    try:
        return datafile.read(path, **options)
    except datafile.DataError as error:
        raise datafile.DataError(str(error).replace(path, name)) from None


@contextmanager
def _as_file(data: str) -> Iterator[str]:
    """The path of a file with the data: a copy of what stdin gives, if that is meant."""
    if data != STDIN:
        yield data
        return
    source = sys.stdin.buffer
    start = source.read(4)
    suffix = next((s for magic, s in SUFFIXES.items() if start.startswith(magic)), ".svm")
    with tempfile.NamedTemporaryFile("wb", suffix=suffix) as file:
        file.write(start)
        shutil.copyfileobj(source, file)
        file.flush()
        yield file.name
