"""Rows of Dask collections, futures and datasets as partitions: what each worker loads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from dask.base import is_dask_collection
from dask.delayed import Delayed
from distributed import Client, Future

from lrcore._backend import threads
from lrcore._utils.validation import shown
from lrcore.distributed.dask_rounds import given
from lrcore.distributed.rows import BadPartitionError, Rows, load
from lrcore.feature_extraction.featurizer import featurizer
from lrcore.io.dataset import Dataset

#: Rows of X, and what belongs to them, of one partition: futures, delayed objects or arrays.
Source = tuple[Any, Any, Any, Any]

TAKES = (
    "X must be a dask array, DataFrame or bag, a list of futures or delayed objects of (X, y), or "
    "a lrcore.io.Dataset of several files"
)


def sources_of(
    X: Any, y: Any = None, weight: Any = None, offset: Any = None
) -> list[Source | Dataset | Any]:
    """What each partition is made of.

    Raises
    ------
    TypeError, ValueError
    """
    if isinstance(X, Dataset):
        check_alone(y, weight, offset, "a dataset")
        return list(X.parts())
    if isinstance(X, (list, tuple)) and X and all(map(is_part, X)):
        check_alone(y, weight, offset, "a list of partitions")
        return list(X)
    if not is_dask_collection(X) or isinstance(X, Delayed):
        raise TypeError(f"{TAKES}, got {shown(X)}; rows in memory are for lrcore.LinearClassifier")
    blocks, sizes = blocks_of("X", X)
    columns = [aligned(name, part, blocks, sizes) for name, part in (
        ("y", y), ("sample_weight", weight), ("offset", offset),
    )]  # fmt: skip
    return list(zip(blocks, *columns))


def in_memory(X: Any) -> bool:
    """Whether X is rows, and not what stands for them elsewhere."""
    parts = isinstance(X, (list, tuple)) and bool(X) and all(map(is_part, X))
    return not (is_dask_collection(X) or isinstance(X, Dataset) or parts)


def featurizer_for(X: Any, features: Any) -> Any:
    """A transformer of the partitions of X, ready for any of them; None if there is none."""
    if features is None:
        return None
    found = featurizer(features, None, ())
    if hasattr(X, "_meta_nonempty"):
        found.transform(X._meta_nonempty)  # which columns there are, and of what kinds
    return found


def is_part(each: Any) -> bool:
    """Whether it stands for the rows of a partition."""
    return isinstance(each, (Future, Delayed, tuple))


def check_alone(y: Any, weight: Any, offset: Any, beside: str) -> None:
    """Raise if y and the like are given beside what has its own."""
    for name, value in (("y", y), ("sample_weight", weight), ("offset", offset)):
        if value is not None:
            raise ValueError(f"{name} must be None beside {beside}, which has its own")


def blocks_of(name: str, collection: Any) -> tuple[list[Any], list[float] | None]:
    """The partitions of a collection, as delayed objects, and their rows, NaN where unknown; None
    of collections that do not know them."""
    if hasattr(collection, "rechunk"):
        if collection.ndim == 2 and collection.numblocks[1] > 1:
            collection = collection.rechunk({1: -1})
        if collection.ndim not in (1, 2) or (name == "X" and collection.ndim != 2):
            raise ValueError(f"{name} must be a 2-D dask array, got {collection.ndim} dimensions")
        return list(collection.to_delayed().ravel()), list(collection.chunks[0])
    return list(collection.to_delayed()), None


def aligned(
    name: str, part: Any, blocks: Sequence[Any], sizes: Sequence[float] | None
) -> Sequence[Any]:
    """The partitions of y or the like, cut as those of X are."""
    if part is None:
        if name == "y":
            raise ValueError("requires y to be passed, but the target y is None")
        return [None] * len(blocks)
    known = sizes is not None and not np.isnan(sizes).any()
    if not is_dask_collection(part):
        array = np.asarray(part)
        if not known:
            raise ValueError(
                f"{name} must be a dask collection with the partitions of X, whose numbers of rows "
                "are not known; X.compute_chunk_sizes() finds those of an array"
            )
        if len(array) != sum(sizes or ()):
            raise ValueError(
                f"{name} must have one entry for each of the {int(sum(sizes or ()))} rows of X, "
                f"got {len(array)}"
            )
        stops = np.cumsum(np.asarray(sizes, int))
        return np.split(array, stops[:-1])
    # Chunks of unknown sizes sum up to NaN, which is equal to nothing.
    if hasattr(part, "rechunk") and known and sum(part.chunks[0]) == sum(sizes or ()):
        part = part.rechunk({0: tuple(sizes or ())})
    own, _ = blocks_of(name, part)
    if len(own) != len(blocks):
        raise ValueError(
            f"{name} has {len(own)} partitions, and X has {len(blocks)}: they must be the same"
        )
    return own


def load_all(
    client: Client, sources: Sequence[Any], features: Any,
    check_y: Callable[[Any], np.ndarray], workers: Sequence[str] | None,
) -> list[Future]:  # fmt: skip
    """Futures of the `Rows` of all partitions, which the workers load."""
    sources = computed(client, sources, workers)
    places = repeat(None) if workers is None else workers
    if features is not None:
        features = given(client, features)
    return [
        client.submit(
            load_part, number, source, features, check_y, pure=False, workers=worker, priority=1
        )
        for number, (source, worker) in enumerate(zip(sources, places))
    ]


def computed(client: Client, sources: Sequence[Any], workers: Sequence[str] | None) -> list[Any]:
    """The sources with futures in the place of delayed objects."""
    flat = [
        part for source in sources for part in (source if isinstance(source, tuple) else (source,))
    ]
    delayed = [part for part in flat if isinstance(part, Delayed)]
    if not delayed:
        return list(sources)
    futures = iter(client.compute(delayed, optimize_graph=True))

    def made(part: Any) -> Any:
        return next(futures) if isinstance(part, Delayed) else part

    return [
        tuple(map(made, source)) if isinstance(source, tuple) else made(source)
        for source in sources
    ]


def load_part(number: int, source: Any, features: Any, check_y: Callable[[Any], Any]) -> Rows:
    """The rows of one partition, on the worker."""
    with threads.num_threads(1):
        if isinstance(source, Dataset):
            source = source.read()
            source = source.X, source.y, source.weight, source.offset
        if not isinstance(source, tuple) or not 2 <= len(source) <= 4:
            raise BadPartitionError(
                f"partition {number} must be (X, y), (X, y, sample_weight) or (X, y, "
                f"sample_weight, offset), got {shown(source)}"
            )
        X, y, weight, offset = (*source, None, None)[:4]
        if y is None:
            raise BadPartitionError(f"partition {number} has no labels or targets")
        return load(number, X, y, weight, offset, features, check_y)
