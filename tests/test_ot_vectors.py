"""The transform, by the cases that every implementation of it has to pass.

`tests/vectors/ot.json` has a list of cases for each function. Operations are as in the log: a
number keeps or, if negative, deletes so many UTF-16 units, a text is inserted. `left` and `right`
are `one` after `other` where its insert goes left at one place, and where it does not; `before` and
`after` are the two sides of an insert at a cursor. A `diff` is one change and cuts no character.
"""

from pathlib import Path
from typing import Any

import orjson
import pytest

from chordme_daemon import ot

VECTORS: dict[str, list[dict[str, Any]]] = orjson.loads(
    (Path(__file__).parent / "vectors/ot.json").read_bytes()
)
Case = dict[str, Any]


def cases(kind: str) -> pytest.MarkDecorator:
    vectors = VECTORS[kind]
    return pytest.mark.parametrize("case", vectors, ids=[case["name"] for case in vectors])


def read(case: Case, *names: str) -> list[ot.Operation]:
    return [ot.from_json(case[name]) for name in names]


@cases("canonical")
def test_parts_of_any_kind(case: Case) -> None:
    parts = [ot.to_units(part) if isinstance(part, str) else part for part in case["parts"]]
    assert ot.to_json(ot.canonical(parts)) == case["operation"]


@cases("apply")
def test_apply(case: Case) -> None:
    [operation] = read(case, "operation")
    text = ot.Text(case["text"])
    text.apply(operation)
    after = ot.from_units(ot.apply(ot.to_units(case["text"]), operation))
    assert after == str(text) == case["result"]


@cases("compose")
def test_compose(case: Case) -> None:
    assert ot.to_json(ot.compose(*read(case, "first", "second"))) == case["operation"]


@cases("transform")
def test_transform(case: Case) -> None:
    one, other = read(case, "one", "other")
    for side in ("left", "right"):
        assert ot.to_json(ot.transform(one, other, side == "left")) == case[side]


@cases("invert")
def test_invert(case: Case) -> None:
    [operation] = read(case, "operation")
    assert ot.to_json(ot.invert(operation, ot.to_units(case["text"]))) == case["inverse"]


@cases("wire")
def test_the_wire(case: Case) -> None:
    operation = ot.from_wire(case["parts"])
    assert ot.to_json(operation) == case["operation"]
    assert ot.to_wire(operation) == case["canonical"]


@cases("refused")
def test_what_is_no_operation(case: Case) -> None:
    with pytest.raises(ot.OperationError):
        ot.from_wire(case["parts"])


@cases("cursor")
def test_a_cursor(case: Case) -> None:
    [operation] = read(case, "operation")
    for side in ("before", "after"):
        index = ot.transform_index(case["index"], operation, after=side == "after")
        assert index == case[side]


@cases("selection")
def test_a_selection(case: Case) -> None:
    [operation] = read(case, "operation")
    assert list(ot.transform_range(case["start"], case["end"], operation)) == case["result"]


@cases("diff")
def test_a_diff(case: Case) -> None:
    [operation] = read(case, "operation")
    text = ot.Text(case["before"])
    text.apply(operation)
    assert str(text) == case["after"]
    assert len(ot.split(operation)) <= 2
