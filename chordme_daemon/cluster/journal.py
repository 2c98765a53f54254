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
from functools import partial
from threading import Thread
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
# How long a program that writes to the file itself, as `sqlite3 PATH` may, is waited for.
BUSY_MS: Final = 2000


class JournalError(Exception):
    """Why a journal cannot be used, in one line."""


Work = Callable[[sqlite3.Connection], Any]
NOT_DONE: Final = Failure(ClusterUnavailable("nothing was done"))


@attrs.define(eq=False)
class _Task:
    """Something to do with the database, and who waits for it."""

    work: Work
    writes: bool
    done: Deferred[Any] = attrs.field(factory=Deferred)
    outcome: Any = NOT_DONE
    # Whether its transaction has written anything at all.
    wrote: bool = False


class Journal:
    """The database at a path, used in a thread; ":memory:", or any without a reactor, at once."""

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

    def open(self) -> None:
        """Open the file, or make one; JournalError says what is wrong with it."""
        try:
            if self._path != ":memory:":
                self._take_lock()
            self._connect()
        except BaseException as error:
            self._release()
            if not isinstance(error, (OSError, sqlite3.Error)):
                raise
            reason = getattr(error, "strerror", None) or error
            raise JournalError(f"{self._path}: {reason}") from None
        if self._reactor is not None:
            self._pool = ThreadPool(1, 1, "journal")
            # A process that ends without closing the journal does not wait for the thread.
            self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment] # it is only called
            self._pool.start()

    def _take_lock(self) -> None:
        # One file has one lock, by whatever links it is reached.
        lock = os.path.realpath(self._path) + ".lock"
        self._lock = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self._path} is in use by another daemon") from None

    def _connect(self) -> None:
        database = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        self._database = database
        database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        database.execute(f"PRAGMA synchronous = {self._synchronous}")
        self._migrate(database)
        database.execute("PRAGMA journal_mode = WAL")
        # Tried, so that a file that cannot be written is known at the start: BEGIN alone passes.
        database.executescript("BEGIN IMMEDIATE; DELETE FROM members WHERE 0; ROLLBACK;")

    def _migrate(self, database: sqlite3.Connection) -> None:
        [version] = database.execute("PRAGMA user_version").fetchone()
        [application_id] = database.execute("PRAGMA application_id").fetchone()
        [tables] = database.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application_id != APPLICATION_ID and (tables or application_id or version):
            raise JournalError(f"{self._path} is a database of something else")
        if version > len(MIGRATIONS):
            written = f"was written by a newer chordme-daemon (schema {version}"
            raise JournalError(f"{self._path} {written}, this one knows {len(MIGRATIONS)})")
        if version < len(MIGRATIONS):
            script = "".join(MIGRATIONS[version:]) + f"PRAGMA user_version = {len(MIGRATIONS)};"
            script += f"PRAGMA application_id = {APPLICATION_ID};"
            database.executescript(f"BEGIN IMMEDIATE; {script} COMMIT;")

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
        if self._database is not None:
            with suppress(sqlite3.Error):
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._release()
        while self._closing:
            self._closing.pop(0).callback(None)

    def _release(self) -> None:
        if self._database is not None:
            self._database.close()
        if self._lock is not None:
            os.close(self._lock)
        self._database = self._lock = self._pool = None

    def memberships(self) -> list[tuple[str, Member, int]]:
        """Who was in which room when the last daemon ended, with the heads; to be asked first."""
        assert self._database is not None  # noqa: S101 - it is open
        query = "SELECT room, member, coalesce(head, 0) FROM members LEFT JOIN rooms USING (room)"
        try:
            rows = self._database.execute(query).fetchall()
            return [(room, _built(Member, orjson.loads(text)), head) for room, text, head in rows]
        except (sqlite3.Error, ValueError) as error:
            raise JournalError(f"{self._path}: {error}") from None

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
        has_holes = any(row[1] != number for number, row in enumerate(rows, first))

        def work(database: sqlite3.Connection) -> None:
            if first == 1:
                database.execute("INSERT OR IGNORE INTO rooms (room) VALUES (?)", (room,))
            moved = database.execute(
                "UPDATE rooms SET head = ? WHERE room = ? AND head = ?", (last, room, first - 1)
            )
            if has_holes or moved.rowcount != 1:
                raise sqlite3.IntegrityError(f"{room}: revision {first} does not follow the last")
            database.executemany("INSERT INTO entries VALUES (?, ?, ?)", rows)

        return self._ask(work)

    def compact(self, room: str, snapshot: Snapshot, base: int) -> Deferred[None]:
        """Keep a snapshot that is not older than the last, and forget entries that it covers."""
        revision, answered = snapshot.revision, orjson.dumps(snapshot.answered)
        values = (revision, snapshot.text, answered, room, revision)
        statement = (
            "UPDATE rooms SET revision = ?, text = ?, answered = ? "
            "WHERE room = ? AND ? BETWEEN revision AND head"
        )

        def work(database: sqlite3.Connection) -> None:
            if base > revision or database.execute(statement, values).rowcount != 1:
                raise sqlite3.IntegrityError(f"{room}: no snapshot can be of revision {revision}")
            database.execute("DELETE FROM entries WHERE room = ? AND revision <= ?", (room, base))

        return self._ask(work)

    def keep_messages(self, room: str, notes: Sequence[Note]) -> Deferred[None]:
        """Keep these notes of a room, and no others."""
        messages = _json(list(notes))
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

        self._pool.callInThreadWithCallback(
            lambda *_: self._reactor.callFromThread(self._ran, tasks), self._run, tasks
        )

    def _ran(self, tasks: list[_Task]) -> None:
        self._busy = False
        if self._waiting:
            self._call = self._reactor.callLater(0, self._begin)
        self._tell(tasks)
        if self._closing and not self._waiting and self._call is None:
            self._finish()

    def _run(self, tasks: list[_Task]) -> None:
        """In the thread: all of them in one transaction, or each in its own."""
        database = self._database
        assert database is not None  # noqa: S101 - it is open
        if not self._attempt(database, tasks) and len(tasks) > 1:
            # Who has had the file for so long has it still: not each of them waits again.
            database.execute("PRAGMA busy_timeout = 0")
            for task in tasks:
                self._attempt(database, [task])
            database.execute(f"PRAGMA busy_timeout = {BUSY_MS}")

    def _attempt(self, database: sqlite3.Connection, tasks: list[_Task]) -> bool:
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
                self._note_failure(task.outcome, task.writes)
                task.done.errback(Failure(ClusterUnavailable("the journal cannot do it")))
            else:
                if task.wrote and not self.healthy:
                    self.healthy = True
                    self.log.info("Songs can be kept again")
                task.done.callback(None if task.writes else task.outcome)

    def _note_failure(self, failure: Failure, writes: bool) -> None:
        reason = failure.getErrorMessage()
        if not writes:
            self.log.error("A song cannot be read: {reason}", reason=reason)
        elif failure.check(sqlite3.IntegrityError):
            self.log.error("What does not fit a song's log is refused: {reason}", reason=reason)
        elif self.healthy:
            self.healthy = False
            self.log.error("Songs cannot be kept, edits are refused: {reason}", reason=reason)


_json: Final = partial(orjson.dumps, default=partial(attrs.asdict, recurse=False))


def _built(kind: type[Any], fields: dict[str, object]) -> Any:
    """A value of its fields; those that a later version may have added are left out."""
    names = {field.name for field in attrs.fields(kind)}
    return kind(**{name: value for name, value in fields.items() if name in names})
