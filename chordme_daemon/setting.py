"""What one setting is, in the tables of them: a field of a section's class."""

from collections.abc import Callable
from typing import Any

import attrs


def setting(
    default: str, parse: Callable[[str], object], sentence: str, hidden: bool = False
) -> Any:
    """A setting: its default as a file has it, its parser, and its sentence for the operator.

    What is hidden is never shown.
    """
    metadata = {"default": default, "parse": parse, "sentence": sentence}
    return attrs.field(repr=not hidden, metadata=metadata)
