"""svmlight text line by line: what is wrong with a line, and rows without the compiled core."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np


class SvmlightRows(NamedTuple):
    """Rows of svmlight text as CSR arrays, and what was found in it.

    Places are offsets of lines in the text; None if there is no such line.
    """

    data: np.ndarray
    #: Counted from 0, wherever those of the text start.
    indices: np.ndarray
    indptr: np.ndarray
    labels: np.ndarray
    #: Where the labels of each row begin; None if each has one.
    label_indptr: np.ndarray | None
    #: Query ids; 0 for rows without one.
    qids: np.ndarray
    #: The first line that is not valid.
    bad: int | None
    #: The first line with an index smaller than the first.
    below: int | None
    #: The first row with a query id, and the first without one.
    with_qid: int | None
    without_qid: int | None
    #: Lines that were left out.
    n_skipped: int


#: How the message about such a line begins.
BELOW = "indices that start at "


def problem(line: bytes, dtype: Any, multilabel: bool = False, first_index: int = 0) -> str:
    """What is wrong with a line of svmlight text; "" if nothing is."""
    fields = line.split(b"#", 1)[0].split()
    if not fields:
        return ""
    if not multilabel or b":" not in fields[0]:
        wrong = _label_problem(fields.pop(0), multilabel)
        if wrong:
            return wrong
    if fields and fields[0].startswith(b"qid:"):
        qid = fields.pop(0)
        if not _is_integer(qid[4:]):
            return f"qid must be an integer of 64 bits, got {quoted(qid)}"
    last = -1
    for field in fields:
        index, colon, value = field.partition(b":")
        if index == b"qid" and colon:
            return f"qid must come before all features, got {quoted(field)} after {last}"
        zero = index[:1] == b"-" and not index.strip(b"-0")
        digits = index[1:] if zero or index[:1] == b"+" else index
        if not colon or not digits.isdigit():
            return f"expected index:value, got {quoted(field)}"
        if len(digits.lstrip(b"0")) > 10 or int(digits) >= 2**31:
            return f"the index {quoted(index)} is too large"
        if int(digits) < first_index:
            return (
                f"{BELOW}{first_index} were expected, got {quoted(field)}; "
                "zero_based=True is for those that start at 0"
            )
        if int(digits) <= last:
            return f"indices must rise, got {int(digits)} after {last}"
        if not is_finite(value, np.float64):
            return f"the value must be a finite number, got {quoted(field)}"
        if not is_finite(value, dtype):
            return f"the value must be finite in {np.dtype(dtype)}, got {quoted(field)}"
        last = int(digits)
    return ""


def _label_problem(text: bytes, multilabel: bool) -> str:
    """What is wrong with the label of a line, or with its list of labels; "" if nothing is."""
    if multilabel:
        if all(is_finite(label, np.float64) for label in text.split(b",")):
            return ""
        return (
            "labels must be finite numbers with commas and no spaces between them, got "
            f"{quoted(text)}"
        )
    if is_finite(text, np.float64):
        return ""
    remedy = "; multilabel=True, or lrcore fit --multilabel, reads rows of several or none"
    lists = b"," in text or b":" in text
    return f"the label must be a finite number, got {quoted(text)}{remedy * lists}"


def parse(
    text: memoryview, dtype: np.dtype, multilabel: bool, first_index: int, skip: bool
) -> SvmlightRows:
    """Rows by scikit-learn's reader, of lines that were looked at one by one."""
    from sklearn.datasets import load_svmlight_file

    kept: list[bytes] = []
    label_counts: list[int] = []
    qids: list[int] = []
    found: dict[bool, int] = {}
    bad, below, n_skipped, place = None, None, 0, 0
    for line in io.BytesIO(text):
        fields = line.split(b"#", 1)[0].split()
        wrong = problem(line, dtype, multilabel, first_index)
        if wrong:
            bad = place if bad is None else bad
            if below is None and wrong.startswith(BELOW):
                below = place
            if not skip:
                break
            n_skipped += 1
        elif fields:
            has_label = not multilabel or b":" not in fields[0]
            label_counts.append(fields.pop(0).count(b",") + 1 if has_label else 0)
            has_qid = bool(fields) and fields[0].startswith(b"qid:")
            qids.append(int(fields[0][4:]) if has_qid else 0)
            found.setdefault(has_qid, place)
            kept.append(line)
        place += len(line)
    X, y = load_svmlight_file(
        io.BytesIO(b"".join(kept)), dtype=dtype, multilabel=multilabel, zero_based=True
    )
    return SvmlightRows(
        X.data,
        X.indices - np.int32(first_index),
        X.indptr.astype(np.int64),
        np.array([label for labels in y for label in labels] if multilabel else y, np.float64),
        np.cumsum([0, *label_counts], dtype=np.int64) if multilabel else None,
        np.array(qids, np.int64),
        bad,
        below,
        found.get(True),
        found.get(False),
        n_skipped,
    )


def number_text(value: float, dtype: Any = np.float64) -> str:
    """The fewest digits that are read as the same number of this dtype, by way of float64."""
    if np.dtype(dtype) == np.float32:
        short = float(str(np.float32(value)))
        value = short if np.float32(short) == np.float32(value) else value
    return repr(value).removesuffix(".0")


def write(
    first: list[str], ends: np.ndarray, indices: np.ndarray, data: np.ndarray, first_index: int
) -> bytes:
    """Rows as lines of text: what comes first in each, and its indices and values."""
    pairs = [
        f"{index + first_index}:{number_text(value, data.dtype)}"
        for index, value in zip(indices.tolist(), data.tolist())
    ]
    starts = [0, *ends.tolist()]
    lines = [
        " ".join([text, *pairs[start:stop]]) for text, start, stop in zip(first, starts, starts[1:])
    ]
    return "".join(f"{line}\n" for line in lines).encode()


def _is_integer(text: bytes) -> bool:
    """Whether this is an integer of 64 bits, with or without a sign."""
    digits = text[1:] if text[:1] in (b"+", b"-") else text
    if not digits.isdigit() or len(digits.lstrip(b"0")) > 19:
        return False
    return -(2**63) <= int(text) < 2**63


def is_finite(text: bytes, dtype: Any) -> bool:
    """Whether the text is a number, which "1_0" and " 1" are not, and finite in this dtype."""
    if b"_" in text or text != text.strip():
        return False
    try:
        with np.errstate(over="ignore"):
            return bool(np.isfinite(np.dtype(dtype).type(float(text))))
    except ValueError:
        return False


def quoted(text: bytes) -> str:
    """The text for a message: quoted, at most 40 characters of it."""
    short = text[:40].decode("ascii", "backslashreplace")
    return repr(short + ("..." if len(text) > 40 else ""))
