"""One connection to Redis; the only file that knows txredisapi, whose parser of replies it is.

Its factories are not used: they give up for ever on some failures, keep commands for later, and do
not subscribe again. Nor are its replies' numbers guessed: what goes in comes out, as bytes.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

import hiredis
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from txredisapi import RedisProtocol, ResponseError

from chordme_daemon.cluster.interface import ClusterUnavailable


class Unavailable(ClusterUnavailable):
    """The command was not sent."""


class Unknown(ClusterUnavailable):
    """The command was sent; whether it was done cannot be known."""


class Refused(ClusterUnavailable):
    """Redis answered with an error: nothing was done. The text begins with its code."""


def is_of_a_key(error: Exception) -> bool:
    """Whether an error says something of what is in a key, and not of Redis as a whole."""
    return isinstance(error, Refused) and str(error).startswith(("WRONGTYPE", "ERR user_script:"))


class Protocol(RedisProtocol):  # type: ignore[misc] # txredisapi is not typed
    """One connection: bytes in, bytes out, nothing guessed of either."""

    def __init__(self, clock: Any) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self._clock = clock
        self.heard_at = clock.seconds()
        self.end = ""
        # How long the last answer took.
        self.took_s = 0.0
        # When each of the commands was sent whose answers have not come.
        self.sent_at: deque[float] = deque()

    def connectionMade(self) -> None:
        """Be told nothing by Nagle; let the kernel notice a peer that is gone."""
        if isinstance(self.transport.getPeer(), IPv4Address | IPv6Address):
            self.transport.setTcpNoDelay(True)
            self.transport.setTcpKeepAlive(True)
        super().connectionMade()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        """Hear something, whatever it is."""
        self.heard_at = self._clock.seconds()
        super().dataReceived(data, unpause)

    def connectionLost(self, why: Failure) -> None:
        """Be gone, and remember why."""
        self.end = self.end or why.getErrorMessage()
        super().connectionLost(why)

    def replyReceived(self, reply: object) -> None:
        """Answer the command that waits longest."""
        if self.sent_at:
            self.took_s = self._clock.seconds() - self.sent_at.popleft()
        super().replyReceived(reply)

    def _build_command(self, *args: Any, **_: Any) -> bytes:
        packed: bytes = hiredis.pack_command(args)
        return packed

    def ask(self, *command: bytes | str | int) -> Deferred[Any]:
        """Send a command; `Refused` when Redis answers with an error."""
        self.sent_at.append(self._clock.seconds())
        answer: Deferred[Any] = self.execute_command(*command)
        return answer.addErrback(_as_outcome)

    @property
    def waits_s(self) -> float:
        """How long the oldest unanswered command has been waiting."""
        return self._clock.seconds() - self.sent_at[0] if self.sent_at else 0.0


def _as_outcome(failure: Failure) -> Failure:
    if failure.check(ResponseError):
        return Failure(Refused(failure.getErrorMessage()))
    return Failure(Unknown(failure.getErrorMessage()))


Heard = Callable[[bytes, bytes], None]


class Subscriber(Protocol):
    """The connection that hears; replies are told apart by what they are, not by their order."""

    def __init__(
        self,
        clock: Any,
        heard: Heard,
        subscribed: Callable[[bytes], None],
        ponged: Callable[[], None],
    ) -> None:
        super().__init__(clock)
        self._heard = heard
        self._subscribed = subscribed
        self._ponged = ponged

    def replyReceived(self, reply: object) -> None:
        """Take a message, a confirmation, or the answer of AUTH."""
        match reply:
            case [b"message", bytes(channel), bytes(data)]:
                self._heard(channel, data)
            case [b"subscribe", bytes(channel), _]:
                self._subscribed(channel)
            case [b"unsubscribe", *_]:
                pass
            case _ if self.replyQueue.waiting:
                super().replyReceived(reply)
            case [b"pong", *_] | b"PONG":  # the second, as long as there is no channel
                if not self.end:
                    self._ponged()
            case _:  # an error that nobody waits for: a channel that we may not hear, perhaps
                self.end = str(reply)
                self.transport.loseConnection()

    def say(self, *command: bytes | str | int) -> None:
        """Send what is answered by its name."""
        self.transport.write(self._build_command(*command))
