"""Packages that need not be there."""

from __future__ import annotations

from typing import Any


def pyarrow() -> Any:
    """The package, or an error that says what to do."""
    try:
        import pyarrow
    except ImportError:
        raise ImportError("tables take pyarrow: pip install pyarrow") from None
    return pyarrow
