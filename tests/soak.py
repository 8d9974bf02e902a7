"""Tests that take too long for every run: a save that is killed two hundred times (`make soak`)."""

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[0:1] = [str(HERE.parent), str(HERE / "support")]

from tests.optim.test_state import kill_while_saving  # noqa: E402


def main(n_times=200):
    with tempfile.TemporaryDirectory() as folder:
        kill_while_saving(Path(folder), n_times)
    print(f"killed {n_times} times while saving: the file was the old or the new state each time")


if __name__ == "__main__":
    main(*(int(each) for each in sys.argv[1:]))
