"""What clients do to a room's document, and how they are brought up to date with it.

A current client says on which revision its operation is based. Of a legacy client its shadow knows
what it has on its screen; an operation of it that is refused is there all the same, and is undone
by the next update that it gets.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import attrs
import orjson

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.answer import Answer
from chordme_daemon.app.document import MAX_REPLAY, OutOfStep, Proposal, digested
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Code, Fields, JoinRoom, Refused, SubmitOperation
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.seats import Seat
from chordme_daemon.app.shadow import Shadow, compose_all

# How many parts an operation may have that is taken back part by part when it is refused, and how
# many may have to be looked at for that, or for one that is not refused.
FEW_PARTS: Final = 8
LITTLE_EFFORT: Final = 2000
MAX_EFFORT: Final = 15_000

# Refuses an edit, or does not.
Allow = Callable[[], Awaitable[None]]


class Editing:
    """Answers what has to do with documents; `now_ms()` is the time of day."""

    def __init__(self, rooms: Rooms, documents: Documents, now_ms: Callable[[], int]) -> None:
        self._rooms = rooms
        self._documents = documents
        self._now_ms = now_ms

    async def submit(
        self, room: Room, seat: Seat, request: SubmitOperation, allow: Allow
    ) -> Answer:
        """Commit an operation, unless `allow` refuses it."""
        if seat.shadow is not None:
            return await self._submit_legacy(room, seat, seat.shadow, request, allow)
        if request.revision is None or request.seq is None:
            raise Refused(Code.INVALID_OPERATION, "Invalid operation data")
        await allow()
        if request.revision > room.text.revision:
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        if seat.behind or request.revision < seat.given:
            raise _replaced()
        operation = compose_all(request.parts)
        proposal = self._proposal(seat, request, operation, request.revision, request.seq)
        seat.awaits = request.seq
        try:
            revision = await self._documents.submit(room, proposal)
        finally:
            seat.awaits = 0
        return _confirmed(room, request, revision)

    async def _submit_legacy(
        self,
        room: Room,
        seat: Seat,
        shadow: Shadow,
        request: SubmitOperation,
        allow: Allow,
    ) -> Answer:
        if request.seen is not None:
            seat.echoes = True
            seat.saw(request.seen)
        if seat.is_replaced:
            raise _replaced()
        try:
            await allow()
        except Exception:
            self._take_back(room, seat, shadow, request)
            raise
        if seat.is_replaced:  # while it was asked
            raise _replaced()
        seat.submitted += 1
        seq = digested(seat.submitted, request.parts)
        proposal = self._proposal(seat, request, (), room.text.revision, seq)
        if self._documents.knows(room, proposal):
            # Sent again: it is on the client's screen once.
            return _confirmed(room, request, await self._documents.submit(room, proposal))
        return await self._commit_legacy(room, seat, shadow, request, proposal)

    async def _commit_legacy(
        self, room: Room, seat: Seat, shadow: Shadow, request: SubmitOperation, proposal: Proposal
    ) -> Answer:
        text = room.text.text
        if shadow.effort(len(request.parts), len(text)) > MAX_EFFORT:
            room.tell_state(seat, "refused")
            raise _replaced()
        operation, was_cut = shadow.submit(request.parts, len(text), text.units)
        conflicts = shadow.conflicts
        try:
            proposal = attrs.evolve(proposal, operation=operation)
            revision = await self._documents.submit(room, proposal)
        except Exception:
            self._undo(room, seat, shadow, text)
            raise
        if shadow.pending is not None:
            # It is in the log as it was sent to another daemon, and is told as somebody else's.
            self._undo(room, seat, shadow, text)
        for conflict in conflicts if not room.closed else ():
            payload = payloads.conflict_resolved(room.id, revision, conflict.kept, conflict.dropped)
            self._rooms.publish(room, "conflict_resolved", payload, author="")
        # What does not fit shows that the client's text is another.
        then = partial(room.tell_state, seat, "out_of_step") if was_cut else None
        return _confirmed(room, request, revision, then)

    def _take_back(self, room: Room, seat: Seat, shadow: Shadow, request: SubmitOperation) -> None:
        """Have an operation that was refused at once undone on the screen: it is there already."""
        if seat.is_replaced or room.seats.get(seat.member.key) is not seat:
            return
        text, count = room.text.text, len(request.parts)
        if count > FEW_PARTS or shadow.effort(count, len(text)) > LITTLE_EFFORT:
            room.tell_state(seat, "refused")
            return
        shadow.submit(request.parts, len(text), text.units)
        self._undo(room, seat, shadow, text)

    def _undo(self, room: Room, seat: Seat, shadow: Shadow, text: ot.Text) -> None:
        """Have the pending operation undone on the screen, after the answer."""
        if room.seats.get(seat.member.key) is seat:  # else it has not heard of the others
            shadow.refuse(text.units)
            seat.in_turn(partial(room.update, seat))

    def _proposal(
        self, seat: Seat, request: SubmitOperation, operation: ot.Operation, base: int, seq: int
    ) -> Proposal:
        return Proposal(
            operation,
            base,
            author=seat.member.key,
            seq=seq,
            client_id=seat.client_id,
            user_id=seat.member.user_id,
            timestamp_ms=self._now_ms(),
            operation_id=request.operation_id,
        )


def _replaced() -> Refused:
    return Refused(Code.STALE_REVISION, "Your text is being replaced")


def _confirmed(
    room: Room,
    request: SubmitOperation,
    revision: int,
    then: Callable[[], None] | None = None,
) -> Answer:
    payload = payloads.operation_confirmed(room.id, request.operation_id, revision, request.seq)
    return Answer("operation_confirmed", payload, then=then)


def catch_up(room: Room, seat: Seat, request: JoinRoom) -> tuple[Fields, Callable[[], None] | None]:
    """What a client that joins is told beside who is there, and what is to be done after that."""
    document = room.text
    if seat.shadow is not None:
        # It has no way to ask; one that knows nothing of this does not listen. One that was here
        # already has what it was told.
        is_new = not seat.hears and document.revision > 0
        return {}, partial(room.tell_state, seat, "joined") if is_new else None
    fields: Fields = {"last_seq": document.last_seq(seat.member.key)}
    then = None
    if request.document:
        fields["document"] = {"text": str(document.text)}
    elif request.revision is not None:
        operations = _missed(room, request.revision)
        if operations is not None:
            fields["operations"] = operations
        else:
            fields["resync"] = True
            then = partial(room.tell_state, seat, "stale_revision")
    if room.messages:
        fields["last_message_id"] = room.messages[-1].number
    if request.last_message_id is not None:
        fields["messages"] = _messages(room, request.last_message_id)
    return fields, then


def _missed(room: Room, revision: int) -> list[Fields] | None:
    """The updates since a revision; None if that is not known, or they are too much."""
    missed = room.text.since(revision)
    if missed is None:
        return None
    updates = [
        payloads.collaboration_update(room.id, entry, ot.from_json(entry.draft.operation))
        for entry in missed
    ]
    return updates if len(orjson.dumps(updates)) <= MAX_REPLAY else None


def _messages(room: Room, last_message_id: int) -> list[Fields]:
    """The messages since the one of an id: of too much, the last."""
    messages: list[Fields] = []
    size_bytes = 0
    for note in reversed(room.messages):
        if (note.number or 0) <= last_message_id:
            break
        message = payloads.numbered(note)
        size_bytes += len(orjson.dumps(message))
        if size_bytes > MAX_REPLAY:
            break
        messages.append(message)
    return messages[::-1]
