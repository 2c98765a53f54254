"""Socket.IO v5 packets: text and attachments in, values out, and back.

What comes in is bounded before it is believed: JSON of at most 32 levels, numbers that every peer
can hold (finite, integers within 2^53), text without lone surrogates, at most 10 attachments,
each referred to once. Garbage raises `PacketError` and nothing else.
"""

import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

import orjson

from chordme_daemon.engineio.encoded import Encoded

# Of JSON. What is read is also walked through, and compiled code knows no limit of recursion.
MAX_DEPTH: Final = 32
MAX_ATTACHMENTS: Final = 10
MAX_NAMESPACE: Final = 64
MAX_SAFE_INTEGER: Final = 2**53 - 1
# How an event begins that is for the main namespace, and wants no answer; `load_event` reads what
# follows the digit.
SHORT: Final = '2["'

# What a client library calls its own; an event of such a name would be taken for one of those.
RESERVED_EVENTS: Final = frozenset(
    {
        "connect",
        "connect_error",
        "disconnect",
        "disconnecting",
        "newListener",
        "removeListener",
    }
)


class PacketError(ValueError):
    """The peer sent what is not a packet."""


class PacketType(IntEnum):
    """The digit in front of a packet; the two binary types are not told apart from theirs."""

    CONNECT = 0
    DISCONNECT = 1
    EVENT = 2
    ACK = 3
    CONNECT_ERROR = 4


# To look one up in its class takes as long as much of the rest that is done for an event.
TYPES: Final = tuple(PacketType)
_DIGITS: Final = tuple(b"%d" % kind for kind in TYPES)
CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR = TYPES


class Packet(NamedTuple):
    """One packet, with its attachments in place.

    `data` is the arguments of an event (its name first) or of an acknowledgement, and the payload,
    an object or None, of everything else. `id` asks for an acknowledgement, or is what one answers.
    """

    type: PacketType
    namespace: str = "/"
    data: list[object] | dict[str, object] | None = None
    id: int | None = None


_HEAD: Final = re.compile(
    r"(?P<type>[0-6])"
    r"(?:(?P<attachments>[0-9]{1,2})-)?"
    r"(?:(?P<namespace>/[^,\ud800-\udfff]*)(?:,|$))?"
    r"(?P<id>[0-9]{1,16})?"
)
# Text that needs a second look outside of its strings. Both branches begin with the same digit,
# which lets the search skip to the digits of a text.
_SUSPECT: Final = re.compile(r"[0-9](?:[eE]|[0-9]{15})")
# Numbers that may be beyond what every peer can hold: with an exponent, or of 16 digits and more.
_LARGE: Final = re.compile(
    rb"[0-9](?<![0-9.][0-9])"
    rb"(?:[0-9]*+(?:\.[0-9]++)?+[eE][+-]?+[0-9]++|[0-9]{15,}+(?:\.[0-9]++)?+)"
)
# JavaScript writes larger numbers with an exponent: they are no integers with lost digits.
_EXPONENT_FROM: Final = 1e21


def _nest(levels: int) -> str:
    return rf"\[(?:{_nest(levels - 1)})*+\]" if levels else r"\[\]"


# Brackets that are nested well, and not too deep.
_NESTED: Final = re.compile(_nest(MAX_DEPTH - 1).encode())
_AS_BRACKETS: Final = bytes.maketrans(b"{}", b"[]")
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))


Awaited = Callable[[str, int | None], bool]


class Decoder:
    """Puts the packets of one connection together, in order.

    `awaited(namespace, id)` says whether somebody waits for an acknowledgement; of those that
    nobody waits for, nothing is read.
    """

    __slots__ = ("_attachments", "_awaited", "_packet", "_wanted")

    def __init__(self, awaited: Awaited) -> None:
        self._awaited = awaited
        self._packet: Packet | None = None
        self._wanted = 0
        self._attachments: list[bytes] = []

    @property
    def waiting(self) -> Packet | None:
        """The packet whose attachments are still to come."""
        return self._packet

    def feed(self, data: str | bytes) -> Packet | None:
        """Take one message; return the packet that it completes."""
        if isinstance(data, str):
            if self._packet is not None:
                raise PacketError("text while attachments are awaited")
            packet, wanted = _decode_text(data, self._awaited)
            if not wanted:
                return packet
            self._packet, self._wanted = packet, wanted
            return None
        if self._packet is None:
            raise PacketError("an attachment that nothing asked for")
        self._attachments.append(data)
        if len(self._attachments) < self._wanted:
            return None
        packet, self._packet = self._packet, None
        attachments, self._attachments = self._attachments, []
        return packet._replace(data=_put_in(packet.data, attachments))


def _decode_text(text: str, awaited: Awaited) -> tuple[Packet, int]:
    """A packet, and how many attachments it waits for."""
    head = _HEAD.match(text)
    if head is None:
        raise PacketError("unknown packet type")
    kind, wanted = _kind(int(head["type"]), head["attachments"])
    namespace = head["namespace"] or "/"
    if len(namespace) > MAX_NAMESPACE:
        raise PacketError("namespace too long")
    number = None if head["id"] is None else int(head["id"])
    if number is not None and number > MAX_SAFE_INTEGER:
        raise PacketError("acknowledgement id too large")
    if kind is ACK and not awaited(namespace, number):
        return Packet(kind, namespace, [], number), wanted
    rest = text[head.end() :]
    payload = load_json(rest) if rest else None
    if rest and payload is None:
        raise PacketError("null is no payload")
    return Packet(kind, namespace, _checked(kind, payload), number), wanted


