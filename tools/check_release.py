"""Says what keeps the version in lrcore/_utils/version.py from matching CHANGELOG.md.

    python tools/check_release.py

A version that is under way ends with .devN and is "## Unreleased" in the changelog; a release has a
heading with its number and date, as in "## 1.2.0 (2030-01-31)". Below are earlier ones.
"""

import re
import sys
from pathlib import Path

HOUSE = Path(__file__).parents[1]
HEADING = re.compile(r"## (?P<version>\d+\.\d+\.\d+)(?P<date> \(\d{4}-\d\d-\d\d\))?")


def number(version):
    """The version as one that can be compared."""
    return tuple(map(int, version.split(".")))


def fault(version, changelog):
    """What does not match, in a sentence, or None."""
    found = re.fullmatch(r"(\d+\.\d+\.\d+)(\.dev\d+)?", version)
    if not found:
        return f"the version should be of the form 1.2.0, or 1.2.0.dev0 under way, is {version!r}"
    headings = [line.rstrip() for line in changelog.splitlines() if line.startswith("## ")]
    first, earlier = headings[:1], headings[1:]
    if found[2]:
        if first != ["## Unreleased"]:
            return f"{version} is under way: CHANGELOG.md should begin with '## Unreleased'"
    else:
        heading = HEADING.fullmatch(first[0]) if first else None
        if not heading or heading["version"] != version or not heading["date"]:
            return (
                f"{version} is a release: CHANGELOG.md should begin with "
                f"'## {version} (year-month-day)', begins with {' '.join(first) or 'no heading'!r}"
            )
    below = number(found[1])
    for line in earlier:
        heading = HEADING.fullmatch(line)
        if not heading or number(heading["version"]) >= below:
            return f"CHANGELOG.md: {line!r} should be a version below {'.'.join(map(str, below))}"
        below = number(heading["version"])
    return None


if __name__ == "__main__":
    text = (HOUSE / "lrcore" / "_utils" / "version.py").read_text()
    version = re.search('__version__ = "(.+)"', text)[1]
    sys.exit(fault(version, (HOUSE / "CHANGELOG.md").read_text()))
