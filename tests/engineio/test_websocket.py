"""The WebSocket transport against hostile bytes: rows W01 to W22, and the short path.

Every row is sent in one read and byte by byte, to a connection in memory, in told time.
"""

from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from chordme_daemon.engineio.factory import SHORT_FRAME_BYTES
from chordme_daemon.engineio.websocket import CLOSE_WITHIN_S
from tests.engineio.conftest import MAX_MESSAGE_BYTES, Peer, peer_of
from tests.engineio.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close,
    code_of,
    frame,
    frames,
    mask_of,
    text,
)

Split = Callable[[bytes], Iterator[bytes]]


def in_one_read(data: bytes) -> Iterator[bytes]:
    yield data


def byte_by_byte(data: bytes) -> Iterator[bytes]:
    for index in range(len(data)):
        yield data[index : index + 1]


both_ways = pytest.mark.parametrize("split", [in_one_read, byte_by_byte])

FIRST = 0x01  # a first fragment of text; 0x00 continues, 0x80 ends
DEFLATED = bytes.fromhex("f248cdc9c90700")

REFUSED = [
    pytest.param(bytes.fromhex("81026869"), 1002, id="W01-unmasked"),
    pytest.param(frame(TEXT, b"x" * 126, mask=b""), 1002, id="W01-unmasked-126"),
    pytest.param(frame(TEXT, b"", mask=b""), 1002, id="W01-unmasked-empty"),
    *(
        pytest.param(frame(0, b"hi", first=0x81 | rsv), 1002, id=f"W02-rsv-{rsv:02x}")
        for rsv in (0x40, 0x20, 0x10)
    ),
    *(
        pytest.param(frame(opcode, b"hi"), 1002, id=f"W03-opcode-{opcode}")
        for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)
    ),
    pytest.param(frame(PING, b"x", first=0x09), 1002, id="W04-fragmented-ping"),
    pytest.param(frame(CLOSE, b"", first=0x08), 1002, id="W04-fragmented-close"),
    pytest.param(frame(PING, b"x" * 126), 1002, id="W05-ping-126"),
    pytest.param(frame(0, b"x"), 1002, id="W06-continuation-first"),
    pytest.param(frame(TEXT, b"a", first=FIRST) + text("b"), 1002, id="W06-text-inside"),
    pytest.param(bytes.fromhex("81fe0005") + bytes(9), 1002, id="W07-5-in-16-bits"),
    pytest.param(bytes.fromhex("81fe007d") + bytes(129), 1002, id="W07-125-in-16-bits"),
    pytest.param(bytes.fromhex("81ff000000000000ffff") + bytes(4), 1002, id="W07-in-64-bits"),
    pytest.param(bytes.fromhex("81ff8000000000000000") + bytes(4), 1002, id="W07-2^63"),
    pytest.param(bytes.fromhex("81ff4000000000000000") + bytes(4), 1009, id="W08-2^62"),
    pytest.param(bytes.fromhex("82ff4000000000000000") + bytes(4), 1009, id="W08-2^62-binary"),
    pytest.param(frame(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), 1009, id="W09-10241"),
    pytest.param(
        frame(TEXT, b"x" * 6000, first=FIRST) + frame(0, b"x" * 6000), 1009, id="W09-2-fragments"
    ),
    *(
        pytest.param(frame(TEXT, b"4" + bytes.fromhex(bad)), 1007, id=f"W10-{bad}")
        for bad in ("abff", "e282", "eda080", "c0af", "f4908080", "ff", "80", "f09f8e")
    ),
    pytest.param(
        frame(TEXT, b"\xe2\x82", first=FIRST) + frame(0, b"x"), 1007, id="W10-across-fragments"
    ),
    pytest.param(frame(CLOSE, b"\x03"), 1002, id="W11-1-byte"),
    *(
        pytest.param(close(code), 1002, id=f"W11-{code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535)
    ),
    pytest.param(close(1000, b"\xff"), 1007, id="W11-reason"),
    pytest.param(frame(TEXT, DEFLATED, first=0xC1), 1002, id="W19-deflated"),
    pytest.param(frame(TEXT, b"\xff" * 9000, first=0xC1), 1002, id="W20-garbage-deflated"),
]


