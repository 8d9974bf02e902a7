"""Partitions one after another, for the solver that takes steps: a chain of tasks, each of which
hands the model on to the worker of the next partition."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from distributed import Client, Future

from lrcore._backend import threads
from lrcore.distributed.rows import BadPartitionError, Rows


def learn_partitions(
    local: Any, client: Client, rows: Sequence[Future], classes: np.ndarray | None, n_epochs: int
) -> Any:
    """The estimator after so many passes over the partitions, in their order."""
    model = client.submit(pass_on, local, pure=False)
    for _ in range(n_epochs):
        for part in rows:
            model = client.submit(learn, model, part, classes, pure=False)
    return model.result()


def pass_on(local: Any) -> Any:
    """The estimator itself."""
    return local


def learn(local: Any, rows: Rows, classes: np.ndarray | None) -> Any:
    """A copy of the estimator that has learnt from the rows of a partition, too."""
    X = rows.X
    if X is None:
        return local
    model = copy.deepcopy(local)
    more: dict[str, Any] = {} if classes is None else {"classes": classes}
    if rows.offset is not None:
        more["offset"] = rows.offset
    try:
        with threads.num_threads(1):
            model.partial_fit(X.matrix(), rows.y, sample_weight=rows.weight, **more)
    except (TypeError, ValueError) as error:
        raise BadPartitionError(f"partition {rows.number}: {error}") from None
    return model
