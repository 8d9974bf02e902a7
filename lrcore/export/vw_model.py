"""Vowpal Wabbit's readable models: text with a weight of each column, ``--readable_model``.

A column is a hash of the last so many bits, the same as those of `lrcore.io.read_vw`. The constant
is the weight of a column as well. ``--oaa k`` has the weights of k classes side by side, in as many
columns as the next power of two, from the hash times this number on.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from lrcore.export.coefficients import Coefficients
from lrcore.io.errors import DataError
from lrcore.io.files import Text, open_text

#: The hash of the constant.
CONSTANT = 11650396

#: The version whose hashes these are.
VERSION = "9.11.9"

#: A line with a weight: the names of its features, with ``--invert_hash``; its column, the weight,
#: and what the rule keeps.
WEIGHT = re.compile(r"(?:.+:)?(\d+):([^:\s]+)(?: [^:]*)?")

#: The last line of what comes before the state and the weights.
END = re.compile(r":\d+")

#: Options that change nothing of the columns, and how many words follow them.
KNOWN = {"--noconstant": 0, "--link": 1, "--oaa": 1, "--hash_seed": 1, "--hash": 1}

#: Bytes that are read at a time.
PIECE = 1 << 20

#: The largest weight.
LARGEST = float(np.finfo(np.float32).max)

MOST_BITS, MOST_CLASSES = 31, 1 << 16


class VwModel(NamedTuple):
    """A model of Vowpal Wabbit: weights, (n_outputs, 2**bits), intercepts, and whether there is a
    constant."""

    weights: np.ndarray
    intercepts: np.ndarray
    has_constant: bool


def read_vw_model(source: Any) -> VwModel:
    """The model of a file that ``--readable_model`` or ``--invert_hash`` wrote; float32.

    Raises
    ------
    DataError
        If it is none, or has options whose features `read_vw` does not make.
    OSError
        If it cannot be read.
    """
    with open_text(source) as text:
        lines = enumerate(_lines(text), 1)
        header = _header(text.name, lines)
        bits, options = _bits(text.name, header), _options(text.name, header)
        weights = _weights(text.name, lines, bits)
    n_outputs = int(options.get("--oaa", 1))
    step = 1 << (n_outputs - 1).bit_length()
    columns = np.arange(len(weights)) * step
    mask, outputs = len(weights) - 1, np.arange(n_outputs)[:, None]
    has_constant = "--noconstant" not in options
    intercepts = weights[(CONSTANT * step + outputs[:, 0]) & mask] * np.float32(has_constant)
    return VwModel(weights[(columns + outputs) & mask], intercepts, has_constant)


def _lines(text: Text) -> Iterator[str]:
    """The lines of an open source, none of which is as long as a file."""
    room, rest = bytearray(PIECE), b""
    while n := text.readinto(memoryview(room)):
        *lines, rest = (rest + room[:n]).split(b"\n")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")
        if len(rest) > PIECE:
            raise DataError(f"{text.name}: a line of more than {PIECE:,} bytes is no weight")
    yield rest.decode(errors="replace")


def _header(name: str, lines: Iterator[tuple[int, str]]) -> dict[str, str]:
    """What comes before the weights, by name."""
    header: dict[str, str] = {}
    for _, line in lines:
        if END.fullmatch(line):
            if not header.get("Version", "").startswith(" "):
                break
            return header
        key, _, value = line.partition(" " if line.startswith("Version") else ":")
        header[key] = f" {value}" if key == "Version" else value
    raise DataError(f"{name}: not a readable model of Vowpal Wabbit; write one by --readable_model")


def _bits(name: str, header: dict[str, str]) -> int:
    bits = header.get("bits", "")
    if not (bits.isascii() and bits.isdigit() and 1 <= int(bits[:9]) <= MOST_BITS):
        raise DataError(f"{name}: bits must be from 1 to {MOST_BITS}, got {bits[:99]!r}")
    return int(bits)


def _options(name: str, header: dict[str, str]) -> dict[str, str]:
    """The options of the model by name, all of which are known."""
    made = {key: value for key, value in header.items() if key.endswith((" ngram", " skip"))}
    for key, value in made.items():
        if not key.startswith("0 "):
            raise DataError(f"{name}: lrcore's readers make no features of --{key[2:]}{value}")
    try:
        words = shlex.split(header.get("options", ""))
    except ValueError as error:
        raise DataError(f"{name}: options cannot be read: {error}") from None
    options = {}
    while words:
        option, _, value = words.pop(0).partition("=")
        if option not in KNOWN or (KNOWN[option] and not value and not words):
            raise DataError(
                f"{name}: {option} is not known to leave features and predictions as they are; "
                f"{', '.join(KNOWN)} are"
            )
        options[option] = value or words.pop(0) if KNOWN[option] else ""
    if options.get("--hash", "strings") != "strings" or options.get("--hash_seed", "0") != "0":
        raise DataError(f"{name}: lrcore's readers hash by --hash strings and --hash_seed 0")
    classes = options.get("--oaa", "2")
    if not (classes.isascii() and classes.isdigit() and 2 <= int(classes[:9]) <= MOST_CLASSES):
        raise DataError(f"{name}: --oaa must be from 2 to {MOST_CLASSES}, got {classes[:99]!r}")
    return options


def _weights(name: str, lines: Iterator[tuple[int, str]], bits: int) -> np.ndarray:
    """The weight of each column."""
    weights = np.zeros(1 << bits, np.float32)
    for number, line in lines:
        found = WEIGHT.fullmatch(line)
        if found is None:
            continue  # what the rule keeps, and an empty line at the end
        try:
            column, weight = int(found[1][:19]), float(found[2])
        except ValueError:
            column, weight = 0, np.nan
        if column >= len(weights) or not abs(weight) <= LARGEST:
            raise DataError(
                f"{name}, line {number}: a column below {len(weights)} and a finite weight are "
                f"needed, got {line[:99]!r}"
            )
        weights[column] = weight
    return weights


def vw_model(model: Coefficients, *, has_constant: bool) -> str:
    """The text of a readable model of one output.

    Raises
    ------
    ValueError
        If the columns are not those of so many bits, there are several outputs, or a feature has
        the column of the constant and another weight.
    """
    bits = model.n_features.bit_length() - 1
    if model.n_features != 1 << bits or not 1 <= bits <= MOST_BITS:
        raise ValueError(
            f"a model of Vowpal Wabbit has 2**bits columns, such as read_vw makes, got "
            f"{model.n_features}"
        )
    if model.n_outputs != 1:
        raise ValueError(f"to_vw writes models of one output, got {model.n_outputs}")
    weights, constant = model.weights[0].astype(np.float32), CONSTANT & (model.n_features - 1)
    intercept = model.intercepts[0].astype(np.float32)
    if has_constant:
        if weights[constant] not in (0, intercept):
            raise ValueError(
                f"feature {constant} has the column of Vowpal Wabbit's constant, whose weight is "
                "another one; use more bits"
            )
        weights[constant] = intercept
    elif intercept:
        raise ValueError("a model without a constant has no intercept")
    options = "" if has_constant else " --noconstant"
    lines = [
        f"Version {VERSION}", "Id ", "Min label:-50", "Max label:50", f"bits:{bits}", "lda:0",
        "0 ngram:", "0 skip:", f"options:{options}", ":0",
    ]  # fmt: skip
    lines += [f"{k}:{weights[k]:.9g}" for k in np.flatnonzero(weights)]
    return "\n".join(lines) + "\n"
