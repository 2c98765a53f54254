"""A line to one Redis that is never deaf without knowing it.

- Two connections: one for commands, in their order, and one that hears the channels.
- A command is sent at once or not at all. It fails with `Unavailable` when it was not sent, and
  with `Unknown` when it was and its answer will never come: it may have been done, now or later.
- Whatever is not answered within 2 s, or silent for 3 s, is given up and opened again, after a
  delay that grows and is never the same for two daemons.
- On every new connection all channels are subscribed to again. What was published meanwhile is
  gone: who needs more than that is told when each gap has ended.
- Every second it says something to itself. If nobody hears that, the two connections lead to two
  Redises, one of which was the master before, and that which hears is opened again.
"""

import random
from collections.abc import Callable, Coroutine, Iterable, Sequence
from hashlib import sha1
from typing import Any, Final

import attrs
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import Deferred, ensureDeferred, fail, gatherResults, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IDelayedCall, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.cluster.address import RedisAddress
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.protocol import Heard, Protocol, Refused, Subscriber, Unavailable

ANSWER_WITHIN_S: Final = 2.0
SILENT_FOR_S: Final = 3.0
CONNECT_WITHIN_S: Final = 2.0
MAX_IN_FLIGHT: Final = 1000


@attrs.frozen
class Script:
    """A Lua script, and its name in Redis."""

    source: str
    digest: str = attrs.field(init=False)

    @digest.default
    def _digest(self) -> str:
        return sha1(self.source.encode(), usedforsecurity=False).hexdigest()


class _Line:
    """One connection, opened again whenever it is lost.

    `use(connection)` prepares each; what it fails with costs the connection. (Twisted's
    `ClientService` does not bear a connection that is lost while it is prepared.)
    """

    def __init__(
        self,
        clock: Any,
        endpoint: IStreamClientEndpoint,
        make: Callable[[], Protocol],
        use: Callable[[Any], Coroutine[Deferred[Any], Any, None]],
        complain: Callable[[str], None],
    ) -> None:
        self._clock = clock
        self._endpoint = endpoint
        self._factory = Factory.forProtocol(make)
        self._factory.noisy = False
        self._use = use
        self._complain = complain
        # Not the same for all daemons, or they would all come back at the same moment.
        self._delay_s = backoffPolicy(0.1, 5.0, 1.5, jitter=lambda: random.uniform(0.0, 0.2))  # noqa: S311
        self._attempts = 0
        self._connection: Protocol | None = None
        self._connecting: Deferred[Any] | None = None
        self._waiting: IDelayedCall | None = None
        self._stopped: Deferred[None] | None = None

    def start(self) -> None:
        """Connect, and stay connected."""
        self._waiting = None
        self._connecting = self._endpoint.connect(self._factory)
        self._connecting.addCallbacks(self._made, self._not_made)

    def stop(self) -> Deferred[None]:
        """Disconnect; fires when all is over."""
        if self._stopped is not None:
            return succeed(None)
        self._stopped = stopped = Deferred[None]()
        if self._connection is not None:
            self._connection.transport.abortConnection()
        elif self._connecting is not None:
            self._connecting.cancel()
        else:
            if self._waiting is not None:
                self._waiting.cancel()
            stopped.callback(None)
        return stopped

    def _made(self, connection: Protocol) -> None:
        self._connecting, self._connection = None, connection
        connection.whenDisconnected().addCallback(self._lost)
        ensureDeferred(self._use(connection)).addCallbacks(self._used, self._not_used)

    def _used(self, _: None) -> None:
        self._attempts = 0

    def _not_used(self, failure: Failure) -> None:
        failure.trap(ClusterUnavailable)
        if self._connection is not None:
            self._complain(failure.getErrorMessage())
            self._connection.transport.abortConnection()

    def _not_made(self, failure: Failure) -> None:
        self._connecting = None
        self._complain(failure.getErrorMessage())
        self._go_on()

    def _lost(self, connection: Protocol) -> None:
        self._connection = None
        self._complain(connection.end)
        self._go_on()

    def _go_on(self) -> None:
        if self._stopped is not None:
            self._stopped.callback(None)
            return
        self._attempts += 1
        self._waiting = self._clock.callLater(self._delay_s(self._attempts), self.start)


