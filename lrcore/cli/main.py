"""The ``lrcore`` command: one parser, and a subcommand for each of the modules beside this one.

Results go to stdout, progress and errors to stderr. The exit status is 0 for success, 1 for data
that cannot be used, 2 for wrong usage and 130 for Ctrl-C.
"""

from __future__ import annotations

import argparse
import os
import sys

from lrcore._utils.version import __version__
from lrcore.cli import convert, demo, evaluate, features, fit, lr_find, predict, schedule
from lrcore.linear_model.monitor.diagnostics import UselessFitWarning

#: The modules of the subcommands, in the order of the help text.
SUBCOMMANDS = (fit, lr_find, predict, evaluate, features, convert, schedule, demo)


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
    parser = build_parser()
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
    except UselessFitWarning as error:
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


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command; each subcommand adds its own options."""
    parser = argparse.ArgumentParser(
        prog="lrcore", description="Fit large linear models at memory speed on a CPU."
    )
    parser.add_argument("--version", action="version", version=f"lrcore {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for subcommand in SUBCOMMANDS:
        subcommand.add_parser(commands)
    return parser
