"""The text of a packet is judged as a walk through its value would, but without one."""

import json
import sys

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chordme_daemon.socketio.packet import MAX_DEPTH, MAX_SAFE_INTEGER, PacketError
from tests.socketio.test_packet import all_awaited, event, nested

# Numbers in every dress that JSON has for them, and strings that look like something else.
literals = st.one_of(
    st.from_regex(r"\A-?(0|[1-9][0-9]{0,4})(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?\Z"),
    st.from_regex(r"\A-?[1-9][0-9]{13,24}(\.[0-9]{1,2})?([eE][+-]?[0-9]{1,2})?\Z"),
    st.from_regex(r"\A-?0\.0{0,9}[1-9]{1,20}([eE]\+?[0-9]{1,2})?\Z"),
    st.integers(-3, 3).map(lambda by: str(MAX_SAFE_INTEGER + by)),
    st.sampled_from(["9007199254740991.4", "9007199254740991.5", "1e-99999999999999999"]),
    st.sampled_from(["9007199254740992.0", "9e15", "9.1e15", "1e20", "1e21", "0e16", "true"]),
    st.text('[]{}:,"\\0123456789.e+ A\N{SNOWMAN}', max_size=30).map(
        lambda text: orjson.dumps(text).decode()
    ),
)


def written(items: list[str]) -> str:
    return "{" + ",".join(f'"{key}":{item}' for key, item in enumerate(items)) + "}"


documents = st.recursive(
    literals,
    lambda parts: st.one_of(
        st.lists(parts, max_size=5).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(parts, max_size=3).map(written),
        st.tuples(parts, st.integers(1, 35)).map(lambda it: "[" * it[1] + it[0] + "]" * it[1]),
    ),
    max_leaves=40,
)


def is_good(value: object, levels: int = MAX_DEPTH) -> bool:
    """What may come in, by a walk through the value: slow, and plain."""
    if isinstance(value, list | dict):
        items = value.values() if isinstance(value, dict) else value
        return levels > 0 and all(is_good(item, levels - 1) for item in items)
    if isinstance(value, float):
        return not MAX_SAFE_INTEGER < abs(value) < 1e21
    return not isinstance(value, int) or abs(value) <= MAX_SAFE_INTEGER


@given(documents)
@example("[" * 32 + "]" * 32)
@example('["\\\\", [["\\"[", "]"], "", 1], 12345678901234567]')
@example("1" * 22)
def test_the_text_is_judged_as_a_walk_through_the_value_would(text: str) -> None:
    try:
        # Python keeps the digits of integers of any length.
        good = is_good(["e", json.loads(text)])
        orjson.loads(text)
    except orjson.JSONDecodeError:  # beyond what a float can hold
        good = False
    decoder = all_awaited()
    if good:
        assert decoder.feed(f'2["e",{text}]') == event("e", orjson.loads(text))
    else:
        with pytest.raises(PacketError):
            decoder.feed(f'2["e",{text}]')


HEAVY = {
    "brackets side by side": '2["e"' + ",[]" * 20_000 + "]",
    "braces side by side": '31["e"' + ",{}" * 20_000 + "]",
    "nested brackets": f'2["e"{f",{nested(31)}" * 1000}]',
    "brackets in strings": '2["e"' + ',"[",[]' * 9000 + "]",
    "quotes": '2["e"' + ",[]" * 33 + r',"\\"' * 12_000 + "]",
    "numbers": '2["e",1e5' + ",1" * 30_000 + "]",
    "exponents": '2["e"' + ",1e21" * 12_000 + "]",
    "digits": '2["e"' + ",9007199254740991" * 3600 + "]",
}


@pytest.mark.parametrize("text", HEAVY.values(), ids=HEAVY)
def test_s27_no_python_runs_for_each_part_of_a_packet(text: str) -> None:
    decoder = all_awaited()
    calls: list[object] = []
    sys.setprofile(lambda _, kind, __: calls.append(kind) if kind == "call" else None)
    try:
        packet = decoder.feed(text)
    finally:
        sys.setprofile(None)
    assert packet is not None
    assert len(calls) < 1000
