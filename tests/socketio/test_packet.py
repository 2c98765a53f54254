"""Socket.IO packets: what is accepted, what is refused, and that nothing else can happen."""

from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chordme_daemon.socketio.packet import (
    MAX_ATTACHMENTS,
    MAX_SAFE_INTEGER,
    RESERVED_EVENTS,
    Decoder,
    Packet,
    PacketError,
    PacketType,
    encode,
    encode_messages,
)

EVENT, ACK = PacketType.EVENT, PacketType.ACK
CONNECT, DISCONNECT, CONNECT_ERROR = (
    PacketType.CONNECT,
    PacketType.DISCONNECT,
    PacketType.CONNECT_ERROR,
)


def all_awaited() -> Decoder:
    return Decoder(lambda namespace, number: True)


def decode(*messages: str | bytes) -> Packet:
    """The packet that the last of the messages completes."""
    decoder = all_awaited()
    for message in messages[:-1]:
        assert decoder.feed(message) is None
    packet = decoder.feed(messages[-1])
    assert packet is not None
    return packet


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


# What can be said in JSON and held by every peer, with bytes in it.
numbers = st.one_of(
    st.integers(-MAX_SAFE_INTEGER, MAX_SAFE_INTEGER),
    st.floats(-1e15, 1e15),
    st.floats(1e21, allow_nan=False, allow_infinity=False),
)
plain = st.one_of(st.none(), st.booleans(), numbers, st.text(max_size=8))


def trees(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda parts: st.one_of(
            st.lists(parts, max_size=4), st.dictionaries(st.text(max_size=5), parts, max_size=4)
        ),
        max_leaves=12,
    )


def attachments(value: object) -> int:
    match value:
        case bytes():
            return 1
        case list():
            return sum(map(attachments, value))
        case dict():
            return sum(map(attachments, value.values()))
    return 0


mixed = st.lists(trees(st.one_of(plain, st.binary(max_size=8))), max_size=4).filter(
    lambda args: attachments(args) <= MAX_ATTACHMENTS
)
names = st.one_of(st.text(max_size=8).filter(lambda name: name not in RESERVED_EVENTS), numbers)
namespaces = st.text(
    st.characters(exclude_characters=",", exclude_categories=["Cs"]), max_size=63
).map(lambda name: "/" + name)
ids = st.one_of(st.none(), st.integers(0, MAX_SAFE_INTEGER))
payloads = st.one_of(st.none(), st.dictionaries(st.text(max_size=5), trees(plain), max_size=4))

packets = st.one_of(
    st.builds(
        lambda namespace, name, args, number: Packet(EVENT, namespace, [name, *args], number),
        *(namespaces, names, mixed, ids),
    ),
    st.builds(Packet, st.just(ACK), namespaces, mixed, ids),
    st.builds(Packet, st.just(CONNECT), namespaces, payloads, st.none()),
    st.builds(Packet, st.just(DISCONNECT), namespaces, st.none(), st.none()),
)


@given(packets)
@example(Packet(EVENT, "/a", ["e", b"1", {"a": [b"2", {"b": b""}]}], 0))
@example(Packet(EVENT, data=["e", -0.0, 5e-324, 1.7976931348623157e308]))
@example(Packet(ACK, data=[b""] * MAX_ATTACHMENTS, id=MAX_SAFE_INTEGER))
def test_what_is_encoded_is_decoded_to_the_same(packet: Packet) -> None:
    text, *binary = encode(packet)
    # repr tells -0.0 from 0, 1.0 from 1 and True, which == does not
    assert repr(decode(text.decode(), *binary)) == repr(packet)


wild_text = st.text(st.characters())  # with surrogates
almost = st.text('0123456789-/,[]{}":. eE+\\ud', max_size=40)
pieces = st.lists(
    st.sampled_from(
        [
            *("2", "51-", "62-", "0", "1", "/a,", "7", '["e"', ",", "]", "{", "}", "9" * 17),
            *('{"_placeholder":true,"num":0}', '"num":', "1e400", "NaN", '"\\ud800"', "null"),
        ]
    ),
    max_size=8,
).map("".join)
garbage = st.lists(st.one_of(wild_text, almost, pieces, st.binary(max_size=8)), max_size=6)


@given(garbage)
@example(["0/\ud800"])
@example(['2["\ud800"]'])
def test_garbage_raises_packet_error_and_nothing_else_and_the_rest_can_be_sent_on(
    messages: list[str | bytes],
) -> None:
    decoder = all_awaited()
    for message in messages:
        try:
            packet = decoder.feed(message)
        except PacketError:
            return
        if packet is not None:
            encode(packet)


