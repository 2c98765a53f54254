"""One room on this daemon: who sits in it, and what each of them is told.

Everything that members hear comes from the cluster, also what one of them said a moment ago: one
road, one order. It is encoded once for all who get the same bytes.

Whatever goes wrong in hearing goes no further. What concerns one member costs it its connection. If
the song itself could not take an edit, it is `damaged`: nobody edits it until it was loaded anew.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, cached_property, partial

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.answer import Answer
from chordme_daemon.app.arrivals import Arrivals
from chordme_daemon.app.deliveries import Deliveries, Legacy, Prepare
from chordme_daemon.app.document import Document, OutOfStep, Proposal, name_of
from chordme_daemon.app.events import Code
from chordme_daemon.app.seats import Seat
from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    Arrived,
    Degraded,
    Departed,
    Displaced,
    Entry,
    Note,
    Record,
    Replaced,
    RoomEvent,
)

# Called with a room and entries that followed each other after a revision, and are not kept.
BringBack = Callable[["Room", int, Sequence[Entry]], Deferred[None]]


@attrs.define(eq=False)
class Submission:
    """An operation on its way into the log, and who waits to hear its revision."""

    proposal: Proposal
    waiting: list["Deferred[int]"] = attrs.field(factory=list)


class Room:
    """The seats of one room on this daemon, and its document once it is open."""

    log = Logger()

    def __init__(
        self,
        room_id: str,
        prepare: Prepare,
        wall_s: Callable[[], float],
        bring_back: BringBack,
        clock: IReactorTime,
    ) -> None:
        self.id = room_id
        self.document: Document | None = None
        self.closed = False
        # Whether an edit could not be taken, and the last revision that was heard since then.
        self.damaged = False
        self._missed = 0
        # Who waits for the cluster to open it.
        self.opening: list[Deferred[None]] = []
        self.seats: dict[str, Seat] = {}
        # How many need it open without a seat in it.
        self.borrowed = 0
        # How often edits that were lost are being brought back: none may go in front of them.
        self.coming_back = 0
        self.users: Counter[str] = Counter()
        # The operations that are not in the log yet, and those of them that nobody has in hand.
        self.submissions: dict[tuple[object, ...], Submission] = {}
        self.queue: list[Submission] = []
        self.committing = False
        # The last messages, by their numbers.
        self.messages: deque[Note] = deque(maxlen=KEPT_NOTES)
        self._prepare = prepare
        self._bring_back = bring_back
        self.arrivals = Arrivals(self.seats, clock)
        self._deliveries = Deliveries(room_id, self.seats, prepare, wall_s, self.tell_state)

    @cached_property
    def message_sent(self) -> Answer:
        """What everybody is answered who has said something here."""
        payload = payloads.message_sent(self.id)
        prepared = self._prepare("message_sent", payload)
        return Answer("message_sent", payload, prepared=prepared)

    @property
    def text(self) -> Document:
        """The document of an open room."""
        assert self.document is not None  # noqa: S101 - nobody has a seat before it is open
        return self.document

    def has(self, seat: Seat) -> bool:
        """Whether somebody sits here, on this very seat."""
        return self.seats.get(seat.member.key) is seat

    def held(self) -> Record:
        """What came of all that was heard."""
        return self.text.record()

    def hear(self, event: RoomEvent) -> None:
        """Tell the members what the cluster has to say; raises nothing."""
        try:
            self._hear(event)
        except Exception:
            self.log.failure("Something could not be taken in the room {room}", room=self.id)
            if isinstance(event, Entry | Replaced):
                self._break()
        if self.damaged and isinstance(event, Entry):
            self._missed = max(self._missed, event.revision)
            self._settle_kept(event)
        self._deliveries.close_given_up()

    def reload(self, record: Record) -> None:
        """Begin anew with what is kept, if it has all that was heard."""
        if record.revision >= self._missed:
            self._replace(Replaced(record, 0, ()))

    def _hear(self, event: RoomEvent) -> None:
        match event:
            case Note(number=None):
                self._tell(event.event, event.payload, event.author, conflate=event.conflate)
            case Note():
                self.messages.append(event)
                self._tell(event.event, payloads.numbered(event), event.author)
            case Entry():
                document = self.document
                if document is None or event.revision <= document.revision or self.damaged:
                    return
                self._hear_entry(document, event)
            case Arrived(member, count):
                payload = payloads.user_joined(self.id, member.user_id, count, member.name)
                self.arrivals.tell(member.key, self._prepare("user_joined", payload))
            case Departed(member, count):
                payload = payloads.user_left(self.id, member.user_id, count, member.name)
                self.arrivals.tell(member.key, self._prepare("user_left", payload))
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
        self.arrivals.flush()
        name = (self.id, author, event) if conflate else None
        emission = self._prepare(event, payload, conflate=name)
        for key, seat in self.seats.items():  # nobody leaves by being sent something
            if key != author and seat.hears:
                seat.connection.send(emission)

    def _replace(self, event: Replaced) -> None:
        """Give everybody the text that is kept, and bring back what is not in it."""
        self.arrivals.flush()
        self.document = Document(event.record)
        self.damaged, self._missed = False, 0
        self.queue.clear()
        stale = OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        self.settle(list(self.submissions.values()), Failure(stale))
        for seat in list(self.seats.values()):
            if seat.hears:
                self.tell_state(seat, "restored")
        if event.lost:
            self._bring_back(self, event.base, event.lost)

    def _break(self) -> None:
        """Let nobody edit, or be told of edits, before the song was loaded anew."""
        self.damaged = True
        for seat in self.seats.values():
            seat.behind = True
            if seat.shadow is not None:
                seat.shadow.reset()
                seat.shadow.pending = None

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
        mine = (one for one in self.submissions.values() if one.proposal.author == author)
        # One after the other: others may have been settled meanwhile.
        while (submission := next(mine, None)) is not None:
            waiting: Deferred[int] = Deferred()
            submission.waiting.append(waiting)
            with suppress(Exception):
                await waiting
            mine = (one for one in self.submissions.values() if one.proposal.author == author)

    def _settle_kept(self, entry: Entry) -> None:
        """Tell who waits for an entry its revision."""
        if submission := self.submissions.get(name_of(entry.draft)):
            self.settle([submission], entry.revision)

    def _hear_entry(self, document: Document, entry: Entry) -> None:
        self.arrivals.flush()
        draft = entry.draft
        operation = ot.from_json(draft.operation)
        is_awaited = name_of(draft) in self.submissions
        before = cache(document.text.units)
        legacy: list[Legacy] = []
        for seat in self.seats.values():
            shadow = seat.shadow
            if shadow is None or not seat.hears or seat.behind:
                continue
            try:
                if is_awaited and seat.member.key == draft.author:
                    shadow.confirm()
                else:
                    shadow.hear(operation, draft.client_id, before, draft)
                legacy.append((seat, shadow))
            except Exception:
                self._deliveries.give_up(seat)
        document.hear(entry, operation)
        self._tell_current(entry, operation)
        if legacy:
            self._deliveries.tell(legacy, draft, operation)
        self._settle_kept(entry)

    def _tell_current(self, entry: Entry, operation: ot.Operation) -> None:
        emission = None
        author, seq = entry.draft.author, entry.draft.seq
        for key, seat in list(self.seats.items()):
            if seat.shadow is not None or not seat.hears:
                continue
            if key == author and seat.awaits == seq:
                continue  # it is answered; one that came back and did not ask again is told
            if not seat.awaits and seat.is_full:
                # Not before its operation is answered: it is to know all that is in front of it.
                seat.behind = True
            if not seat.behind:
                if emission is None:
                    payload = payloads.collaboration_update(self.id, entry, operation)
                    emission = self._prepare("collaboration_update", payload)
                seat.connection.send(emission)

    def update(self, seat: Seat) -> None:
        """Tell a legacy client what it may be told by now, if it is still here."""
        self._deliveries.update(seat)

    def tell_state(self, seat: Seat, reason: str) -> None:
        """Give a member the whole text, whatever it has; as soon as there is one."""
        if self.damaged or self.seats.get(seat.member.key) is not seat:
            return
        document = self.text
        state = partial(
            payloads.document_state, self.id, document.revision, str(document.text), reason
        )
        seat.behind = False
        if seat.shadow is not None:
            self._deliveries.replace(seat, seat.shadow, state)
            return
        seat.given = document.revision
        last_seq = document.last_seq(seat.member.key)
        seat.connection.emit("document_state", state(last_seq=last_seq))

    def tick(self) -> None:
        """Look whether those who were too slow have caught up."""
        for seat in list(self.seats.values()):
            if not seat.hears or not seat.has_caught_up:
                continue
            if seat.behind:
                self.tell_state(seat, "behind")
            elif seat.shadow is not None and not seat.shadow.in_step:
                self._deliveries.update(seat, at_tick=True)
