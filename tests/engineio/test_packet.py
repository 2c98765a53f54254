"""The laws of Engine.IO packets, payloads and frames."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.packet import (
    MAX_PACKETS,
    Packet,
    PacketError,
    PacketType,
    decode,
    decode_payload,
    encode,
    encode_payload,
)

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x1e"))
text_packets = st.builds(Packet, st.sampled_from(PacketType), texts)
binary_packets = st.builds(Packet, st.just(PacketType.MESSAGE), st.binary())


@given(text_packets)
def test_what_was_encoded_for_a_websocket_is_decoded_to_the_same(packet: Packet) -> None:
    encoded = encode(packet)
    assert not encoded.binary
    assert decode(encoded.body.decode()) == packet


@given(st.lists(text_packets | binary_packets, min_size=1, max_size=MAX_PACKETS))
def test_what_was_encoded_for_polling_is_decoded_to_the_same(packets: list[Packet]) -> None:
    assert decode_payload(encode_payload(map(encode, packets))) == packets


@given(st.binary())
def test_garbage_in_a_payload_raises_a_packet_error_and_nothing_else(body: bytes) -> None:
    try:
        packets = decode_payload(body)
    except PacketError:
        return
    assert encode_payload(map(encode, packets)).count(b"\x1e") == len(packets) - 1


@given(st.text() | texts.map("b".__add__) | texts.map("bYQ".__add__))
def test_garbage_in_a_frame_raises_a_packet_error_and_nothing_else(text: str) -> None:
    try:
        packet = decode(text)
    except PacketError:
        return
    assert text[0] in "0123456b"
    assert isinstance(packet, Packet)


@given(binary_packets)
def test_a_binary_message_is_bare_in_a_frame_and_base64_in_a_payload(packet: Packet) -> None:
    encoded = encode(packet)
    assert isinstance(packet.data, bytes)
    assert encoded.binary
    assert encoded.body == packet.data
    assert encode_payload([encoded]) == b"b" + base64.b64encode(packet.data)


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (0, "00"),
        (1, "01"),
        (125, "7d"),
        (126, "7e007e"),
        (65535, "7effff"),
        (65536, "7f0000000000010000"),
    ],
)
@pytest.mark.parametrize(("binary", "first"), [(False, "81"), (True, "82")])
def test_a_frame_has_the_shortest_header_for_its_length(
    size: int, head: str, binary: bool, first: str
) -> None:
    body = b"x" * size
    assert Encoded(body, binary=binary).frame == bytes.fromhex(first + head) + body


def test_what_is_encoded_is_equal_only_to_itself() -> None:
    packet = Packet(PacketType.MESSAGE, "a")
    one, other = encode(packet), encode(packet)
    assert one == one  # noqa: PLR0124 - that is the question
    assert one != other
    assert len({one, other}) == 2


@pytest.mark.parametrize(
    ("text", "packet"),
    [
        ("0{}", Packet(PacketType.OPEN, "{}")),
        ("1", Packet(PacketType.CLOSE)),
        ("2probe", Packet(PacketType.PING, "probe")),
        ("3", Packet(PacketType.PONG)),
        ("4", Packet(PacketType.MESSAGE, "")),
        ("4🎸", Packet(PacketType.MESSAGE, "🎸")),
        ("5", Packet(PacketType.UPGRADE)),
        ("6", Packet(PacketType.NOOP)),
        ("bAQIDBA==", Packet(PacketType.MESSAGE, b"\x01\x02\x03\x04")),
        ("b", Packet(PacketType.MESSAGE, b"")),
    ],
)
def test_every_type_is_decoded(text: str, packet: Packet) -> None:
    assert decode(text) == packet


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="E19-empty"),
        pytest.param("b@@@", id="E20-alphabet"),
        pytest.param("bYQ==!!", id="E20-after-the-padding"),
        pytest.param("b=", id="E20-only-padding"),
        pytest.param("bY", id="E20-1-character"),
        pytest.param("bYQ", id="E20-no-padding"),
        pytest.param("bYQ==\n", id="E20-newline"),
        pytest.param("bé", id="E20-not-ASCII"),
        pytest.param("b\ud800", id="E20-surrogate"),
        pytest.param("7", id="E22-7"),
        pytest.param("8", id="E22-8"),
        pytest.param("é", id="E22-letter"),
        pytest.param("\x00", id="E22-nul"),
        pytest.param("٤x", id="E22-arabic-4"),
        pytest.param("²", id="E22-superscript"),
        pytest.param("B", id="E22-capital-b"),
        pytest.param("-1", id="E22-negative"),
        pytest.param(" 4", id="E22-space"),
    ],
)
def test_what_is_no_packet_is_refused(text: str) -> None:
    with pytest.raises(PacketError):
        decode(text)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="E19-empty"),
        pytest.param(b"\x1e\x1e\x1e", id="E19-separators"),
        pytest.param(b"4a\x1e", id="E19-trailing"),
        pytest.param(b"\x1e4a", id="E19-leading"),
        pytest.param(b"4a\x1eb@@@\x1e4b", id="E20-in-the-middle"),
        pytest.param(b"4\xff", id="not-UTF-8"),
        pytest.param(b"4\xed\xa0\x80", id="surrogate"),
        pytest.param(b"\x1e".join([b"3"] * (MAX_PACKETS + 1)), id="E18-257-packets"),
        pytest.param(b"3\x1e" * 5000, id="E18-5000-packets"),
    ],
)
def test_a_payload_is_decoded_whole_or_not_at_all(body: bytes) -> None:
    with pytest.raises(PacketError):
        decode_payload(body)


@pytest.mark.parametrize("count", [1, 64, MAX_PACKETS], ids=["1", "E18-64", "E18-256"])
def test_a_payload_of_many_packets_is_taken(count: int) -> None:
    assert len(decode_payload(b"\x1e".join([b'42["e"]'] * count))) == count
