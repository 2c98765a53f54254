"""Peers that mean no good, or do not know what they do; the rest must not notice."""

import json
import random
import resource
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.daemon import Daemon, token, wait_until

pytestmark = pytest.mark.journey

MANY = 1000
UPGRADE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
POST = b"POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: 127.0.0.1\r\n"
GET = b"GET /api/v1/health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


def dial(daemon: Daemon) -> socket.socket:
    return socket.create_connection(("127.0.0.1", daemon.port), timeout=10)


def read_all(peer: socket.socket) -> bytes:
    """All that comes until the daemon closes; it must, within the socket's timeout."""
    heard = b""
    with suppress(ConnectionResetError):
        while data := peer.recv(65_536):
            heard += data
    return heard


def send(peer: socket.socket, data: bytes) -> None:
    """Send as much as the daemon cares to take."""
    with suppress(BrokenPipeError, ConnectionResetError):
        peer.sendall(data)


def knock(daemon: Daemon, data: bytes) -> bytes:
    """What the daemon says to this, until it closes."""
    with closing(dial(daemon)) as peer:
        send(peer, data)
        return read_all(peer)


def frame(first: int, body: bytes) -> bytes:
    """A client's WebSocket frame, masked with zeroes."""
    size = len(body)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes([first]) + length + bytes(4) + body


@pytest.fixture(autouse=True)
def _nobody_notices(daemon: Daemon, clients: ClientProgram) -> Iterator[None]:
    """Afterwards a client that was there before gets its answers, and all is given back."""
    ada, ben = (clients.connect(daemon.url, user, **WEBSOCKET) for user in (7, 8))
    for client in (ada, ben):
        client.join("elsewhere")
    files = daemon.open_files
    rss_bytes = daemon.rss_bytes
    yield
    assert ada.ask("broadcast_message", {"room_id": "elsewhere", "message": "well?"})["ok"] is True
    assert ben.event("room_message")["message"] == "well?"
    assert clients.connect(daemon.url, 9).ask("ping", {})["ok"] is True
    wait_until(lambda: daemon.connections == 3, "only the healthy are counted")
    # The newcomer has a descriptor, and so may a poll that its upgrade has just ended.
    wait_until(lambda: daemon.open_files <= files + 2, "all descriptors are closed")
    assert daemon.rss_bytes - rss_bytes < 20 * 1024 * 1024


def test_garbage(daemon: Daemon) -> None:
    dice = random.Random(1)
    for _ in range(200):
        with closing(dial(daemon)) as peer:
            send(peer, dice.randbytes(dice.randrange(1, 3000)))
            peer.shutdown(socket.SHUT_WR)
            read_all(peer)


def client_hello() -> bytes:
    """How TLS begins."""
    written = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), written, server_hostname="a.b")
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return written.read()


def test_nothing_at_all_very_slowly_and_in_another_language(daemon: Daemon) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    with ExitStack() as stack:
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        silent = [stack.enter_context(closing(dial(daemon))) for _ in range(MANY)]
        slow_head, slow_body, half, headless, tls = (
            stack.enter_context(closing(dial(daemon))) for _ in range(5)
        )
        slow_head.sendall(GET + b"X-Slow: ")
        slow_body.sendall(POST + b"Content-Length: 1000\r\n\r\n")
        half.sendall(POST + b"Content-Length: 5\r\n\r\n40")
        headless.sendall(b"\r")
        tls.sendall(client_hello())
        began = time.monotonic()
        while time.monotonic() - began < 9:  # what trickles in must not prolong it
            for peer in (slow_head, slow_body):
                peer.sendall(b"x")
            time.sleep(0.2)
        for peer in (*silent, slow_head, slow_body, half, headless, tls):
            peer.settimeout(max(0.1, 16 - (time.monotonic() - began)))
            read_all(peer)


