"""The ``lrcore`` command."""