class Link:
    """Commands to one Redis, and messages from it.

    `opened()` is called whenever commands can be sent again, `lost()` when they cannot any more,
    `reheard()` when all channels are heard again: whatever was said in between was missed.
    `channels` are heard from the beginning; `own_channel` is one in which nobody else speaks.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: RedisAddress,
        *,
        heard: Heard,
        opened: Callable[[], None],
        lost: Callable[[], None],
        reheard: Callable[[], None],
        own_channel: bytes,
        channels: Iterable[bytes] = (),
        trust: Sequence[Certificate] = (),
    ) -> None:
        self.address = address
        self._reactor = reactor
        self._on_message = heard
        self._on_opened = opened
        self._on_lost = lost
        self._on_reheard = reheard
        self._commands: Protocol | None = None
        self._subscriber: Subscriber | None = None
        # Each channel, with who waits to hear that it is heard.
        self._channels: dict[bytes, list[Deferred[None]]] = {
            name: [] for name in (own_channel, *channels)
        }
        self._own_channel = own_channel
        self._known_scripts: set[str] = set()
        self._was_deaf = True
        self._stopping = False
        self._complaint = ""
        self.losses = 0  # how often commands could not be sent any more
        endpoint = _endpoint(reactor, address, trust)
        self._lines = [
            _Line(reactor, endpoint, make, use, self._complain)
            for make, use in (
                (lambda: Protocol(reactor), self._use_commands),
                (self._new_subscriber, self._use_subscriber),
            )
        ]

    # Asked by the owner

    def start(self) -> None:
        """Connect, and stay connected."""
        for line in self._lines:
            line.start()

    def stop(self) -> Deferred[Any]:
        """Leave; what is under way fails."""
        self._stopping = True
        channels, self._channels = self._channels, {}
        for waiting in channels.values():
            _fail_all(waiting)
        return gatherResults([line.stop() for line in self._lines])

    @property
    def up(self) -> bool:
        """Whether commands can be sent."""
        return self._commands is not None

    @property
    def round_trip_s(self) -> float:
        """How long the last answer took, or the one that is still waited for; 0 when not up."""
        commands = self._commands
        return 0.0 if commands is None else max(commands.took_s, commands.waits_s)

    @property
    def hears(self) -> bool:
        """Whether all channels are heard."""
        return self._subscriber is not None and not self._was_deaf

    def call(self, *command: bytes | str | int) -> Deferred[Any]:
        """Send a command; fires with its reply, strings as bytes."""
        commands = self._commands
        if commands is None or not commands.connected or len(commands.sent_at) >= MAX_IN_FLIGHT:
            return fail(Unavailable())
        return commands.ask(*command)

    def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[bytes | str | int]
    ) -> Deferred[Any]:
        """Run a script; its text is sent once for each connection."""
        rest = (len(keys), *keys, *arguments)
        if script.digest not in self._known_scripts:
            self._known_scripts.add(script.digest)
            return self.call("EVAL", script.source, *rest)

        def forgotten(failure: Failure) -> Any:
            failure.trap(Refused)
            if not failure.getErrorMessage().startswith("NOSCRIPT"):
                return failure
            return self.call("EVAL", script.source, *rest)

        return self.call("EVALSHA", script.digest, *rest).addErrback(forgotten)

    def subscribe(self, channel: bytes) -> Deferred[None]:
        """Hear a channel from when this fires; it stays so over lost connections."""
        waiting = self._channels.setdefault(channel, [])
        waiter: Deferred[None] = Deferred(waiting.remove)
        waiting.append(waiter)
        if self._subscriber is not None:
            self._subscriber.say("SUBSCRIBE", channel)
        return waiter.addTimeout(ANSWER_WITHIN_S, self._reactor, _as_unavailable)

    def unsubscribe(self, channel: bytes) -> None:
        """Hear a channel no more."""
        _fail_all(self._channels.pop(channel, []))
        if self._subscriber is not None:
            self._subscriber.say("UNSUBSCRIBE", channel)

    def tick(self) -> None:
        """Ask both connections for a sign of life, and give up those that are silent.

        To be called every second.
        """
        now = self._reactor.seconds()
        if self._commands is not None:
            if self._commands.waits_s > ANSWER_WITHIN_S:
                self._give_up(self._commands, "a command has not been answered")
            elif self._subscriber is not None and self.hears:
                self._talk_to_ourselves(self._commands, self._subscriber)
            elif not self._commands.sent_at:
                self._commands.ask("PING").addErrback(lambda _: None)
        if self._subscriber is not None:
            if now - self._subscriber.heard_at > SILENT_FOR_S:
                self._give_up(self._subscriber, "it has been silent")
            else:
                self._subscriber.say("PING")

    def _talk_to_ourselves(self, commands: Protocol, subscriber: Subscriber) -> None:
        def said(listeners: int) -> None:
            if not listeners and subscriber is self._subscriber:
                self._give_up(subscriber, "what is said here is not heard there")

        # An error says nothing of who listens.
        commands.ask("PUBLISH", self._own_channel, b"").addCallbacks(said, lambda _: None)

    def open_anew(self, why: str) -> None:
        """Give up both connections; those that follow may lead elsewhere."""
        connections: tuple[Protocol | None, ...] = (self._commands, self._subscriber)
        for connection in connections:
            if connection is not None:
                self._give_up(connection, why)

    def _give_up(self, connection: Protocol, why: str) -> None:
        self._complain(f"gave up a connection: {why}")
        connection.transport.abortConnection()

    # Connections

    def _new_subscriber(self) -> Subscriber:
        return Subscriber(self._reactor, self._hear, self._confirmed, self._ponged)

    async def _enter(self, protocol: Protocol) -> None:
        """Say who we are, and which database is meant."""
        address = self.address
        timeout = self._reactor.callLater(ANSWER_WITHIN_S, protocol.transport.abortConnection)
        try:
            if address.password:
                names = (address.username,) if address.username else ()
                await protocol.ask("AUTH", *names, address.password)
            await protocol.ask("SELECT" if address.database else "PING", *_database(address))
        finally:
            if timeout.active():
                timeout.cancel()

    async def _use_commands(self, protocol: Protocol) -> None:
        await self._enter(protocol)
        protocol.whenDisconnected().addCallback(self._lost_commands)
        self._commands = protocol
        self._known_scripts.clear()
        self._complaint = ""
        self.log.info("Connected to {redis}", redis=str(self.address))
        self._on_opened()

    def _lost_commands(self, protocol: Protocol) -> None:
        if self._commands is protocol:
            self._commands = None
            self.losses += 1
            self._on_lost()

    async def _use_subscriber(self, protocol: Subscriber) -> None:
        await self._enter(protocol)
        protocol.whenDisconnected().addCallback(self._lost_subscriber)
        self._subscriber = protocol
        for channel in self._channels:
            protocol.say("SUBSCRIBE", channel)
        # Answered when all of them are heard.
        self._was_deaf = True
        protocol.say("PING")

    def _ponged(self) -> None:
        if self._was_deaf:
            self._was_deaf = False
            self._on_reheard()

    def _lost_subscriber(self, protocol: Subscriber) -> None:
        if self._subscriber is protocol:
            self._subscriber = None

    def _confirmed(self, channel: bytes) -> None:
        waiting = self._channels.get(channel, [])
        while waiting:
            waiting.pop().callback(None)

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel == self._own_channel or channel not in self._channels:
            return  # it is enough that it came; or it is not listened to any more
        try:
            self._on_message(channel, data)
        except Exception:  # txredisapi would lose what comes behind it
            self.log.failure("A message from Redis was not understood")

    def _complain(self, why: str) -> None:
        """One line for each trouble, not for each attempt."""
        if why != self._complaint and not self._stopping:
            self._complaint = why
            self.log.warn("Redis at {redis}: {why}", redis=str(self.address), why=why)


def _database(address: RedisAddress) -> tuple[int, ...]:
    return (address.database,) if address.database else ()


def _as_unavailable(_: object, __: float) -> Any:
    raise Unavailable from None


def _fail_all(waiting: list[Deferred[None]]) -> None:
    while waiting:
        waiting.pop().errback(Unavailable())


def _endpoint(
    reactor: Any, address: RedisAddress, trust: Sequence[Certificate]
) -> IStreamClientEndpoint:
    if address.path:
        return UNIXClientEndpoint(reactor, address.path, timeout=CONNECT_WITHIN_S)
    plain = HostnameEndpoint(reactor, address.host, address.port, timeout=CONNECT_WITHIN_S)
    if not address.tls:
        return plain
    root = trustRootFromCertificates(trust) if trust else None
    options = optionsForClientTLS(address.host, trustRoot=root)
    return wrapClientTLS(options, plain)
