"""Rule R, by the cases that every implementation of it has to pass, and by its laws.

`tests/vectors/chordpro.json` is a list of cases. `mine` and `theirs` are operations on `text`: a
number keeps or, if negative, deletes so many UTF-16 units, a text is inserted. `mine_left` says
whose insert goes left at one place. `operation` is the correction of the merged text, null if there
is none, `conflicts` is what it decides, and `result` is the text in the end.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon import ot
from chordme_daemon.app.chordpro import Conflict, resolve

VECTORS: list[dict[str, Any]] = orjson.loads(
    (Path(__file__).parents[1] / "vectors/chordpro.json").read_bytes()
)
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


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, ot.Operation, ot.Operation]:
    pieces = st.sampled_from(["[", "]", "{title: ", "{key:", "}", "\n", "C", "m7", "x", "🎸", "é"])
    text = draw(st.lists(pieces, max_size=12))

    def operation() -> ot.Operation:
        parts: list[int | str] = []
        for piece in text:
            if draw(st.booleans()):
                parts.append(ot.to_units(draw(pieces)))
            parts.append(len(ot.to_units(piece)) * draw(st.sampled_from([1, 1, -1])))
        return ot.canonical([*parts, ot.to_units(draw(pieces))])

    return ot.to_units("".join(text)), operation(), operation()


@given(edits(), st.booleans())
def test_whatever_two_do_a_correction_fits_the_text_and_puts_only_what_one_of_them_made(
    edit: tuple[str, ot.Operation, ot.Operation], left: bool
) -> None:
    text, mine, theirs = edit
    mine_after = ot.transform(mine, theirs, left)
    resolution = resolve(text, mine, theirs, mine_after)
    if resolution is not None:
        merged = ot.apply(ot.apply(text, theirs), mine_after)
        ot.from_units(ot.apply(merged, resolution.operation))
        assert all(one.kept != one.dropped for one in resolution.conflicts)


@given(edits())
def test_who_is_alone_is_not_corrected(edit: tuple[str, ot.Operation, ot.Operation]) -> None:
    text, mine, _ = edit
    assert resolve(text, mine, (), mine) is None
    assert resolve(text, (), mine, ()) is None


def test_long_texts_without_lines_are_no_trouble() -> None:
    text = "[" * 100_000 + "{title: " * 12_000
    mine = ot.canonical(part for _ in range(100) for part in (1500, "x"))
    theirs = ot.canonical(("y", -5, 50_000, "z"))
    assert resolve(text, mine, theirs, ot.transform(mine, theirs, True)) is None


def test_a_token_whose_characters_a_client_cut_is_left_alone() -> None:
    text = ot.to_units("[🎸]")
    half = ot.to_units("😀")[1]
    assert resolve(text, (2, half, -1), (1, "A", -2), (2, half)) is None
