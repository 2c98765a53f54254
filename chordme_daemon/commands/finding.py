"""What `doctor` has found out, and what is to be done about it."""

from enum import IntEnum

import attrs


class Severity(IntEnum):
    """How bad it is: the exit status, too."""

    WELL = 0
    WARNING = 1
    ERROR = 2


@attrs.frozen
class Finding:
    """One thing that was looked at; what is not well has a remedy."""

    name: str
    severity: Severity
    what: str
    remedy: str = ""


def well(name: str, what: str) -> Finding:
    """All is well with it."""
    return Finding(name, Severity.WELL, what)


def warning(name: str, what: str, remedy: str) -> Finding:
    """It works, but should be looked at."""
    return Finding(name, Severity.WARNING, what, remedy)


def error(name: str, what: str, remedy: str) -> Finding:
    """It does not work."""
    return Finding(name, Severity.ERROR, what, remedy)
