"""Requests for sessions of other daemons: any daemon serves any client, without sticky sessions.

- The end of a session's id names the daemon that has it. A request with such an id is passed to
  that daemon's internal listener, and its answer comes back, streaming; a WebSocket is a tunnel.
- There only those are heard who know the password that all daemons share. What they say of the
  client's address is believed. Nothing is passed on from there, and no session begins.
- A daemon that cannot be reached has no sessions any more. One that fails in the middle costs the
  client this connection.
- Whoever does not read is not read from, on both sides; every wait has an end.
"""

import hmac
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, FileBodyProducer, HTTPConnectionPool, ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from twisted.web.resource import IResource, Resource
from twisted.web.server import Request

from chordme_daemon.httpchannel import limit_send_buffer, switch_protocol
from chordme_daemon.security import SecurityLog

CONNECT_WITHIN_S: Final = 2.0
ANSWER_WITHIN_S: Final = 10.0
TUNNEL_WITHIN_S: Final = 5.0
# A tunnel whose one end is gone passes on what it has to the other, but not for long.
LINGER_S: Final = 2.0
MAX_PASSED: Final = 10_000
# Longer than the other side keeps a connection idle, none is kept here.
IDLE_S: Final = 30
KEPT_CONNECTIONS: Final = 100

_FOREIGN: Final = re.compile(r"[A-Za-z0-9_-]{20}([A-Za-z0-9_-]{8})")
_KEY: Final = b"x-chordme-peer"
_ADDRESS: Final = b"x-chordme-address"
# What is between two neighbours, and not for others.
_HOP_BY_HOP: Final = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization te trailer transfer-encoding "
    b"upgrade content-length".split()
) | {_KEY, _ADDRESS}


@attrs.frozen
class Peer:
    """Another daemon's internal listener, as `host:port`, and the password that opens it."""

    address: str
    key: bytes = attrs.field(repr=False)


