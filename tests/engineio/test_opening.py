"""The opening handshake of a WebSocket: the catalogue's rows W21 to W25, E41 and E42."""

import base64
import hashlib

import pytest
from twisted.internet.task import Clock

from chordme_daemon.engineio.events import Closed
from chordme_daemon.engineio.server import Receive, Socket
from tests.engineio.conftest import KEY, OPENING, Answer, House, build_house
from tests.engineio.frames import BINARY, CLOSE, TEXT, frame, frames, text

QUERY = "EIO=4&transport=websocket"
UPGRADE, CONNECTION, VERSION, SEC_KEY = OPENING


def opening(house: House, *headers: str, query: str = QUERY, method: str = "GET") -> Answer:
    """The answer to an opening handshake."""
    client = house.connect()
    client.request(method, query, None, *headers)
    (head, *_) = client.answers()
    return head


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(OPENING, id="plain"),
        pytest.param((*OPENING[::-1],), id="any-order"),
        pytest.param(("Upgrade: WebSocket", *OPENING[1:]), id="letter-case"),
        pytest.param(("Upgrade: h2c, websocket", *OPENING[1:]), id="several-upgrades"),
        pytest.param((UPGRADE, "Connection: keep-alive, Upgrade", *OPENING[2:]), id="firefox"),
        pytest.param((*OPENING, "Content-Length: 0"), id="E41-empty-body"),
        pytest.param((*OPENING, "Sec-WebSocket-Protocol: bearer,eyJ"), id="W25-subprotocol"),
        pytest.param(
            (*OPENING, "Sec-WebSocket-Extensions: permessage-deflate"), id="W21-no-max-window-bits"
        ),
        pytest.param(
            (*OPENING, "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"),
            id="W21-deflate",
        ),
        pytest.param(
            (*OPENING, "Sec-WebSocket-Extensions: " + "a;" * 6000), id="W22-12-KB-of-extensions"
        ),
    ],
)
def test_a_good_opening_is_answered_and_nothing_offered_is_taken(
    house: House, headers: tuple[str, ...]
) -> None:
    answer = opening(house, *headers)
    accept = hashlib.sha1(f"{KEY}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
    assert answer.status == 101
    assert answer.headers == {
        "upgrade": "websocket",
        "connection": "Upgrade",
        "sec-websocket-accept": base64.b64encode(accept).decode(),
    }


def without(line: str) -> tuple[str, ...]:
    return tuple(other for other in OPENING if other != line)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        *(
            pytest.param((*without(VERSION), f"{VERSION[:-2]}{version}"), 426, id=f"W23-{version}")
            for version in ("8", "7", "0", "13,8", "13, 13", "013", "")
        ),
        pytest.param(without(VERSION), 426, id="W23-no-version"),
        pytest.param((*OPENING, VERSION), 426, id="W23-2-versions"),
        pytest.param(without(SEC_KEY), 400, id="W23-no-key"),
        pytest.param((*OPENING, SEC_KEY), 400, id="W23-2-keys"),
        pytest.param((*without(SEC_KEY), SEC_KEY[:-1]), 400, id="W23-23-characters"),
        pytest.param((*without(SEC_KEY), "Sec-WebSocket-Key: AAAA"), 400, id="W23-3-bytes"),
        pytest.param((*without(SEC_KEY), SEC_KEY + "!!"), 400, id="W23-not-base64"),
        pytest.param((*without(SEC_KEY), "Sec-WebSocket-Key: "), 400, id="W23-empty-key"),
        pytest.param(without(CONNECTION), 400, id="W23-no-connection"),
        pytest.param((*without(CONNECTION), "Connection: close"), 400, id="W23-close"),
        pytest.param((*OPENING, "Transfer-Encoding: chunked"), 400, id="E41-chunked"),
    ],
)
def test_w23_a_bad_opening_is_refused(house: House, headers: tuple[str, ...], status: int) -> None:
    client = house.connect()
    client.request("GET", QUERY, None, *headers)
    if "chunked" in headers[-1]:
        client.send(b"0\r\n\r\n")
    answer = client.answer()
    assert (answer.status, answer.reason) == (
        status,
        {400: "Bad Request", 426: "Upgrade Required"}[status],
    )
    assert answer.code == 3
    assert answer.headers["connection"] == "close"
    assert answer.headers.get("sec-websocket-version") == ("13" if status == 426 else None)
    assert house.server.sockets == {}


def test_e41_a_frame_in_the_body_of_the_opening_is_not_heard(house: House) -> None:
    client = house.connect()
    client.request("GET", QUERY, text("4a"), *OPENING)
    assert client.answer().status == 400
    assert house.events == {}


def test_a_websocket_is_opened_with_get_and_http_1_1_only(house: House) -> None:
    assert opening(house, *OPENING, "Content-Length: 0", method="POST").status == 400
    client = house.connect()
    lines = [f"GET /engine.io/?{QUERY} HTTP/1.0", "Host: a.b", *OPENING, "", ""]
    client.send("\r\n".join(lines).encode())
    assert client.answer().status == 400


@pytest.mark.parametrize("parts", ["one-segment", "two-segments", "byte-by-byte"])
def test_e42_a_frame_right_behind_the_opening_is_heard_always(house: House, parts: str) -> None:
    client = house.connect()
    head = "\r\n".join([f"GET /engine.io/?{QUERY} HTTP/1.1", "Host: a.b", *OPENING, "", ""])
    data = head.encode() + text("4a") + frame(BINARY, b"b")
    match parts:
        case "one-segment":
            client.send(data)
        case "two-segments":
            client.send(data[: len(head)])
            client.send(data[len(head) :])
        case _:
            for index in range(len(data)):
                client.send(data[index : index + 1])
    ((_, events),) = house.events.items()
    assert events == ["a", b"b"]


def test_w18_empty_text_frames_end_the_session_at_the_first(house: House) -> None:
    client = house.open_websocket()
    client.send(frame(TEXT) * 10_000)
    ((_, events),) = house.events.items()
    assert events == [Closed("parse error")]
    house.clock.advance(2)
    assert not client.wire.connected


def test_an_application_that_will_not_have_a_websocket_closes_it(clock: Clock) -> None:
    def accept(socket: Socket) -> Receive:
        socket.close()
        return lambda _: None

    house = build_house(clock, accept=accept)
    client = house.open_websocket()
    assert [opcode for opcode, _ in frames(client.wire.take())] == [TEXT, CLOSE]
    client.send(text("4a"))
    clock.advance(2)
    assert not client.wire.connected
    assert not house.websockets.open
