"""Clients that are not socket.io-client: python-socketio, and people with wscat and curl."""

import queue
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import orjson
import pytest
import socketio
import websocket

from tests.journeys.daemon import Daemon, http_request, token

pytestmark = pytest.mark.journey


class PythonClient:
    """A python-socketio client, and what it heard."""

    def __init__(self, daemon: Daemon, user_id: object, transports: list[str]) -> None:
        self._client = socketio.Client(reconnection=False)
        self._heard: queue.Queue[tuple[str, Any]] = queue.Queue()
        self._client.on("*", lambda event, *args: self._heard.put((event, *args)))
        self._client.connect(
            daemon.url, auth={"token": token(user_id)}, transports=transports, wait_timeout=10
        )

    def emit(self, event: str, payload: object) -> None:
        self._client.emit(event, payload)

    def ask(self, event: str, payload: object) -> Any:
        return self._client.call(event, payload, timeout=10)

    def hear(self, event: str) -> Any:
        """The payload of the next event of that name; others before it are passed over."""
        while True:
            name, payload = self._heard.get(timeout=10)
            if name == event:
                return payload

    def close(self) -> None:
        self._client.disconnect()


@pytest.mark.parametrize(
    "transports",
    [["websocket"], ["polling"], ["polling", "websocket"]],
    ids=["websocket", "polling", "upgrade"],
)
def test_python_socketio_joins_and_chats(daemon: Daemon, transports: list[str]) -> None:
    with (
        closing(PythonClient(daemon, 1, transports)) as ada,
        closing(PythonClient(daemon, 2, transports)) as ben,
    ):
        assert ada.hear("connected")["limits"]
        assert ada.hear("authenticated")["user_id"] == 1
        assert ada.ask("join_room", {"room_id": "song-1"})["participant_count"] == 1
        ben.emit("join_room", {"room_id": "song-1"})
        assert ben.hear("room_joined")["participant_count"] == 2
        assert ada.hear("user_joined")["user_id"] == 2
        # One by one: its polling client gives up on an answer of more than 16 packets.
        for number in range(20):
            assert ada.ask("broadcast_message", {"room_id": "song-1", "message": number})["ok"]
            assert ben.hear("room_message")["message"] == number


class Wscat:
    """A WebSocket on which one types packets."""

    def __init__(self, daemon: Daemon) -> None:
        url = f"{daemon.url}/socket.io/?EIO=4&transport=websocket".replace("http", "ws", 1)
        self._websocket = websocket.create_connection(url, timeout=10)

    def type(self, packet: str) -> None:
        self._websocket.send(packet)

    def read(self) -> str:
        packet = self._websocket.recv()
        assert isinstance(packet, str)
        return packet

    def close(self) -> None:
        self._websocket.close()


@pytest.fixture
def wscat(daemon: Daemon) -> Iterator[Wscat]:
    with closing(Wscat(daemon)) as typed:
        yield typed


def event_of(packet: str) -> Any:
    assert packet.startswith("42")
    return orjson.loads(packet[2:])


def test_the_protocol_can_be_typed_by_hand(wscat: Wscat) -> None:
    opening = wscat.read()
    assert opening.startswith("0")
    handshake = orjson.loads(opening[1:])
    assert handshake.pop("sid")
    assert handshake == {
        "upgrades": [],
        "pingInterval": 25_000,
        "pingTimeout": 60_000,
        "maxPayload": 65_536,
    }
    wscat.type("40")
    assert wscat.read().startswith('40{"sid":"')
    assert event_of(wscat.read())[0] == "connected"
    wscat.type('42["join_room",{"room_id":"song-1"}]')
    name, refusal = event_of(wscat.read())
    assert (name, refusal["message"]) == ("error", "Authentication required")
    wscat.type(f'42["authenticate",{{"token":"Bearer {token(7)}"}}]')
    assert event_of(wscat.read())[0] == "authenticated"
    wscat.type('42["join_room",{"room_id":17}]')
    assert [event_of(wscat.read())[0] for _ in range(2)] == ["user_joined", "room_joined"]
    wscat.type('4299["broadcast_message",{"room_id":"17","message":"hé"}]')
    assert wscat.read() == '4399[{"ok":true,"room_id":"17"}]'
    wscat.type('42["no_such_event",{}]')
    name, refusal = event_of(wscat.read())
    assert (name, refusal["code"]) == ("error", "unknown_event")
    wscat.type("41")


def test_the_protocol_can_be_spoken_with_curl(daemon: Daemon) -> None:
    url = f"{daemon.url}/socket.io/?EIO=4&transport=polling"
    opened = http_request(url)
    assert opened.headers["content-type"] == "text/plain; charset=UTF-8"
    handshake = orjson.loads(opened.body[1:])
    assert handshake["upgrades"] == ["websocket"]
    url += f"&sid={handshake['sid']}"
    assert http_request(url, "POST", b"40" + orjson.dumps({"token": token(7)})).body == b"ok"
    packets = http_request(url).body.decode().split("\x1e")
    assert packets[0].startswith('40{"sid":"')
    assert [event_of(packet)[0] for packet in packets[1:]] == ["connected", "authenticated"]
    both = b'42["ping"]\x1e421["join_room",{"room_id":"song-1"}]'
    assert http_request(url, "POST", both).body == b"ok"
    # Songs are read from the disk: the answer to the join may be in the next poll.
    answers: list[str] = []
    while len(answers) < 2:
        answers += http_request(url).body.decode().split("\x1e")
    pong, joined = answers
    assert event_of(pong)[0] == "pong"
    assert orjson.loads(joined.removeprefix("431"))[0]["ok"] is True
    assert http_request(url, "POST", b"1").body == b"ok"
    gone = http_request(url)
    assert (gone.status, gone.json()) == (400, {"code": 1, "message": "Session ID unknown"})