@both_ways
@pytest.mark.parametrize(("data", "code"), REFUSED)
def test_what_breaks_the_protocol_is_refused_with_its_code(
    peer: Peer, data: bytes, code: int, split: Split
) -> None:
    peer.send(text("before"), *split(data))
    (opcode, payload), *others = peer.answers
    assert (opcode, code_of(payload)) == (CLOSE, code)
    assert others == []
    assert peer.ears.heard == ["before"]
    assert peer.ears.reasons == ["transport error"]
    peer.send(text("after"), close(code))
    assert peer.ears.heard == ["before"]
    peer.clock.advance(CLOSE_WITHIN_S)
    assert peer.gone
    assert not peer.clock.getDelayedCalls()


@both_ways
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(close(1000), id="W12-1000"),
        pytest.param(close(1000, b"bye"), id="W12-reason"),
        pytest.param(close(3000), id="W12-3000"),
        pytest.param(close(4999), id="W12-4999"),
        pytest.param(frame(CLOSE), id="W12-empty"),
    ],
)
def test_a_close_is_answered_and_the_connection_ended(
    peer: Peer, data: bytes, split: Split
) -> None:
    peer.send(*split(data))
    assert peer.answers == [(CLOSE, b"\x03\xe8")]
    assert peer.ears.reasons == ["transport close"]
    assert peer.gone
    assert not peer.wire.aborted


@pytest.mark.parametrize("bad", ["abff", "c0af", "f49080", "eda0"])
@pytest.mark.parametrize("size", [50, 2000, 9000], ids=["short", "kilobytes", "long"])
def test_w10_invalid_utf_8_is_refused_at_its_first_byte(peer: Peer, bad: str, size: int) -> None:
    whole = b"4" * 20 + bytes.fromhex(bad) + b"4" * size
    data = frame(TEXT, whole)
    peer.send(data[: len(data) - size])
    ((opcode, payload),) = peer.answers
    assert (opcode, code_of(payload)) == (CLOSE, 1007)


def test_w08_nothing_is_kept_for_a_message_that_is_too_long(peer: Peer) -> None:
    peer.send(bytes.fromhex("82ff4000000000000000a1b2c3d4"))
    for _ in range(100):
        peer.send(b"x" * 65536)
    assert not peer.transport.data
    assert sum(map(len, peer.transport.frame_data or [])) == 0


@pytest.mark.parametrize("size", [1000, 1001, 4096, 4097])
def test_w09_the_limit_holds_on_the_short_path_too(clock: Clock, size: int) -> None:
    peer = peer_of(clock, max_message_bytes=1000)
    peer.send(text("x" * size))
    assert len(peer.ears.heard) == (size <= 1000)
    assert [code_of(payload) for _, payload in peer.answers] == [1009] * (size > 1000)


