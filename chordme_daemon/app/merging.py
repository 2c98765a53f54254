"""What two have made of one text, brought together.

A difference is found by lines, then by words, within bounds: what would take too long is replaced
as a whole. What both have done in the same place is done once.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Final

import attrs

from chordme_daemon import ot

# The most steps that finding a difference takes: some hundredths of a second.
MAX_STEPS: Final = 40_000
_WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")

# Where something is replaced, how many units go, and what comes.
Hunk = tuple[int, int, str]


@attrs.define
class _Patience:
    """How much may still be done for one difference."""

    steps_left: int = attrs.field(factory=lambda: MAX_STEPS)


def changes(old: str, new: str) -> ot.Operation:
    """What makes one text of another."""
    return _operation(_hunks(old, new))


def merge(base: str, ours: str, held: str, theirs: str) -> tuple[ot.Operation, str]:
    """What they have done, as an operation on our text; and the base with that alone.

    They have made `theirs` of `held`, which is what they were given for `base`; we have made
    `ours` of that.
    """
    back = changes(held, base)
    done = ot.transform(changes(held, theirs), back, True)
    units = ot.to_units(base)
    alone = ot.from_units(ot.apply(units, done))
    mine = _hunks(base, ours)
    done = _operation(list(_without(_hunks(base, alone), mine)))
    return ot.transform(done, _operation(mine), False), alone


def _without(theirs: Sequence[Hunk], mine: Sequence[Hunk]) -> Iterator[Hunk]:
    """What of theirs is not done by ours, or begun."""
    begun = {(start, gone): come for start, gone, come in mine}
    for start, gone, come in theirs:
        done = begun.get((start, gone), "")
        if (start, gone) not in begun or not (done.startswith(come) or come.startswith(done)):
            yield start, gone, come
        elif len(come) > len(done):
            yield start, gone, come[len(done) :]


def distance(old: str, new: str) -> int:
    """How much is between two texts."""
    return sum(gone + len(come) for _, gone, come in _hunks(old, new))


def _operation(hunks: Sequence[Hunk]) -> ot.Operation:
    parts: list[int | str] = []
    at = 0
    for start, gone, come in hunks:
        parts += [start - at, come, -gone]
        at = start + gone
    return ot.canonical(parts)


def _hunks(old: str, new: str) -> list[Hunk]:
    """The differences, in order, in units."""
    found: list[Hunk] = []
    start, patience = 0, _Patience()
    lines = _matched(old.splitlines(keepends=True), new.splitlines(keepends=True), patience)
    for is_same, before, after in lines:
        at, start = start, start + len(ot.to_units("".join(before)))
        if is_same:
            continue
        old_words, new_words = _WORDS.findall("".join(before)), _WORDS.findall("".join(after))
        for is_same_word, gone, come in _matched(old_words, new_words, patience):
            gone_units = len(ot.to_units("".join(gone)))
            if not is_same_word:
                found.append((at, gone_units, ot.to_units("".join(come))))
            at += gone_units
    return found


def _matched(
    old: Sequence[str], new: Sequence[str], patience: _Patience
) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """Both, in parts that are the same or are not."""
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    olds, news = old[first : len(old) - last], new[first : len(new) - last]
    yield True, old[:first], new[:first]
    a = b = 0
    for x, y in [*_pairs(olds, news, patience), (len(olds), len(news))]:
        if a < x or b < y:
            yield False, olds[a:x], news[b:y]
        a, b = x + 1, y + 1
        yield True, olds[x:a], news[y:b]
    yield True, old[len(old) - last :], new[len(new) - last :]


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """With how many parts two begin alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def _pairs(old: Sequence[str], new: Sequence[str], patience: _Patience) -> list[tuple[int, int]]:
    """Which parts of one are which of the other, in order; none where that takes too long.

    The fewest parts are gone or come (Myers, "An O(ND) difference algorithm", 1986): after each
    edit it is known how far one gets on each diagonal of the table of both.
    """
    furthest, trail = {1: 0}, list[dict[int, int]]()
    while patience.steps_left > 0:
        edits = len(trail)
        trail.append(dict(furthest))
        for diagonal in range(-edits, edits + 1, 2):
            gone, come = furthest.get(diagonal - 1, -1), furthest.get(diagonal + 1, -1)
            x = entered_at = come if come > gone else gone + 1
            y = x - diagonal
            while x < len(old) and y < len(new) and old[x] == new[y]:
                x, y = x + 1, y + 1
            furthest[diagonal] = x
            patience.steps_left -= 1 + x - entered_at
            if x >= len(old) and y >= len(new):
                return _walked_back(trail, x, y)
    return []


def _walked_back(trail: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int]]:
    """What was the same on the way to the ends of both."""
    pairs: list[tuple[int, int]] = []
    for furthest in reversed(trail):
        diagonal = x - y
        gone, come = furthest.get(diagonal - 1, -1), furthest.get(diagonal + 1, -1)
        has_come = come > gone
        entered_at = come if has_come else gone + 1
        pairs += [(at, at - diagonal) for at in range(x - 1, entered_at - 1, -1)]
        x = come if has_come else gone
        y = x - (diagonal + 1 if has_come else diagonal - 1)
    return pairs[::-1]
