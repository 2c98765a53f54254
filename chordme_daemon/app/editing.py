"""What clients do to a room's document, and how they are brought up to date with it.

A current client says on which revision its operation is based. Of a legacy client its shadow knows
what it has on its screen; an operation of it that is refused is there all the same, and is undone
by the next update that it gets.
"""

from collections.abc import Awaitable, Callable
from functools import partial, reduce

import attrs

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.answer import Answer
from chordme_daemon.app.document import OutOfStep, Proposal, name_of
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Code, Fields, JoinRoom, Refused, SubmitOperation
from chordme_daemon.app.room import Room, Seat
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.shadow import Shadow

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
        if request.revision is not None and request.revision > room.text.revision:
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        if seat.shadow is not None:
            return await self._submit_legacy(room, seat, seat.shadow, request, allow)
        if request.revision is None or request.seq is None:
            raise Refused(Code.INVALID_OPERATION, "Invalid operation data")
        await allow()
        if seat.behind or request.revision < seat.given:
            raise Refused(Code.STALE_REVISION, "Your text is being replaced")
        operation = reduce(ot.compose, request.parts)
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
        if seat.replacing:
            raise Refused(Code.STALE_REVISION, "Your text is being replaced")
        seat.submitted += 1
        proposal = self._proposal(seat, request, (), room.text.revision, seat.submitted)
        if name_of(proposal) in room.submissions or room.text.answer_to(proposal) is not None:
            # Sent again: it is on the client's screen once.
            await allow()
            return _confirmed(room, request, await self._documents.submit(room, proposal))
        text = room.text.text
        operation, was_cut = shadow.submit(request.parts, len(text), text.units)
        conflicts = shadow.conflicts
        try:
            await allow()
            proposal = attrs.evolve(proposal, operation=operation)
            revision = await self._documents.submit(room, proposal)
        except Exception:
            if room.seats.get(seat.member.key) is seat:  # else it has not heard of the others
                shadow.refuse(text.units)
                seat.in_turn(partial(room.update, seat))  # after the answer
            raise
        for conflict in conflicts:
            payload = payloads.conflict_resolved(room.id, revision, conflict.kept, conflict.dropped)
            self._rooms.publish(room, "conflict_resolved", payload, author="")
        # What does not fit shows that the client's text is another.
        then = partial(room.tell_state, seat, "out_of_step") if was_cut else None
        return attrs.evolve(_confirmed(room, request, revision), then=then)

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


def _confirmed(room: Room, request: SubmitOperation, revision: int) -> Answer:
    payload = payloads.operation_confirmed(room.id, request.operation_id, revision, request.seq)
    return Answer("operation_confirmed", payload)


def catch_up(room: Room, seat: Seat, request: JoinRoom) -> tuple[Fields, Callable[[], None] | None]:
    """What a client that joins is told beside who is there, and what is to be done after that."""
    document = room.text
    if seat.shadow is not None:
        # It has no way to ask; one that knows nothing of this does not listen.
        return {}, partial(room.tell_state, seat, "joined") if document.revision else None
    fields: Fields = {"last_seq": document.last_seq(seat.member.key)}
    then = None
    if request.document:
        fields["document"] = {"text": str(document.text)}
    elif request.revision is not None:
        missed = document.since(request.revision)
        if missed is not None:
            fields["operations"] = [
                payloads.collaboration_update(room.id, entry, ot.from_json(entry.draft.operation))
                for entry in missed
            ]
        else:
            fields["resync"] = True
            then = partial(room.tell_state, seat, "stale_revision")
    if room.messages:
        fields["last_message_id"] = room.messages[-1].number
    if request.last_message_id is not None:
        fields["messages"] = [
            payloads.numbered(note)
            for note in room.messages
            if (note.number or 0) > request.last_message_id
        ]
    return fields, then
