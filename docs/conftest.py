"""The examples of these pages are doctests. Some need another library."""

from importlib.util import find_spec

import pytest

collect_ignore_glob = ["*.py", "build", "generated"]

#: The library that a page needs.
NEEDS = {
    "clusters.rst": "distributed",
    "torch.rst": "torch",
    "vowpal_wabbit.rst": "vowpalwabbit",
}


def pytest_collection_modifyitems(items):
    """Skip, and say so, the pages whose library is not installed."""
    for item in items:
        library = NEEDS.get(item.path.name)
        if library and find_spec(library) is None:
            item.add_marker(pytest.mark.skip(reason=f"{library} is not installed"))
