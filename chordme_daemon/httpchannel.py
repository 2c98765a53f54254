"""HTTP/1.1 with a deadline for each request and a bound for each body.

Twisted's own channel begins its timeout anew with each byte, takes bodies of any size, and reads
forms out of them. The rules here:

- A request has `request_within_s` from its first byte (a connection, from its first moment) to
  the last byte of its body, however steadily its bytes trickle in. While the answer is pending
  there is no deadline: a long poll may wait.
- Between requests a connection may be idle for a minute.
- A body is at most `max_body_bytes`, refused before it is read where its length is announced, and
  stays in memory as it came.
- What two parsers could read in two ways is refused: folded headers, lengths of more than 19
  digits, codings other than chunked, a Host that is missing, doubled or implausible, a target
  that is not visible ASCII.
- What is refused is never rendered, not even what came in the same segment.
- Who does not read the answers is not served any further: Twisted would go on through all that
  is pipelined, and keep the answers in memory.
- A refused connection is gone two seconds later at the latest, read or unread.
- HTTP/1.1 only, whatever else Twisted could negotiate.
"""

import re
import socket as sockets
from io import BytesIO
from typing import Any, Final

from twisted.internet.interfaces import IAddress, IDelayedCall, IProtocol, IReactorTime
from twisted.internet.tcp import Connection
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from chordme_daemon.histogram import Histogram

IDLE_S: Final = 60.0
LINGER_S: Final = 2.0
DRAIN_S: Final = 1.0
MAX_QUERY_FIELDS: Final = 64
MAX_PIPELINED_PARTS: Final = 64
# What the kernel may keep for one slow reader: it would let each have megabytes.
SEND_BUFFER_BYTES: Final = 128 * 1024
# Bounds for how long requests take, in seconds; whatever methods clients make up are others.
REQUEST_BOUNDS_S: Final = (0.005, 0.025, 0.1, 0.5, 2.5)
METHODS: Final = (b"GET", b"POST")

_HOST: Final = re.compile(rb"(?:[A-Za-z0-9._-]{1,255}|\[[0-9A-Fa-f:.]{2,45}\])(?::([0-9]{1,5}))?")
_TARGET: Final = re.compile(rb"[!-~]+")


def _is_plausible(host: bytes) -> bool:
    match = _HOST.fullmatch(host)
    return match is not None and int(match[1] or 0) < 65_536


def _count_fields(target: bytes) -> int:
    query = target.partition(b"?")[2]
    return 1 + query.count(b"&") + query.count(b";")  # Twisted splits at both


class Served:
    """How long requests took, by their method and the class of their status, such as 2xx."""

    def __init__(self) -> None:
        self.durations: dict[tuple[str, str], Histogram] = {}

    def note(self, method: bytes, status: int, took_s: float) -> None:
        """One has been answered."""
        name = method.decode() if method in METHODS else "other"
        key = name, f"{status // 100}xx"
        if key not in self.durations:
            self.durations[key] = Histogram(REQUEST_BOUNDS_S)
        self.durations[key].note(took_s)


