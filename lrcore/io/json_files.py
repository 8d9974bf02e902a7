"""Files of JSON lines as record batches, looked through before pyarrow reads them."""

from __future__ import annotations

import re
from collections.abc import Generator
from typing import Any

import numpy as np

from lrcore.io.csv_files import BLOCK_BYTES, MOST_COLUMNS, MOST_VALUES
from lrcore.io.errors import DataError
from lrcore.io.files import ReadBytes, open_text
from lrcore.io.optional import pyarrow
from lrcore.io.pieces import Piece, pieces

#: How deep JSON may be nested: pyarrow goes down by calls of functions, for which there is no room
#: at some 10,000.
DEEPEST = 1000

#: All bytes but those that open or close something in JSON; and a string of it, and a key, without
#: escapes.
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
STRING = re.compile(rb'"[^"]*"')
KEY = re.compile(rb'"[^"]*"[ \t\r\n]*:')


def open_json(source: Any, count: ReadBytes) -> Generator[Any]:
    """The record batches of a file of JSON lines, whose types are those of the first rows."""
    pa = pyarrow()
    from pyarrow import json

    schema = None
    with open_text(source) as text:
        parts = pieces(text, size=BLOCK_BYTES)
        for piece in count.follow(parts, text, lambda piece: len(piece.text)):
            content = bytes(piece.text)
            if content.isspace():
                continue
            place = f"{text.name}:{piece.first_line} or below"
            _check_shape(content, place, None if schema is None else len(schema))
            read = json.ReadOptions(block_size=len(piece.text) + 1, use_threads=False)
            unexpected = "infer" if schema is None else "error"
            parse = json.ParseOptions(schema, unexpected_field_behavior=unexpected)
            try:
                table = json.read_json(pa.BufferReader(content), read, parse)
                table.validate(full=True)
            except pa.ArrowInvalid as error:
                raise DataError(f"{text.name}{_json_fault(str(error), piece)}") from None
            schema = table.schema
            yield from table.to_batches()


def _check_shape(content: bytes, place: str, n_columns: int | None) -> None:
    """Raise if JSON would end the process, or fill the memory: there pyarrow raises nothing.

    Parameters
    ----------
    content : bytes
    place : str
        Where it is, for an error.
    n_columns : int, optional
        None if columns are what it has.
    """
    if n_columns is None:
        keys: set[bytes] = set()
        for key in KEY.finditer(_without_escapes(content)):
            keys.add(key[0])
            if len(keys) > MOST_COLUMNS:
                raise DataError(f"{place}: more than {MOST_COLUMNS:,} different keys")
        n_columns = len(keys)
    brackets = content.translate(None, NO_BRACKETS)
    most_rows = MOST_VALUES // max(n_columns, 1)
    if brackets.count(b"{") <= most_rows and _depth(brackets) <= DEEPEST:
        return
    # Those within strings do not count, but looking for these takes time.
    brackets = STRING.sub(b"", _without_escapes(content)).translate(None, NO_BRACKETS)
    if _depth(brackets) > DEEPEST:
        raise DataError(f"{place}: JSON that is nested more than {DEEPEST:,} deep")
    n_rows = brackets.count(b"{")
    if n_rows > most_rows:
        raise DataError(
            f"{place}: {n_columns:,} different keys in {n_rows:,} objects, of which each one has "
            "few; svmlight text holds such rows"
        )


def _without_escapes(content: bytes) -> bytes:
    """JSON in which each quote begins or ends a string, and what differed still does."""
    return content.replace(rb"\\", b"\0\0").replace(rb"\"", b"\1\1")


def _depth(brackets: bytes) -> int:
    """How many brackets are open at once."""
    depth = deepest = 0
    for start in range(0, len(brackets), BLOCK_BYTES):
        codes = np.frombuffer(brackets[start : start + BLOCK_BYTES], np.uint8)
        opened = (codes == ord("[")) | (codes == ord("{"))
        depths = depth + np.cumsum(np.where(opened, 1, -1), dtype=np.int64)
        depth, deepest = int(depths[-1]), max(deepest, int(depths.max()))
    return deepest


def _json_fault(text: str, piece: Piece) -> str:
    """What pyarrow says of a piece, and where."""
    parts = re.fullmatch(r"(?:JSON parse error: )?(.*?)(?: in row (\d+))?", text, re.DOTALL)
    assert parts is not None
    what, row = parts.groups()
    # Rows are lines, unless some of these are empty.
    return f":{piece.first_line + int(row or 0)} or below: {what}"
