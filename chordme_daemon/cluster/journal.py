"""The daemon's memory on disk: songs, their logs, and who was there, in one SQLite file.

- What is asked to be written in one reactor turn goes into one transaction, in a thread; what comes
  while that is under way goes into the next. Whoever appends hears when it is on disk.
- How much that means is `synchronous`: with "full" the disk has it, with "normal" the system has
  it, so that a crash of the daemon takes nothing, and a power cut may take the last moments.
- A transaction that fails is done again write by write, so that none spoils the others. What cannot
  be written is `ClusterUnavailable`; it is logged when that begins and when it ends.
- An entry is only ever appended behind the last: what would overwrite one, or leave a hole, fails.
- One daemon has the file at a time. Others may read it, as `sqlite3 PATH .backup` does.
"""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final

import attrs
import orjson
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Entry,
    Member,
    Note,
    Record,
    Snapshot,
)

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
)


class JournalError(Exception):
    """Why a journal cannot be used, in one line."""


Work = Callable[[sqlite3.Connection], Any]


@attrs.define(eq=False)
class _Task:
    """Something to do with the database, and who waits for it."""

    work: Work
    writes: bool
    done: Deferred[Any] = attrs.field(factory=Deferred)
    outcome: Any = None
    # Whether its transaction has written anything at all.
    wrote: bool = False


