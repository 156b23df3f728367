"""The one error of everything that reads data."""


class DataError(ValueError):
    """Data that is missing, damaged or does not fit together; the message names the file and what was expected."""
