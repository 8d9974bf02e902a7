"""Files with faults anywhere are what independent readers find in them, or errors with their names.

`make fuzz` does this a hundred thousand times for each format.
"""

import random

import pytest

pytest.importorskip("pyarrow")
pytest.importorskip("polars")

from tests.support.mutated_files import formats


@pytest.mark.parametrize("name", formats())
def test_files_with_faults(tmp_path, name):
    path = tmp_path / f"rows.{name}"
    accepted = sum(formats()[name].case(random.Random(f"{name} {k}"), path) for k in range(60))
    assert accepted < 60
