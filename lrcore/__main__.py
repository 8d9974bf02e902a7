"""Run the command as ``python -m lrcore``."""

import sys

from lrcore.cli.main import command

sys.exit(command())
