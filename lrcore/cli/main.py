"""The ``lrcore`` command: one parser, and a subcommand for each of the modules beside this one.

Results go to stdout, progress and errors to stderr. The exit status is 0 for success, 1 for data
that cannot be used, 2 for wrong usage and 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from importlib import import_module
from typing import Any

from lrcore._utils.version import __version__
from lrcore.cli.other_names import said_elsewhere
from lrcore.cli.startup import stand_ins

#: The subcommands, in the order of the help text. Each has a module beside this one, which is
#: imported when the subcommand is used.
SUBCOMMANDS = {
    "fit": "fit a model to a data file",
    "lr-find": "learn while the rate rises, and suggest rates",
    "predict": "print a prediction for each row",
    "evaluate": "measure a model on labelled data",
    "features": "list the features with the largest weights",
    "convert": "write data in another format",
    "schedule": "print and draw a learning rate schedule",
    "demo": "fit flight delays, beside scikit-learn and NumPy",
}


def command() -> int:
    """Run the command line in a process of its own; returns the exit status."""
    chosen = chosen_of(sys.argv[1:])
    if chosen is not None:
        # Modules are not garbage: to look for some among them takes a tenth of the time.
        gc.disable()
        with stand_ins("scipy.stats", "scipy.special", "pandas"):
            module_of(chosen)
        gc.freeze()
        gc.enable()
    return main()


def chosen_of(argv: list[str]) -> str | None:
    """The subcommand that a command line has."""
    return next((word for word in argv if word in SUBCOMMANDS), None)


def module_of(subcommand: str) -> Any:
    """The module of a subcommand."""
    return import_module(f"lrcore.cli.{subcommand.replace('-', '_')}")


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    Parameters
    ----------
    argv : list of str, optional
        The words of the command line after ``lrcore``; by default those of the process.

    Returns
    -------
    int
        0 for success, 1 for an error, 130 for Ctrl-C.

    Raises
    ------
    SystemExit
        With status 2 and the usage on stderr if an option is wrong; with status 0 for ``--help``.

    Examples
    --------
    >>> from lrcore.cli.main import main
    >>> main(["schedule", "constant(0.5)", "--steps", "1"])
    step  rate
       0  0.5
       1  0.5
    ████████████████████████████████████████████████████████████
    0
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = build_parser(chosen_of(argv))
    strange = said_elsewhere(argv)
    if strange:
        parser.error(strange)
    args = parser.parse_args(argv)
    try:
        args.run(args, parser)
        return 0
    except BrokenPipeError:
        # The reader of the output has closed the pipe. Python flushes stdout at exit, which would
        # raise once more, so stdout is pointed to a file that accepts everything.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("lrcore: stopped; nothing was written", file=sys.stderr)
        return 130
    except Warning as error:  # one of those that are errors here, such as UselessFitWarning
        print(f"lrcore: error: {error}; no model was written", file=sys.stderr)
        return 1
    except (ValueError, TypeError, FloatingPointError, OSError, ImportError) as error:
        print(f"lrcore: error: {message_of(error)}", file=sys.stderr)
        return 1
    except MemoryError as error:
        why = f": {error}" if str(error) else ""
        print(f"lrcore: error: this takes more memory than there is{why}", file=sys.stderr)
        return 1


def message_of(error: Exception) -> str:
    """What an error says, without the number that the system has for it."""
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser of the whole command, with the options of the subcommand that is chosen."""
    parser = argparse.ArgumentParser(
        prog="lrcore", description="Fit large linear models at memory speed on a CPU."
    )
    parser.add_argument("--version", action="version", version=f"lrcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in SUBCOMMANDS.items():
        subparser = commands.add_parser(name, help=what)
        if name == chosen:
            module = module_of(name)
            module.add_options(subparser)
            subparser.set_defaults(run=module.run)
    return parser
