"""The choice of the backend in tests."""

from lrcore import _backend, _core


def use_backend(monkeypatch, name):
    """Compute with a build of the core, by its name, or with the backend "numpy"."""
    monkeypatch.setattr(
        _backend, "active", _backend.numpy if name == "numpy" else _backend.compiled
    )
    if name != "numpy":
        monkeypatch.setattr(_core, "kernels", _core.load(name))
