"""Data of any size: batches of rows that can be gone over again and again."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils import check_array

from lrcore._utils.validation import check_integer
from lrcore.io.ahead import ahead
from lrcore.io.batch import BATCH_ROWS, Batch, in_batches, stacked
from lrcore.io.cache import cached
from lrcore.io.files import ReadBytes

#: The batches of an epoch, given its number.
Epoch = Callable[[int], Iterator[Batch]]


class Dataset:
    """Rows that are read batch by batch, as often as they are needed.

    `scan_svmlight`, `scan_vw`, `scan_csv`, `scan_parquet` and `scan_arrow` make one of files,
    `from_arrays` of arrays and `from_batches` of batches. Estimators take one for X and y: ``fit``,
    ``partial_fit``, ``predict`` and ``score`` read it batch by batch, so it may be larger than
    memory. What they learn depends on the rows and their order, not on where batches end.

    Parameters
    ----------
    epoch : callable
        Given the number of an epoch, 0 and on, gives its batches.
    n_features : int, optional
        The width of all batches; None if it is only known at the end.
    features : transformer, optional
        What made X of raw columns or texts. A model keeps it, and so can predict from raw data.
    repeats : bool
        Whether it can be gone over more than once: a pipe cannot.
    name : str
        What errors call it.
    key : dict, optional
        What the rows follow from, as plain values: a cache of other rows is not taken for theirs.
    bytes_read : ReadBytes, optional
        What has `total`, the bytes of all sources, or None, and `done`, those that were read so
        far, in all epochs; a cache counts with its sources.
    parts : callable, optional
        Makes a dataset of each file, which together have the same rows in the same order.

    Examples
    --------
    >>> import numpy as np
    >>> from lrcore.io import Dataset
    >>> X, y = np.arange(10.0).reshape(5, 2), np.arange(5.0)
    >>> dataset = Dataset.from_arrays(X, y).batches(2)
    >>> for X_batch, y_batch, weight in dataset:
    ...     print(X_batch.shape, y_batch, weight)
    (2, 2) [0. 1.] None
    (2, 2) [2. 3.] None
    (1, 2) [4.] None
    """

    def __init__(
        self, epoch: Epoch, *, n_features: int | None = None, features: Any = None,
        repeats: bool = True, name: str = "dataset", key: dict[str, Any] | None = None,
        bytes_read: ReadBytes | None = None, parts: Callable[[], list[Dataset]] | None = None,
    ) -> None:  # fmt: skip
        self._epoch = epoch
        self._parts = parts
        self._key = key
        self._n_features = n_features
        self._gone_over = False
        self.features = features
        self.repeats = repeats
        self.name = name
        self.bytes_read = ReadBytes() if bytes_read is None else bytes_read

    # ---- making one -----------------------------------------------------------------------------

    @classmethod
    def from_arrays(
        cls, X: Any, y: Any = None, sample_weight: Any = None, offset: Any = None
    ) -> Dataset:
        """The rows of a matrix in memory.

        Parameters
        ----------
        X : array or sparse matrix of shape (n_rows, n_features)
        y : array of shape (n_rows,), optional
        sample_weight : array of shape (n_rows,), optional
        offset : array of shape (n_rows,), optional
            What is added to the raw predictions of a regressor.

        Returns
        -------
        Dataset

        Raises
        ------
        ValueError
            If lengths differ, or X is no matrix of numbers.
        """
        batch = as_batch(Batch(X, y, sample_weight, offset))
        return cls(lambda epoch: iter((batch,)), n_features=batch.X.shape[1], name="arrays")

    @classmethod
    def from_batches(
        cls, batches: Iterable[Any] | Callable[[], Iterable[Any]], *, n_features: int | None = None
    ) -> Dataset:
        """The rows of batches, each ``(X, y)`` or ``(X, y, weight)``.

        Parameters
        ----------
        batches : iterable or callable
            A list, or a callable that gives the batches anew for each epoch. An iterator can be
            gone over only once.
        n_features : int, optional
            The width of X, if it is known before all batches are.

        Returns
        -------
        Dataset

        Examples
        --------
        >>> import numpy as np
        >>> from lrcore.io import Dataset
        >>> def halves():
        ...     for k in range(2):
        ...         yield np.full((3, 4), k), np.full(3, k)
        >>> Dataset.from_batches(halves).read().X.shape
        (6, 4)
        """
        if callable(batches):
            make: Callable[[], Iterable[Any]] = batches
        elif hasattr(batches, "__iter__"):
            make = lambda: batches  # noqa: E731
        else:
            raise TypeError(
                "batches must be an iterable of (X, y) pairs, or a callable that gives one, got "
                f"{type(batches).__name__}"
            )
        once = isinstance(batches, Iterator)

        def epoch(number: int) -> Iterator[Batch]:
            return (as_batch(item, f"batch {k}") for k, item in enumerate(make()))

        return cls(epoch, n_features=n_features, repeats=not once, name="batches")

    # ---- going over it --------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Batch]:
        return self.epoch(0)

    def epoch(self, number: int) -> Iterator[Batch]:
        """The batches of an epoch; their order is another in each one only after `shuffle`.

        Parameters
        ----------
        number : int
            0 and on.

        Yields
        ------
        Batch
            ``(X, y, weight)``, and an attribute `offset`; None where there are none.

        Raises
        ------
        ValueError
            If it was gone over already and cannot be again.
        """
        if self._gone_over and not self.repeats:
            raise ValueError(
                f"{self.name} can be gone over only once; call .cache(path), or give what can be "
                "read again: a file, a list, or a callable that makes the iterator"
            )
        self._gone_over = True
        return self._checked(number)

    def _checked(self, number: int) -> Iterator[Batch]:
        """The batches, which must have the same width."""
        for batch in self._epoch(number):
            width = batch.X.shape[1]
            if self._n_features is None:
                self._n_features = width
            if width != self._n_features:
                raise ValueError(
                    f"{self.name}: a batch has {width} features, others have {self._n_features}"
                )
            if batch.n_rows:
                yield batch

    @property
    def n_features(self) -> int:
        """The number of columns of X; if it is not known, the first batch is read to see."""
        if self._n_features is None:
            if not self.repeats:
                raise ValueError(
                    f"{self.name} can be gone over only once, and its width is not known before: "
                    "give n_features"
                )
            for _ in self._checked(0):
                break
        if self._n_features is None:
            raise ValueError(f"{self.name} has no rows")
        return self._n_features

    def parts(self) -> list[Dataset]:
        """A dataset of each of its files, in their order; itself, if it does not know of any.

        Examples
        --------
        >>> import lrcore
        >>> [part.name for part in lrcore.io.scan_vw(["a.vw", "b.vw"], bits=4).parts()]
        ['a.vw', 'b.vw']
        """
        return [self] if self._parts is None else self._parts()

    def read(self) -> Batch:
        """All rows at once, in memory.

        Returns
        -------
        Batch
            ``(X, y, weight)``.

        Raises
        ------
        ValueError
            If there are no rows.
        """
        batches = list(self)
        if not batches:
            raise ValueError(f"{self.name} has no rows")
        return stacked(batches)

    # ---- others made of it ----------------------------------------------------------------------

    def _made(self, epoch: Epoch, **how: Any) -> Dataset:
        """A dataset of the same rows; `how` says what is different about their order."""
        key = self._key
        if how and key is not None:
            key = {**key, "order": [*key.get("order", ()), how]}
        return Dataset(
            epoch, n_features=self._n_features, features=self.features, repeats=self.repeats,
            name=self.name, key=key, bytes_read=self.bytes_read, parts=None if how else self._parts,
        )  # fmt: skip

    def batches(self, n_rows: int = BATCH_ROWS) -> Dataset:
        """The same rows in batches of so many; the last one may have fewer.

        Batches of very wide rows have fewer rows, so that they take no more than 32 MB or so.

        Parameters
        ----------
        n_rows : int

        Returns
        -------
        Dataset
        """
        check_integer("n_rows", n_rows)
        return self._made(lambda number: in_batches(self.epoch(number), n_rows))

    def shuffle(self, buffer_size: int = 1 << 16, seed: int = 0) -> Dataset:
        """The rows in another order in each epoch: windows of them, each in random order.

        Parameters
        ----------
        buffer_size : int
            Rows of a window, which are in memory together.
        seed : int
            The order follows from this, the number of the epoch and that of the window.

        Returns
        -------
        Dataset
        """
        check_integer("buffer_size", buffer_size)
        check_integer("seed", seed, 0)

        def epoch(number: int) -> Iterator[Batch]:
            windows = in_batches(self.epoch(number), buffer_size, most_values=1 << 62)
            for k, window in enumerate(windows):
                order = np.random.default_rng([seed, number, k]).permutation(window.n_rows)
                yield from in_batches([window.take(order)], BATCH_ROWS)

        return self._made(epoch, buffer_size=int(buffer_size), seed=int(seed))

    def cache(self, path: Any = "auto") -> Dataset:
        """The same batches, which are written to a file when they are first gone over, to be read
        from there every further time.

        The file is used again by later programs, as long as the sources have the same size and time
        of change, and are read in the same way; otherwise it is made anew. It takes 3 to 8 bytes
        for a value of X.

        Parameters
        ----------
        path : str or path
            A file; "auto" for one in the user's cache folder, under a name that follows from the
            sources.

        Returns
        -------
        Dataset

        Raises
        ------
        ValueError
            If path is "auto" and the rows do not come from files.
        """
        if isinstance(path, str) and path == "auto" and self._key is None:
            raise ValueError(
                f"{self.name} is no file that a cache could be named after: give a path"
            )
        # What comes through a pipe cannot be told from what came before: only this dataset uses it.
        key = self._key or {"once": secrets.token_hex(16)}

        def epoch(number: int) -> Iterator[Batch]:
            return cached(lambda: self.epoch(number), path, key, self.features, self.bytes_read)

        made = self._made(epoch)
        made.repeats = True
        return made

    def ahead(self) -> Dataset:
        """The same batches, read in a thread beside those who use them."""
        return self._made(lambda number: ahead(self.epoch(number)))


def as_batch(item: Any, name: str = "arrays") -> Batch:
    """``(X,)``, ``(X, y)``, ``(X, y, weight)`` or a batch as a batch, checked; CSR rows sorted."""
    offset = item.offset if isinstance(item, Batch) else None
    item = tuple(item) if isinstance(item, Batch) else item
    if not isinstance(item, tuple) or len(item) not in (1, 2, 3):
        got = f"a tuple of {len(item)}" if isinstance(item, tuple) else type(item).__name__
        raise TypeError(f"{name}: must be (X, y) or (X, y, weight), got {got}")
    X, y, weight = (*item, None, None)[:3]
    X = check_array(
        X, accept_sparse="csr", dtype=[np.float32, np.float64], ensure_all_finite=False,
        ensure_min_samples=0,
    )  # fmt: skip
    if sparse.issparse(X) and not X.has_canonical_format:
        X = X.copy()
        X.sum_duplicates()
    columns = []
    for what, column in (("y", y), ("weight", weight), ("offset", offset)):
        column = None if column is None else np.asarray(column)
        if column is not None and column.shape[:1] != (X.shape[0],):
            raise ValueError(
                f"{name}: {what} must have one entry for each of the {X.shape[0]} rows of X, got "
                f"shape {column.shape}"
            )
        columns.append(column)
    return Batch(X, *columns)
