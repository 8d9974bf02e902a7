"""The error of data files."""


class DataError(ValueError):
    """A data file that cannot be used; the message names the file, and the line if there is one."""