class Relay:
    """Passes requests on to the daemons whose sessions they are for.

    `find_peer(node)` tells where a daemon is. A poll is answered within `poll_within_s`.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        node: str,
        find_peer: Callable[[str], Deferred[Peer | None]],
        address_of: Callable[[Request], str],
        poll_within_s: float,
    ) -> None:
        self.passed = 0
        self._reactor = reactor
        self._node = node
        self._find_peer = find_peer
        self._address_of = address_of
        self._poll_within_s = poll_within_s
        self._pool: Any = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = KEPT_CONNECTIONS
        self._pool.cachedConnectionTimeout = IDLE_S
        self._pool.retryAutomatically = False
        self._agent = Agent(reactor, connectTimeout=CONNECT_WITHIN_S, pool=self._pool)
        self._complained_at = 0.0

    def close(self) -> Deferred[Any]:
        """Let go of idle connections."""
        closing: Deferred[Any] = self._pool.closeCachedConnections()
        return closing

    def pass_on(self, request: Request, sid: str, unknown: Callable[[], None]) -> bool:
        """Take over a request of a session that is not ours, if it can be another's.

        `unknown()` answers it if nobody has the session.
        """
        match = _FOREIGN.fullmatch(sid)
        if match is None or match[1] == self._node or self.passed >= MAX_PASSED:
            return False
        passing = self._find_peer(match[1])
        passing.addCallback(self._pass, request)
        self.passed += 1
        passing.addErrback(self._failed, request, unknown).addBoth(self._done)
        request.notifyFinish().addErrback(lambda _: passing.cancel())
        return True

    def _done(self, _: object) -> None:
        self.passed -= 1

    def _pass(self, peer: Peer | None, request: Request) -> Deferred[Any]:
        if peer is None:
            raise ConnectError
        headers = _passed_on(request.requestHeaders)
        headers.setRawHeaders(_KEY, [peer.key])
        headers.setRawHeaders(_ADDRESS, [self._address_of(request).encode()])
        if (request.getHeader(b"upgrade") or b"").lower() == b"websocket":
            return self._open_tunnel(peer, request, headers)
        return self._ask(peer, request, headers)

    def _failed(self, failure: Failure, request: Request, unknown: Callable[[], None]) -> None:
        if failure.check(CancelledError):
            return  # the client is gone
        if failure.check(ConnectError):
            unknown()
            return
        now = self._reactor.seconds()
        if now - self._complained_at >= 1:
            self._complained_at = now
            self.log.warn("Another daemon failed: {why}", why=failure.getErrorMessage())
        if request.startedWriting:
            channel: Any = request.channel
            channel.transport.abortConnection()
        else:
            request.setResponseCode(502, HTTPStatus.BAD_GATEWAY.phrase.encode())
            request.setHeader(b"content-length", b"0")
            request.finish()

    # Polls and posts

    def _ask(self, peer: Peer, request: Request, headers: Headers) -> Deferred[Any]:
        uri = b"http://" + peer.address.encode() + request.uri
        body = None if request.method in (b"GET", b"HEAD") else FileBodyProducer(request.content)
        within_s = self._poll_within_s if body is None else ANSWER_WITHIN_S
        asking = self._agent.request(request.method, uri, headers, body)
        asking.addTimeout(within_s, self._reactor)
        return asking.addCallback(self._answer, request)

    def _answer(self, response: IResponse, request: Request) -> Deferred[None]:
        request.setResponseCode(response.code, response.phrase)
        for name, values in response.headers.getAllRawHeaders():
            if name.lower() not in _HOP_BY_HOP | {b"date", b"server"}:
                request.responseHeaders.setRawHeaders(name, values)
        if isinstance(response.length, int):
            request.setHeader(b"content-length", str(response.length).encode())
        answer = _Answer(request)
        response.deliverBody(answer)
        # However slowly it is read: then its session has ended, for want of an answer to a ping.
        return answer.done.addTimeout(self._poll_within_s, self._reactor)

    # WebSockets

    def _open_tunnel(self, peer: Peer, request: Request, headers: Headers) -> Deferred[Any]:
        headers.setRawHeaders(b"connection", [b"Upgrade"])
        headers.setRawHeaders(b"upgrade", [b"websocket"])
        lines = [request.method + b" " + request.uri + b" HTTP/1.1"]
        for name, values in headers.getAllRawHeaders():
            lines += [name + b": " + value for value in values]
        head = b"\r\n".join([*lines, b"", b""])
        host, _, port = peer.address.rpartition(":")
        endpoint = HostnameEndpoint(
            self._reactor, host.strip("[]"), int(port), timeout=CONNECT_WITHIN_S
        )

        def connected(far: _End) -> None:
            near = _End(self._reactor)
            switch_protocol(request, near)
            far.open(near)
            near.open(far, head)
            far.expect_answer()

        connecting: Deferred[_End] = connectProtocol(endpoint, _End(self._reactor))
        return connecting.addCallback(connected)


def _passed_on(headers: Headers) -> Headers:
    return Headers(
        {
            name: values
            for name, values in headers.getAllRawHeaders()
            if name.lower() not in _HOP_BY_HOP
        }
    )


class _Answer(Protocol):
    """The body of an answer, on its way to the client."""

    def __init__(self, request: Request) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._stop())
        self._request = request

    def connectionMade(self) -> None:
        """Read as fast as the client does."""
        self._request.registerProducer(self.transport, True)

    def dataReceived(self, data: bytes) -> None:
        """Pass on a part."""
        if not self.done.called:
            self._request.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass on the end."""
        if self.done.called:
            return
        self._request.unregisterProducer()
        if reason.check(ResponseDone):
            self._request.finish()
            self.done.callback(None)
        else:
            self.done.errback(reason)

    def _stop(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()


class _End(Protocol):
    """One end of a tunnel; what it receives comes out of the other, once it is `open`."""

    other: "_End | None" = None
    transport: Any

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._deadline: IDelayedCall | None = None
        # What came before the other end was ready for it.
        self._early: list[bytes] | None = []

    def connectionMade(self) -> None:
        """Keep little for who does not read."""
        limit_send_buffer(self.transport)

    def open(self, other: "_End", head: bytes = b"") -> None:
        """Begin to pass on to the other end; first of all a head."""
        self.other = other
        other.transport.registerProducer(self.transport, True)
        early, self._early = self._early or [], None
        other.transport.write(head + b"".join(early))

    def expect_answer(self) -> None:
        """Give up, if nothing comes soon."""
        self._deadline = self._reactor.callLater(TUNNEL_WITHIN_S, self._expire)

    def dataReceived(self, data: bytes) -> None:
        """Pass on what came."""
        if self._early is not None:
            self._early.append(data)
        elif self.other is not None:
            self._relax()
            self.other.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """End the other end as well."""
        self._relax()
        other, self.other = self.other, None
        if other is not None:
            other.end()

    def end(self) -> None:
        """Pass on what there is, and be gone, soon."""
        self.other = None
        self._relax()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self._deadline = self._reactor.callLater(LINGER_S, self._expire)

    def _relax(self) -> None:
        deadline, self._deadline = self._deadline, None
        if deadline is not None:
            deadline.cancel()

    def _expire(self) -> None:
        self._deadline = None
        self.transport.abortConnection()


class PeerDoor(Resource):
    """What daemons hear from each other: requests for sessions, behind a password.

    `key_of()` is the password, empty as long as there is none.
    """

    isLeaf = True

    def __init__(self, engine: IResource, key_of: Callable[[], bytes], clock: IReactorTime) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # Twisted has no types here
        self._engine = engine
        self._key_of = key_of
        self._security = SecurityLog(clock)

    def render(self, request: Request) -> bytes | int:
        """Serve a request of another daemon."""
        key = self._key_of()
        given = request.getHeader(_KEY) or b""
        if not key or not hmac.compare_digest(key, given) or not request.args.get(b"sid"):
            request.setResponseCode(403)
            address = str(getattr(request.getClientAddress(), "host", "this machine"))
            self._security.note("peer", "{address} is no instance of this cluster", address=address)
            return b""
        answer: bytes | int = self._engine.render(request)
        return answer


def passed_address(request: Request) -> str:
    """The client's address, as the daemon that passed its request on tells it."""
    return (request.getHeader(_ADDRESS) or b"").decode("latin-1")
