"""The choice of the backend in tests."""

from lrcore import _backend, _core


def use_backend(monkeypatch, name):
    """Compute with a build of the core, by its name, or with the backend "numpy" and no build;
    returns the build's kernels."""
    kernels = None if name == "numpy" else _core.load(name)
    monkeypatch.setattr(_core, "kernels", kernels)
    monkeypatch.setattr(_backend, "active", _backend.compiled if kernels else _backend.numpy)
    return kernels
