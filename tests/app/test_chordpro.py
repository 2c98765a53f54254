"""Rule R, by the cases that every implementation of it has to pass, and by its laws.

`tests/vectors/chordpro.json` is a list of cases. `mine` and `theirs` are operations on `text`: a
number keeps or, if negative, deletes so many UTF-16 units, a text is inserted. `mine_left` says
whose insert goes left at one place. `operation` is the correction of the merged text, null if there
is none, `conflicts` is what it decides, and `result` is the text in the end.
"""

import re
from pathlib import Path
from typing import Any

import attrs
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.app.chordpro import MOST_PARTS, Conflict, Resolution, resolve

VECTORS: list[dict[str, Any]] = orjson.loads(
    (Path(__file__).parents[1] / "vectors/chordpro.json").read_bytes()
)
SONGBOOK = """
C Am Bb F# B♭ F♯m H Hm Fis Es E5 D4 A2 Gm Gmin Gmi C- C+ Caug Cdim A° Eø CΔ C7 C9 C11 C13 C6
C6/9 C69 Am7 Cmaj7 CM7 Cma7 CMaj9 C^7 CΔ7 C-7 C-Δ7 C7M C7+ C+7 Caug7 F#dim7 A°7 Eø7 Co7 CmM7
Cmmaj7 Dm(maj7) Cm6 Cm6/9 Cm9 C7#9 C7b9b13 C7-5 C7+5 Cm7b5 C#m7b5 F♯m7♭5 Cmaj7#11 C7(#9,b13)
C7(b9/b13) C(b5) Am(#5) Csus Gsus4 Csus2 Csus24 Csus2/4 C7sus4 C9sus4 C7sus4(b9) Esus4 Asus2
Hsus4 Cadd9 Cmadd9 C(add9) C(9) Cadd#11 Cno3 C5(no3) Comit5 Calt C7alt Bb/D G/B D/F# Am7/G
C6/9/E Cadd9/E Cis/Gis N.C. NC *loud
"""
BLENDS = """
CD GG7 G7Dm CmCm C77 C67 C97 C24 C711 Cmm Cminm Cmmaj CmM CMm Cdimm C7maj7 Cmaj77 C++ C-- Bbb
C## C#b Csus4sus4 Csus2sus4 Cadd9add9 Cadd9add2 C7#9#9 C-5-5 C+5+5 C7b5(b5) Cmaj7(maj7) Calt7alt
C7b5alt C(9)(9) C() C(b5 Cb5) C/E/G C/E/E /E C/ C6/9/9 N.C.N.C. NCNC * am hm so
"""
CHORDS = ["C", "Dm", "E7", "F#", "G/B", "Am7", "Bb", "Hsus4", "N.C.", "*loud"]


@pytest.mark.parametrize("case", VECTORS, ids=[case["name"] for case in VECTORS])
def test_a_case_of_every_implementation(case: dict[str, Any]) -> None:
    text = ot.to_units(case["text"])
    mine, theirs = (ot.from_json(case[name]) for name in ("mine", "theirs"))
    mine_after = ot.transform(mine, theirs, case["mine_left"])
    resolution = resolve(text, mine, theirs, mine_after)
    merged = ot.apply(ot.apply(text, theirs), mine_after)
    if case["operation"] is None:
        assert resolution is None
        assert ot.from_units(merged) == case["result"]
        return
    assert resolution is not None
    assert ot.to_json(resolution.operation) == case["operation"]
    assert list(resolution.conflicts) == [Conflict(**one) for one in case["conflicts"]]
    assert ot.from_units(ot.apply(merged, resolution.operation)) == case["result"]


@given(*[st.sampled_from(CHORDS)] * 3, st.booleans())
def test_of_two_chords_in_one_place_one_stays(old: str, mine: str, theirs: str, left: bool) -> None:
    text = f"la [{old}] la"
    edits = [ot.canonical((4, chord, -len(old))) for chord in (mine, theirs)]
    mine_after = ot.transform(edits[0], edits[1], left)
    resolution = resolve(text, edits[0], edits[1], mine_after)
    text = ot.apply(ot.apply(text, edits[1]), mine_after)
    if resolution is not None:
        text = ot.apply(text, resolution.operation)
        assert text == f"la [{mine}] la"
    else:
        # The two together happen to be a chord as well.
        assert text in (f"la [{mine}{theirs}] la", f"la [{theirs}{mine}] la")


def passes_for_a_chord(inside: str) -> bool:
    # Mine makes it of the A and leaves the x, which no chord has; theirs takes that: the A is left.
    mine, theirs = ot.canonical((1, inside, -1)), (2, -1)
    return resolve("[Ax]", mine, theirs, ot.transform(mine, theirs, True)) is None


@pytest.mark.parametrize("chord", SONGBOOK.split())
def test_what_songbooks_have_passes_for_a_chord(chord: str) -> None:
    assert passes_for_a_chord(chord)


@pytest.mark.parametrize(
    "suffix", sorted({chord[1:] for chord in SONGBOOK.split() if chord[0] == "C"})
)
def test_what_two_people_added_to_a_chord_in_the_same_words_does_not(suffix: str) -> None:
    assert not suffix or not passes_for_a_chord("C" + suffix + suffix)


