"""What is kept in Redis and said in its channels, as JSON arrays; nothing read from it is trusted.

    entry     [author, seq, client_id, user_id, timestamp_ms, operation_id, operation]
    member    [key, user, user_id, name, resumable]
    note      [event, payload, author, conflate, number]
    message   [version, password, kind, ...]
    ruling    [version, password, key, value, until_ms]

The password keeps out who may publish but not read. A message of another version is for others.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
import orjson

from chordme_daemon.cluster.interface import (
    Arrived,
    Departed,
    Draft,
    Entry,
    Member,
    Note,
    Participant,
    Record,
    Ruling,
    Snapshot,
)

VERSION: Final = 1
MAX_WHOLE: Final = 2**53 - 1


class BadMessage(Exception):
    """This is not what a daemon of this version writes."""


@attrs.frozen
class Changed:
    """Who is there has changed, for the so-manieth time."""

    number: int
    event: Arrived | Departed


@attrs.frozen
class Moved:
    """A member has come back on another daemon."""

    key: str
    node: str


@attrs.frozen
class Restored:
    """A daemon has given Redis back what it had lost of the room's log."""


Message = Entry | Note | Changed | Moved | Restored


def encode_draft(draft: Draft) -> bytes:
    """A draft, as it stands in the log."""
    return orjson.dumps(
        [
            draft.author,
            draft.seq,
            draft.client_id,
            draft.user_id,
            draft.timestamp_ms,
            draft.operation_id,
            draft.operation,
        ]
    )


def decode_entry(revision: int, data: bytes) -> Entry:
    """An entry of the log."""
    return _entry(revision, _loaded(data))


def encode_member(member: Member) -> bytes:
    """A member, as it stands in its room."""
    return orjson.dumps([member.key, member.user, member.user_id, member.name, member.resumable])


def encode_note(note: Note) -> bytes:
    """A note, without its number and the end."""
    return orjson.dumps([note.event, note.payload, note.author, note.conflate])[:-1]


def decode_note(data: bytes) -> Note:
    """One of the notes that are kept."""
    return _note(_loaded(data), kept=True)


def notes(log: Sequence[bytes]) -> list[Note]:
    """The notes that are kept; what is none is left out."""
    found = []
    for data in log:
        with suppress(BadMessage):
            found.append(decode_note(data))
    return found


def draft_arguments(drafts: Sequence[Draft]) -> list[bytes | str | int]:
    """Of each draft its author, its seq, and how it stands in the log."""
    return [one for draft in drafts for one in (draft.author, draft.seq, encode_draft(draft))]


def snapshot_arguments(snapshot: Snapshot, base: int) -> list[bytes | str | int]:
    """Revision, base, text; then of each author its last seq."""
    return [snapshot.revision, base, _encode_snapshot(snapshot), *_seqs(snapshot)]


def record_arguments(record: Record) -> list[bytes | str | int]:
    """Revision, base, text, how many entries, these; then of each author its last seq."""
    snapshot, entries = record.snapshot, [encode_draft(one.draft) for one in record.entries]
    base = record.revision - len(entries)
    text = _encode_snapshot(snapshot)
    return [
        record.revision,
        base,
        snapshot.revision,
        text,
        len(entries),
        *entries,
        *_seqs(snapshot),
    ]


def _encode_snapshot(snapshot: Snapshot) -> bytes:
    return orjson.dumps([snapshot.revision, snapshot.text, snapshot.answered])


def _seqs(snapshot: Snapshot) -> list[str | int]:
    return [one for author, last in snapshot.answered.items() for one in (author, last[0])]


def record(reply: Sequence[Any]) -> Record:
    """What a room's reading gave."""
    head, base, snapshot, log, messages = reply
    found = Record(
        Snapshot() if snapshot is None else _decode_snapshot(snapshot),
        entries(base + 1, log),
        tuple(notes(messages)),
    )
    if found.revision != head or base > found.snapshot.revision:
        raise BadMessage("a log that does not fit")
    return found


def entries(first: int, log: Sequence[bytes]) -> Sequence[Entry]:
    """Entries of a log, by the revision of the first."""
    return tuple(decode_entry(revision, data) for revision, data in enumerate(log, first))


