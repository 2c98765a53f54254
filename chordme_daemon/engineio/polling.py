"""Long-polling, and the door where a request may ask for a WebSocket.

The checks of every request, in their order; the first that fails answers, with 400 where no other
status stands here:

1. There is one Origin at most (code 3), the page's own or an allowed one (403, code 4). An allowed
   page can read all answers from here on. A preflight has its answer (204).
2. The transport is `polling` or `websocket`, once (code 0; with an unknown method, 405), and there
   is one session id at most (code 1).
3. Who asks for a WebSocket does so properly (code 3; 426 in another version of WebSocket), and for
   a session that we know (code 1), of protocol version 4 (code 3), if for any.
4. Who polls without a session id does so by GET (code 2 for whatever else: engine.io's own suite
   wants no 405 here), without JSONP (code 3).
5. Who begins a session speaks protocol version 4 (code 5), finds room (503) and has a turn (429).
6. Who polls with a session id does so by a known method (405), in a session that we know (code 1)
   and that still polls, in protocol version 4, without JSONP, with one GET at a time (code 3).

A POST is served when its body is whole, and its packets are taken in one go. Two POSTs of a session
may overlap on their way here, and neither can know of the other; their packets are never mixed.
"""

from collections.abc import Callable
from functools import partial

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from chordme_daemon.engineio.door import (
    BAD_METHOD,
    BAD_REQUEST,
    BAD_VERSION,
    FULL,
    METHOD_UNKNOWN,
    RATE_LIMITED,
    SESSION_UNKNOWN,
    TRANSPORT_UNKNOWN,
    Door,
    Refusal,
    answer_preflight,
    note,
    refuse,
)
from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.interface import ITransport
from chordme_daemon.engineio.packet import PacketError, decode_payload, encode_payload
from chordme_daemon.engineio.server import CLOSE, NOOP, Server, Socket
from chordme_daemon.engineio.traffic import Traffic
from chordme_daemon.engineio.upgrade import (
    BadOpening,
    Candidate,
    answer_opening,
    asks_for_websocket,
)
from chordme_daemon.engineio.websocket import Opened, WebSocketTransport
from chordme_daemon.httpchannel import switch_protocol, untimed
from chordme_daemon.security import SecurityLog


