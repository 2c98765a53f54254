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
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

Operation = tuple[int | str, ...]

# The longest that is talked of; so much is kept behind the end of an operation.
_MAX_LENGTH: Final = 2**53 - 1
_ASTRAL: Final = re.compile("[\U00010000-\U0010ffff]")


class OperationError(ValueError):
    """What is not an operation, or not one of this text."""


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


def canonical(parts: Iterable[int | str]) -> Operation:
    """The operation that does what the parts do."""
    out: list[int | str] = []
    kept, inserted, deleted = 0, "", 0  # a change, and what is kept before it
    for part in parts:
        if isinstance(part, str):
            inserted += part
        elif part < 0:
            deleted += part
        elif part and (inserted or deleted):
            out += (kept, inserted, deleted)
            kept, inserted, deleted = part, "", 0
        else:
            kept += part
    if inserted or deleted:
        out += (kept, inserted, deleted)
    return tuple(filter(None, out))


def insertion(position: int, content: str) -> Operation:
    """Puts units in."""
    if not content:
        return ()
    return (position, content) if position else (content,)


def deletion(position: int, length: int) -> Operation:
    """Takes units out."""
    if not length:
        return ()
    return (position, -length) if position else (-length,)


def split(operation: Operation) -> list[Operation]:
    """The same in single inserts and deletes, each in the text made by those before."""
    return [
        insertion(position, part) if isinstance(part, str) else deletion(position, -part)
        for position, part in _splices(operation)
    ]


def _splices(operation: Operation) -> Iterator[tuple[int, int | str]]:
    position = 0
    for part in operation:
        if isinstance(part, str):
            yield position, part
            position += len(part)
        elif part < 0:
            yield position, part
        else:
            position += part


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
        else:
            out.append(part if part > 0 else units[at : at - part])
            at += abs(part)
    return canonical(out)


def clamp(operation: Operation, length: int) -> Operation:
    """What a plain editor makes of it in a text of that length: beyond the end is at the end."""
    out: list[int | str] = []
    for part in operation:
        if isinstance(part, int):
            part = max(-length, min(part, length))  # noqa: PLW2901
            length -= abs(part)
        out.append(part)
    return canonical(out)


# Two operations


def compose(first: Operation, second: Operation) -> Operation:
    """One operation that does what two do, one after the other."""
    if not first or not second:
        return first or second
    out: list[int | str] = []
    befores = iter(first)
    before = next(befores)
    for part in second:
        if isinstance(part, str):
            out.append(part)
            continue
        rest = abs(part)
        while rest:
            if isinstance(before, str):  # what the first put in is kept, or never was
                if part > 0:
                    out.append(before[:rest])
                before, rest = before[rest:], max(0, rest - len(before))
            elif before < 0:
                out.append(before)
                before = 0
            else:
                count = min(rest, before)
                out.append(count if part > 0 else -count)
                before, rest = before - count, rest - count
            before = before or next(befores, _MAX_LENGTH)
    return canonical([*out, before, *befores])


def transform(operation: Operation, other: Operation, left: bool) -> Operation:
    """An operation as it is after another one of the same text.

    Where both insert at one gap, this one's text goes to the left of the other's or not. What one
    inserts inside of what the other deletes survives.
    """
    splice, their_splice = _as_splice(operation), _as_splice(other)
    if splice is not None and their_splice is not None:
        return _transform_splice(*splice, *their_splice, left)
    out: list[int | str] = []
    others = iter(other)
    theirs = next(others, _MAX_LENGTH)
    for part in operation:
        if isinstance(part, str):
            # Both are canonical: if they insert at this gap, it is once, and it is the next part.
            if not left and isinstance(theirs, str):
                out.append(len(theirs))
                theirs = next(others, _MAX_LENGTH)
            out.append(part)
            continue
        rest = abs(part)
        while rest:
            if isinstance(theirs, str):
                out.append(len(theirs))
                theirs = next(others, _MAX_LENGTH)
                continue
            count = min(rest, abs(theirs))
            if theirs > 0:  # else it is gone, and there is nothing to keep or to delete
                out.append(count if part > 0 else -count)
            rest -= count
            theirs = (theirs - count if theirs > 0 else theirs + count) or next(others, _MAX_LENGTH)
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
    start = _past_delete(at, their_at, -theirs)
    if isinstance(part, str):
        return insertion(start, part)
    return deletion(start, _past_delete(at - part, their_at, -theirs) - start)


def _past_delete(index: int, position: int, length: int) -> int:
    return index if index <= position else max(position, index - length)


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
    start_after = transform_index(start, operation, after=start < end)
    return start_after, max(start_after, transform_index(end, operation))


# The wire and the log


def to_wire(operation: Operation) -> list[dict[str, object]]:
    """The flat inserts and deletes as clients read them, each in the text made by those before."""
    return [
        {"type": "insert", "position": position, "content": from_units(part)}
        if isinstance(part, str)
        else {"type": "delete", "position": position, "length": -part}
        for position, part in _splices(operation)
    ]


def from_wire(parts: Sequence[Mapping[str, object]]) -> Operation:
    """The operation that flat inserts and deletes make; OperationError for anything else."""
    operation: Operation = ()
    for part in _list(parts):
        match part:
            case {"type": "insert", "position": position, "content": str(content)}:
                single = insertion(_whole(position), _units(content))
            case {"type": "delete", "position": position, "length": length}:
                single = deletion(_whole(position), _whole(length))
            case _:
                raise OperationError("Neither an insert nor a delete")
        operation = compose(operation, single)
    return operation


def to_json(operation: Operation) -> list[int | str]:
    """An operation for a log."""
    return [from_units(part) if isinstance(part, str) else part for part in operation]


def from_json(parts: Sequence[object]) -> Operation:
    """An operation of a log; OperationError if it is none."""
    return canonical(
        _units(part) if isinstance(part, str) else _whole(part, -_MAX_LENGTH)
        for part in _list(parts)
    )


def _list(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise OperationError("Not a list")
    return value


def _whole(value: object, least: int = 0) -> int:
    if type(value) is not int or not least <= value <= _MAX_LENGTH:
        raise OperationError("Not a whole number")
    return value


def _units(text: str) -> str:
    from_units(units := to_units(text))  # for its OperationError
    return units


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
        text = part.decode("utf-16-le", "surrogatepass")
        return text if 2 * len(text) == len(part) else to_units(text)

    def check(self, operation: Operation) -> None:
        """OperationError if an operation reaches beyond the end or cuts a surrogate pair."""
        units, at = self._units, 0
        for part in operation:
            if isinstance(part, str):
                from_units(part)
                continue
            at += 2 * abs(part)
            # In a text, the second half of a pair (DC to DF) is always behind a first one.
            if at < len(units) and units[at + 1] & 0xFC == 0xDC:
                raise OperationError("It cuts a surrogate pair")
        if at > len(units):
            raise OperationError("It reaches beyond the end of the text")

    def apply(self, operation: Operation) -> None:
        """Edit it, or raise OperationError and leave it as it is."""
        self.check(operation)
        # What is between the first and the last change is put together and replaced at once: text
        # behind it moves once, however many changes there are, and nothing else is looked at.
        units, out = self._units, bytearray()
        start = at = 0
        for part in operation:
            if isinstance(part, str):
                out += part.encode("utf-16-le", "surrogatepass")
            elif part < 0:
                at -= 2 * part
            elif at or out:
                out += units[at : at + 2 * part]
                at += 2 * part
            else:
                start = at = 2 * part
        units[start:at] = out