@pytest.mark.parametrize("blend", BLENDS.split())
def test_a_blend_of_two_chords_does_not(blend: str) -> None:
    assert not passes_for_a_chord(blend)


# The rule, unit by unit: each has a name, its place in the text, or who put it in at which gap.

Unit = tuple[str, str, int]
TOKENS = ["[Am]", "[C]", "[G]", "\n{key: C}\n", "\n{title: 🎸}\n"]
PIECES = [*TOKENS, *TOKENS, "[", "]", "{title:", "}", "\n", "x ", "🎸"]
INSERTS = ["G", "D", "7", "m", "sus4", "x ", "[", "] [", "}", "\n", "🎸", "😀"]
DIRECTIVE = re.compile(r"(?<![^\r\n])\{(?:title|key):[ ]*([^{}\r\n]*)\}(?![^\r\n])")
BRACKETS = re.compile(r"\[([^\[\]\r\n]*)\]")


def inserted(operation: ot.Operation, author: str) -> list[Unit]:
    """What an operation puts in."""
    units: list[Unit] = []
    at = 0
    for part in operation:
        if isinstance(part, str):
            units += [(unit, author, at) for unit in part]
        else:
            at += abs(part)
    return units


def applied(units: list[Unit], operation: ot.Operation, inserts: list[Unit]) -> list[Unit]:
    source = iter(inserts)
    out: list[Unit] = []
    at = 0
    for part in operation:
        if isinstance(part, str):
            out += [next(source) for _ in part]
        else:
            out += units[at : at + max(part, 0)]
            at += abs(part)
    return out + units[at:]


@attrs.frozen
class Token:
    """A token of a text, and what became of it in others."""

    units: list[Unit]
    start: int
    first: int
    last: int
    end: int
    is_chord: bool

    def owns(self, unit: Unit) -> bool:
        return self.first <= unit[2] < self.last + (unit[1] != "text")

    def is_gone(self, units: list[Unit]) -> bool:
        return not set(units) & set(self.units[self.start : self.end])

    def place(self, units: list[Unit]) -> tuple[int, int] | None:
        """Where its inside is; None if what is around that does not stand there as it did."""
        places = []
        for edge in self.units[self.start : self.first], self.units[self.last : self.end]:
            at = units.index(edge[0]) if edge[0] in units else 0
            if units[at : at + len(edge)] != edge:
                return None
            places += [at, at + len(edge)]
        return places[1], places[2]

    def made(self, units: list[Unit]) -> str | None:
        """Its inside, if that was changed and nothing else."""
        place = self.place(units)
        if place is None or units[slice(*place)] == self.units[self.first : self.last]:
            return None
        return "".join(unit[0] for unit in units[slice(*place)])


def tokens(units: list[Unit]) -> list[Token]:
    text = "".join(unit[0] for unit in units)
    lines = [Token(units, m.start(), *m.span(1), m.end(), False) for m in DIRECTIVE.finditer(text)]
    chords = [Token(units, m.start(), *m.span(1), m.end(), True) for m in BRACKETS.finditer(text)]
    return lines + [
        chord for chord in chords if not any(line.start < chord.start < line.end for line in lines)
    ]


@attrs.frozen
class Encounter:
    """Two edits of a text. Theirs may be several, and mine went past one after the other."""

    text: str
    mine: ot.Operation
    theirs: ot.Operation
    mine_after: ot.Operation

    @property
    def merged(self) -> str:
        return ot.apply(ot.apply(self.text, self.theirs), self.mine_after)

    def by_the_rule(self) -> str:
        """The text as it has to be in the end."""
        text: list[Unit] = [(unit, "text", at) for at, unit in enumerate(self.text)]
        mine = applied(text, self.mine, inserted(self.mine, "mine"))
        theirs = applied(text, self.theirs, inserted(self.theirs, "theirs"))
        merged = applied(theirs, self.mine_after, inserted(self.mine, "mine"))
        for token in tokens(text):
            made = token.made(mine), token.made(theirs)
            if set("[]\r\n" if token.is_chord else "{}\r\n") & set("".join(filter(None, made))):
                continue
            if None not in made:
                start, end = token.place(merged) or (0, 0)
                became = "".join(unit[0] for unit in merged[start:end])
                options = [one for one in (became, *made) if one and passes_for_a_chord(one)]
                if not token.is_chord:
                    options = [became if became in made else made[0] or ""]
                merged[start:end] = [(unit, "", 0) for unit in [*options, became][0]]
            for one, other, author in (made[0], theirs, "mine"), (made[1], mine, "theirs"):
                if one is not None and token.is_gone(other):
                    merged = [unit for unit in merged if unit[1] != author or not token.owns(unit)]
        return "".join(unit[0] for unit in merged)


