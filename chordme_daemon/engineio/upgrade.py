"""From HTTP to WebSocket: the opening handshake, and the taking over of a polling session."""

import base64
import binascii
import hashlib
from typing import Final

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.web.server import Request
from zope.interface import implementer

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.interface import ICandidate, IReceiver, ITransport
from chordme_daemon.engineio.packet import Packet, PacketError, PacketType, decode
from chordme_daemon.engineio.server import NOOP, Socket
from chordme_daemon.engineio.session import PROBE_ANSWER, Probe
from chordme_daemon.engineio.websocket import WebSocketTransport

RELEASE_POLL_EVERY_S: Final = 0.1

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class BadOpening(Exception):
    """A request that cannot open a WebSocket; the HTTP status says why."""

    def __init__(self, status: int) -> None:
        super().__init__(f"bad WebSocket opening handshake ({status})")
        self.status = status


def _tokens(request: Request, header: bytes) -> list[bytes]:
    lines = request.requestHeaders.getRawHeaders(header, [])
    return [token.strip() for token in b",".join(lines).lower().split(b",")]


def asks_for_websocket(request: Request) -> bool:
    """Whether an HTTP request wants to become a WebSocket."""
    return b"websocket" in _tokens(request, b"upgrade")


def answer_opening(request: Request) -> bytes:
    """The 101 response to a WebSocket opening handshake (RFC 6455, 4.2)."""
    headers = request.requestHeaders
    if (
        request.method != b"GET"
        or request.clientproto != b"HTTP/1.1"
        or b"upgrade" not in _tokens(request, b"connection")
        or headers.getRawHeaders(b"content-length", [b"0"]) != [b"0"]
        or headers.hasHeader(b"transfer-encoding")
    ):
        raise BadOpening(400)
    if headers.getRawHeaders(b"sec-websocket-version") != [b"13"]:
        raise BadOpening(426)
    try:
        (key,) = headers.getRawHeaders(b"sec-websocket-key", [])
        nonce = binascii.a2b_base64(key, strict_mode=True)
    except ValueError:  # none, several, or not base64
        raise BadOpening(400) from None
    if len(nonce) != 16:
        raise BadOpening(400)
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


def _release(polling: ITransport) -> None:
    if polling.writable:
        polling.write([NOOP], {})


@implementer(ICandidate, IReceiver)
class Candidate:
    """A WebSocket that wants to take over a polling session."""

    def __init__(self, socket: Socket, transport: WebSocketTransport, clock: IReactorTime) -> None:
        socket.candidate = self
        self._socket = socket
        self._transport = transport
        self._clock = clock
        self._expiry = clock.callLater(transport.factory.upgrade_timeout_s, self._refuse)
        self._release_call: IDelayedCall | None = None

    def receive_text(self, text: str) -> None:
        """Take a step of the probe; a wrong one ends it, and the session goes on by polling."""
        try:
            packet = decode(text)
        except PacketError:
            packet = Packet(PacketType.NOOP)
        match self._socket.session.receive_probe(packet):
            case Probe.ANSWER:
                self._transport.write([PROBE_ANSWER], {})
                self._release_later()
            case Probe.TAKE_OVER:
                self._stop()
                polling = self._socket.transport
                self._transport.carry(self._socket)
                # Only now: the next poll of the same connection may be served at once.
                _release(polling)
            case Probe.REFUSE:
                self._refuse()

    def receive_binary(self, data: bytes) -> None:
        """Refuse: no step of a probe is binary."""
        self._refuse()

    def flush(self, joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Nothing waits for a candidate."""

    def lost(self, reason: str) -> None:
        """Hear that the WebSocket is gone; the session goes on by polling."""
        self._stop()
        self._socket.candidate = None
        self._socket.session.end_probe()

    def close(self) -> None:
        """Give up: the session has ended."""
        self._stop()
        self._transport.close([], by_client=False)

    def _refuse(self) -> None:
        self.lost("refused")
        self._transport.close([], by_client=False)

    def _release_later(self) -> None:
        self._release_call = self._clock.callLater(RELEASE_POLL_EVERY_S, self._release_again)

    def _release_again(self) -> None:
        # The client waits for its poll to end before it takes the last step. The next request of
        # the poll's connection may be served meanwhile, and be the end of the session.
        self._release_later()
        _release(self._socket.transport)

    def _stop(self) -> None:
        for call in (self._expiry, self._release_call):
            if call is not None and call.active():
                call.cancel()
