"""Operational transform of text: what two edits of one text are after each other.

- An operation is a tuple that walks a text: `int > 0` keeps, `int < 0` deletes, `str` inserts. What
  it does not reach is kept, so `()` is the identity.
- Lengths and positions count UTF-16 code units, as JavaScript does. Inside this module, and
  wherever an operation goes, text is in *units form*: each character is one code unit, an astral
  character is two surrogates. So `len` is the length on the wire; no position is ever converted.
- Operations are canonical, come in so and go out so: no part is empty, no two neighbours are of one
  kind, an insert stands before a delete at the same gap, and nothing is kept at the end. The order
  at a gap is a rule and no taste: `("x", -1)` and `(-1, "x")` do the same to a text, but an insert
  behind the deleted unit would tie with one of them and not with the other.
- Where two insert at one gap, one of them has to go left, and both sides have to say the same. It
  is their authors who are compared, never the order of commits: in that order the letters of two
  words that are typed at one place would end up mixed.
- An operation is transformed past others one by one. Their composition is another operation: it has
  forgotten where in what was deleted something was inserted.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

Operation = tuple[int | str, ...]

IDENTITY: Final[Operation] = ()
_MAX_LENGTH: Final = 2**53 - 1
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


class OperationError(ValueError):
    """What is not an operation, or not one of this text."""


# Units


def to_units(text: str) -> str:
    """A text in units form."""
    return text if text.isascii() else _ASTRAL.sub(_pair, text)


def _pair(match: re.Match[str]) -> str:
    code = ord(match[0]) - 0x10000
    return chr(0xD800 + (code >> 10)) + chr(0xDC00 + (code & 0x3FF))


def from_units(units: str) -> str:
    """The text of units; OperationError if there is half a surrogate pair in it."""
    if units.isascii():
        return units
    try:
        return units.encode("utf-16-le", "surrogatepass").decode("utf-16-le")
    except UnicodeDecodeError:
        raise OperationError("There is half a surrogate pair in it") from None


# Making operations


def canonical(parts: Iterable[int | str]) -> Operation:
    """The operation that does what the parts do."""
    out: list[int | str] = []
    inserted, deleted, kept = "", 0, 0
    for part in parts:
        if isinstance(part, str) or part < 0:
            if kept and part:
                out.append(kept)
                kept = 0
            if isinstance(part, str):
                inserted += part
            else:
                deleted -= part
        elif part:
            _put(out, inserted, deleted)
            inserted, deleted = "", 0
            kept += part
    _put(out, inserted, deleted)
    return tuple(out)


def _put(out: list[int | str], inserted: str, deleted: int) -> None:
    if inserted:
        out.append(inserted)
    if deleted:
        out.append(-deleted)


def insertion(position: int, content: str) -> Operation:
    """Puts units in."""
    if not content:
        return IDENTITY
    return (position, content) if position else (content,)


def deletion(position: int, length: int) -> Operation:
    """Takes units out."""
    if not length:
        return IDENTITY
    return (position, -length) if position else (-length,)


def split(operation: Operation) -> list[Operation]:
    """The same in single inserts and deletes, each in the text made by those before."""
    parts: list[Operation] = []
    position = 0
    for part in operation:
        if isinstance(part, str):
            parts.append(insertion(position, part))
            position += len(part)
        elif part < 0:
            parts.append(deletion(position, -part))
        else:
            position += part
    return parts


# What an operation does to a text


def reach(operation: Operation) -> int:
    """How long a text has to be at least."""
    return sum(abs(part) for part in operation if not isinstance(part, str))


def growth(operation: Operation) -> int:
    """By how much a text becomes longer."""
    return sum(len(part) if isinstance(part, str) else min(part, 0) for part in operation)


def apply(units: str, operation: Operation) -> str:
    """The text after an operation; OperationError if it reaches beyond the end."""
    out: list[str] = []
    at = 0
    for part in operation:
        if isinstance(part, str):
            out.append(part)
        elif part < 0:
            at -= part
        else:
            out.append(units[at : at + part])
            at += part
    if at > len(units):
        raise OperationError("It reaches beyond the end of the text")
    out.append(units[at:])
    return "".join(out)


def invert(operation: Operation, units: str) -> Operation:
    """The operation that takes it back; `units` is the text before it."""
    out: list[int | str] = []
    at = 0
    for part in operation:
        if isinstance(part, str):
            out.append(-len(part))
        elif part < 0:
            out.append(units[at : at - part])
            at -= part
        else:
            out.append(part)
            at += part
    return canonical(out)


def clamp(operation: Operation, length: int) -> Operation:
    """What a plain editor makes of it in a text of that length: beyond the end is at the end."""
    out: list[int | str] = []
    for part in operation:
        if isinstance(part, str):
            out.append(part)
        else:
            reached = min(abs(part), length)
            length -= reached
            out.append(reached if part > 0 else -reached)
    return canonical(out)


# Two operations


class _Reader:
    """Hands an operation out piece by piece; behind its end everything is kept."""

    __slots__ = ("_index", "_operation", "rest")

    def __init__(self, operation: Operation) -> None:
        self._operation = operation
        self._index = 0
        self.rest: int | str | None = operation[0] if operation else None

    def next(self) -> None:
        """Go on with the next part."""
        self._index += 1
        operation = self._operation
        self.rest = operation[self._index] if self._index < len(operation) else None

    def take(self, count: int) -> None:
        """Have that much of the part done."""
        rest = self.rest
        if isinstance(rest, str):
            rest = rest[count:]
        elif rest is not None:
            rest = rest - count if rest > 0 else rest + count
        else:
            return
        if rest:
            self.rest = rest
        else:
            self.next()


def compose(first: Operation, second: Operation) -> Operation:
    """One operation that does what two do, one after the other."""
    if not first or not second:
        return first or second
    out: list[int | str] = []
    before, after = _Reader(first), _Reader(second)
    while True:
        mine, theirs = before.rest, after.rest
        if isinstance(theirs, str):
            out.append(theirs)
            after.next()
        elif isinstance(mine, int) and mine < 0:
            out.append(mine)
            before.next()
        elif mine is None and theirs is None:
            return canonical(out)
        else:
            room = len(mine) if isinstance(mine, str) else mine
            count = min(_size(room), _size(theirs))
            if theirs is None or theirs > 0:
                out.append(mine[:count] if isinstance(mine, str) else count)
            elif not isinstance(mine, str):
                out.append(-count)
            before.take(count)
            after.take(count)


def _size(part: int | None) -> int:
    return _MAX_LENGTH if part is None else abs(part)


def transform(operation: Operation, other: Operation, left: bool) -> Operation:
    """An operation as it is after another one of the same text.

    Where both insert at one gap, this one's text goes to the left of the other's or not.
    """
    mine, theirs = _as_splice(operation), _as_splice(other)
    if mine is not None and theirs is not None:
        return _transform_splice(*mine, *theirs, left)
    out: list[int | str] = []
    mine_left, theirs_left = _Reader(operation), _Reader(other)
    while (part := mine_left.rest) is not None:
        their_part = theirs_left.rest
        if isinstance(part, str) and (left or not isinstance(their_part, str)):
            out.append(part)
            mine_left.next()
        elif isinstance(their_part, str):
            out.append(len(their_part))
            theirs_left.next()
        elif their_part is None:
            out.append(part)
            mine_left.next()
        else:
            count = min(abs(part), abs(their_part))  # type: ignore[arg-type] # no text is left
            if their_part > 0:
                out.append(count if part > 0 else -count)  # type: ignore[operator]
            mine_left.take(count)
            theirs_left.take(count)
    return canonical(out)


def _as_splice(operation: Operation) -> tuple[Any, Any] | None:
    """Where a single insert or delete is, and which; None for everything else."""
    if len(operation) == 1:
        return 0, operation[0]
    # The first of two parts keeps something, or it is an insert before a delete.
    return operation if len(operation) == 2 and isinstance(operation[0], int) else None


def _transform_splice(
    at: int, part: int | str, their_at: int, theirs: int | str, left: bool
) -> Operation:
    """What typing is nearly always made of: one insert or delete past another."""
    if isinstance(theirs, str):
        if isinstance(part, str):
            goes_right = their_at < at or (their_at == at and not left)
            return insertion(at + len(theirs) if goes_right else at, part)
        if their_at <= at:
            return deletion(at + len(theirs), -part)
        if their_at >= at - part:
            return deletion(at, -part)
        before = their_at - at
        return canonical((at, -before, len(theirs), part + before))
    their_end = their_at - theirs
    if isinstance(part, str):
        return insertion(at if at <= their_at else max(their_at, at + theirs), part)
    end = at - part
    kept = max(0, min(end, their_at) - at) + max(0, end - max(at, their_end))
    return deletion(at if at <= their_at else max(their_at, at + theirs), kept)


def transform_index(index: int, operation: Operation, after: bool = False) -> int:
    """A cursor as it is after an operation; `after` puts it behind what is inserted at it."""
    position = 0
    for part in operation:
        if position > index:
            break
        if isinstance(part, str):
            if position < index or after:
                index += len(part)
            position += len(part)
        elif part < 0:
            index -= min(-part, index - position)
        else:
            position += part
    return index


def transform_range(start: int, end: int, operation: Operation) -> tuple[int, int]:
    """A selection as it is after an operation: it does not grow by what is inserted at its ends."""
    if start == end:
        at = transform_index(start, operation)
        return at, at
    start = transform_index(start, operation, after=True)
    return start, max(start, transform_index(end, operation))


# The wire and the log


def to_wire(operation: Operation) -> list[dict[str, object]]:
    """The flat inserts and deletes as clients read them, each in the text made by those before."""
    parts: list[dict[str, object]] = []
    position = 0
    for part in operation:
        if isinstance(part, str):
            content = from_units(part)
            parts.append({"type": "insert", "position": position, "content": content})
            position += len(part)
        elif part < 0:
            parts.append({"type": "delete", "position": position, "length": -part})
        else:
            position += part
    return parts


def from_wire(parts: Iterable[Mapping[str, object]]) -> Operation:
    """The operation that flat inserts and deletes make; OperationError for anything else."""
    operation = IDENTITY
    for part in parts:
        match part:
            case {"type": "insert", "position": position, "content": str(content)}:
                units = to_units(content)
                from_units(units)
                operation = compose(operation, insertion(_whole(position), units))
            case {"type": "delete", "position": position, "length": length}:
                operation = compose(operation, deletion(_whole(position), _whole(length)))
            case _:
                raise OperationError("Neither an insert nor a delete")
    return operation


def _whole(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_LENGTH:
        raise OperationError("Not a whole number")
    return value


def to_json(operation: Operation) -> list[int | str]:
    """An operation for a log."""
    return [from_units(part) if isinstance(part, str) else part for part in operation]


def from_json(parts: Sequence[object]) -> Operation:
    """An operation of a log; OperationError if it is none."""
    if not isinstance(parts, list | tuple):
        raise OperationError("Not a list")
    return canonical([_part(part) for part in parts])


def _part(part: object) -> int | str:
    if isinstance(part, str):
        units = to_units(part)
        from_units(units)
        return units
    if type(part) is not int or not -_MAX_LENGTH <= part <= _MAX_LENGTH:
        raise OperationError("Neither a whole number nor text")
    return part


# A text that is edited


class Text:
    """A text that operations are applied to in place: two bytes a unit, whatever its alphabet."""

    __slots__ = ("_units",)

    def __init__(self, text: str = "") -> None:
        self._units = bytearray(text.encode("utf-16-le"))

    def __len__(self) -> int:
        return len(self._units) // 2

    def __str__(self) -> str:
        return self._units.decode("utf-16-le")

    def copy(self) -> "Text":
        """The same text, to be edited apart."""
        copy = Text()
        copy._units[:] = self._units
        return copy

    def units(self, start: int = 0, end: int | None = None) -> str:
        """A part of it in units form."""
        part = self._units[2 * start : None if end is None else 2 * end]
        return to_units(part.decode("utf-16-le", "surrogatepass"))

    def check(self, operation: Operation) -> None:
        """OperationError if an operation reaches beyond the end or cuts a surrogate pair."""
        at = 0
        for part in operation:
            if isinstance(part, str):
                from_units(part)
                continue
            at += abs(part)
            if self._is_inside_a_pair(at):
                raise OperationError("It cuts a surrogate pair")
        if 2 * at > len(self._units):
            raise OperationError("It reaches beyond the end of the text")

    def _is_inside_a_pair(self, at: int) -> bool:
        # The high bytes of the units: a pair is one of D8 to DB, then one of DC to DF.
        units = self._units
        return (
            2 * at + 1 < len(units)
            and units[2 * at + 1] & 0xFC == 0xDC
            and units[2 * at - 1] & 0xFC == 0xD8
        )

    def apply(self, operation: Operation) -> None:
        """Edit it, or raise OperationError and leave it as it is."""
        self.check(operation)
        at = 0
        for index, part in enumerate(operation):
            if isinstance(part, str):
                deleted = operation[index + 1] if index + 1 < len(operation) else 0
                put = part.encode("utf-16-le", "surrogatepass")
                end = at - 2 * deleted if isinstance(deleted, int) and deleted < 0 else at
                self._units[at:end] = put
                at += len(put)
            elif part > 0:
                at += 2 * part
            elif not (index and isinstance(operation[index - 1], str)):
                del self._units[at : at - 2 * part]