def test_requests_that_lie_about_their_size(daemon: Daemon) -> None:
    for length, status in (
        (b"99999999999", b"413"),
        (b"65537", b"413"),
        (b"9" * 5000, b"400"),
        (b"-1", b"400"),
        (b"1, 2", b"400"),
    ):
        answer = knock(daemon, POST + b"Content-Length: " + length + b"\r\n\r\n4")
        assert answer.startswith(b"HTTP/1.1 " + status), length
    endless = POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"4000\r\n" + b"x" * 0x4000
    assert knock(daemon, endless + (b"\r\n4000\r\n" + b"x" * 0x4000) * 64).startswith(
        b"HTTP/1.1 413"
    )


@pytest.mark.parametrize("begun", [b"", b"\x81", b"\x81\xfe\x10\x00", frame(0x01, b"40")])
def test_a_websocket_that_is_closed_by_half(daemon: Daemon, begun: bytes) -> None:
    with closing(dial(daemon)) as peer:
        send(peer, UPGRADE + begun)
        assert b"101 Switching Protocols" in peer.recv(65_536)
        peer.shutdown(socket.SHUT_WR)
        read_all(peer)


def test_random_frames(daemon: Daemon) -> None:
    dice = random.Random(2)
    for _ in range(200):
        with closing(dial(daemon)) as peer:
            send(peer, UPGRADE)
            assert b"101 Switching Protocols" in peer.recv(65_536)
            for _ in range(dice.randrange(1, 20)):
                first = dice.choice([0x81, 0x82, 0x01, 0x80, 0x00, 0x89, 0x8A, dice.randrange(256)])
                body = dice.choice(
                    [b"", b"2probe", b"5", b"40", dice.randbytes(dice.randrange(300))]
                )
                send(peer, frame(first, body))
            with suppress(OSError):
                peer.shutdown(socket.SHUT_WR)
            read_all(peer)


NAMES = ["authenticate", "join_room", "leave_room", "broadcast_message", "cursor_update", "ping"]
NAMES += ["collaboration_operation", "room_joined", "__init__", "é\u202e", "", "\x00", "x" * 200]
FIELDS = ["room_id", "message", "operation", "position", "type", "content", "length", "line", "id"]
FIELDS += ["column", "token", "client_id", "revision", "seq", "sent_at", "__proto__", ""]
VALUES = [None, True, False, 0, -1, 1.5, 2**53, 10**400, 1e308, "", "song-1", "insert", "delete"]
VALUES += ["\x00", "\u2028", "\ud83d\ude00", "\udead", "x" * 2000]


def anything(dice: random.Random, depth: int = 0) -> object:
    """Any JSON, with a liking for what the daemon reads."""
    shape = dice.randrange(10)
    if shape < 5 and depth < 4:
        return {dice.choice(FIELDS): anything(dice, depth + 1) for _ in range(dice.randrange(6))}
    if shape < 6 and depth < 4:
        return [anything(dice, depth + 1) for _ in range(dice.randrange(4))]
    return dice.choice(VALUES)


def test_random_events(daemon: Daemon) -> None:
    dice = random.Random(3)
    connect = f'40{{"token":"{token("eve")}"}}'
    join = '42["join_room",{"room_id":"song-1"}]'
    heard = b""
    for _ in range(300):
        with closing(dial(daemon)) as peer:
            send(peer, UPGRADE + frame(0x81, connect.encode()) + frame(0x81, join.encode()))
            for number in range(dice.randrange(20)):
                event = [dice.choice(NAMES), *(anything(dice) for _ in range(dice.randrange(3)))]
                ack = dice.choice(["", str(number)])
                send(peer, frame(0x81, f"42{ack}{json.dumps(event)}".encode()[:8000]))
            send(peer, frame(0x88, b""))
            heard += read_all(peer)
    # Much of it was understood so far that it could be refused.
    assert heard.count(b'42["error"') > 100
    assert heard.count(b'"ok":false') > 100
    assert b'"internal"' not in heard
