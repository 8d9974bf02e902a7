"""The ``lrcore`` command: `main` is the entry point, each subcommand has a module of its name."""
