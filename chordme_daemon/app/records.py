"""What an operator may see of a song, and restore: whether somebody is editing it or not."""

from collections import Counter
from collections.abc import Callable
from typing import Final

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.document import MAX_TEXT, PASSING, Document, Proposal
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Code, Fields, Refused
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.cluster.interface import ClusterUnavailable, ICluster, Participant

OPERATOR: Final = PASSING + "operator"


class Records:
    """The songs of all rooms, open or not; `now_ms()` is the time of day."""

    def __init__(
        self, cluster: ICluster, rooms: Rooms, documents: Documents, now_ms: Callable[[], int]
    ) -> None:
        self._cluster = cluster
        self._rooms = rooms
        self._documents = documents
        self._now_ms = now_ms
        self._replaced = 0

    async def describe(self, room_id: str) -> Fields | None:
        """A room's revision, text and participants; None where there is nothing.

        While the others cannot be asked, the participants are those who are here.
        """
        document = await self._document(room_id)
        degraded: Fields = {}
        try:
            present = await self._cluster.participants(room_id)
        except ClusterUnavailable:
            present, degraded = _present(self._rooms.find(room_id)), {"degraded": True}
        if not present and document.revision == 0:
            return None
        return {
            "room_id": room_id,
            "revision": document.revision,
            "text": str(document.text),
            "participants": [
                payloads.participant(one.user_id, one.name, one.connections) for one in present
            ],
            **degraded,
        }

    async def history(self, room_id: str, since: int) -> Fields | None:
        """What is kept of a room's log after a revision; None where there is nothing.

        `from` is the revision that it really begins after: the log is not kept for ever.
        """
        document = await self._document(room_id)
        if document.revision == 0:
            return None
        base, entries = document.history(since)
        return {
            "room_id": room_id,
            "from": base,
            "revision": document.revision,
            "entries": [
                payloads.collaboration_update(room_id, entry, ot.from_json(entry.draft.operation))
                for entry in entries
            ],
        }

    async def replace(self, room_id: str, text: str) -> int:
        """Make this a room's text, as one edit that everybody there sees; its revision then."""
        if len(ot.to_units(text)) > MAX_TEXT:
            raise Refused(Code.DOCUMENT_TOO_LARGE, "The document is too large", limit=MAX_TEXT)
        room = await self._rooms.borrow(room_id)
        try:
            operation = difference(str(room.text.text), text)
            if not operation:
                return room.text.revision
            self._replaced += 1
            now_ms = self._now_ms()
            proposal = Proposal(
                operation,
                room.text.revision,
                author=f"{OPERATOR} {now_ms}",
                seq=self._replaced,
                client_id=OPERATOR,
                user_id=payloads.SERVER,
                timestamp_ms=now_ms,
            )
            return await self._documents.submit(room, proposal)
        finally:
            self._rooms.give_back(room)

    async def _document(self, room_id: str) -> Document:
        room = self._rooms.find(room_id)
        return room.text if room is not None else Document(await self._rooms.read(room_id))


def _present(room: Room | None) -> list[Participant]:
    """Who is in a room here."""
    members = [seat.member for seat in room.seats.values()] if room is not None else []
    connections = Counter(member.user for member in members)
    users = {member.user: member for member in members}
    return [Participant(user.user_id, user.name, connections[key]) for key, user in users.items()]


def difference(old: str, new: str) -> ot.Operation:
    """What makes one text of another: one replacement, as short as whole characters permit."""
    start = _same(old, new)
    end = _same(old[start:][::-1], new[start:][::-1])
    before = len(ot.to_units(old[:start]))
    gone = len(ot.to_units(old[start : len(old) - end]))
    return ot.canonical((before, ot.to_units(new[start : len(new) - end]), -gone))


def _same(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))
