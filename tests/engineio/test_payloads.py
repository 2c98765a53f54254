"""What is sent by polling, through the real site: the catalogue's rows E10 and E13 to E30."""

import random

import pytest
from twisted.internet.task import Clock

from chordme_daemon.engineio.events import Closed
from chordme_daemon.engineio.packet import MAX_PACKETS
from tests.engineio.conftest import MAX_MESSAGE_BYTES, OPENING, House, build_house
from tests.engineio.frames import text

POLLING = "EIO=4&transport=polling"


@pytest.mark.parametrize(
    ("body", "heard"),
    [
        (b"4a", ["a"]),
        (b"4a\x1e4b\x1e4c", ["a", "b", "c"]),
        (b"4a\x1ebAQIDBA==\x1e4b", ["a", b"\1\2\3\4", "b"]),
        pytest.param(b"4", [""], id="E19-empty-message"),
        pytest.param(b'0{"sid":"x"}\x1e4a', ["a"], id="E23"),
        pytest.param(b"6\x1e4a", ["a"], id="E22-noop"),
        pytest.param(b"\x1e".join([b"3"] * 200), [], id="E25"),
        pytest.param(b"\x1e".join([b"4e"] * 64), ["e"] * 64, id="E18-64"),
        pytest.param(b"4a\x1e1\x1e4b", ["a"], id="E27"),
        pytest.param(b"4a\x1e2\x1e4b", ["a"], id="E24"),
        pytest.param(b"4a\x1e5\x1e4b", ["a"], id="E22-upgrade"),
    ],
)
def test_a_payload_is_heard_in_order(house: House, body: bytes, heard: list[str | bytes]) -> None:
    sid = house.open_polling()
    answer = house.post(sid, body)
    assert (answer.status, answer.body) == (200, b"ok")
    assert answer.headers["content-type"] == "text/html"
    assert answer.headers["cache-control"] == "no-store"
    assert house.messages(sid) == heard


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x1e".join([b"3"] * (MAX_PACKETS + 1)), id="E18-257"),
        pytest.param(b"3\x1e" * 5000, id="E18-5000"),
        pytest.param(b"", id="E19-empty"),
        pytest.param(b"\x1e\x1e\x1e", id="E19-separators"),
        pytest.param(b"4a\x1e", id="E19-trailing"),
        pytest.param(b"4a\x1eb@@@", id="E20-after-a-good-one"),
        pytest.param(b"bYQ==!!", id="E20"),
        pytest.param(b"7", id="E22-7"),
        pytest.param("é".encode(), id="E22-letter"),
        pytest.param(b"\x00", id="E22-nul"),
        pytest.param(b"4\xff", id="not-UTF-8"),
        pytest.param(b"a=b&c=d", id="E30-form"),
        pytest.param(b"x" * MAX_MESSAGE_BYTES, id="E13-as-large-as-may-be"),
    ],
)
def test_a_bad_payload_closes_the_session_and_none_of_it_is_heard(
    house: House, body: bytes
) -> None:
    sid = house.open_polling()
    poll = house.poll(sid)
    answer = house.post(sid, body)
    assert (answer.status, answer.code) == (400, 3)
    assert poll.answer().body == b"1"
    assert house.events[sid] == [Closed("parse error")]
    assert house.post(sid, b"4a").code == 1


def test_e28_a_post_to_a_session_just_closed_is_refused(house: House) -> None:
    sid = house.open_polling()
    house.post(sid, b"1")
    house.clock.advance(0.001)
    assert house.post(sid, b"4a").code == 1


@pytest.mark.parametrize("parameter", ["", "; charset=UTF-8"], ids=["plain", "with-parameter"])
def test_e29_a_binary_body_is_refused_and_answered(house: House, parameter: str) -> None:
    sid = house.open_polling()
    answer = house.post(sid, b"4a", f"Content-Type: application/octet-stream{parameter}")
    assert (answer.status, answer.code) == (400, 3)
    assert house.events[sid] == [Closed("parse error")]


@pytest.mark.parametrize(
    "kind", ["multipart/form-data; boundary=x", "application/x-www-form-urlencoded"], ids=str
)
def test_e30_a_form_is_raw_text(house: House, kind: str) -> None:
    sid = house.open_polling()
    assert house.post(sid, b"4a=b&sid=x", f"Content-Type: {kind}").body == b"ok"
    assert house.messages(sid) == ["a=b&sid=x"]