def _kind(digit: int, attachments: str | None) -> tuple[PacketType, int]:
    """The type of a packet, and how many attachments it announces."""
    if digit < 5:
        if attachments is not None:
            raise PacketError("attachments where there can be none")
        return TYPES[digit], 0
    count = int(attachments or 0)
    if not 1 <= count <= MAX_ATTACHMENTS:
        raise PacketError("too few or too many attachments")
    return (EVENT if digit == 5 else ACK), count


def _checked(kind: PacketType, payload: object) -> list[object] | dict[str, object] | None:
    if kind is EVENT:
        return _checked_event(payload)
    if kind is ACK and isinstance(payload, list):
        return payload
    if kind is CONNECT and (payload is None or isinstance(payload, dict)):
        return payload
    if kind is DISCONNECT and payload is None:
        return None
    raise PacketError("payload does not fit the packet type")


def load_event(text: str) -> list[object]:
    """The name and the arguments of an event, of their JSON; raises `PacketError`."""
    return _checked_event(load_json(text))


def _checked_event(payload: object) -> list[object]:
    if not isinstance(payload, list) or not payload:
        raise PacketError("an event is a list with its name in front")
    name = payload[0]
    if not isinstance(name, str) and type(name) not in (int, float):
        raise PacketError("an event's name is text or a number")
    if name in RESERVED_EVENTS:
        raise PacketError("reserved event name")
    return payload


def load_json(text: str) -> object:
    """The value of a JSON text, within the bounds above; raises `PacketError`."""
    try:
        if text.count("[") + text.count("{") > MAX_DEPTH:
            _check_depth(_outside_strings(text))
        if _SUSPECT.search(text):
            _check_numbers(_outside_strings(text))
        value: object = orjson.loads(text)
    except (orjson.JSONDecodeError, UnicodeEncodeError):
        raise PacketError("invalid JSON") from None
    return value


# The checks look at the text, not at the value: to walk through that takes ten times as long.


def _outside_strings(text: str) -> bytes:
    """What a JSON text has outside of its strings."""
    json = text.encode()
    if b"\\" in json:
        json = json.replace(b"\\\\", b"").replace(b'\\"', b"")
    # Two quotes side by side change nothing about what is inside and what is outside.
    return b"".join(json.replace(b'""', b"").split(b'"')[::2])


def _check_depth(json: bytes) -> None:
    if not _NESTED.fullmatch(json.translate(_AS_BRACKETS, _NO_BRACKETS)):
        raise PacketError("JSON nested too deep, or not well")


def _check_numbers(json: bytes) -> None:
    """Refuse integers that some peer would read as others."""
    for number in _LARGE.findall(json):
        value = float(number)
        if value > MAX_SAFE_INTEGER and (value < _EXPONENT_FROM or number.isdigit()):
            raise PacketError("integer too large")


def _put_in(value: object, attachments: Sequence[bytes]) -> list[object]:
    """The value with every placeholder replaced by its attachment."""
    unused = dict(enumerate(attachments))

    def put(item: object) -> object:
        # Only what has something in it can have a placeholder in it.
        if isinstance(item, list):
            return [put(part) if part else part for part in item]
        if not isinstance(item, dict):
            return item
        if item.get("_placeholder") is not True:
            return {key: put(part) for key, part in item.items()}
        number = item.get("num")
        if type(number) is not int or number not in unused:
            raise PacketError("placeholder without its attachment")
        return unused.pop(number)

    filled = put(value)
    assert isinstance(filled, list)  # noqa: S101 - only events and acks have attachments
    return filled


def encode(packet: Packet) -> list[bytes]:
    """Encode a packet: its text in UTF-8, then its attachments.

    Raises TypeError when the data is not JSON with bytes in it.
    """
    kind, namespace, data, number = packet
    attachments: list[bytes] = []
    try:
        payload = b"" if data is None else orjson.dumps(data)
    except TypeError:
        payload = _take_out(data, attachments)
    if namespace == "/" and number is None and not attachments:  # nearly always
        return [_DIGITS[kind] + payload]
    head = f"{kind + 3}{len(attachments)}-" if attachments else f"{kind:d}"
    if namespace != "/":
        head += f"{namespace},"
    if number is not None:
        head += f"{number}"
    return [head.encode() + payload, *attachments]


def _take_out(data: object, attachments: list[bytes]) -> bytes:
    """The JSON of data with bytes in it, which become attachments."""

    def take_out(value: object) -> object:
        if not isinstance(value, bytes | bytearray | memoryview):
            raise TypeError(f"{type(value).__name__} cannot be sent")
        attachments.append(bytes(value))
        return {"_placeholder": True, "num": len(attachments) - 1}

    return orjson.dumps(data, default=take_out)


def encode_messages(packet: Packet, conflate: object = None) -> list[Encoded]:
    """Encode a packet as Engine.IO messages, once for any number of sockets."""
    text, *attachments = encode(packet)
    messages = [Encoded(b"4" + text, conflate=conflate)]
    if attachments:
        messages.extend(Encoded(attachment, binary=True) for attachment in attachments)
    return messages
