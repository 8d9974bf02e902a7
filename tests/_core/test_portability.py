"""What compiles on every processor, and means another thing there."""

import re

from lrcore._core import generate


def test_no_view_is_of_a_char_whose_sign_depends_on_the_processor():
    """On ARM `char` has no sign: arrays of int8 are refused there by views of it."""
    views = re.compile(r"(?<!signed )\bchar ?\[[:,]")
    assert views.search("const char[::1] factors")
    assert not views.search("const signed char[::1] factors, const unsigned char[:, ::1] text")
    core = generate.ROOT / "lrcore/_core"
    sources = [path for ending in ("pyx", "pxd", "pxi") for path in core.rglob(f"*.{ending}")]
    assert len(sources) > 30
    assert [path.name for path in sources if views.search(path.read_text())] == []
