"""Schedules in the forms of torch and optax."""

import numpy as np
import pytest

from lrcore.schedules import (
    Cosine,
    Linear,
)


def test_to_torch():
    torch = pytest.importorskip("torch")
    schedule = Cosine(0.3, steps=9).warmup(3)
    params = [torch.nn.Parameter(torch.zeros(1)) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": [p]} for p in params], lr=1.0)
    scheduler = schedule.to_torch(optimizer)
    rates = []
    for t in range(20):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
        if t == 7:
            saved = optimizer.state_dict(), scheduler.state_dict()
            scheduler = schedule.to_torch(optimizer)
            optimizer.load_state_dict(saved[0])
            scheduler.load_state_dict(saved[1])
    assert rates == [[schedule(t)] * 2 for t in range(20)]


def test_to_optax():
    jax = pytest.importorskip("jax")
    optax = pytest.importorskip("optax")
    schedule = Linear(0.3, steps=9)
    rate = schedule.to_optax()
    t = np.arange(12)
    single = schedule(t).astype(np.float32)
    assert rate(5) == single[5]
    assert np.array_equal(jax.jit(rate)(t), single)
    assert np.array_equal(jax.vmap(rate)(t), single)
    jax.config.update("jax_enable_x64", True)
    try:
        assert np.array_equal(jax.jit(rate)(t), schedule(t))
    finally:
        jax.config.update("jax_enable_x64", False)
    optimizer = optax.sgd(rate)
    state = optimizer.init(np.zeros(1))
    step = jax.jit(optimizer.update)
    for t in range(12):
        updates, state = step(np.ones(1), state)
        assert float(updates[0]) == -np.float32(schedule(t))
