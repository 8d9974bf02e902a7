"""Predictions of Dask collections, made when they are computed."""

from __future__ import annotations

from typing import Any

import dask.array as da
import numpy as np
from dask.base import is_dask_collection
from dask.delayed import delayed
from scipy import sparse

from lrcore._backend import threads
from lrcore._utils.validation import shown
from lrcore.distributed.scores import without_names


def predictions(local: Any, method: str, X: Any) -> Any:
    """What a method of a fitted estimator says of the rows of a collection: a dask array of arrays
    and frames, whose chunks are those of X, a bag of a bag; of anything else it is called at once.
    """
    if not is_dask_collection(X):
        return getattr(local, method)(X)
    model = delayed(local, pure=True)
    if hasattr(X, "rechunk"):
        if X.ndim != 2:
            raise ValueError(f"X must be a 2-D dask array, got {X.ndim} dimensions")
        return of_array(model, local, method, X.rechunk({1: -1}))
    if hasattr(X, "to_dask_array"):
        return of_frame(model, local, method, X)
    if hasattr(X, "map_partitions"):
        return X.map_partitions(of_texts, model, method)
    raise TypeError(f"X must be a dask array, DataFrame or bag, got {shown(X)}")


def of_array(model: Any, local: Any, method: str, X: Any) -> Any:
    """A dask array of one block for each chunk of rows."""
    example = result_example(local, method)
    blocks = [
        da.from_delayed(
            delayed(of_rows)(block, model, method, example.shape[1:], example.dtype),
            (rows, *example.shape[1:]), example.dtype,
        )
        for block, rows in zip(X.to_delayed().ravel(), X.chunks[0])
    ]  # fmt: skip
    return da.concatenate(blocks, axis=0, allow_unknown_chunksizes=True)


def of_frame(model: Any, local: Any, method: str, X: Any) -> Any:
    """A dask array, whose numbers of rows are not known before it is computed."""
    example = result_example(local, method)
    blocks = [
        da.from_delayed(
            delayed(of_rows)(part, model, method, example.shape[1:], example.dtype),
            (np.nan, *example.shape[1:]), example.dtype,
        )
        for part in X.to_delayed()
    ]  # fmt: skip
    return da.concatenate(blocks, axis=0, allow_unknown_chunksizes=True)


def result_example(local: Any, method: str) -> np.ndarray:
    """What a method gives of one row of zeros, for its shape and dtype."""
    row = sparse.csr_matrix((1, local.n_features_in_), dtype=local.coef_.dtype)
    return np.asarray(getattr(without_names(local), method)(row))


def of_rows(part: Any, model: Any, method: str, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Those of the rows of one partition."""
    if not part.shape[0]:
        return np.empty((0, *shape), dtype)
    with threads.num_threads(1):
        found: np.ndarray = getattr(model, method)(part)
    return found


def of_texts(texts: Any, model: Any, method: str) -> list[Any]:
    """Those of a list of texts."""
    texts = list(texts)
    if not texts:
        return []
    with threads.num_threads(1):
        return list(getattr(model, method)(texts))
