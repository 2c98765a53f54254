"""Chords and directives that two people changed at the same time.

The transform keeps what both of them typed: of [Am], made [G7] by one and [Dm] by the other, it
makes [G7Dm]. Rule R mends that:

- A token is a chord, `[…]`, or a line `{name: value}` of a name that a song has once; a chord in
  such a line is a part of its value. The inside is what is between the brackets, or the value.
- Only a token whose inside both changed is looked at; what they put in at its edges counts. One is
  left alone of which somebody changed more than the inside, and did not delete it as a whole; or
  in whose inside somebody put what cannot stand there, a bracket or the end of a line.
- A chord is left alone if what became of it is a chord. Otherwise it is made what the later of the
  two made of it if that is a chord, or else what the other made of it if that is one.
- A directive is left alone if it is what one of them made of it; otherwise the later one's counts.
- Where one deleted the token and the other changed it, what the other put into it is removed.

So nothing changes but the insides of these tokens: what is around them, and what was put there in
the meantime, stays as it is.

The later one is who was still waiting for an answer when the other's edit came. They alone issue
the correction, as an edit like any other, so that nothing but ordinary edits is ever transformed.
It is for the caller to look only at what people did: a correction is not corrected.

The cases of `tests/vectors/chordpro.json` are for every implementation of this rule.
"""

import re
from bisect import bisect_left, bisect_right
from operator import attrgetter
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.ot import Operation

# Two edits of more parts than this are the work of programs: nothing of theirs is corrected.
MOST_PARTS: Final = 1000
# No token is longer, so it begins so near to a change. The patterns never try a thing twice (`*+`).
_REACH: Final = 256
_BRACKETS: Final = re.compile(r"\[([^\[\]\r\n]{0,250}+)\]")
_DIRECTIVE: Final = re.compile(
    r"\{[ \t]{0,9}"
    r"(?:title|t|subtitle|st|artist|composer|key|capo|tempo|time|duration|year|album)"
    r"[ \t]{0,9}:[ \t]{0,9}+([^{}\r\n]{0,200}+)\}(?![^\r\n])"
)

# C, F#, B♭, German H, Fis and Es; not Esus.
_NOTE: Final = r"[A-H](?:[#b♯♭]|[ei]s|(?<=[AE])s(?!us))?"
_MAJOR: Final = r"(?:[Mm]aj?|M|[Δ△^])"
_DEGREE: Final = r"(?:[2-79]|1[13])"
_CHANGE: Final = rf"(?:sus(?:2/?4|[24])?|(?:add|omit|no)[#b♯♭]?{_DEGREE}|[#b♯♭+-]{_DEGREE})"
_EXTRA: Final = rf"(?:{_CHANGE}|{_MAJOR}?{_DEGREE})"
# A quality and a number, what is changed of that, and a bass. N.C. is none, *… is a remark.
_CHORD: Final = re.compile(
    rf"{_NOTE}(?P<kind>(?:dim|aug|[+°oø]|{_MAJOR}|(?:min?|m|-)?(?:{_MAJOR}(?=[179]))?)"
    rf"(?:6/?9|7[M+]?|7?alt|{_DEGREE})?"
    rf"{_CHANGE}*+(?:\({_EXTRA}(?:[,/ ]?{_EXTRA})*+\){_CHANGE}*+)?)(?:/{_NOTE})?"
    r"|N\.?C\.?|\*[^\[\]\r\n]+"
)
# What no chord has twice: Csus4sus4 was made by two people.
_ONCE: Final = re.compile(r"sus|add|omit|no|[Mm]aj|[#b♯♭+-][0-9]+")


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
    """Where a token is in a text: its start, its inside, from `first` to `last`, and its end."""

    start: int
    first: int
    last: int
    end: int
    is_chord: bool


def resolve(
    text: str, mine: Operation, theirs: Operation, mine_after: Operation
) -> Resolution | None:
    """What the later author has to correct after both edits of a text; None if nothing.

    Everything is in units form. `mine` is the later edit, and `mine_after` is it after `theirs`.
    """
    if len(mine) + len(theirs) > MOST_PARTS:
        return None
    tokens = _tokens(text, mine, theirs)
    try:
        return _resolution(tokens, text, mine, theirs, mine_after) if tokens else None
    except ot.OperationError:
        return None  # there is half a character in it: it will be refused


def _resolution(
    tokens: list[_Token], text: str, mine: Operation, theirs: Operation, mine_after: Operation
) -> Resolution | None:
    earlier = _Edit.of(theirs, text)
    merge = _Merge(_Edit.of(mine, text), earlier, _Edit.of(mine_after, earlier.text))
    fixes: list[tuple[int, int, str]] = []
    conflicts: list[Conflict] = []
    for token in filter(merge.concerns, tokens):
        places = merge.places(token)
        became = "".join(merge.after.text[start:end] for start, end in places)
        made = merge.mine.made(token), merge.theirs.made(token)
        winner = _winner(token, became, *made)
        if winner != became:
            fixes += [(start, end, winner) for start, end in places]
            dropped = [one for one in made if one and one != winner]
            conflicts += [Conflict(ot.from_units(winner), ot.from_units(one)) for one in dropped]
    # A canonical insert stands before what its author deletes, so they may not be in order here.
    operation = _replace(merge.after.text, sorted(fixes))
    return Resolution(operation, tuple(conflicts)) if operation else None


def _winner(token: _Token, became: str, mine: str | None, theirs: str | None) -> str:
    """What is to become of what both made of a token, or one of them if the other deleted it."""
    foreign = "[]\r\n" if token.is_chord else "{}\r\n"
    if any(unit in (made or "") for made in (mine, theirs) for unit in foreign):
        return became
    if mine is None or theirs is None:
        return ""
    if not token.is_chord:
        return became if became in (mine, theirs) else mine
    return next((one for one in (became, mine, theirs) if _is_chord(one)), became)


