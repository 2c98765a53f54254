"""What stands in the journal: its tables, values as JSON, and whether they can be a song.

A file may be damaged, or mended by hand: what is read from it is looked at before it is believed,
so far as that is possible without knowing what an operation means.
"""

from collections.abc import Sequence
from functools import partial
from types import UnionType
from typing import Any, Final, TypeVar, get_origin

import attrs
import orjson

from chordme_daemon.cluster.interface import Draft, Entry, Member, Note, Record, Snapshot

# "ChMe": so that `file` and we know what it is.
APPLICATION_ID: Final = 0x43684D65
# Each script makes the next version of the schema of the one before.
MIGRATIONS: Final = (
    """
    CREATE TABLE rooms (
        room TEXT PRIMARY KEY, head INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL DEFAULT '',
        answered BLOB NOT NULL DEFAULT '{}', messages BLOB NOT NULL DEFAULT '[]'
    ) WITHOUT ROWID;
    CREATE TABLE entries (
        room TEXT, revision INTEGER, draft BLOB NOT NULL, PRIMARY KEY (room, revision)
    ) WITHOUT ROWID;
    CREATE TABLE members (
        room TEXT, key TEXT, member BLOB NOT NULL, PRIMARY KEY (room, key)
    ) WITHOUT ROWID;
    """,
    # Each message is a row; a message that is none is left behind. SQLite before 3.35, which is
    # still around, cannot drop a column.
    """
    CREATE TABLE messages (
        room TEXT, number INTEGER, note BLOB NOT NULL, PRIMARY KEY (room, number)
    );
    INSERT OR REPLACE INTO messages
    SELECT room, CASE type WHEN 'object' THEN json_extract(value, '$.number') END AS number,
        CAST(value AS BLOB)
    FROM (SELECT room AS room, CAST(messages AS TEXT) AS list FROM rooms),
        json_each(CASE WHEN json_valid(list) THEN list ELSE '[]' END)
    WHERE number IS NOT NULL;
    CREATE TABLE rooms_without_messages (
        room TEXT PRIMARY KEY, head INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 0, text TEXT NOT NULL DEFAULT '',
        answered BLOB NOT NULL DEFAULT '{}'
    ) WITHOUT ROWID;
    INSERT INTO rooms_without_messages SELECT room, head, revision, text, answered FROM rooms;
    DROP TABLE rooms;
    ALTER TABLE rooms_without_messages RENAME TO rooms;
    """,
    # What operators have decided, until a time of day.
    """
    CREATE TABLE rulings (
        key TEXT PRIMARY KEY, value TEXT NOT NULL, until_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    """,
    # What is known of songs that belong elsewhere; the revision up to which all is there.
    """
    CREATE TABLE saves (
        room TEXT PRIMARY KEY, revision INTEGER NOT NULL DEFAULT 0, saved BLOB NOT NULL
    ) WITHOUT ROWID;
    """,
)
T = TypeVar("T")


class Damaged(Exception):
    """What is wrong with a row, in one line."""


def _kinds(kind: type[Any]) -> dict[str, tuple[Any, bool]]:
    """What the fields of a value have to be, and whether they may be missing."""
    kinds = {}
    for field in attrs.fields(kind):
        origin = get_origin(field.type)
        expected = field.type if origin in (None, UnionType) else origin
        kinds[field.name] = (expected, field.default is not attrs.NOTHING)
    return kinds


_KINDS: Final[dict[type[Any], dict[str, tuple[Any, bool]]]] = {
    kind: _kinds(kind) for kind in (Draft, Member, Note)
}


def _fields(value: object) -> dict[str, object]:
    return {name: getattr(value, name) for name in _KINDS[type(value)]}


to_json: Final = partial(orjson.dumps, default=_fields)


def _loads(text: object) -> Any:
    try:
        return orjson.loads(text)  # type: ignore[arg-type] # it refuses what is no text
    except ValueError as error:
        raise Damaged(str(error)) from None


def _built(kind: type[T], text: object) -> T:
    """A value of its fields; those that a later version may have added are left out."""
    fields = _loads(text)
    if not isinstance(fields, dict):
        raise Damaged(f"this is no {kind.__name__.lower()}")
    values = {}
    for name, (expected, may_be_missing) in _KINDS[kind].items():
        if name in fields and isinstance(fields[name], expected):
            values[name] = fields[name]
        elif name in fields or not may_be_missing:
            raise Damaged(f"a {kind.__name__.lower()} without a proper {name}")
    return kind(**values)


def member(key: str, text: object) -> Member:
    """A member that has this key."""
    found = _built(Member, text)
    if found.key != key:
        raise Damaged("a member with another key")
    return found


def record(
    room: tuple[Any, ...] | None,
    entries: Sequence[tuple[Any, ...]],
    messages: Sequence[tuple[Any, ...]],
) -> Record:
    """What the rows of a room tell: head, revision, text, answered; revision, draft; note."""
    if room is None and not entries and not messages:
        return Record()
    head, snapshot = (0, Snapshot()) if room is None else (room[0], _snapshot(*room[1:]))
    revisions = [revision for revision, _ in entries]
    begins = revisions[0] if revisions else snapshot.revision + 1
    if not isinstance(begins, int) or revisions != list(range(begins, begins + len(revisions))):
        raise Damaged("its log has holes")
    log = [Entry(revision, _draft(text)) for revision, text in entries]
    found = Record(snapshot, log, [_built(Note, text) for (text,) in messages])
    if not 1 <= begins <= snapshot.revision + 1 or not snapshot.revision <= found.revision == head:
        raise Damaged("its log does not lead to its last revision")
    return found


def _snapshot(revision: object, text: object, answered: object) -> Snapshot:
    last = _loads(answered)
    if (
        not isinstance(revision, int)
        or not isinstance(text, str)
        or not isinstance(last, dict)
        or not all(_is_answer(one) for one in last.values())
    ):
        raise Damaged("its snapshot is none")
    return Snapshot(revision, text, {author: tuple(one) for author, one in last.items()})


def _is_answer(numbers: object) -> bool:
    return (
        isinstance(numbers, list)
        and len(numbers) == 3
        and all(isinstance(number, int) for number in numbers)
    )


def _draft(text: object) -> Draft:
    draft = _built(Draft, text)
    if not all(isinstance(part, int | str) for part in draft.operation):
        raise Damaged("a draft without a proper operation")
    return draft