def operation_on(draw: st.DrawFn, text: str) -> ot.Operation:
    """It deletes tokens, and changes them and what is between them, and cuts no character."""
    parts: list[int | str] = []
    for match in re.finditer(r"(?s)(\[|\{\w+: )([^\[\]{}]*)([\]}])|.", text):
        does = ["keep", "change"] if match[1] is None else ["delete", "change", "fill", "replace"]
        does = draw(st.sampled_from(does))
        head, inside, tail = match.groups() if does in ("fill", "replace") else ("", match[0], "")
        parts.append(len(head))
        if does == "replace":
            parts += [draw(st.sampled_from(CHORDS)), -len(ot.to_units(inside))]
        else:
            for character in inside:
                if does != "delete" and draw(st.booleans()):
                    parts.append(ot.to_units(draw(st.sampled_from(INSERTS))))
                keeps = does == "keep" or (does != "delete" and draw(st.booleans()))
                parts.append(len(ot.to_units(character)) * (1 if keeps else -1))
        parts.append(len(tail))
    return ot.canonical(parts)


@st.composite
def encounters(draw: st.DrawFn) -> Encounter:
    pieces = draw(st.lists(st.sampled_from(PIECES), min_size=1, max_size=5))
    text = ot.to_units("".join(pieces))
    mine = mine_after = operation_on(draw, ot.from_units(text))
    theirs: ot.Operation = ()
    for _ in range(draw(st.sampled_from([1, 1, 2, 3]))):
        step = operation_on(draw, ot.from_units(ot.apply(text, theirs)))
        mine_after = ot.transform(mine_after, step, draw(st.booleans()))
        theirs = ot.compose(theirs, step)
    return Encounter(text, mine, theirs, mine_after)


@settings(max_examples=500, deadline=None)
@given(encounters())
def test_the_insides_of_tokens_become_what_the_rule_says_and_nothing_else_changes(
    encounter: Encounter,
) -> None:
    merged = encounter.merged
    resolution = resolve(encounter.text, encounter.mine, encounter.theirs, encounter.mine_after)
    if resolution is not None:
        # It fits, and cuts no character.
        ot.Text(ot.from_units(merged)).check(resolution.operation)
        assert resolution.operation == ot.canonical(resolution.operation) != ()
        assert all(one.kept != one.dropped for one in resolution.conflicts)
        merged = ot.apply(merged, resolution.operation)
    assert merged == encounter.by_the_rule()


@given(encounters())
def test_who_is_alone_is_not_corrected(encounter: Encounter) -> None:
    text, mine = encounter.text, encounter.mine
    assert resolve(text, mine, (), mine) is None
    assert resolve(text, (), mine, ()) is None


def test_what_is_left_over_is_found_though_it_has_changed_places() -> None:
    text, mine = "[C] [G]", ot.canonical((-3, 3, "7"))
    first, second = ot.canonical((3, -4)), ot.canonical((2, "m"))
    # Once [G] is gone, its 7 is put in where all that mine deletes begins: left of the m.
    mine_after = ot.transform(ot.transform(mine, first, True), second, True)
    theirs = ot.compose(first, second)
    assert ot.apply(ot.apply(text, theirs), mine_after) == "7m"
    conflicts = (Conflict("", "Cm"), Conflict("", "G7"))
    assert resolve(text, mine, theirs, mine_after) == Resolution((-2,), conflicts)


def test_what_is_left_over_is_found_though_something_stands_in_between() -> None:
    text, mine = "[A][B]", ot.canonical((-3, 1, "x", -1))
    first, second = ot.canonical((2, "G", 1, -3)), ot.canonical((3, "7"))
    # Once [B] is gone, its x is put in behind the G; and the 7 behind that.
    mine_after = ot.transform(ot.transform(mine, first, True), second, True)
    theirs = ot.compose(first, second)
    assert ot.apply(ot.apply(text, theirs), mine_after) == "Gx7"
    conflicts = (Conflict("", "AG7"), Conflict("", "x"))
    assert resolve(text, mine, theirs, mine_after) == Resolution((-3,), conflicts)


def test_edits_of_very_many_parts_are_let_be() -> None:
    text = "[A]" * MOST_PARTS
    theirs = (2, "m")
    for changes, is_corrected in ((MOST_PARTS // 2 - 1, True), (MOST_PARTS // 2, False)):
        mine = ot.canonical([2, "7"] + [3, "7"] * (changes - 1))
        resolution = resolve(text, mine, theirs, ot.transform(mine, theirs, True))
        assert (resolution is not None) == is_corrected


def test_long_hostile_insides_are_read_once() -> None:
    # A grammar that tries a thing in several ways would not come back from these.
    for inside in ("C(" + "sus2/4" * 1500, "C" + "b5" * 5000 + "x", "C(" + "b5,b9 " * 1500):
        mine, theirs = ot.canonical((1, inside, -1)), (2, "m")
        resolution = resolve("[A]", mine, theirs, ot.transform(mine, theirs, True))
        assert resolution is not None
        assert resolution.conflicts == (Conflict("Am", inside),)


def test_a_token_whose_characters_a_client_cut_is_left_alone() -> None:
    text = ot.to_units("[🎸]")
    half = ot.to_units("😀")[1]
    assert resolve(text, (2, half, -1), (1, "A", -2), (2, half)) is None
