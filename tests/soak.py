"""What takes too long for every run: a save that is killed two hundred times (`make soak`)."""

import tempfile
from pathlib import Path

from test_stepping import kill_while_saving


def main(n_times=200):
    with tempfile.TemporaryDirectory() as folder:
        kill_while_saving(Path(folder), n_times)
    print(f"killed {n_times} times while saving: the file was the old or the new state each time")


if __name__ == "__main__":
    main()