@both_ways
@pytest.mark.parametrize(
    "size", [0, 1, 125, 126, 4095, SHORT_FRAME_BYTES, 4097, 8000, MAX_MESSAGE_BYTES]
)
def test_a_message_of_every_length_is_heard(peer: Peer, size: int, split: Split) -> None:
    body = "é" * (size // 2) + "x" * (size % 2)
    peer.send(*split(text(body) + frame(BINARY, body.encode()) + text("end")))
    assert peer.ears.heard == [body, body.encode(), "end"]
    assert peer.answers == []


@both_ways
def test_fragments_and_the_pings_between_them_are_put_in_order(peer: Peer, split: Split) -> None:
    peer.send(
        *split(
            text("a")
            + frame(TEXT, b"\xe2\x82", first=FIRST)
            + frame(PING, b"?")
            + frame(0, b"", first=0)
            + frame(0, b"\xac")
            + text("b")
        )
    )
    assert peer.ears.heard == ["a", "€", "b"]
    assert peer.answers == [(PONG, b"?")]


def test_many_connections_never_start_autobahn(peer: Peer) -> None:
    for chunk in byte_by_byte(text("a" * 300) + text("🎸")):
        peer.send(chunk)
    assert peer.ears.heard == ["a" * 300, "🎸"]
    assert not hasattr(peer.transport, "trafficStats")


def test_the_second_half_of_a_frame_is_not_taken_for_a_frame_when_we_close_between(
    peer: Peer,
) -> None:
    data = text("half and half")
    peer.send(data[:9])
    peer.transport.close([], by_client=False)
    assert peer.answers == [(CLOSE, b"")]
    peer.send(data[9:])
    assert not peer.wire.disconnecting, "or our close would never be answered"
    peer.send(frame(CLOSE))
    assert peer.gone
    assert not peer.wire.aborted
    assert peer.ears.heard == []


@pytest.mark.parametrize("through", ["short-path", "autobahn"])
def test_nothing_is_delivered_after_the_receiver_closed(peer: Peer, through: str) -> None:
    peer.ears.on_text = lambda _: peer.transport.close([], by_client=False) and None
    size = 1 if through == "short-path" else SHORT_FRAME_BYTES + 1
    peer.send(text("x" * size) + text("after") + frame(BINARY, b"after"))
    assert len(peer.ears.heard) == 1
    assert peer.answers == [(CLOSE, b"")]
    assert peer.ears.reasons == []


# The short path is a shortcut only

payloads = st.one_of(
    st.text(max_size=40),
    st.integers(0, 300).map("x".__mul__),
    st.sampled_from([4094, 4095, 4096, 4097, 10_240]).map("4".__mul__),
).map(lambda string: string.encode("utf-8", "replace"))
masks = st.binary(min_size=4, max_size=4)
valid = st.one_of(
    st.builds(lambda body, mask: frame(TEXT, body, mask=mask), payloads, masks),
    st.builds(lambda body, mask: frame(BINARY, body, mask=mask), payloads, masks),
    st.builds(lambda one, two: frame(TEXT, one, first=FIRST) + frame(0, two), payloads, payloads),
)
invalid = st.one_of(
    st.sampled_from([param.values[0] for param in REFUSED]),
    st.binary(max_size=12),
    st.binary(max_size=200).map(lambda body: frame(TEXT, body)),
    st.sampled_from([close(1000), frame(PING, b"?"), frame(PONG), frame(CLOSE)]),
)


def outcome(data: bytes, cuts: list[int], *, short: bool) -> tuple[object, ...]:
    clock = Clock()
    peer = peer_of(clock)
    if not short:
        peer.transport._receive_short = lambda data: data  # type: ignore[method-assign]
    for start, end in pairwise([0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]):
        if start != end:
            peer.send(data[start:end])
    now = (peer.wire.disconnecting, peer.wire.aborted)
    clock.advance(CLOSE_WITHIN_S)
    return peer.ears.heard, peer.ears.reasons, peer.wire.writes, now, peer.wire.connected


@settings(deadline=None, max_examples=300)
@given(
    st.lists(valid, max_size=4),
    st.lists(invalid, max_size=2),
    st.lists(valid, max_size=2),
    st.lists(st.integers(0, 1 << 16), max_size=12),
    st.integers(0, 12) | st.integers(0, 1 << 14),
)
@example([], [frame(TEXT, b"\xed\xa0\x80")], [], list(range(1, 12)), 0)
@example([], [frame(TEXT, b"4\xed\xa0\x80")], [], [], 1)
@example([], [], [text("x" * 5000)], [], 3000)
def test_however_a_stream_is_cut_the_short_path_makes_no_difference(
    before: list[bytes], broken: list[bytes], after: list[bytes], cuts: list[int], missing: int
) -> None:
    data = b"".join(before + broken + after)
    data = data[: max(0, len(data) - missing)]
    assert outcome(data, cuts, short=True) == outcome(data, cuts, short=False)


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=60), st.lists(st.integers(0, 60), max_size=8))
def test_garbage_makes_no_difference_to_the_short_path(data: bytes, cuts: list[int]) -> None:
    assert outcome(data, cuts, short=True) == outcome(data, cuts, short=False)


@given(st.binary(max_size=300), masks)
def test_a_payload_is_unmasked(payload: bytes, mask: bytes) -> None:
    assert mask_of(mask_of(payload, mask), mask) == payload
    peer = peer_of(Clock())
    peer.send(frame(BINARY, payload, mask=mask))
    assert peer.ears.heard == [payload]
    assert frames(peer.wire.take()) == []