def test_e10_two_payloads_at_once_are_never_mixed(house: House) -> None:
    """Node ends the session; here a body is looked at only when it is whole."""
    sid = house.open_polling()
    first = house.connect()
    first.request("POST", f"{POLLING}&sid={sid}", b"4a\x1e4b")
    slow = house.connect()
    slow.send(
        f"POST /engine.io/?{POLLING}&sid={sid} HTTP/1.1\r\nHost: a.b\r\n"
        "Content-Length: 5\r\n\r\n4c".encode()
    )
    assert house.post(sid, b"4x\x1e4y").body == b"ok"
    slow.send(b"\x1e4d")
    assert house.messages(sid) == ["a", "b", "x", "y", "c", "d"]


# What the channel refuses


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param("Content-Length: 10241\r\n\r\n", 413, id="E13"),
        pytest.param("Transfer-Encoding: chunked\r\n\r\n2801\r\n" + "x" * 10241, 413, id="E14"),
        pytest.param("Content-Length: 5\r\n\r\n4a", 408, id="E15"),
        pytest.param("Content-Length: 100\r\n\r\n4", 408, id="E17-body"),
        pytest.param("X: ", 408, id="E17-header"),
    ],
)
def test_a_post_that_is_too_large_or_too_slow_is_refused_and_the_session_lives(
    house: House, request_: str, status: int
) -> None:
    sid = house.open_polling()
    client = house.connect()
    client.send(f"POST /engine.io/?{POLLING}&sid={sid} HTTP/1.1\r\nHost: a.b\r\n".encode())
    client.send(request_.encode())
    if status == 408:
        for _ in range(10):
            assert client.wire.value() == b""
            client.send(b"" if "Length: 5\r" in request_ else b"x")
            house.clock.advance(1)
    assert client.answer().status == status
    house.clock.advance(2)
    assert not client.wire.connected
    assert house.events[sid] == []
    assert house.post(sid, b"4a").body == b"ok"


def test_e16_what_follows_a_body_is_the_next_request(house: House) -> None:
    sid = house.open_polling()
    client = house.connect()
    client.send(
        f"POST /engine.io/?{POLLING}&sid={sid} HTTP/1.1\r\nHost: a.b\r\n"
        "Content-Length: 2\r\n\r\n4hxyz\r\n\r\n".encode()
    )
    assert [answer.status for answer in client.answers()] == [200, 400]
    assert house.events[sid] == ["h"]


@pytest.mark.parametrize("seed", range(60))
def test_whatever_one_client_sends_another_is_served(seed: int) -> None:
    """Requests of all kinds, whole or cut, on a few connections at once, in a random order."""
    dice = random.Random(seed)
    house = build_house(Clock())
    healthy, hostile = house.open_polling(), [house.open_polling() for _ in range(2)]
    clients = [house.connect() for _ in range(4)]
    bodies = [b"4a", b"1", b"", b"2", b"b@", b"3\x1e4b", b"5", b"4\xff", text("2probe"), text("5")]
    for _ in range(40):
        client = dice.choice(clients)
        transport = dice.choice(["polling", "polling", "websocket"])
        query = f"EIO=4&transport={transport}&sid={dice.choice(hostile)}"
        method = dice.choice(["GET", "GET", "POST", "HEAD", "OPTIONS", "PUT"])
        body = dice.choice(bodies) if method == "POST" else None
        match dice.randrange(8):
            case 0:
                client.wire.hang_up()
                clients[clients.index(client)] = house.connect()
            case 1:
                client.send(dice.choice(bodies))
            case 2:
                hostile[dice.randrange(2)] = house.open_polling()
            case _:
                headers = OPENING if transport == "websocket" else ()
                client.request(method, query, body, *headers)
        house.tick(dice.choice([0, 0, 0.05, 1]))
        house.say(healthy, "?")
        poll = house.poll(healthy)
        assert house.post(healthy, b"3\x1e4!").body == b"ok"
        assert poll.answer().body.endswith(b"4?")
        poll.wire.hang_up()
    for client in clients:
        client.wire.hang_up()
    house.server.stop()
    house.tick(12)
    assert house.messages(healthy) == ["!"] * 40
    assert not house.server.sockets
    assert not house.websockets.open
    assert not house.clock.getDelayedCalls()
