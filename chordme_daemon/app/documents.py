"""Puts the concurrent operations on a room's document into one order.

One commit of a room is under way at a time. What comes meanwhile waits, and goes into the next
one together: each of them carried past the log, then past those that go before it.
"""

from collections.abc import Sequence
from typing import Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app.document import MAX_TEXT, OutOfStep, Proposal, name_of
from chordme_daemon.app.events import Code, Refused, unavailable
from chordme_daemon.app.room import Room, Submission
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Entry, ICluster
from chordme_daemon.histogram import Histogram

# How often others may be faster before an operation is refused.
MAX_TRIES: Final = 5
# The most operations of one commit.
MAX_BATCH: Final = 100
# The most parts of operations that are looked at in one turn of the reactor: some 10 ms.
MAX_EFFORT: Final = 30_000
# To tell so many members of a part takes as long as to look at it.
MEMBERS_OF_A_PART: Final = 4
# How long to wait for the cluster with what was acknowledged long ago.
TRY_AGAIN_AFTER_S: Final = 1.0
# Bounds for how many revisions an operation was behind; what is not behind is not transformed.
LAGS: Final = (0, 1, 2, 5, 10, 50, 100, 1000)


class Documents:
    """Brings operations into the documents of rooms; `clock` is monotonic."""

    log = Logger()

    def __init__(self, cluster: ICluster, clock: IReactorTime) -> None:
        self._cluster = cluster
        self._clock = clock
        # By how many revisions committed operations had been overtaken.
        self.lags = Histogram(LAGS)

    def submit(self, room: Room, proposal: Proposal) -> Deferred[int]:
        """Bring an operation into the log; fires with its revision, once that is kept.

        It fires at the operation's place in the order in which the room hears of edits. An
        operation that was sent before gets the revision that it has. Raises `Refused`, or fails.
        """
        if room.damaged or room.coming_back:
            raise ClusterUnavailable
        submission = room.submissions.get(name_of(proposal))
        if submission is None:
            revision = room.text.answer_to(proposal)
            if revision is not None:
                answered: Deferred[int] = Deferred()
                answered.callback(revision)
                return answered
            room.text.check(proposal)
            if room.text.effort(proposal) > MAX_EFFORT:
                raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
            submission = room.submissions[name_of(proposal)] = Submission(proposal)
            room.queue.append(submission)
        waiting: Deferred[int] = Deferred()
        submission.waiting.append(waiting)
        if not room.committing:
            room.committing = True
            ensureDeferred(self._commit_all(room)).addErrback(self._failed, room)
        return waiting

    def knows(self, room: Room, proposal: Proposal) -> bool:
        """Whether an operation was sent before."""
        return name_of(proposal) in room.submissions or room.text.answer_to(proposal) is not None

    def bring_back(self, room: Room, base: int, lost: Sequence[Entry]) -> Deferred[None]:
        """Commit anew what was in the log, after the revision `base`, and is not any more.

        Fires when that is done, or cannot be.
        """
        coming_back = self._bring_back(room, base, [entry.draft for entry in lost])
        return ensureDeferred(coming_back).addErrback(
            lambda failure: self.log.failure("Kept edits could not be brought back", failure)
        )

    async def _bring_back(self, room: Room, base: int, lost: Sequence[Draft]) -> None:
        tries = 0
        while drafts := room.text.carry_on(base, lost):
            head = room.text.revision
            try:
                if await self._cluster.commit(room.id, head, drafts):
                    return
                # Else nobody could ever edit here again.
                tries += room.text.revision == head
                if tries == MAX_TRIES:
                    raise OutOfStep(Code.STALE_REVISION, "These edits do not follow their authors'")
            except ClusterUnavailable:
                pass
            if room.text.revision == head:
                await deferLater(self._clock, TRY_AGAIN_AFTER_S)

    async def _commit_all(self, room: Room) -> None:
        tries = spent = 0
        while room.queue:
            if spent > MAX_EFFORT // 2:
                await deferLater(self._clock, 0)
                spent = 0
            batch, effort = self._next_batch(room)
            spent += effort
            batch, drafts = self._place(room, batch)
            if not batch:
                continue
            try:
                if room.closed:
                    raise ClusterUnavailable
                entries = await self._cluster.commit(room.id, room.text.revision, drafts)
            except ClusterUnavailable:
                room.settle(batch, Failure())
                continue
            tries = 0 if entries else tries + 1
            if entries:
                # Those whose room was closed meanwhile have not heard it.
                for submission, entry in zip(batch, entries, strict=True):
                    self.lags.note(entry.revision - 1 - submission.proposal.base)
                    room.settle([submission], entry.revision)
            elif tries < MAX_TRIES:
                # One may be in the log by now: its author sent it to another daemon as well.
                left = [one for one in batch if room.submissions.get(name_of(one.proposal)) is one]
                room.queue = [*left, *room.queue]
            else:
                refused = unavailable("Too many edits at once, try again")
                room.settle(batch, Failure(refused))
        room.committing = False

    def _next_batch(self, room: Room) -> tuple[list[Submission], int]:
        """As many as may be placed in one turn of the reactor, one at least; and their effort."""
        effort = count = parts = 0
        for submission in room.queue[:MAX_BATCH]:
            proposal = submission.proposal
            own = len(proposal.operation)
            more = room.text.effort(proposal) + count * own + parts
            more += own * len(room.seats) // MEMBERS_OF_A_PART
            if count and effort + more > MAX_EFFORT:
                break
            effort += more
            parts += own
            count += 1
        batch, room.queue = room.queue[:count], room.queue[count:]
        return batch, effort

    def _place(
        self, room: Room, batch: Sequence[Submission]
    ) -> tuple[list[Submission], list[Draft]]:
        """The operations as they would follow each other at the head; without those refused."""
        placed: list[Submission] = []
        drafts: list[Draft] = []
        before: list[tuple[ot.Operation, str]] = []
        text = room.text.text if len(batch) == 1 else room.text.text.copy()
        for submission in batch:
            proposal = submission.proposal
            try:
                operation = room.text.place(proposal)
                for other, client_id in before:
                    operation = ot.transform(operation, other, proposal.client_id < client_id)
                _check(text, operation)
            except Exception:  # what is wrong with one is no concern of the others
                room.settle([submission], Failure())
                continue
            if len(batch) > 1:
                text.apply(operation)
            before.append((operation, proposal.client_id))
            placed.append(submission)
            drafts.append(_draft(proposal, operation))
        return placed, drafts

    def _failed(self, failure: Failure, room: Room) -> None:
        """Something unforeseen: who waits is told, and logs it; the next operation begins anew."""
        room.committing = False
        room.queue.clear()
        room.settle(list(room.submissions.values()), failure)


def _check(text: ot.Text, operation: ot.Operation) -> None:
    try:
        text.check(operation)
    except ot.OperationError as error:
        raise OutOfStep(Code.INVALID_OPERATION, str(error)) from None
    growth = ot.growth(operation)
    if growth > 0 and len(text) + growth > MAX_TEXT:
        raise Refused(Code.DOCUMENT_TOO_LARGE, "The document is too large", limit=MAX_TEXT)


def _draft(proposal: Proposal, operation: ot.Operation) -> Draft:
    return Draft(
        ot.to_json(operation),
        proposal.author,
        proposal.seq,
        proposal.client_id,
        proposal.user_id,
        proposal.timestamp_ms,
        proposal.operation_id,
    )