@implementer(ITransport)
class PollingTransport:
    """A session's polls, one after the other."""

    __slots__ = ("_poll", "_traffic", "writable")

    name = "polling"
    # More in one answer, and python-engineio's clients give up the connection.
    max_packets = 16

    def __init__(self, traffic: Traffic) -> None:
        self.writable = False
        self._traffic = traffic
        self._poll: Request | None = None

    @property
    def polled(self) -> bool:
        """Whether a poll is waiting for packets."""
        return self._poll is not None

    def hold(self, poll: Request, socket: Socket) -> None:
        """Keep a poll until there is something to answer it with."""
        self._poll = poll
        self.writable = True
        poll.notifyFinish().addErrback(self._aborted, poll, socket)
        socket.flush({})
        if self._poll is poll:
            untimed(poll)

    def _aborted(self, _: Failure, poll: Request, socket: Socket) -> None:
        if self._poll is poll:
            self._poll = None
            self.writable = False
            socket.lost("transport close")

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Answer the waiting poll with packets."""
        poll, self._poll = self._poll, None
        self.writable = False
        assert poll is not None, "written to while not writable"  # noqa: S101
        _answer_poll(poll, packets, self._traffic)

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        """Answer the waiting poll with the last packets, if there is one."""
        if self._poll is None:
            return False
        self.write([*packets, NOOP if by_client else CLOSE], {})
        return True

    def abort(self) -> None:
        """End the waiting poll."""
        self.close([], by_client=False)


def _answer_poll(poll: Request, packets: list[Encoded], traffic: Traffic) -> None:
    body = encode_payload(packets)
    traffic.sent_bytes += len(body)
    poll.setHeader(b"content-type", b"text/plain; charset=UTF-8")
    poll.setHeader(b"cache-control", b"no-store")
    poll.setHeader(b"content-length", str(len(body)).encode())
    poll.write(body)
    poll.finish()


class EngineResource(Resource):
    """Engine.IO over HTTP, and the way from there to a WebSocket."""

    isLeaf = True

    def __init__(self, server: Server, websockets: WebSocketFactory, door: Door) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._server = server
        self._websockets = websockets
        self._security = SecurityLog(server.clock)
        # Another one may take its place.
        self.door = door

    def render(self, request: Request) -> bytes | int:
        """Serve any request under the path."""
        try:
            return self._serve(request)
        except Refusal as refusal:
            return self._refuse(request, refusal)

    def _refuse(self, request: Request, refusal: Refusal) -> bytes:
        self._server.refused[refusal.status] += 1
        note(self._security, request, refusal, self.door.address_of(request))
        return refuse(request, refusal)

    def _refuse_later(self, failure: Failure, request: Request) -> None:
        failure.trap(Refusal, CancelledError)
        if isinstance(failure.value, Refusal):
            request.write(self._refuse(request, failure.value))
            request.finish()

    def _serve(self, request: Request) -> bytes | int:
        self.door.check_origin(request)
        if request.method == b"OPTIONS":
            return answer_preflight(request)
        transport = _single(request, b"transport")
        if transport not in ("polling", "websocket"):
            _check_method(request)
            raise Refusal(*TRANSPORT_UNKNOWN)
        sid = _single(request, b"sid")
        if sid is None:
            raise Refusal(*SESSION_UNKNOWN)
        if asks_for_websocket(request):
            if transport != "websocket":
                raise Refusal(*BAD_REQUEST)
            return self._open_websocket(request, sid)
        if not sid:
            return self._open_polling(request, transport)
        _check_method(request)
        socket = self._find(request, sid)
        if socket is None:
            return NOT_DONE_YET
        if socket.session.upgraded or transport != "polling" or b"j" in request.args:
            raise Refusal(*BAD_REQUEST)
        if request.method == b"POST":
            return self._receive(request, socket)
        return self._poll(request, socket)

    def _find(self, request: Request, sid: str) -> Socket | None:
        """The socket of a request; None when the request is answered otherwise, now or later."""
        socket = self._server.find(sid)
        if socket is not None:
            if _single(request, b"EIO") != "4":
                raise Refusal(*BAD_REQUEST)
            return socket
        last_words = self._server.last_words(sid) if request.method == b"GET" else None
        if last_words is not None:
            _answer_poll(request, last_words, self._server.polled)
        else:
            self._pass_on(request, sid)
        return None

    def _pass_on(self, request: Request, sid: str) -> None:
        """Have another daemon serve a request whose session is not here."""
        unknown = Refusal(*SESSION_UNKNOWN)
        refuse = partial(self._refuse_later, Failure(unknown), request)
        if not self.door.pass_on(request, sid, refuse):
            raise unknown

    def _admit(self, request: Request, begin: Callable[[str], None]) -> int:
        """Call with the address of a new client, if it may come in."""
        if _single(request, b"EIO") != "4":
            raise Refusal(*BAD_VERSION)
        if self._server.full:
            raise Refusal(*FULL)
        address = self.door.address_of(request)

        def decide(wait_s: float) -> None:
            if wait_s > 0:
                raise Refusal(*RATE_LIMITED, wait_s)
            begin(address)

        wait_s = self.door.admit(address)
        if isinstance(wait_s, Deferred):
            deciding = wait_s.addCallback(decide).addErrback(self._refuse_later, request)
            # One that has left is not let in.
            request.notifyFinish().addErrback(lambda _: deciding.cancel())
        else:
            decide(wait_s)
        return NOT_DONE_YET

    def _open_polling(self, request: Request, transport: str) -> int:
        if request.method != b"GET":
            raise Refusal(*BAD_METHOD)
        if transport != "polling" or b"j" in request.args:  # JSONP was of version 3
            raise Refusal(*BAD_REQUEST)

        def begin(address: str) -> None:
            polling = PollingTransport(self._server.polled)
            socket = self._server.open(polling, address)
            if socket.session.closed:  # by the application, at once
                last_words = self._server.last_words(socket.sid) or [CLOSE]
                _answer_poll(request, last_words, self._server.polled)
            else:
                polling.hold(request, socket)

        return self._admit(request, begin)

    def _poll(self, request: Request, socket: Socket) -> int:
        polling = socket.transport
        assert isinstance(polling, PollingTransport)  # noqa: S101 - it has not upgraded
        if request.method == b"HEAD":
            raise Refusal(*BAD_REQUEST)
        if polling.polled:
            socket.close("transport error")
            raise Refusal(*BAD_REQUEST)
        polling.hold(request, socket)
        return NOT_DONE_YET

    def _receive(self, request: Request, socket: Socket) -> bytes:
        try:
            if (request.getHeader(b"content-type") or b"").startswith(b"application/octet-stream"):
                raise PacketError("binary payloads were of version 3")
            body = _body(request)
            self._server.polled.received_bytes += len(body)
            packets = decode_payload(body)
        except PacketError:
            socket.close("parse error")
            raise Refusal(*BAD_REQUEST) from None
        for packet in packets:
            socket.receive(packet)
        request.setHeader(b"content-type", b"text/html")
        request.setHeader(b"cache-control", b"no-store")
        return b"ok"

    def _open_websocket(self, request: Request, sid: str) -> int:
        try:
            opening = answer_opening(request)
        except BadOpening as error:
            if error.status == 426:
                request.setHeader(b"sec-websocket-version", b"13")
            raise Refusal(error.status, *BAD_REQUEST[1:]) from None

        def switch(opened: Opened) -> None:
            switch_protocol(request, self._websockets.build(opening, opened))

        if sid:
            socket = self._server.find(sid)
            if socket is None:
                self._pass_on(request, sid)
            else:
                switch(self._taking_over(request, socket))
            return NOT_DONE_YET
        return self._admit(
            request,
            lambda address: switch(lambda transport: self._server.open(transport, address)),
        )

    def _taking_over(self, request: Request, socket: Socket) -> Opened:
        if _single(request, b"EIO") != "4":
            raise Refusal(*BAD_REQUEST)

        def opened(transport: WebSocketTransport) -> Candidate | None:
            if socket.session.upgraded or socket.candidate is not None:
                transport.close([], by_client=False)
                return None
            return Candidate(socket, transport, self._server.clock)

        return opened


def _single(request: Request, name: bytes) -> str | None:
    """A query parameter: empty when it is not there, None when it is there twice."""
    values = request.args.get(name, [b""])
    return values[0].decode("latin-1") if len(values) == 1 else None


def _body(request: Request) -> bytes:
    return request.content.read() if request.content else b""


def _check_method(request: Request) -> None:
    if request.method not in (b"GET", b"POST", b"HEAD"):
        raise Refusal(*METHOD_UNKNOWN)
