"""The transform beside npm's ot-text-unicode, on random texts and operations."""

import random
import subprocess
from typing import Any

import orjson
import pytest

from chordme_daemon import ot
from chordme_daemon.ot import Operation
from tests.journeys.clients import HERE

PAIRS = 10_000
BATCH = 500
ALPHABET = "ab []{}\n\té♭♯\u0301\ufeff😀🎸\u200d"

# Parts that count code points, as the peer has them.
Parts = list[Any]


def random_text(dice: random.Random, most: int) -> str:
    return "".join(dice.choices(ALPHABET, k=dice.randint(0, most)))


def random_parts(dice: random.Random, text: str) -> Parts:
    """Canonical, as the peer does not make its operations by itself: inserts before deletes."""
    parts: list[int | str] = []
    left = len(text)
    while left and dice.random() < 0.8:
        count = dice.randint(1, min(left, 6))
        left -= count
        parts += [random_text(dice, 2) if dice.random() < 0.4 else "", dice.choice([count, -count])]
    canonical = ot.canonical([*parts, random_text(dice, 3)])
    return [{"d": -part} if isinstance(part, int) and part < 0 else part for part in canonical]


def in_units(parts: Parts, text: str) -> Operation:
    """Our operation for one that counts the code points of a text."""
    out: list[int | str] = []
    at = 0
    for part in parts:
        if isinstance(part, str):
            out.append(ot.to_units(part))
            continue
        deleted = part["d"] if isinstance(part, dict) else None
        count = len(deleted) if isinstance(deleted, str) else part if deleted is None else deleted
        units = len(ot.to_units(text[at : at + count]))
        out.append(units if deleted is None else -units)
        at += count
    return ot.canonical(out)


def after(operation: Operation, text: str) -> str:
    return ot.from_units(ot.apply(ot.to_units(text), operation))


def random_case(dice: random.Random) -> dict[str, Any]:
    text = random_text(dice, 15)
    one, other = (random_parts(dice, text) for _ in range(2))
    following = random_parts(dice, after(in_units(one, text), text))
    index = dice.randint(0, len(text))
    return {"text": text, "one": one, "other": other, "next": following, "index": index}


def check(case: dict[str, Any], theirs: dict[str, Any]) -> None:
    """What the peer makes of a case, we do as well."""
    text = case["text"]
    one, other = (in_units(case[name], text) for name in ("one", "other"))
    after_one, after_other = after(one, text), after(other, text)
    following = in_units(case["next"], after_one)
    for name in ("left", "right"):
        transformed = ot.transform(one, other, name == "left")
        assert transformed == in_units(theirs[name], after_other), (name, case)
    assert ot.compose(one, following) == in_units(theirs["composed"], text), case
    assert ot.invert(one, ot.to_units(text)) == in_units(theirs["inverted"], after_one), case
    assert after_one == theirs["applied"], case
    index = len(ot.to_units(text[: case["index"]]))
    their_index = len(ot.to_units(after_one[: theirs["index"]]))
    assert ot.transform_index(index, one) == their_index, case


@pytest.mark.parametrize("seed", [1, random.randrange(2**32)])
def test_it_is_the_transform_of_ot_text_unicode(node: str, seed: int) -> None:
    dice = random.Random(seed)
    with subprocess.Popen(
        [node, "ot_peers.js"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as peer:
        assert peer.stdin is not None
        assert peer.stdout is not None
        for _ in range(PAIRS // BATCH):
            cases = [random_case(dice) for _ in range(BATCH)]
            peer.stdin.write(orjson.dumps(cases) + b"\n")
            peer.stdin.flush()
            for case, theirs in zip(cases, orjson.loads(peer.stdout.readline()), strict=True):
                check(case, theirs)
        peer.stdin.close()
