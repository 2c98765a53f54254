"""What clients do to a room's document, and how they are brought up to date with it.

A current client says on which revision its operation is based. Of a legacy client its shadow knows
what it has on its screen; an operation of it that is refused is there all the same, and is undone
by the next update that it gets.
"""

from collections.abc import Awaitable, Callable
from functools import partial, reduce
from typing import Final

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

# An operation of a legacy client that has more parts than this is dear to take back.
FEW_PARTS: Final = 8
# Its parts, each carried past so many operations that the client has not seen.
MAX_WORK: Final = 4000

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
        if len(request.parts) > FEW_PARTS:
            await self._allow_large(room, seat, shadow, request, allow)
            allow = _allowed
        seat.submitted += 1
        made = reduce(ot.compose, request.parts)
        proposal = self._proposal(seat, request, made, room.text.revision, seat.submitted)
        known = _known(room, proposal)
        if known is None:
            return await self._commit_legacy(room, seat, shadow, request, proposal, allow=allow)
        if _inserted(known) == _inserted(made):
            # Sent again: it is on the client's screen once.
            await allow()
            return _confirmed(room, request, await self._documents.submit(room, proposal))
        # A page that counts its edits has begun to count anew.
        proposal = attrs.evolve(proposal, operation_id=None)
        return await self._commit_legacy(room, seat, shadow, request, proposal, allow=allow)

    async def _commit_legacy(
        self,
        room: Room,
        seat: Seat,
        shadow: Shadow,
        request: SubmitOperation,
        proposal: Proposal,
        *,
        allow: Allow,
    ) -> Answer:
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
        for conflict in conflicts if not room.closed else ():
            payload = payloads.conflict_resolved(room.id, revision, conflict.kept, conflict.dropped)
            self._rooms.publish(room, "conflict_resolved", payload, author="")
        # What does not fit shows that the client's text is another.
        then = partial(room.tell_state, seat, "out_of_step") if was_cut else None
        return attrs.evolve(_confirmed(room, request, revision), then=then)

    async def _allow_large(
        self, room: Room, seat: Seat, shadow: Shadow, request: SubmitOperation, allow: Allow
    ) -> None:
        """Refuse an operation of many parts before the work, and not by taking each part back."""
        try:
            await allow()
            if len(request.parts) * (1 + shadow.behind) > MAX_WORK:
                raise Refused(Code.STALE_REVISION, "Your text is being replaced")
        except Refused:
            if room.seats.get(seat.member.key) is seat:
                room.tell_state(seat, "refused")
            raise

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


async def _allowed() -> None:
    """It was asked already."""


def _inserted(operation: ot.Operation) -> str:
    """What of an operation stays as it is, past whatever it is carried."""
    return "".join(part for part in operation if isinstance(part, str))


def _known(room: Room, proposal: Proposal) -> ot.Operation | None:
    """An operation that has the name of a proposal already, as far as it is known."""
    under_way = room.submissions.get(name_of(proposal))
    if under_way is not None:
        return under_way.proposal.operation
    revision = room.text.answer_to(proposal)
    return None if revision is None else room.text.operation_at(revision, proposal.operation)


def _confirmed(room: Room, request: SubmitOperation, revision: int) -> Answer:
    payload = payloads.operation_confirmed(room.id, request.operation_id, revision, request.seq)
    return Answer("operation_confirmed", payload)


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
