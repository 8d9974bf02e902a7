"""Fits on the command line that are killed at any moment, and are run again (`make soak`).

    python tests/killed_fits.py [KILLS] [places]

Four commands: a fit that writes its cache, one that finds it there, one that goes on from a model
to another file, and one that goes on to the same file. Whatever is there after a kill at the names
that were asked for is whole, and the same command, run again, gives the bits of a fit that nothing
disturbed, and removes what the killed one has left.

Each is killed KILLS times, at moments spread over its life and, every other time, while it writes a
file. With ``places`` the first is killed at every third of the calls by which it writes, which
takes seconds.
"""

import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pyarrow.csv  # noqa: F401
import sklearn.linear_model  # noqa: F401
import tqdm  # noqa: F401

sys.path.insert(0, str(Path(__file__).parents[1]))

import lrcore
from lrcore.cli.main import main as lrcore_command

#: Calls by which a file comes to be: an array of a cache, one of a model, and the whole of either.
PLACES = ((zlib, "crc32"), (zipfile.ZipFile, "open"), (os, "fsync"), (os, "replace"))


def write_rows(path, n_rows, seed):
    rng = np.random.default_rng(seed)
    site, price = rng.integers(0, 1000, n_rows), rng.normal(size=n_rows)
    click = (rng.random(n_rows) < np.where(site % 3 == 0, 0.8, 0.3)).astype(int)
    lines = [f"{c},s{s},{p:.3f}" for c, s, p in zip(click, site, price)]
    path.write_text("\n".join(["click,site,price", *lines, ""]))


def started(words, prepare=lambda: None):
    """The number of a process that runs a command, in which nothing is shown.

    It is forked: the packages are imported already, and the kills meet the fit alone.
    """
    number = os.fork()
    if number:
        return number
    status = 70
    try:
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 1)
        os.dup2(nothing, 2)
        prepare()
        status = lrcore_command([*map(str, words)])
    finally:
        os._exit(status)


def run(words, prepare=lambda: None):
    """Run a command to its end; the signal that ended it, 0 if it came to its end."""
    _, status = os.waitpid(started(words, prepare), 0)
    assert os.WIFSIGNALED(status) or status == 0, f"{words} ended with {status}"
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0


def kill_after(seconds, words, file=None):
    """Run a command, and kill it so long after it began or, if a file is named, to write that."""
    number = started(words)
    while file and not parts(file) and os.waitpid(number, os.WNOHANG)[0] == 0:
        time.sleep(0.0002)
    time.sleep(seconds)
    try:
        os.kill(number, signal.SIGKILL)
        os.waitpid(number, 0)
    except (ProcessLookupError, ChildProcessError):
        pass  # it was at its end


def kill_before(n):
    """What makes a process kill itself before the n-th of the calls of PLACES."""
    left = n

    def counted(call):
        def with_count(*args, **kwargs):
            nonlocal left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*args, **kwargs)

        return with_count

    def prepare():
        for owner, name in PLACES:
            setattr(owner, name, counted(getattr(owner, name)))

    return prepare


def parts(file):
    """What is there of a file that is not whole yet."""
    return list(file.parent.glob(f"{file.name}.*.part"))


def bits(path):
    model = lrcore.load(path)
    return model.coef_.tobytes(), model.intercept_.tobytes(), model.t_


class Case:
    """A command, what it begins with, and what it ends with.

    Parameters
    ----------
    words : list of str
        In which a word that begins with ``@`` is the name of a file of its folder.
    given : dict of str to path
        Files that are there before.
    model : str
        The name of the model that it writes.
    """

    def __init__(self, name, words, given, model, folder):
        self.name, self.given, self.model, self.folder = name, given, model, folder
        self.words = [folder / w[1:] if str(w).startswith("@") else str(w) for w in words]
        self.prepare()
        start = time.perf_counter()
        assert run(self.words) == 0
        self.seconds = time.perf_counter() - start
        self.once = bits(folder / model)
        # A model that was replaced already is gone on from once more.
        self.twice = None
        if model in given:
            assert run(self.words) == 0
            self.twice = bits(folder / model)
        self.cache = (folder / "c").read_bytes() if (folder / "c").exists() else None

    def prepare(self):
        """Make the folder what it was before the command."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir()
        for name, path in self.given.items():
            shutil.copy(path, self.folder / name)

    def check(self):
        """Look at what a killed command has left, and at what the same one makes of it.

        Returns whether there was a new model, a cache, and a part of a file.
        """
        model, cache = self.folder / self.model, self.folder / "c"
        before = bits(model) if model.exists() else None
        if self.twice is None:
            assert before in (None, self.once), "a model that is not whole"
        else:
            assert before in (bits(self.given[self.model]), self.once), "a model that is not whole"
        assert not cache.exists() or cache.read_bytes() == self.cache, "a cache that is not whole"
        seen = {"model": before == self.once, "cache": cache.exists(), "part": self.left()}
        assert self.left() <= 1, "more than one file is left that is not whole"
        assert run(self.words) == 0
        done = self.twice is not None and before == self.once
        assert bits(model) == (self.twice if done else self.once), "other bits when run again"
        assert cache.exists() == (self.cache is not None)
        assert not self.left(), "files that are not whole pile up"
        return seen

    def left(self):
        """How many files are not whole."""
        return len(list(self.folder.glob("*.part")))


def cases(folder, n_rows, bits):
    """The commands, each with its data."""
    data, more = folder / "data.csv", folder / "more.csv"
    write_rows(data, n_rows, 0)
    write_rows(more, n_rows, 1)
    fit = ["fit", data, "--label", "click", "--bits", bits, "--cache", "@c", "--epochs", "3"]
    fit += ["-o", "@m.lrcore"]
    yield (first := Case("from nothing", fit, {}, "m.lrcore", folder / "first"))
    kept = folder / "kept"
    kept.mkdir()
    for name in ("c", "m.lrcore"):
        shutil.copy(first.folder / name, kept / name)
    yield Case("with a cache", fit, {"c": kept / "c"}, "m.lrcore", folder / "cached")
    model = {"m.lrcore": kept / "m.lrcore"}
    resume = ["fit", more, "--resume", "@m.lrcore", "--cache", "@c", "-o"]
    yield Case("resumed", [*resume, "@n.lrcore"], model, "n.lrcore", folder / "resumed")
    yield Case("to the same file", [*resume, "@m.lrcore"], model, "m.lrcore", folder / "same")


def main(n_kills=100, *, at_places=False, seed=0):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        if at_places:
            case = next(cases(Path(folder), 1000, 8))
            n_places = 0
            while case.prepare() or run(case.words, kill_before(3 * n_places + 1)):
                case.check()
                n_places += 1
            assert n_places > 6, "too few places"
            print(f"killed at {n_places} places of a fit: run again, it gave the same bits")
            return
        for case in cases(Path(folder), 40_000, 18):
            seen = {}
            for k in range(n_kills):
                case.prepare()
                moment = (k + rng.random()) / n_kills
                if k % 2:
                    file = case.folder / rng.choice(["c", case.model])
                    kill_after(moment * 0.03, case.words, file)
                else:
                    kill_after(moment * case.seconds, case.words)
                for what, there in case.check().items():
                    seen[what] = seen.get(what, 0) + there
            print(f"{case.name}: killed {n_kills} times, found {seen}", flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:] if word.isdigit()]
    main(*numbers, at_places="places" in sys.argv)