@given(packets, st.data())
def test_a_damaged_packet_raises_packet_error_and_nothing_else(
    packet: Packet, data: st.DataObject
) -> None:
    text, *binary = encode(packet)
    whole = text.decode()
    at = data.draw(st.integers(0, len(whole)))
    damaged = whole[:at] + data.draw(almost) + whole[at + data.draw(st.integers(0, 3)) :]
    decoder = all_awaited()
    try:
        for message in [damaged, *binary]:
            decoder.feed(message)
    except PacketError:
        pass


# The rows of the catalogue of adversarial input that are about parsing; texts without spaces.
REFUSED = {
    "S04": '0"x" 0[1] 0{ 0null 0/a,null 0/a,garbage 0true',
    "S05": '7 8 9 x ²["a"] -1 é \0 22 4x',
    "S06": '1{"x":1} 1[] 1null 1/a,x 1{}',
    "S07": '4{"message":"x"} 4 4null',
    "S08": '2{} 2null 2"a" 2 2[] 2[null] 2[[]] 2[{}] 2[true] 2[false] 2/a 2/a["e"] 3 3{} 3null',
    "S10": '2["connect"] 2["connect_error"] 2["disconnect"] 2["disconnecting"] '
    '2["newListener"] 2["removeListener"] 2/a,1["connect"] 2["\\u0063onnect"] 51-["connect"]',
    "S13": '2-1["e"] 21.5["e"] 2٣["e"] 2１["e"] 2+1["e"] 29007199254740992["e"] '
    "399999999999999999[]",
    "S15": '511-["e"] 599-["e"] 5100-["e"] 611-[]',
    "S16": '50-["e"] 5-["e"] 51- 599999999-["e"] 5²-["e"] 5٣-["e"] 51e1-["e"] 5["e"] 5-1-["e"] '
    '60-["e"] 6["e"] 51-"e" 51-{} 51-[] 61-{} 21-["e"] 31-[] 01- 11-',
    "S21": '2["e",9007199254740993.0] 2["e",1e16] 2["e",-1E20] '
    '2["e","\\"",-1111111111111111111111]',
    "S22": '2["e",NaN] 2["e",Infinity] 2["e",-Infinity] 2["e",1e400] 2["e",-1e400] 2["e",.5] '
    '2["e",5.] 2["e",+1] 2["e",01] 2["e",0x1] 2["e",-] 2["e",1e] 2["e",١]',
    "S23": '2["e","\\ud800"] 2["e","\\udc00\\ud800"] 2["\\ud800"] 2["e",{"\\udfff":1}] '
    '2["e","\ud800"] 0/\ud800,{} 2/\ud800,["e"] 0{"token":"\\ud800"}',
    "S24": '2["e","\0"] \ufeff2["e"] 2\ufeff["e"] 2["e"]\0',
    "trailing": """2["e"]x 2["e"], 2["e"]["f"] 0{}{} 2['e'] 2["e",]""",
}
REFUSED_AND_LONG = {
    "S03": ["0/" + "a" * 9000 + ",", "0/" + "a" * 64 + ","],
    "S13": [f'2{"9" * digits}["e"]' for digits in (16, 17, 100, 101, 5000)],
    "S20": [
        '2["e",' + "[" * 9000,
        f'2["e",{nested(400)}]',
        f'2["e",{nested(32)}]',
        f'21["e",{nested(32)}]',
        f'51-["e",{nested(32)}]',
        f"3{nested(33)}",
        f'0{{"a":{nested(32)}}}',
        '2["e",' + '{"a":' * 32 + "1" + "}" * 32 + "]",
        f'2["e",{"[]," * 40}{nested(32)}]',
    ],
    "S21": [
        *(f'2["e",{"9" * digits}]' for digits in (16, 19, 20, 21, 22, 30, 308, 309, 4300, 4301)),
        *(f'2["e",{number}]' for number in (2**64, 2**63, 2**53 + 1, 2**53, -(2**53), -(2**64))),
        f'2["e",{{"a":[{"1" * 30}]}}]',
        f'3["{"1" * 22}",-{"1" * 22}]',
        '2["e",' + "9" * 9000 + "]",
    ],
    "empty": [""],
    "space": [" 2", '2["e"]\u2028', "0 5", "1 "],
}


