"""Values that are made for each message, and are gone a moment later.

To mypy they are frozen. At run time they are not: `attrs.frozen` sets each field through
`object.__setattr__`, and to make such a value takes three times as long.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attrs import frozen as passing
else:
    from attrs import define as passing

__all__ = ["passing"]