def _tokens(text: str, *operations: Operation) -> list[_Token]:
    """The tokens inside of which an operation changes something, in their order."""
    found = {}
    for operation in operations:
        at = 0
        for part in operation:
            end = at + (abs(part) if isinstance(part, int) else 0)
            if isinstance(part, str) or -_REACH < part < 0:
                token = _token_around(text, at, end)
                if token is not None:
                    found[token.start] = token
            at = end
    return [found[start] for start in sorted(found)]


def _token_around(text: str, start: int, end: int) -> _Token | None:
    """The token that has a place inside."""
    low = max(0, start - _REACH)
    line = max(text.rfind("\n", low, start), text.rfind("\r", low, start)) + 1
    for pattern, at in ((_DIRECTIVE, line), (_BRACKETS, text.rfind("[", low, start))):
        match = pattern.match(text, at) if at >= 0 else None
        if match and end <= match.end(1):
            return _Token(match.start(), *match.span(1), match.end(), pattern is _BRACKETS)
    return None


def _is_chord(inside: str) -> bool:
    match = _CHORD.fullmatch(inside)
    found = _ONCE.findall(match["kind"] or "") if match else ()
    return match is not None and len(set(found)) == len(found)


@attrs.frozen
class _Insert:
    """At which gap an edit puts something in, where that is then, its length, and that before."""

    gap: int
    place: int
    length: int
    offset: int


@attrs.frozen
class _Edit:
    """An edit that tells what became of each unit, and the text after it.

    It keeps or deletes `counts` units from `starts` on; at `places` they are then, or were.
    """

    text: str
    counts: list[int]
    starts: list[int]
    places: list[int]
    inserts: list[_Insert]

    @classmethod
    def of(cls, operation: Operation, text: str) -> "_Edit":
        edit = cls(ot.apply(text, operation), [], [], [], [])
        start = place = offset = 0
        for part in (*operation, len(text) + 1):  # what it does not reach is kept
            if isinstance(part, str):
                edit.inserts.append(_Insert(start, place, len(part), offset))
                place += len(part)
                offset += len(part)
            else:
                edit.counts.append(part)
                edit.starts.append(start)
                edit.places.append(place)
                start += abs(part)
                place += max(part, 0)
        return edit

    def changes(self, token: _Token) -> bool:
        """Whether it changed the inside of a token, and left the rest as it was."""
        edges = self._count(token.start, token.first), self._count(token.last, token.end)
        return min(edges) > 0 and not self._count(token.start, token.end)

    def deletes(self, token: _Token) -> bool:
        return self._count(token.start, token.end) < 0

    def made(self, token: _Token) -> str | None:
        """The inside of a token that it changed; None if it deleted the token."""
        if self.deletes(token):
            return None
        return self.text[self.place(token.first - 1) + 1 : self.place(token.last)]

    def place(self, unit: int) -> int:
        """Where a unit is that was kept."""
        part = self._part(unit)
        return self.places[part] + unit - self.starts[part]

    def runs(self, start: int, end: int) -> list[tuple[int, int]]:
        """Where units are that were kept; in several places, if something was put in between."""
        found = []
        while start < end:
            part = self._part(start)
            next_start = min(end, self.starts[part] + abs(self.counts[part]))
            place = self.place(start)
            found.append((place, place + next_start - start))
            start = next_start
        return found

    def place_of_inserted(self, offset: int) -> int:
        """Where something is that was put in after so much else: that is the same after theirs."""
        insert = self.inserts[bisect_right(self.inserts, offset, key=attrgetter("offset")) - 1]
        return insert.place + offset - insert.offset

    def inserts_in(self, token: _Token) -> list[_Insert]:
        low = bisect_left(self.inserts, token.first, key=attrgetter("gap"))
        return self.inserts[low : bisect_right(self.inserts, token.last, key=attrgetter("gap"))]

    def _count(self, start: int, end: int) -> int:
        """The one part that has all of these units, or 0: what is kept as it is, is in one part."""
        part = self._part(start)
        return self.counts[part] if part == self._part(end - 1) else 0

    def _part(self, unit: int) -> int:
        return bisect_right(self.starts, unit) - 1


@attrs.frozen
class _Merge:
    """Two edits of a text, and what mine is `after` theirs: it leads to the merged text."""

    mine: _Edit
    theirs: _Edit
    after: _Edit

    def concerns(self, token: _Token) -> bool:
        """Whether both changed a token, or one did and the other deleted it."""
        if self.mine.changes(token):
            return self.theirs.changes(token) or self.theirs.deletes(token)
        return self.mine.deletes(token) and self.theirs.changes(token)

    def places(self, token: _Token) -> list[tuple[int, int]]:
        """Where is in the merged text what both made of the inside of a token.

        If one deleted the token, that is what the other put in, and may be in several places.
        """
        if self.mine.deletes(token):
            inserts = ((one.place, one.length) for one in self.theirs.inserts_in(token))
            return [run for at, length in inserts for run in self.after.runs(at, at + length)]
        if self.theirs.deletes(token):
            inserts = ((one.offset, one.length) for one in self.mine.inserts_in(token))
            starts = ((self.after.place_of_inserted(offset), length) for offset, length in inserts)
            return [(start, start + length) for start, length in starts]
        edges = (self.theirs.place(unit) for unit in (token.first - 1, token.last))
        before, end = map(self.after.place, edges)
        return [(before + 1, end)]


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
    """How far two begin with the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
