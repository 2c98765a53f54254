"""Reads many sockets through one descriptor.

Twisted's reactor spends about seven microseconds on each socket that it finds readable, on a log
context, a buffer of 64 KiB and a chain of calls: as much as the kernel needs to send a frame. But
an epoll is a file as well. The sockets of open WebSockets are watched by one of our own, and all of
them together are one descriptor to the reactor.

Only what is usual is done here. A socket that has come to its end is given back to its transport,
which finds the same again and does what is to be done.
"""

import select
from collections.abc import Callable
from contextlib import suppress
from socket import socket
from typing import Any, ClassVar, Final

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import classImplements

# The most that is read of one socket before it is the turn of the next.
READ_BYTES: Final = 16 * 1024
# The most sockets that are read in one turn of the reactor: what they said is passed on at its end,
# and should not wait for all that thousands of others have to say.
SOCKETS_A_TURN: Final = 64


class _Reader:
    __slots__ = ("received", "recv", "transport")

    def __init__(
        self, transport: Connection, handle: socket, received: Callable[[bytes], None]
    ) -> None:
        self.transport = transport
        self.recv = handle.recv
        self.received = received


class Poller:
    """Reads the sockets of TCP transports in their place."""

    log: ClassVar = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._epoll: select.epoll | None = None
        self._readers: dict[int, _Reader] = {}

    @staticmethod
    def suits(reactor: Any) -> bool:
        """Whether there is an epoll, and a reactor that can watch it."""
        return hasattr(select, "epoll") and IReactorFDSet.providedBy(reactor)

    def __len__(self) -> int:
        """How many sockets are read here."""
        return len(self._readers)

    def add(self, transport: Connection, handle: socket, received: Callable[[bytes], None]) -> int:
        """Read a transport's socket from now on; the number by which it is removed."""
        if self._epoll is None:  # not before twistd has forked
            self._epoll = select.epoll()
        if not self._readers:
            self._reactor.addReader(self)
        transport.stopReading()
        number = handle.fileno()
        self._epoll.register(number, select.EPOLLIN)
        self._readers[number] = _Reader(transport, handle, received)
        return number

    def remove(self, number: int) -> None:
        """Read it no more; it may be closed already."""
        if self._readers.pop(number, None) is None:
            return
        with suppress(OSError):  # the kernel has forgotten it when it was closed
            self._watched.unregister(number)
        if not self._readers:
            self._reactor.removeReader(self)

    @property
    def _watched(self) -> select.epoll:
        assert self._epoll is not None  # noqa: S101 - there is one as soon as there is a reader
        return self._epoll

    # For the reactor

    def fileno(self) -> int:
        """The epoll's own descriptor."""
        return self._watched.fileno()

    def logPrefix(self) -> str:
        """What the reactor calls it."""
        return "poller"

    def doRead(self) -> None:
        """Read the sockets that have something, once; more of them than a turn takes, in turn."""
        readers = self._readers
        for number, _ in self._watched.poll(0, SOCKETS_A_TURN):
            reader = readers.get(number)
            if reader is None:
                continue  # what came of another one in this turn has ended it
            try:
                data = reader.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                self.remove(number)
                reader.transport.connectionLost(Failure(ConnectionLost(str(error))))
                continue
            if not data:
                self.remove(number)
                reader.transport.startReading()
                continue
            try:
                reader.received(data)
            except Exception:
                self.log.failure("What was read could not be taken")
                reader.transport.abortConnection()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor ends, and with it all that is read here."""
        for number, reader in list(self._readers.items()):
            self.remove(number)
            reader.transport.connectionLost(reason)


classImplements(Poller, IReadDescriptor)
