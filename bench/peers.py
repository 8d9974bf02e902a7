"""Adam of other libraries, each updating a float32 vector; those that are installed."""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

import numpy as np

RATE, BETA1, BETA2, EPS = 1e-3, 0.9, 0.999, 1e-8


def numba_adam(w, g, n_threads):
    import numba

    @numba.njit(fastmath=True, error_model="numpy", parallel=n_threads > 1)
    def step(w, g, m, v, rate, eps):
        for i in numba.prange(w.size):
            m[i] = np.float32(BETA1) * m[i] + np.float32(1 - BETA1) * g[i]
            v[i] = np.float32(BETA2) * v[i] + np.float32(1 - BETA2) * g[i] * g[i]
            w[i] -= rate * m[i] / (np.sqrt(v[i]) + eps)

    numba.set_num_threads(n_threads)
    m, v, t = np.zeros_like(w), np.zeros_like(w), [0]

    def call():
        t[0] += 1
        root2 = (1 - BETA2 ** t[0]) ** 0.5
        step(w, g, m, v, np.float32(RATE * root2 / (1 - BETA1 ** t[0])), np.float32(EPS * root2))

    return call


def torch_adam(w, g, n_threads):
    import torch

    return _torch_call(lambda p: torch.optim.Adam(p, lr=RATE, fused=True), w, g, n_threads)


def deepspeed_adam(w, g, n_threads):
    os.environ.setdefault("DS_ACCELERATOR", "cpu")
    from deepspeed.ops.adam import DeepSpeedCPUAdam

    return _torch_call(lambda p: DeepSpeedCPUAdam(p, lr=RATE, adamw_mode=False), w, g, n_threads)


def _torch_call(make, w, g, n_threads):
    """Return a step of an optimizer with torch's interface."""
    import torch

    parameter = torch.nn.Parameter(torch.from_numpy(w))
    parameter.grad = torch.from_numpy(g)
    optimizer = make([parameter])

    def call():
        torch.set_num_threads(n_threads)
        optimizer.step()

    return call


def optax_adam(w, g, n_threads):
    """XLA chooses its number of threads itself, so only the run with the most is compared."""
    import jax
    import optax

    jax.config.update("jax_platforms", "cpu")
    rule = optax.adam(RATE)
    params, grads = jax.numpy.array(w), jax.numpy.array(g)
    held = [params, rule.init(params)]

    def step(params, state, grads):
        updates, state = rule.update(grads, state)
        return optax.apply_updates(params, updates), state

    compiled = jax.jit(step, donate_argnums=(0, 1))

    def call():
        held[0], held[1] = compiled(held[0], held[1], grads)
        held[0].block_until_ready()

    return call


#: Name, the package that it needs, the function that makes the call, whether threads can be set.
PEERS = {
    "torch fused": ("torch", torch_adam, True),
    "DeepSpeed": ("deepspeed", deepspeed_adam, True),
    "numba": ("numba", numba_adam, True),
    "optax jit": ("optax", optax_adam, False),
}


@dataclass(frozen=True)
class Found:
    """Peers that are installed, with their entries but without the package; their versions; and the
    packages of those that are missing."""

    here: dict[str, tuple]
    versions: dict[str, str]
    missing: dict[str, str]


def installed(table):
    """Find which peers of a table, each `name: (package, ...)`, are installed."""
    found = Found({}, {}, {})
    for name, (package, *rest) in table.items():
        try:
            found.versions[name] = f"{package} {version(package)}"
            found.here[name] = tuple(rest)
        except PackageNotFoundError:
            found.missing[name] = package
    return found
