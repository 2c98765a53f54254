"""The body of an answer, read to its end or given up."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss


class TooLarge(Exception):
    """The body is longer than it may be."""


class _Body(Protocol):
    """Collects a body; who waits no more cancels `done`, and the connection goes."""

    def __init__(self, most_bytes: int) -> None:
        self.done: Deferred[bytes] = Deferred(lambda _: self._give_up())
        self._left_bytes = most_bytes
        self._chunks: list[bytes] = []
        self._ended = False

    def dataReceived(self, data: bytes) -> None:
        """Keep it, if it is not too much."""
        self._left_bytes -= len(data)
        if self._left_bytes < 0:
            self._give_up()
            self._end(Failure(TooLarge()))
        if not self._ended:
            self._chunks.append(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The end, if it is one."""
        is_whole = reason.check(ResponseDone, PotentialDataLoss)
        self._end(b"".join(self._chunks) if is_whole else reason)

    def _give_up(self) -> None:
        transport: Any = self.transport
        if transport is not None:
            transport.loseConnection()

    def _end(self, result: bytes | Failure) -> None:
        if not self._ended:
            self._ended = True
            self._chunks = []
            if not self.done.called:
                self.done.callback(result)


def read(response: Any, most_bytes: int) -> "Deferred[bytes]":
    """All of a response's body; fails with `TooLarge`."""
    body = _Body(most_bytes)
    response.deliverBody(body)
    return body.done