class BoundedRequest(Request):
    """A request whose body stays in memory, and no larger than its channel allows."""

    channel: Any
    code: int
    # When it was there; None for one that may wait as long as it likes.
    began_s: float | None = None

    def process(self) -> None:
        """Have it answered."""
        self.began_s = self.channel.site.clock.seconds()
        super().process()

    def finish(self) -> None:
        """Be answered."""
        site = self.channel.site if self.channel is not None else None
        super().finish()
        if site is not None and self.began_s is not None:
            site.served.note(self.method, self.code, site.clock.seconds() - self.began_s)

    def gotLength(self, length: int | None) -> None:
        """Make room for the body; the channel has seen to its size."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """Take a part of the body."""
        if self.content.tell() + len(data) > self.channel.site.max_body_bytes:
            self.channel.refuse(b"413 Content Too Large")
        else:
            self.content.write(data)


class BoundedChannel(HTTPChannel):
    """One HTTP connection."""

    requestFactory = BoundedRequest
    timeOut = None  # ours is another kind
    site: "BoundedSite"
    _done = False  # with this client: whatever else it sends is dropped
    _deadline: IDelayedCall | None = None
    _began = False

    def connectionMade(self) -> None:
        """Begin to count."""
        super().connectionMade()
        limit_send_buffer(self.transport)
        self.site.channels.add(self)
        self._allow(self.site.request_within_s)

    def dataReceived(self, data: bytes) -> None:
        """Take what came, unless nothing more is wanted."""
        if self._done:
            return
        if len(self._dataBuffer) >= MAX_PIPELINED_PARTS:
            # Twisted adds up the lengths of all parts for each: byte by byte, seconds of work.
            self._dataBuffer = [b"".join(self._dataBuffer)]
        super().dataReceived(data)
        # Looked at afterwards: the segment that ends a request may begin the next.
        is_partial = bool(self._buffer or self.requests) and not self._handlingRequest
        if is_partial and not self._began and not self._done:
            self._began = True
            self._allow(self.site.request_within_s)

    def connectionLost(self, reason: Failure) -> None:
        """Be gone."""
        self.site.channels.discard(self)
        self._allow(None)
        super().connectionLost(reason)

    @property
    def is_sending(self) -> bool:
        """Whether a part of an answer has not left yet."""
        transport = self.transport
        return bool(
            getattr(transport, "dataBuffer", b"") or getattr(transport, "_tempDataBuffer", ())
        )

    # The head

    def lineReceived(self, line: bytes) -> None:
        """Take a line of the head."""
        if line[:1] in (b" ", b"\t"):
            self.refuse(b"400 Bad Request")
        else:
            super().lineReceived(line)

    def lineLengthExceeded(self, line: bytes) -> None:
        """Refuse a line without end."""
        self.refuse(b"431 Request Header Fields Too Large")

    def headerReceived(self, line: bytes) -> bool:
        """Take a header; False when the request is refused for it."""
        name, _, value = line.partition(b":")
        value = value.strip(b" \t")
        match name.lower():
            case b"content-length" if len(value) > 19:
                self.refuse(b"400 Bad Request")
            case b"transfer-encoding" if value.lower() != b"chunked":
                self.refuse(b"400 Bad Request")
            case _:
                return bool(super().headerReceived(line))
        return False

    def allHeadersReceived(self) -> None:
        """Look at the head as a whole, before any of the body is read."""
        hosts = self.requests[-1].requestHeaders.getRawHeaders(b"host", [])
        if (
            len(hosts) > 1
            or (not hosts and self._version == b"HTTP/1.1")
            or not all(map(_is_plausible, hosts))
            or not _TARGET.fullmatch(self._path)  # Twisted's error pages fail on anything else
            or _count_fields(self._path) > MAX_QUERY_FIELDS
        ):
            self.refuse(b"400 Bad Request")
        elif (self.length or 0) > self.site.max_body_bytes:
            self.refuse(b"413 Content Too Large")
        else:
            super().allHeadersReceived()

    # The rest

    def allContentReceived(self) -> None:
        """Have the request answered, however long that takes."""
        if self._done:
            return  # its body was refused, and the last chunk came in the same segment
        self._allow(None)
        self._began = False
        super().allContentReceived()

    def requestDone(self, request: Request) -> None:
        """Wait for the next request, or for the answer to be read if there may be none."""
        self._done = not self.persistent
        self._allow(IDLE_S if self.persistent else self.site.request_within_s)
        super().requestDone(request)

    def pauseProducing(self) -> None:
        """Read, parse and answer nothing more while the peer does not read its answers."""
        super().pauseProducing()
        self.paused = True
        self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """Go on, first with what came before the pause."""
        self.paused = False
        super().resumeProducing()
        if not self._handlingRequest and not self._done:
            self.dataReceived(b"")

    def refuse(self, status: bytes) -> None:
        """Answer with a bare status, and have nothing more to do with this client."""
        if not self._done:
            self.site.served.note(b"", int(status[:3]), 0.0)
            self._end(b"HTTP/1.1 %s\r\nContent-Length: 0\r\nConnection: close\r\n\r\n" % status)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(b"400 Bad Request")

    def _release(self) -> bytes:
        """Let go of the transport; return what it brought that was not read yet."""
        self._allow(None)
        self._done = True
        early = b"".join(self._dataBuffer) + bytes(self.clearLineBuffer())
        self._dataBuffer.clear()
        self.requests.clear()
        self.transport.unregisterProducer()
        self.transport = None
        return early

    def _allow(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = (
            None if seconds is None else self.site.clock.callLater(seconds, self._expired)
        )

    def _expired(self) -> None:
        self._deadline = None
        if self._done:
            self.transport.abortConnection()
        elif self._began:
            self.refuse(b"408 Request Timeout")
        else:
            self._end(b"")

    def _end(self, answer: bytes) -> None:
        self._done = True
        self.length = None  # so that Twisted, somewhere up the stack, waits for a body
        self.clearLineBuffer()
        self._allow(LINGER_S)
        transport: Any = self.transport
        if answer:
            transport.write(answer)
        if answer and isinstance(transport, Connection) and not transport.TLS:
            # What is not read when a socket is closed has the kernel reset the connection, and the
            # answer may be lost with it: what still comes is read for a moment, and dropped.
            self._allow(DRAIN_S)
            self._networkProducer.resumeProducing()
            transport.loseWriteConnection()
        else:
            self.loseConnection()


class BoundedSite(Site):
    """A site of bounded channels, without access log, sessions or forms."""

    noisy = False

    def __init__(
        self,
        resource: IResource,
        *,
        clock: IReactorTime,
        max_body_bytes: int,
        request_within_s: float = 10.0,
        served: Served | None = None,
    ) -> None:
        super().__init__(resource, BoundedRequest, reactor=clock, parsePOSTFormSubmission=False)
        self.clock = clock
        self.max_body_bytes = max_body_bytes
        self.request_within_s = request_within_s
        self.served = served or Served()
        # The open connections, as long as they speak HTTP.
        self.channels: set[BoundedChannel] = set()

    @property
    def is_sending(self) -> bool:
        """Whether a part of an answer has not left yet."""
        return any(channel.is_sending for channel in self.channels)

    def startFactory(self) -> None:
        """Do not keep the time for an access log."""

    def stopFactory(self) -> None:
        """There is nothing to stop."""

    def buildProtocol(self, addr: IAddress | None) -> BoundedChannel:
        """A channel for a new connection."""
        channel = BoundedChannel()
        channel.site = channel.factory = self
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may negotiate; with h2 installed, Twisted would offer that too."""
        return [b"http/1.1"]

    def log(self, request: Request) -> None:
        """There is no access log."""