class Journal:
    """The SQLite database at a path; ":memory:" for one that ends with the process.

    With a reactor and a file, a thread does the work. Otherwise it is done at once.
    """

    log = Logger()

    def __init__(
        self, path: str, *, reactor: IReactorFromThreads | None = None, synchronous: str = "full"
    ) -> None:
        self.healthy = True
        self._path = path
        self._reactor: Any = None if path == ":memory:" else reactor
        self._synchronous = synchronous
        self._database: sqlite3.Connection | None = None
        self._lock: int | None = None
        self._pool: ThreadPool | None = None
        self._waiting: list[_Task] = []
        self._call: IDelayedCall | None = None
        self._busy = False
        self._closing: list[Deferred[None]] = []

    # Opening and closing

    def open(self) -> None:
        """Open the file, or make one; JournalError says what is wrong with it."""
        try:
            self._take_lock()
            self._database = self._connect()
        except (OSError, sqlite3.Error) as error:
            self._release()
            reason = getattr(error, "strerror", None) or str(error)
            raise JournalError(f"{self._path}: {reason}") from None
        except JournalError:
            self._release()
            raise
        if self._reactor is not None:
            self._pool = ThreadPool(1, 1, "journal")
            self._pool.start()

    def _take_lock(self) -> None:
        if self._path == ":memory:":
            return
        self._lock = os.open(self._path + ".lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._path} is in use by another daemon") from None

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(
            self._path, timeout=2.0, isolation_level=None, check_same_thread=False
        )
        try:
            self._migrate(database)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute(f"PRAGMA synchronous = {self._synchronous}")
            # Asked for once, so that a disk that cannot be written is known at the start.
            database.execute("BEGIN IMMEDIATE").execute("COMMIT")
        except BaseException:
            database.close()
            raise
        return database

    def _migrate(self, database: sqlite3.Connection) -> None:
        [version] = database.execute("PRAGMA user_version").fetchone()
        [application_id] = database.execute("PRAGMA application_id").fetchone()
        [tables] = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application_id != APPLICATION_ID and (tables or application_id or version):
            raise JournalError(f"{self._path} is a database of something else")
        if version > len(MIGRATIONS):
            written = f"was written by a newer chordme-daemon (schema {version}"
            raise JournalError(f"{self._path} {written}, this one knows {len(MIGRATIONS)})")
        for number, script in enumerate(MIGRATIONS[version:], version + 1):
            pragmas = f"PRAGMA user_version = {number}; PRAGMA application_id = {APPLICATION_ID};"
            database.executescript(f"BEGIN IMMEDIATE; {script} {pragmas} COMMIT;")

    def close(self) -> Deferred[None]:
        """Write what waits, and let go of the file."""
        closed: Deferred[None] = Deferred()
        self._closing.append(closed)
        if not self._busy and self._call is None:
            self._finish()
        return closed

    def _finish(self) -> None:
        if self._pool is not None:
            self._pool.stop()
        self._release()
        closing, self._closing = self._closing, []
        for each in closing:
            each.callback(None)

    def _release(self) -> None:
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            self._database.close()
        if self._lock is not None:
            os.close(self._lock)
        self._database = self._lock = self._pool = None

    # What is asked of it

    def memberships(self) -> list[tuple[str, Member, int]]:
        """Who was in which room when the last daemon ended, with the heads; to be asked first."""
        assert self._database is not None  # noqa: S101 - it is open
        rows = self._database.execute(
            "SELECT room, member, coalesce(head, 0) FROM members LEFT JOIN rooms USING (room)"
        )
        return [(room, _built(Member, orjson.loads(member)), head) for room, member, head in rows]

    def load(self, room: str) -> Deferred[Record]:
        """All that is kept of a room."""

        def work(database: sqlite3.Connection) -> Record:
            row = database.execute(
                "SELECT revision, text, answered, messages FROM rooms WHERE room = ?", (room,)
            ).fetchone()
            if row is None:
                return Record()
            revision, text, answered, messages = row
            rows = database.execute(
                "SELECT revision, draft FROM entries WHERE room = ? ORDER BY revision", (room,)
            )
            last = {author: tuple(one) for author, one in orjson.loads(answered).items()}
            return Record(
                Snapshot(revision, text, last),
                [Entry(number, _built(Draft, orjson.loads(draft))) for number, draft in rows],
                [_built(Note, note) for note in orjson.loads(messages)],
            )

        return self._ask(work, writes=False)

    def append(self, room: str, entries: Sequence[Entry]) -> Deferred[None]:
        """Put entries behind the last one of a room: all of them, or it fails."""
        first, last = entries[0].revision, entries[-1].revision
        rows = [(room, entry.revision, _json(entry.draft)) for entry in entries]

        def work(database: sqlite3.Connection) -> None:
            if first == 1:
                database.execute("INSERT OR IGNORE INTO rooms (room) VALUES (?)", (room,))
            moved = database.execute(
                "UPDATE rooms SET head = ? WHERE room = ? AND head = ?", (last, room, first - 1)
            )
            if moved.rowcount != 1:
                raise sqlite3.IntegrityError(f"revision {first} does not follow the last one")
            database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)

        return self._ask(work)

    def compact(self, room: str, snapshot: Snapshot, base: int) -> Deferred[None]:
        """Keep a snapshot, and forget the entries up to a revision."""
        values = (snapshot.revision, snapshot.text, orjson.dumps(snapshot.answered), room)

        def work(database: sqlite3.Connection) -> None:
            database.execute(
                "UPDATE rooms SET revision = ?, text = ?, answered = ? WHERE room = ?", values
            )
            database.execute("DELETE FROM entries WHERE room = ? AND revision <= ?", (room, base))

        return self._ask(work)

    def keep_messages(self, room: str, notes: Sequence[Note]) -> Deferred[None]:
        """Keep these notes of a room, and no others."""
        messages = orjson.dumps([_fields(note) for note in notes])
        statement = (
            "INSERT INTO rooms (room, messages) VALUES (?, ?) "
            "ON CONFLICT (room) DO UPDATE SET messages = excluded.messages"
        )
        return self._ask(lambda database: database.execute(statement, (room, messages)))

    def remember(self, room: str, member: Member) -> Deferred[None]:
        """Know that somebody is in a room, whatever happens."""
        values = (room, member.key, _json(member))
        statement = "INSERT OR REPLACE INTO members VALUES (?, ?, ?)"
        return self._ask(lambda database: database.execute(statement, values))

    def forget(self, room: str, key: str) -> Deferred[None]:
        """Know it no more."""
        statement = "DELETE FROM members WHERE room = ? AND key = ?"
        return self._ask(lambda database: database.execute(statement, (room, key)))

    # One turn, one transaction

    def _ask(self, work: Work, *, writes: bool = True) -> Deferred[Any]:
        task = _Task(work, writes)
        if self._database is None:
            task.done.errback(Failure(ClusterUnavailable("the journal is closed")))
        elif self._reactor is None:
            self._run([task])
            self._tell([task])
        else:
            self._waiting.append(task)
            if self._call is None and not self._busy:
                self._call = self._reactor.callLater(0, self._begin)
        return task.done

    def _begin(self) -> None:
        self._call = None
        self._busy = True
        tasks, self._waiting = self._waiting, []
        assert self._pool is not None  # noqa: S101 - it is open

        def ran(success: bool, result: Any) -> None:
            self._reactor.callFromThread(self._ran, tasks)

        self._pool.callInThreadWithCallback(ran, self._run, tasks)

    def _ran(self, tasks: list[_Task]) -> None:
        self._busy = False
        if self._waiting:
            self._call = self._reactor.callLater(0, self._begin)
        self._tell(tasks)
        if self._closing and not self._waiting and self._call is None:
            self._finish()

    def _run(self, tasks: list[_Task]) -> None:
        """In the thread: all of them in one transaction, or each in its own."""
        if not self._attempt(tasks):
            for task in tasks:
                self._attempt([task])

    def _attempt(self, tasks: list[_Task]) -> bool:
        database = self._database
        assert database is not None  # noqa: S101 - it is open
        try:
            database.execute("BEGIN IMMEDIATE" if any(task.writes for task in tasks) else "BEGIN")
            before = database.total_changes
            for task in tasks:
                task.outcome = task.work(database)
            database.execute("COMMIT")
            for task in tasks:
                task.wrote = database.total_changes > before
        except Exception:
            failure = Failure()
            with suppress(sqlite3.Error):
                database.execute("ROLLBACK")
            for task in tasks:
                task.outcome = failure
            return False
        return True

    def _tell(self, tasks: list[_Task]) -> None:
        """Back in the reactor's thread."""
        for task in tasks:
            if isinstance(task.outcome, Failure):
                self._note_failure(task.outcome)
                task.done.errback(Failure(ClusterUnavailable("the journal cannot do it")))
            else:
                if task.wrote and not self.healthy:
                    self.healthy = True
                    self.log.info("Songs can be kept again")
                task.done.callback(None if task.writes else task.outcome)

    def _note_failure(self, failure: Failure) -> None:
        if self.healthy:
            self.healthy = False
            self.log.error(
                "Songs cannot be kept, edits are refused: {reason}",
                reason=failure.getErrorMessage(),
            )


def _fields(value: "attrs.AttrsInstance") -> dict[str, object]:
    return attrs.asdict(value, recurse=False)


def _json(value: "attrs.AttrsInstance") -> bytes:
    return orjson.dumps(_fields(value))


def _built(kind: type[Any], fields: dict[str, object]) -> Any:
    """A value of its fields; those that a later version may have added are left out."""
    names = {field.name for field in attrs.fields(kind)}
    return kind(**{name: value for name, value in fields.items() if name in names})