def rows(table: dict[str, list[Any]]) -> list[Any]:
    return [
        pytest.param(case, id=f"{row} {ascii(case)[:40]} {index}")
        for row, cases in table.items()
        for index, case in enumerate(cases)
    ]


refused = {row: text.split(" ") for row, text in REFUSED.items()}


@pytest.mark.parametrize("text", rows(refused) + rows(REFUSED_AND_LONG))
def test_a_text_that_is_no_packet_is_refused(text: str) -> None:
    decoder = all_awaited()
    with pytest.raises(PacketError):
        decoder.feed(text)
    assert decoder.waiting is None


def event(*data: object, number: int | None = None) -> Packet:
    return Packet(EVENT, "/", list(data), number)


PLACEHOLDER = {"_placeholder": True, "num": 0}
LONG = "1" * 30
ACCEPTED: dict[str, list[tuple[str, Packet]]] = {
    "S02": [
        ("0", Packet(CONNECT)),
        ("0/a,", Packet(CONNECT, "/a")),
        ("0/a", Packet(CONNECT, "/a")),
        ("0/,{}", Packet(CONNECT, "/", {})),
        ("0/a?b=c,", Packet(CONNECT, "/a?b=c")),
    ],
    "S03": [("0/" + "a" * 63 + ",", Packet(CONNECT, "/" + "a" * 63))],
    "S04": [('0{"token":1}', Packet(CONNECT, "/", {"token": 1}))],
    "S06": [("1", Packet(DISCONNECT)), ("1/a,", Packet(DISCONNECT, "/a"))],
    "S09": [("2[1]", event(1)), ("2[1.5]", event(1.5))],
    "S11": [
        (f'2["{name}"]', event(name)) for name in ("__init__", "on_connect", "../x", "a" * 9000)
    ],
    "S12": [(f'2["{name}"]', event(name)) for name in ("ping", "pong", "error", "")],
    "S13": [
        ('20["e"]', event("e", number=0)),
        ('2007["e"]', event("e", number=7)),
        (f'2{MAX_SAFE_INTEGER}["e"]', event("e", number=MAX_SAFE_INTEGER)),
    ],
    "S14": [
        ('399["x"]', Packet(ACK, "/", ["x"], 99)),
        ('3["x"]', Packet(ACK, "/", ["x"])),
        ("3/a,1[]", Packet(ACK, "/a", [], 1)),
    ],
    "S17": [('2["e",{"_placeholder":true,"num":0}]', event("e", PLACEHOLDER))],
    "S20": [
        (f'2["e",{nested(31)}]', event("e", orjson.loads(nested(31)))),
        (f'21["e",{nested(31)}]', event("e", orjson.loads(nested(31)), number=1)),
        (f'2["{"[" * 99}"]', event("[" * 99)),
    ],
    "S21": [
        *((f'2["e",{n}]', event("e", n)) for n in (2**53 - 1, 1 - 2**53, 1e21, -1e300, 0.1)),
        (f'2["e","{LONG} \\" {LONG}",1e5]', event("e", f'{LONG} " {LONG}', 1e5)),
    ],
    "S22": [
        ('2["e",-0,1.0,1e-400]', event("e", 0, 1.0, 0.0)),
        (f'2["e",3.141592653589793{LONG}]', event("e", 3.141592653589793)),
    ],
    "S24": [
        ('2["e","\\u0000"]', event("e", "\0")),
        ('2["e","\\u001b\u2028\x85\u202e\ufeff"]', event("e", "\x1b\u2028\x85\u202e\ufeff")),
    ],
    "S25": [('2["e",{"room_id":"a","room_id":"b"}]', event("e", {"room_id": "b"}))],
    "S26": [
        ('2["e",{"__proto__":{"isAdmin":1}}]', event("e", {"__proto__": {"isAdmin": 1}})),
    ],
    "S27": [
        (f'2["e"{",[]" * 3300}]', event("e", *[[]] * 3300)),
        ('2["' + r"\u0041" * 1700 + '"]', event("A" * 1700)),
        (f'2["e"{",0.123456" * 1600}]', event("e", *[0.123456] * 1600)),
    ],
}


@pytest.mark.parametrize("case", rows(ACCEPTED))
def test_an_odd_packet_is_read_as_it_stands(case: tuple[str, Packet]) -> None:
    text, packet = case
    assert repr(decode(text)) == repr(packet)


