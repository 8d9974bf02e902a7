"""Run the command as ``python -m lrcore.cli``."""

import sys

from lrcore.cli.main import command

sys.exit(command())
