"""Checks of whole arrays, by the core where there is one and by NumPy where there is not."""

from __future__ import annotations

import numpy as np

from lrcore import _core
from lrcore._backend import threads


def first_nonfinite(flat: np.ndarray, n_threads: int | None = None) -> int:
    """Index of the first NaN or infinity of a float32 or float64 vector, -1 if there is none."""
    if _core.kernels is None:
        bad = np.flatnonzero(~np.isfinite(flat))
        return int(bad[0]) if bad.size else -1
    check = _core.kernels.first_nonfinite[_core.FUSED[flat.dtype.char]]
    return int(check(flat, threads.count(n_threads, flat.size)))


def inspect_csr(indptr: np.ndarray, indices: np.ndarray, n_features: int) -> tuple[str, int]:
    """What is wrong with a CSR matrix: ("", -1), ("order", row) or ("range", row).

    `order` means that a row's indices do not rise strictly: unsorted, or with duplicates.
    """
    if _core.kernels is not None:
        problem: tuple[str, int] = _core.kernels.inspect_csr(indptr, indices, n_features)
        return problem
    disorder = -1
    for row in range(len(indptr) - 1):
        start, stop = indptr[row], indptr[row + 1]
        if not 0 <= start <= stop <= indices.size:
            return "range", row
        entries = indices[start:stop]
        if entries.size and not (entries.min() >= 0 and entries.max() < n_features):
            return "range", row
        if np.any(np.diff(entries) <= 0):
            disorder = row
    return ("order", disorder) if disorder >= 0 else ("", -1)
