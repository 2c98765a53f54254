"""Chords and directives that two people changed at the same time.

The transform keeps what both of them typed: of [Am], made [G7] by one and [Dm] by the other, it
makes [G7Dm]. Rule R mends that:

- A token is a chord, `[…]`, or a line `{name: value}` of a name that a song has once. Its inside is
  what is between the brackets, or the value.
- Only a token whose inside both changed is looked at; what they put in at its edges counts.
- A chord is left alone if what became of it is a chord. Otherwise it is made what the later of the
  two made of it if that is a chord, or else what the other made of it if that is one.
- A directive is left alone if it is what one of them made of it; otherwise the later one's counts.
- Where one deleted the token and the other changed it, what is left over of it is removed.

The later one is who was still waiting for an answer when the other's edit came. They alone issue
the correction, as an edit like any other, so that nothing but ordinary edits is ever transformed.
It is for the caller to look only at what people did: a correction is not corrected.

The cases of `tests/vectors/chordpro.json` are for every implementation of this rule.
"""

import re
from collections.abc import Iterator
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.ot import Operation

# No token is longer: around what was touched so many units are looked at.
_REACH: Final = 256
_CHORD_TOKEN: Final = re.compile(r"\[([^\[\]\r\n]{0,250})\]")
_DIRECTIVE: Final = re.compile(
    r"(?m)^\{[ \t]*(?:title|t|subtitle|st|artist|composer|key|capo|tempo|time|duration|year|album)"
    r"[ \t]*:[ \t]*([^{}\r\n]{0,200})\}(?=[\r\n]|\Z)"
)
# A root with its qualities and a bass; German H is one, "N.C." is none played, *… is a remark.
_CHORD: Final = re.compile(
    r"[A-H][#b♯♭]?(?:maj|min|dim|aug|sus|add|omit|no|alt|m|M|\+|-|°|ø|Δ|,|[#b♯♭]?[0-9]{1,2}"
    r"|\([#b♯♭+,0-9a-z-]{1,12}\))*+(?:/[A-H][#b♯♭]?)?|N\.?C\.?|\*.+"
)


@attrs.frozen
class Conflict:
    """What stays of a token, and what does not."""

    kept: str
    dropped: str


@attrs.frozen
class Resolution:
    """The correction, an operation on the merged text, and what it decides."""

    operation: Operation
    conflicts: tuple[Conflict, ...]


@attrs.frozen
class _Token:
    """Where a token is in a text, and its inside."""

    start: int
    inside: tuple[int, int]
    end: int
    is_chord: bool


def resolve(
    text: str, mine: Operation, theirs: Operation, mine_after: Operation
) -> Resolution | None:
    """What the later author has to correct after both edits of a text; None if nothing.

    Everything is in units form. `mine` is the later edit, and `mine_after` is it after `theirs`.
    """
    found = [token for token in _tokens(text, mine) if _touches(theirs, *token.inside)]
    try:
        return _resolution(text, mine, theirs, mine_after, found) if found else None
    except ot.OperationError:
        return None  # there is half a character in it: it will be refused


def _resolution(
    text: str, mine: Operation, theirs: Operation, mine_after: Operation, found: list[_Token]
) -> Resolution | None:
    edits = [(operation, ot.apply(text, operation)) for operation in (mine, theirs)]
    merged = ot.apply(edits[1][1], mine_after)
    fixes: list[tuple[int, int, str]] = []
    conflicts: list[Conflict] = []
    for token in found:
        between = ot.transform_index(token.inside[0], theirs)
        start = ot.transform_index(between, mine_after)
        between = ot.transform_index(token.inside[1], theirs, after=True)
        end = ot.transform_index(between, mine_after, after=True)
        made = [_made(token, operation, after) for operation, after in edits]
        winner = _winner(token, merged[start:end], *made)
        if winner is None or winner == merged[start:end]:
            continue
        fixes.append((start, end, winner))
        dropped = [one for one in made if one not in (None, winner)]
        conflicts += [Conflict(ot.from_units(winner), ot.from_units(one)) for one in dropped if one]
    operation = _replace(merged, fixes)
    return Resolution(operation, tuple(conflicts)) if operation else None


