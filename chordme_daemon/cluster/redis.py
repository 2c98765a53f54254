"""A cluster held together by one Redis.

- What is in Redis's log of a room is what happened; a channel only hints at it. A hole is filled
  from the log, and the rooms are compared with Redis again and again (`upkeep`).
- What is written is written by a script, in one step. A commit whose answer is lost is looked for
  in the log; only then does its author hear how it went.
- While Redis is away, operations and joins fail at once; notes reach those who are here.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, TimeoutError, ensureDeferred
from twisted.internet.ssl import Certificate
from twisted.logger import Logger
from zope.interface import implementer

from chordme_daemon.cluster import scripts, wire
from chordme_daemon.cluster.address import RedisAddress
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Entry,
    Hear,
    HearRuling,
    ICluster,
    Member,
    Note,
    Participant,
    Record,
    Ruling,
    Snapshot,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.link import Link
from chordme_daemon.cluster.protocol import Unknown
from chordme_daemon.cluster.replica import Replica, restore
from chordme_daemon.cluster.rulings import SharedRulings
from chordme_daemon.cluster.session import Session, unanswered
from chordme_daemon.cluster.upkeep import Upkeep

# How many who could not leave are told of at once.
LEFT_AT_ONCE: Final = 200
# For so long the author of an operation waits to hear whether it was kept.
CLEAR_WITHIN_S: Final = 5.0


@implementer(ICluster)
class RedisCluster:
    """One daemon of several over one Redis.

    `node` is its name, another one after each start; `peer_address()` tells where the others reach
    it, or nothing. `listeners` hear further channels. With a `journal`, what this daemon has saved
    of a room is given to a Redis that knows nothing of it. Call `tick` every second.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        address: RedisAddress,
        *,
        node: str,
        wall_s: Callable[[], float],
        prefix: str = "chordme:",
        peer_address: Callable[[], str] = lambda: "",
        trust: Sequence[Certificate] = (),
        grace_s: float = 15.0,
        journal: Journal | None = None,
        listeners: Mapping[bytes, Callable[[bytes], None]] | None = None,
    ) -> None:
        self.address = address
        # Messages in the channels that no daemon of this cluster sent.
        self.dropped = self._told_dropped = 0
        self._reactor = reactor
        self._wall_s = wall_s
        self._prefix = prefix
        self._grace_s = grace_s
        self._journal = journal
        self._listeners = dict(listeners or {})
        self._rooms: dict[str, Replica] = {}
        # Who left while Redis could not be told, and whether they were lost.
        self._gone: dict[str, bool] = {}
        self.session = Session(
            reactor,
            prefix=prefix,
            node=node,
            address=peer_address,
            grace_s=grace_s,
            began=self._begin,
            ended=lambda: self._upkeep.degrade(),  # noqa: PLW0108 - it is built next
        )
        self._upkeep = Upkeep(self.session, reactor, self._rooms)
        self._rulings = SharedRulings(
            self.session, lambda: int(wall_s() * 1000), lambda: self._link.hears
        )
        self.session.link = self._link = self._new_link(reactor, node, trust)

    def _new_link(self, reactor: Any, node: str, trust: Sequence[Certificate]) -> Link:
        return Link(
            reactor,
            self.address,
            heard=self._hear,
            opened=self.session.open,
            lost=self.session.lose,
            reheard=self._catch_up,
            own_channel=f"{self._prefix}node:{node}".encode(),
            channels=[*self._listeners, self._rulings.channel],
            trust=trust,
        )

    @property
    def available(self) -> bool:
        """Whether operations can be committed."""
        return self.session.available

    @property
    def hears(self) -> bool:
        """Whether what others say is heard at once."""
        return self._link.hears

    def start(self) -> None:
        """Connect, and stay connected."""
        self._link.start()

    async def stop(self) -> None:
        """Leave in good order."""
        await self.session.end()
        await self._link.stop()

    def tick(self) -> None:
        """Look after the connections, the members of the dead, and the heads."""
        self._link.tick()
        self.session.tick()
        self._upkeep.tick()
        if self._gone and self.available:
            self._leave_again()
        if self.dropped > self._told_dropped:
            count, self._told_dropped = self.dropped - self._told_dropped, self.dropped
            self.log.warn(
                "Dropped {count} messages that no daemon of this cluster sent", count=count
            )

    # ICluster

    def open(self, room: str, hear: Hear, held: Callable[[], Record]) -> Deferred[Record]:
        """Hear a room from now on."""
        return ensureDeferred(self._open(Replica(room, hear, held, self.session, self._reactor)))

    def close(self, room: str) -> None:
        """Hear a room no more."""
        self._rooms.pop(room).is_open = False
        self._link.unsubscribe(self._channel(room))

    def read(self, room: str) -> Deferred[Record]:
        """What is kept of a room."""
        return ensureDeferred(self._read(room))

    def join(self, room: str, member: Member, at_most: int) -> Deferred[list[Participant]]:
        """Add a member to a room."""
        return ensureDeferred(self._join(self._rooms[room], member, at_most))

    def leave(self, room: str, member: Member, *, lost: bool = False) -> None:
        """Take a member out of a room."""
        if room in self._rooms:
            self._rooms[room].presence.members.pop(member.key, None)
        unanswered(self._leave(room, member.key, lost=lost))

    def participants(self, room: str) -> Deferred[list[Participant]]:
        """Who is in a room."""
        return ensureDeferred(self._participants(room))

    def memberships(self, key: str) -> Deferred[Mapping[str, int]]:
        """The rooms in which a member is."""
        return ensureDeferred(self._memberships(key))

    def publish(self, room: str, note: Note) -> None:
        """Say something to all members."""
        replica = self._rooms[room]
        if not self.available:
            number = int(self._wall_s() * 1000) if note.kept else None
            replica.hear(attrs.evolve(note, number=number))
            return
        body = wire.encode_note(note)
        if note.kept:
            unanswered(self._keep(replica, body))
            return
        if not self._link.hears:
            replica.hear(note)
        message = self.session.opening + b'"n",false,' + body + b",null]]"
        self._link.call("PUBLISH", self._channel(room), message).addErrback(lambda _: None)

    async def _keep(self, replica: Replica, body: bytes) -> None:
        _, number = await self.session.run(scripts.KEEP, replica.room, body)
        if not self._link.hears:
            await replica.messages.pull(number)

    def commit(
        self, room: str, head: int, drafts: Sequence[Draft]
    ) -> Deferred[Sequence[Entry] | None]:
        """Append to the room's log."""
        return ensureDeferred(self._commit(self._rooms[room], head, drafts))

    def compact(self, room: str, snapshot: Snapshot, base: int) -> None:
        """Keep a snapshot."""
        arguments = wire.snapshot_arguments(snapshot, base)
        unanswered(self.session.run(scripts.COMPACT, room, *arguments))
        if self._journal is not None:
            copied = self._journal.copy(room, snapshot)
            copied.addErrback(lambda _: None)  # the journal has logged it

    def govern(self, hear: HearRuling) -> None:
        """Hear what is ruled from now on."""
        self._rulings.hear = hear

    def rule(self, ruling: Ruling) -> Deferred[None]:
        """Let every daemon hear a ruling, and keep it until its time."""
        return ensureDeferred(self._rulings.rule(ruling))

    # Rooms

    def _channel(self, room: str) -> bytes:
        return f"{self._prefix}room:{room}".encode()

    async def _open(self, replica: Replica) -> Record:
        if not self.available:
            raise ClusterUnavailable
        room = replica.room
        self._rooms[room] = replica
        try:
            await self._link.subscribe(self._channel(room))
            record = await self._read(room)
            if not record.revision and self._journal is not None:
                kept = await self._journal.load(room)
                if kept.revision:
                    await restore(self.session, room, 0, kept)
                    record = await self._read(room)
        except BaseException:
            self.close(room)
            raise
        record = replica.begin(record)
        if replica.messages.is_behind:
            unanswered(replica.messages.pull(0))
        return record

    async def _read(self, room: str) -> Record:
        try:
            return wire.record(await self.session.ask(scripts.READ, room))
        except wire.BadMessage as bad:
            text = "What Redis has of the song {room} is damaged: {why}"
            self.log.error(text, room=room, why=str(bad))
            raise ClusterUnavailable from None

    async def _commit(
        self, replica: Replica, head: int, drafts: Sequence[Draft]
    ) -> Sequence[Entry] | None:
        if not self.available:
            raise ClusterUnavailable
        if head != replica.revision:
            return None
        try:
            reply = await self.session.run(
                scripts.COMMIT, replica.room, head, *wire.draft_arguments(drafts)
            )
        except Unknown:
            return await self._look_for(replica, head, drafts)
        if reply[0] == b"ok":
            entries = [Entry(head + number, draft) for number, draft in enumerate(drafts, 1)]
            replica.advance(entries)
            return entries
        await replica.follow(head, *reply[1:])
        return None

    async def _look_for(
        self, replica: Replica, head: int, drafts: Sequence[Draft]
    ) -> Sequence[Entry] | None:
        """The entries of a commit whose answer was lost.

        The session in which it was sent is over: if it was not done, it will not be.
        """
        try:
            await self.session.whenever().addTimeout(CLEAR_WITHIN_S, self._reactor)
        except TimeoutError:
            raise ClusterUnavailable from None
        names = {(draft.author, draft.seq) for draft in drafts}
        after = [entry for entry in replica.held().entries if entry.revision > head]
        found = [entry for entry in after if (entry.draft.author, entry.draft.seq) in names]
        return found if len(found) == len(drafts) else None

    # Members

    async def _join(self, replica: Replica, member: Member, at_most: int) -> list[Participant]:
        if not self.available:
            raise ClusterUnavailable
        # Not after this any more: it would take out who has come back.
        place = _place(replica.room, member.key)
        owed = self._gone.pop(place, None)
        try:
            members = await replica.presence.join(member, at_most)
        except ClusterUnavailable:
            if owed is not None:
                self._gone.setdefault(place, owed)
            raise
        return wire.participants(members)

    async def _leave(self, room: str, key: str, *, lost: bool) -> None:
        grace_ms = int(self._grace_s * 1000)
        try:
            await self.session.run(scripts.LEAVE, room, key, int(lost), grace_ms)
        except ClusterUnavailable:
            self._gone[_place(room, key)] = lost

    def _leave_again(self) -> None:
        """Tell Redis what it could not be told: it was full, perhaps, or it was too much."""
        for place in list(self._gone)[:LEFT_AT_ONCE]:
            room, _, key = place.partition(" ")
            unanswered(self._leave(room, key, lost=self._gone.pop(place)))

    async def _participants(self, room: str) -> list[Participant]:
        places, _ = await self.session.ask(scripts.MEMBERS, room)
        return wire.participants(wire.members(places))

    async def _memberships(self, key: str) -> Mapping[str, int]:
        reply = await self.session.ask(scripts.MEMBERSHIPS, key)
        return {room.decode(): head for room, head in zip(reply[::2], reply[1::2], strict=True)}

    # What is heard, and what was missed

    def _hear(self, channel: bytes, data: bytes) -> None:
        if channel in self._listeners:
            self._listeners[channel](data)
            return
        try:
            if channel == self._rulings.channel:
                self._rulings.take(data)
                return
            replica = self._rooms.get(channel.decode().removeprefix(f"{self._prefix}room:"))
            if replica is None:
                return
            message = wire.decode_message(data, self.session.opening)
        except wire.BadMessage:
            self.dropped += 1
            return
        if not self._link.hears:  # nor was what came before
            replica.messages.fall_behind()
        if isinstance(message, wire.Changed | wire.Moved):
            replica.presence.take(message)
        elif isinstance(message, wire.Restored):
            if replica.is_open:  # its past may be another one now
                unanswered(replica.verify())
        elif replica.take(message):
            unanswered(replica.pull())

    async def _begin(self, places: Sequence[str]) -> None:
        """A session begins: whatever has happened meanwhile, be up to date with it."""
        await self._rulings.catch_up()
        await self._upkeep.begin()
        ours = {
            _place(room, key) for room, one in self._rooms.items() for key in one.presence.members
        }
        gone, self._gone = self._gone, {}
        for place in set(places) - ours:
            room, _, key = place.partition(" ")
            await self._leave(room, key, lost=gone.get(place, True))

    def _catch_up(self) -> None:
        """Channels are heard again."""
        self._upkeep.catch_up()
        if self.available:
            unanswered(self._rulings.catch_up())


def _place(room: str, key: str) -> str:
    """How scripts name a member in a room."""
    return f"{room} {key}"
