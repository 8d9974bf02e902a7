"""Rows in a random order, the same on every machine."""

from __future__ import annotations

import numpy as np

from lrcore import _backend

#: Rows that stay together when they are shuffled, if they are short: they are then read from
#: memory in one go, which saves up to half of the time. Sixteen strata of the rows give a run each
#: in turn, so that a block or batch is made of rows from everywhere: measured on rows sorted by
#: class, the objective after one epoch and after five is as close to that of single rows as random
#: runs of four came without the strata; on rows in no order nothing changes.
RUN_LENGTH, STRATA = 16, 16


def shuffled(n_rows: int, seed: int, run_length: int = 1) -> np.ndarray:
    """The rows in a random order, the same on every machine; runs of rows stay together.

    With runs, the rows are cut into `STRATA` pieces. Every round takes a run of each, and both
    the runs of a stratum and the strata of a round are in a random order.
    """

    def random(n: int, seed: int) -> np.ndarray:
        order = np.arange(n, dtype=np.int64)
        _backend.active.shuffle(order, seed)
        return order

    if run_length == 1:
        return random(n_rows, seed)
    n_runs = -(-n_rows // run_length)
    rounds = -(-n_runs // STRATA)
    runs = random(rounds * STRATA, seed).reshape(STRATA, rounds).argsort(axis=1)
    runs += rounds * np.arange(STRATA)[:, None]
    strata = random(rounds * STRATA, seed + 1).reshape(rounds, STRATA).argsort(axis=1)
    runs = np.take_along_axis(runs.T, strata, axis=1).ravel()
    order = (runs[:, None] * run_length + np.arange(run_length)).ravel()
    return order[order < n_rows]