def _winner(token: _Token, merged: str, mine: str | None, theirs: str | None) -> str | None:
    """What the inside is to be; None where it is left alone."""
    if mine is None or theirs is None:
        # Deleted: what is left over goes, unless more than that stands there.
        return "" if merged == (mine or theirs or "") else None
    if not token.is_chord:
        return None if merged in (mine, theirs) else mine
    if _CHORD.fullmatch(merged):
        return None
    return next((made for made in (mine, theirs) if _CHORD.fullmatch(made)), None)


def _tokens(text: str, operation: Operation) -> Iterator[_Token]:
    """The tokens of a text whose inside an operation changes, in their order."""
    seen = 0
    for start, end in _touched(operation):
        low = max(0, start - _REACH)
        window = text[low : end + _REACH]
        directives = [
            _Token(low + m.start(), (low + m.start(1), low + m.end(1)), low + m.end(), False)
            for m in _DIRECTIVE.finditer(window)
            if _is_line(text, low + m.start(), low + m.end())
        ]
        chords = [
            _Token(low + m.start(), (low + m.start(1), low + m.end(1)), low + m.end(), True)
            for m in _CHORD_TOKEN.finditer(window)
        ]
        tokens = directives + [
            chord
            for chord in chords
            if not any(one.start <= chord.start < one.end for one in directives)
        ]
        for token in sorted(tokens, key=lambda one: one.start):
            if token.start >= seen and _touches(operation, *token.inside):
                seen = token.end
                yield token


def _is_line(text: str, start: int, end: int) -> bool:
    return (not start or text[start - 1] in "\r\n") and (end == len(text) or text[end] in "\r\n")


def _touched(operation: Operation) -> list[tuple[int, int]]:
    """Where an operation changes a text, from one unit of it to another, nearby places as one."""
    places: list[tuple[int, int]] = []
    at = 0
    for part in operation:
        if isinstance(part, int) and part > 0:
            at += part
            continue
        end = at if isinstance(part, str) else at - part
        if places and at - places[-1][1] <= 2 * _REACH:
            places[-1] = (places[-1][0], end)
        else:
            places.append((at, end))
        at = end
    return places


def _touches(operation: Operation, start: int, end: int) -> bool:
    """Whether an operation puts something in from start to end, or takes something out there."""
    at = 0
    for part in operation:
        if at > end:
            break
        if isinstance(part, str):
            if at >= start:
                return True
        elif part > 0:
            at += part
        else:
            if at < end and at - part > start:
                return True
            at -= part
    return False


def _made(token: _Token, operation: Operation, after: str) -> str | None:
    """What one of the two made of a token's inside; None if they deleted the token with it."""
    if _is_deleted(operation, token.start) and _is_deleted(operation, token.end - 1):
        return None
    first, last = token.inside
    return after[
        ot.transform_index(first, operation) : ot.transform_index(last, operation, after=True)
    ]


def _is_deleted(operation: Operation, place: int) -> bool:
    at = 0
    for part in operation:
        if isinstance(part, int):
            if at <= place < at + abs(part):
                return part < 0
            at += abs(part)
    return False


def _replace(units: str, fixes: list[tuple[int, int, str]]) -> Operation:
    """The shortest operation that replaces parts of a text, in whole characters."""
    parts: list[int | str] = []
    at = 0
    for start, end, put in fixes:
        old, new = ot.from_units(units[start:end]), ot.from_units(put)
        head = _alike(old, new)
        tail = _alike(old[head:][::-1], new[head:][::-1])
        first = start + len(ot.to_units(old[:head]))
        gone = len(ot.to_units(old[head : len(old) - tail]))
        parts += [first - at, ot.to_units(new[head : len(new) - tail]), -gone]
        at = first + gone
    return ot.canonical(parts)


def _alike(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
