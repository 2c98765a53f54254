"""One room on this daemon: who sits in it, and what each of them is told.

Everything that members hear comes from the cluster, also what one of them said a moment ago: one
road, one order. It is encoded once for all who get the same bytes.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, partial
from typing import Final

import attrs
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.document import MAX_LAG, Document, OutOfStep, Proposal, name_of
from chordme_daemon.app.events import Code, Permission
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    Arrived,
    Degraded,
    Departed,
    Displaced,
    Draft,
    Entry,
    Member,
    Note,
    Record,
    Replaced,
    RoomEvent,
)
from chordme_daemon.socketio.server import Connection, Emission

Prepare = Callable[..., Emission]
# Called with a room and entries that followed each other after a revision, and are not kept.
BringBack = Callable[["Room", int, Sequence[Entry]], None]

# Unsent bytes from which a member is told no more edits, and those at which it has caught up.
BEHIND_BYTES: Final = 256 * 1024
CAUGHT_UP_BYTES: Final = 64 * 1024


@attrs.define(eq=False)
class Seat:
    """One connection's place in one room.

    A legacy client, which reads no revisions, has a `shadow`; its operations are counted here.
    `in_turn(call)` calls when all that the client asked for before has been answered.
    """

    connection: Connection
    member: Member
    client_id: str
    permission: Permission
    shadow: Shadow | None
    in_turn: Callable[[Callable[[], None]], None]
    # Before its join is answered, a client is told nothing: it will be in the answer.
    hears: bool = False
    # Too slow to be told every edit.
    behind: bool = False
    # The revision of the whole text that a current client was given instead. An operation that it
    # made on an earlier one is not to be committed: it carries it over to this one by itself.
    given: int = 0
    # The seq of the operation whose answer it waits for.
    awaits: int = 0
    submitted: int = 0
    # Whether a legacy client says itself what it has seen.
    echoes: bool = False
    # The delivery that replaces a legacy client's text, until it has seen it.
    replacing: int = 0

    def saw(self, number: int) -> None:
        """A legacy client has seen all that was delivered to it, up to a number."""
        if self.shadow is not None:
            if number >= self.replacing:
                self.replacing = 0
            self.shadow.seen(number)


@attrs.define(eq=False)
class Submission:
    """An operation on its way into the log, and who waits to hear its revision."""

    proposal: Proposal
    waiting: list["Deferred[int]"] = attrs.field(factory=list)


# The number of a delivery, and what is delivered.
Update = tuple[int, Emission]


class Room:
    """The seats of one room on this daemon, and its document once it is open."""

    def __init__(
        self,
        room_id: str,
        prepare: Prepare,
        wall_s: Callable[[], float],
        bring_back: BringBack,
    ) -> None:
        self.id = room_id
        self.document: Document | None = None
        self.closed = False
        # Who waits for the cluster to open it.
        self.opening: list[Deferred[None]] = []
        self.seats: dict[str, Seat] = {}
        # How many need it open without a seat in it.
        self.borrowed = 0
        self.users: Counter[str] = Counter()
        # The operations that are not in the log yet, and those of them that nobody has in hand.
        self.submissions: dict[tuple[object, object], Submission] = {}
        self.queue: list[Submission] = []
        self.committing = False
        # The last messages, by their numbers.
        self.messages: deque[Note] = deque(maxlen=KEPT_NOTES)
        self._prepare = prepare
        self._wall_s = wall_s
        self._bring_back = bring_back
        self._deliveries = 0

    @property
    def text(self) -> Document:
        """The document of an open room."""
        assert self.document is not None  # noqa: S101 - nobody has a seat before it is open
        return self.document

    def held(self) -> Record:
        """What came of all that was heard."""
        return self.text.record()

    def hear(self, event: RoomEvent) -> None:
        """Tell the members what the cluster has to say."""
        match event:
            case Note(number=None):
                self._tell(event.event, event.payload, event.author, conflate=event.conflate)
            case Note():
                self.messages.append(event)
                self._tell(event.event, payloads.numbered(event), event.author)
            case Entry():
                if self.document is not None and event.revision > self.document.revision:
                    self._hear_entry(self.document, event)
            case Arrived(member, count):
                payload = payloads.user_joined(self.id, member.user_id, count, member.name)
                self._tell("user_joined", payload, member.key)
            case Departed(member, count):
                payload = payloads.user_left(self.id, member.user_id, count, member.name)
                self._tell("user_left", payload, member.key)
            case _:
                self._hear_of_the_cluster(event)

    def _hear_of_the_cluster(self, event: Displaced | Degraded | Replaced) -> None:
        match event:
            case Displaced(key):
                if key in self.seats:
                    self.seats[key].connection.disconnect()
            case Degraded():
                self._tell("error", payloads.degraded(self.id), "")
            case Replaced():
                self._replace(event)

    def _tell(self, event: str, payload: object, author: str, *, conflate: bool = False) -> None:
        name = (self.id, author, event) if conflate else None
        emission = self._prepare(event, payload, conflate=name)
        # A copy: one who reads too slowly is closed in being told, and leaves.
        for key, seat in list(self.seats.items()):
            if key != author and seat.hears:
                seat.connection.send(emission)

    def _replace(self, event: Replaced) -> None:
        """Give everybody the text that is kept, and bring back what is not in it."""
        self.document = Document(event.record)
        self.queue.clear()
        stale = OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        self.settle(list(self.submissions.values()), Failure(stale))
        for seat in list(self.seats.values()):
            if seat.hears:
                self.tell_state(seat, "restored")
        if event.lost:
            self._bring_back(self, event.base, event.lost)

    # Edits

    def settle(self, submissions: Sequence[Submission], outcome: int | Failure) -> None:
        """Tell those who wait for operations how it went; once."""
        for submission in submissions:
            waiting, submission.waiting = submission.waiting, []
            self.submissions.pop(name_of(submission.proposal), None)
            for each in waiting:
                each.callback(outcome)

    async def settled(self, author: str) -> None:
        """Wait until all that somebody has sent is in the log, or refused."""
        for submission in list(self.submissions.values()):
            if submission.proposal.author == author:
                waiting: Deferred[int] = Deferred()
                submission.waiting.append(waiting)
                with suppress(Exception):
                    await waiting

    def _hear_entry(self, document: Document, entry: Entry) -> None:
        draft = entry.draft
        operation = ot.from_json(draft.operation)
        legacy = [
            (seat, seat.shadow)
            for seat in self.seats.values()
            if seat.shadow is not None and seat.hears
        ]
        before = cache(document.text.units) if legacy else None
        for seat, shadow in legacy:
            if seat.member.key == draft.author and name_of(draft) in self.submissions:
                shadow.confirm()
            elif before is not None:
                shadow.hear(operation, draft.client_id, before, draft)
        document.hear(entry, operation)
        self._tell_current(entry, operation)
        if legacy:
            self._tell_legacy(legacy, draft, ot.split(operation))
        if submission := self.submissions.get(name_of(draft)):
            self.settle([submission], entry.revision)

    def _tell_current(self, entry: Entry, operation: ot.Operation) -> None:
        emission = None
        author, seq = entry.draft.author, entry.draft.seq
        for key, seat in list(self.seats.items()):
            if seat.shadow is not None or not seat.hears:
                continue
            if key == author and seat.awaits == seq:
                continue  # it is answered; one that came back and did not ask again is told
            if not seat.awaits and seat.connection.queued_bytes > BEHIND_BYTES:
                # Not before its operation is answered: it is to know all that is in front of it.
                seat.behind = True
            if not seat.behind:
                if emission is None:
                    payload = payloads.collaboration_update(self.id, entry, operation)
                    emission = self._prepare("collaboration_update", payload)
                seat.connection.send(emission)

    def _tell_legacy(
        self, legacy: list[tuple[Seat, Shadow]], draft: Draft, parts: list[ot.Operation]
    ) -> None:
        updates: list[Update] | None = None
        for seat, shadow in legacy:
            due = self._due(seat, shadow)
            if not due or due != parts:
                self._send_due(seat, shadow, due)
                continue
            updates = updates or [self._legacy_update(draft, part) for part in parts]
            for number, _ in updates:
                shadow.deliver(number)
            self._deliver(seat, updates)

    def update(self, seat: Seat) -> None:
        """Tell a legacy client what it may be told by now, if it is still here."""
        if seat.shadow is not None and self.seats.get(seat.member.key) is seat:
            self._send_due(seat, seat.shadow, self._due(seat, seat.shadow))

    def _due(self, seat: Seat, shadow: Shadow) -> list[ot.Operation]:
        if shadow.behind > MAX_LAG and shadow.pending is None:
            self.tell_state(seat, "behind")
        # A client that does not read is told nothing; what it is not told waits in its shadow.
        return shadow.due() if seat.connection.queued_bytes <= BEHIND_BYTES else []

    def _send_due(self, seat: Seat, shadow: Shadow, due: Sequence[ot.Operation]) -> None:
        updates = []
        for operation in due:
            draft = shadow.deliver(self._deliveries + 1)
            updates.append(self._legacy_update(draft, operation))
        if updates:
            self._deliver(seat, updates)

    def _legacy_update(self, draft: Draft | None, operation: ot.Operation) -> Update:
        """The next delivery; a repair is nobody's."""
        self._deliveries += 1
        at_ms = int(self._wall_s() * 1000) if draft is None else draft.timestamp_ms
        payload = payloads.legacy_update(self.id, draft, operation, self._deliveries, at_ms)
        return self._deliveries, self._prepare("collaboration_update", payload)

    def _deliver(self, seat: Seat, updates: Sequence[Update]) -> None:
        """Send something to a legacy client, and hear when it has seen all of it."""
        if seat.echoes:
            # Its operations say what they have seen; the barrier is for when there are none.
            for _, emission in updates:
                seat.connection.send(emission)
            seat.connection.barrier(self._when_seen(seat, updates[-1][0]))
            return
        for number, emission in updates:
            # In front: what the client does between the two packets is as little as can be.
            seat.connection.barrier(self._when_seen(seat, number))
            seat.connection.send(emission)

    def _when_seen(self, seat: Seat, number: int) -> Callable[[], None]:
        return partial(seat.in_turn, partial(self._seen, seat, number))

    def _seen(self, seat: Seat, number: int) -> None:
        if self.seats.get(seat.member.key) is seat:
            seat.saw(number)
            self.update(seat)

    def tell_state(self, seat: Seat, reason: str) -> None:
        """Give a member the whole text, whatever it has."""
        document = self.text
        state = partial(
            payloads.document_state, self.id, document.revision, str(document.text), reason
        )
        seat.behind = False
        if seat.shadow is None:
            seat.given = document.revision
            last_seq = document.last_seq(seat.member.key)
            seat.connection.emit("document_state", state(last_seq=last_seq))
            return
        seat.shadow.reset()
        self._deliveries += 1
        seat.replacing = self._deliveries
        emission = self._prepare("document_state", state(delivery=self._deliveries))
        self._deliver(seat, [(self._deliveries, emission)])

    def tick(self) -> None:
        """Look whether those who were too slow have caught up."""
        for seat in list(self.seats.values()):
            if not seat.hears or seat.connection.queued_bytes > CAUGHT_UP_BYTES:
                continue
            if seat.behind:
                self.tell_state(seat, "behind")
            elif seat.shadow is not None and not seat.shadow.in_step:
                self.update(seat)
