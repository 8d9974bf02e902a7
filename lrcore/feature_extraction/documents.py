"""Documents in memory as a column of strings of Arrow's PyCapsule interface, not copied."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_void_p, py_object
from typing import Any

import numpy as np

from lrcore.feature_extraction import arrow

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = py_object
_new_capsule.argtypes = (c_void_p, c_char_p, c_void_p)

#: Capsules keep no copy of their names.
SCHEMA, ARRAY = b"arrow_schema", b"arrow_array"


class Documents:
    """Strings in UTF-8 one behind the other, and where each begins and the last one ends.

    Capsules of it are good for as long as it is there, and nothing has to be released.
    """

    def __init__(self, text: np.ndarray, offsets: np.ndarray) -> None:
        # A buffer has an address even if it is empty.
        text = text if text.size else np.zeros(1, np.uint8)
        self._kept = text, np.ascontiguousarray(offsets, np.int64)
        self._schema = arrow.Schema(format=b"U", name=b"")
        addresses = (None, self._kept[1].ctypes.data, self._kept[0].ctypes.data)
        self._buffers = (c_void_p * 3)(*addresses)
        self._array = arrow.Array(
            length=len(offsets) - 1, null_count=0, offset=0, n_buffers=3, buffers=self._buffers
        )

    def __arrow_c_array__(self, requested_schema: Any = None) -> tuple[Any, Any]:
        """The capsules of the schema and the array."""
        return (
            _new_capsule(ctypes.addressof(self._schema), SCHEMA, None),
            _new_capsule(ctypes.addressof(self._array), ARRAY, None),
        )
