"""Data and models as the command line takes them: from files or stdin, with or without labels."""

from __future__ import annotations

import argparse
import io
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from lrcore.io import datafile
from lrcore.io.files import open_text
from lrcore.io.label_lists import LabelLists
from lrcore.io.pieces import pieces
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
        return load(path)
    except ModelFileError:
        if args.data and zipfile.is_zipfile(args.data) and not zipfile.is_zipfile(path):
            raise ModelFileError(
                f"{path}: not a model file, but {args.data} looks like one; have they changed "
                "places?"
            ) from None
        raise


#: What a data file has: rows, labels if there are any, and whether its indices start at 0.
Data = tuple[Any, np.ndarray | LabelLists | None, bool]


def read(args: argparse.Namespace, **options: Any) -> Data:
    """Read the data of the argument DATA; the options and the result are `datafile.read`'s."""
    with _as_file(args.data) as path:
        return _read_file(path, args.data, **options)


def read_unlabelled(args: argparse.Namespace, **options: Any) -> Any:
    """The rows of data that need no labels: in svmlight text each line may begin with a feature.

    Then every line is a row, also an empty one, so that rows are numbered like lines. Where labels
    are lists, lines that have some keep them.
    """
    lists = options.get("multilabel", False)
    with _as_file(args.data) as path:
        if not _begins_with_a_feature(path):
            return _read_file(path, args.data, **options)[0]
        with tempfile.NamedTemporaryFile("wb", suffix=".svm") as labelled:
            with _named(path, args.data):
                for line in _lines(path):
                    kept = line.startswith(b"#") or (lists and _has_label(line))
                    labelled.write(line if kept else b"0 " + line)
            labelled.flush()
            return _read_file(labelled.name, args.data, **options)[0]


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


def without_unseen(X: Any, n_features: int) -> Any:
    """The rows with this number of features: without those beyond, or with empty ones added."""
    if X.shape[1] >= n_features:
        return X[:, :n_features]
    return sparse.csr_matrix((X.data, X.indices, X.indptr), shape=(X.shape[0], n_features))


def _read_file(path: str, name: str, **options: Any) -> Data:
    """Read a file that stands for data of this name, which is what errors name."""
    suffix = Path(path).suffix
    if suffix != ".npz" and zipfile.is_zipfile(path):
        raise datafile.DataError(
            f"{name}: an archive, as model files are; data is svmlight text, or .npz"
        )
    with _named(path, name):
        return datafile.read(path, **options)


@contextmanager
def _named(path: str, name: str) -> Iterator[None]:
    """Errors of a file that stands for data of this name, with the name."""
    try:
        yield
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


def _lines(path: str) -> Iterator[bytes]:
    """The lines of a data file, which may be packed, with their ends.

    Raises
    ------
    DataError
        If it is damaged, or lines or all of them are longer than is read of such a file.
    """
    with open_text(path) as text:
        for piece in pieces(text, bounded=True):
            yield from io.BytesIO(piece.text)


def _has_label(line: bytes) -> bool:
    """Whether a line of svmlight text begins with a label, or a list of them."""
    fields = line.split(b"#", 1)[0].split()
    return bool(fields) and b":" not in fields[0]


def _begins_with_a_feature(path: str) -> bool:
    """Whether the first line of svmlight text has no label."""
    if Path(path).suffix == ".npz" or zipfile.is_zipfile(path):
        return False
    try:
        for line in _lines(path):
            if line.split(b"#", 1)[0].split():
                return not _has_label(line)
    except (OSError, datafile.DataError):
        pass  # reading it says what is wrong
    return False