def limit_send_buffer(transport: Any) -> None:
    """Bound what the kernel keeps for the peer of a TCP connection, be there TLS on it or not."""
    while transport is not None:
        handle = getattr(transport, "socket", None)
        if isinstance(handle, sockets.socket) and handle.family != sockets.AF_UNIX:
            handle.setsockopt(sockets.SOL_SOCKET, sockets.SO_SNDBUF, SEND_BUFFER_BYTES)
            return
        transport = getattr(transport, "transport", None)


def close_after(request: Request) -> None:
    """End the connection with the answer to this request."""
    request.setHeader(b"connection", b"close")
    request.channel.persistent = False


def untimed(request: Request) -> None:
    """Do not count how long this request takes: it waits for something to happen."""
    bounded: Any = request
    bounded.began_s = None


def switch_protocol(request: Request, protocol: IProtocol) -> None:
    """Hand the transport under a request over to another protocol, for good.

    To be called while the request is rendered, which is never finished then. What the client sent
    after the head is the first that the protocol receives.
    """
    channel: Any = request.channel
    transport: Any = channel.transport
    channel.site.channels.discard(channel)
    early = channel._release()
    if isinstance(transport, ProtocolWrapper):  # TLS
        transport.wrappedProtocol = protocol
    else:
        transport.protocol = protocol
    transport.resumeProducing()
    protocol.makeConnection(transport)
    if early:
        protocol.dataReceived(early)
