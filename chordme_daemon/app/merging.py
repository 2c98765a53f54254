"""What two have made of one text, brought together.

A difference is found by lines, then by words, within bounds: what would take too long is replaced
as a whole. What both have done in the same place is done once.
"""

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from chordme_daemon import ot

# The most pairs of lines or words that are compared with each other.
MAX_PAIRS: Final = 400_000
_WORDS: Final = re.compile(r"\s+|\w+|[^\w\s]")

# Where something is replaced, how many units go, and what comes.
Hunk = tuple[int, int, str]


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
    start = 0
    lines = _matched(old.splitlines(keepends=True), new.splitlines(keepends=True))
    for is_same, before, after in lines:
        at, start = start, start + len(ot.to_units("".join(before)))
        if is_same:
            continue
        words = _matched(_WORDS.findall("".join(before)), _WORDS.findall("".join(after)))
        for is_same_word, gone, come in words:
            gone_units = len(ot.to_units("".join(gone)))
            if not is_same_word:
                found.append((at, gone_units, ot.to_units("".join(come))))
            at += gone_units
    return found


def _matched(
    old: Sequence[str], new: Sequence[str]
) -> Iterator[tuple[bool, Sequence[str], Sequence[str]]]:
    """Both, in parts that are the same or are not."""
    first = _same(old, new)
    last = _same(old[first:][::-1], new[first:][::-1])
    olds, news = old[first : len(old) - last], new[first : len(new) - last]
    yield True, old[:first], new[:first]
    if len(olds) * len(news) > MAX_PAIRS:
        yield False, olds, news
    else:
        for kind, a, b, c, d in SequenceMatcher(None, olds, news, autojunk=False).get_opcodes():
            yield kind == "equal", olds[a:b], news[c:d]
    yield True, old[len(old) - last :], new[len(new) - last :]


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """With how many parts two begin alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