def test_s14_an_acknowledgement_that_nobody_waits_for_is_not_read() -> None:
    asked: list[tuple[str, int | None]] = []

    def awaited(namespace: str, number: int | None) -> bool:
        asked.append((namespace, number))
        return number == 1

    decoder = Decoder(awaited)
    assert decoder.feed('31["x"]') == Packet(ACK, "/", ["x"], 1)
    assert decoder.feed("3/a,2[[[") == Packet(ACK, "/a", [], 2)
    assert decoder.feed("3") == Packet(ACK, "/", [])
    assert decoder.feed("61-/a,2garbage") is None
    assert decoder.feed(b"x") == Packet(ACK, "/a", [], 2)
    assert decoder.feed('2["e"]') == event("e")
    assert asked == [("/", 1), ("/a", 2), ("/", None), ("/a", 2)]


def placeholder(num: str) -> str:
    return f'51-["e",{{"_placeholder":true,"num":{num}}}]'


WRONG_PLACEHOLDERS = {
    "S17": [
        *map(placeholder, ["-1", "1", "0.5", "0.0", "true", "false", '"0"', "null", "[]", "{}"]),
        '51-["e",{"_placeholder":true}]',
        '51-["e",{"a":[{"_placeholder":true,"num":7}]}]',
    ],
    "S18": ['51-["e",{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]'],
}


@pytest.mark.parametrize("text", rows(WRONG_PLACEHOLDERS))
def test_a_placeholder_without_an_attachment_of_its_own_is_refused(text: str) -> None:
    decoder = all_awaited()
    assert decoder.feed(text) is None
    with pytest.raises(PacketError):
        decoder.feed(b"attachment")


def test_s17_attachments_are_put_where_their_placeholders_are_in_any_order() -> None:
    text = (
        '63-/a,5[{"_placeholder":true,"num":2},{"x":[{"_placeholder":true,"num":0,"more":1}]},'
        '{"_placeholder":1,"num":1},{"_placeholder":true,"num":1}]'
    )
    assert decode(text, b"0", b"1", b"2") == Packet(
        ACK, "/a", [b"2", {"x": [b"0"]}, {"_placeholder": 1, "num": 1}, b"1"], 5
    )


def test_an_attachment_that_no_placeholder_refers_to_is_dropped() -> None:
    assert decode('51-["e"]', b"x") == event("e")


def test_s19_text_is_refused_while_attachments_are_awaited() -> None:
    decoder = all_awaited()
    assert decoder.feed('52-["e"]') is None
    assert decoder.waiting == event("e")
    assert decoder.feed(b"one") is None
    with pytest.raises(PacketError):
        decoder.feed('2["e"]')


def test_s19_an_attachment_that_nothing_asked_for_is_refused() -> None:
    decoder = all_awaited()
    with pytest.raises(PacketError):
        decoder.feed(b"x")
    assert decoder.feed('51-["e"]') is None
    assert decoder.feed(b"x") == event("e")
    assert decoder.waiting is None
    with pytest.raises(PacketError):
        decoder.feed(b"x")


def test_a_packet_is_written_as_compactly_as_javascript_writes_it() -> None:
    packet = event("e", 1, "2", {"3": [True, None]})
    assert encode(packet) == [b'2["e",1,"2",{"3":[true,null]}]']
    assert encode(Packet(ACK, "/a", [], 3)) == [b"3/a,3[]"]
    assert encode(Packet(DISCONNECT, "/a")) == [b"1/a,"]
    assert encode(Packet(CONNECT_ERROR, "/a", {"message": "m"})) == [b'4/a,{"message":"m"}']


def test_bytes_of_any_kind_become_attachments() -> None:
    packet = event("e", b"1", bytearray(b"2"), [memoryview(b"3")], number=4)
    first, second, third = (f'{{"_placeholder":true,"num":{num}}}' for num in range(3))
    text = f'53-4["e",{first},{second},[{third}]]'
    assert encode(packet) == [text.encode(), b"1", b"2", b"3"]
    messages = encode_messages(packet, conflate="c")
    assert [(message.body, message.binary) for message in messages] == [
        (b"4" + text.encode(), False),
        (b"1", True),
        (b"2", True),
        (b"3", True),
    ]
    assert [message.conflate for message in messages] == ["c", None, None, None]


@pytest.mark.parametrize("value", [object(), {1}, {1: 2}, 2**64, "\ud800", 1j])
def test_what_is_not_json_cannot_be_encoded(value: object) -> None:
    with pytest.raises(TypeError):
        encode(event("e", value))