def _decode_snapshot(data: bytes) -> Snapshot:
    match _loaded(data):
        case [int(revision), str(text), dict(answered)] if _are_answers(answered):
            return Snapshot(revision, text, {key: tuple(last) for key, last in answered.items()})
    raise BadMessage("a snapshot")


def members(places: Sequence[bytes]) -> list[Member]:
    """The members of a room, in the order in which they came; what is none is left out."""
    found: list[tuple[int, Member]] = []
    for place in places:
        order, _, rest = place.partition(b" ")
        with suppress(ValueError, BadMessage):
            found.append((int(order), _member(_loaded(rest.partition(b" ")[2]))))
    return [member for _, member in sorted(found, key=lambda one: one[0])]


def participants(members: Sequence[Member]) -> list[Participant]:
    """The users whose the members are, in the order in which they came."""
    users: dict[str, list[Member]] = {}
    for member in members:
        users.setdefault(member.user, []).append(member)
    return [Participant(found[0].user_id, found[0].name, len(found)) for found in users.values()]


def prefix(password: str) -> bytes:
    """With what every message of this cluster begins."""
    return orjson.dumps([VERSION, password])[:-1] + b","


def decode_message(data: bytes, password: bytes) -> Message:
    """What a channel said; raises `BadMessage`."""
    if not password or not data.startswith(password):
        raise BadMessage("not of this cluster")
    match _loaded(b"[" + data.removeprefix(password)):
        case ["e", int(revision), list(entry)] if revision > 0:
            return _entry(revision, entry)
        case ["n", bool(kept), list(note)]:
            return _note(note, kept=kept)
        case ["a", list(member), int(count), int(number)]:
            return Changed(number, Arrived(_member(member), count))
        case ["d", list(member), int(count), int(number)]:
            return Changed(number, Departed(_member(member), count))
        case ["m", str(key), str(node)]:
            return Moved(key, node)
        case ["r"]:
            return Restored()
    raise BadMessage("a kind that is not known")


def encode_ruling(ruling: Ruling, password: bytes) -> bytes:
    """A ruling, as the channel of rulings says it."""
    return password + orjson.dumps([ruling.key, ruling.value, ruling.until_ms])[1:]


def decode_ruling(data: bytes, password: bytes) -> Ruling:
    """What the channel of rulings said; raises `BadMessage`."""
    if not password or not data.startswith(password):
        raise BadMessage("not of this cluster")
    match _loaded(b"[" + data.removeprefix(password)):
        case [str(key), str(value), int(until_ms)]:
            return Ruling(key, value, until_ms)
    raise BadMessage("a ruling")


def rulings(reply: Sequence[bytes]) -> list[Ruling]:
    """The rulings that are kept; what is none is left out."""
    found = []
    for key, kept in zip(reply[::2], reply[1::2], strict=True):
        until_ms, _, value = kept.partition(b" ")
        with suppress(ValueError):
            found.append(Ruling(key.decode(), value.decode(), int(until_ms)))
    return found


def _loaded(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadMessage("not JSON") from None


def _entry(revision: int, fields: Any) -> Entry:
    match fields:
        case [
            str(author),
            int(seq),
            str(client_id),
            (int() | str()) as user_id,
            int(timestamp_ms),
            (None | str()) as operation_id,
            list(operation),
        ] if all(map(_is_component, operation)):
            return Entry(
                revision,
                Draft(operation, author, seq, client_id, user_id, timestamp_ms, operation_id),
            )
    raise BadMessage("an entry")


def _is_component(component: object) -> bool:
    return type(component) is str or (type(component) is int and abs(component) <= MAX_WHOLE)


def _member(fields: Any) -> Member:
    match fields:
        case [
            str(key),
            str(user),
            (int() | str()) as user_id,
            (None | str()) as name,
            bool(resumable),
        ]:
            return Member(key, user, user_id, name, resumable)
    raise BadMessage("a member")


def _note(fields: Any, *, kept: bool) -> Note:
    match fields:
        case [
            str(event),
            dict(payload),
            str(author),
            bool(conflate),
            (None | int()) as number,
        ] if kept == (number is not None):
            return Note(event, payload, author, conflate, kept, number)
    raise BadMessage("a note")


def _are_answers(answered: dict[str, object]) -> bool:
    return all(
        isinstance(last, list) and len(last) == 3 and all(type(one) is int for one in last)
        for last in answered.values()
    )
