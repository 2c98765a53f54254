"""The daemon's memory on disk: songs, their logs, and who was there, in one SQLite file.

- What is asked to be written in one reactor turn goes into one transaction, in a thread; what comes
  while that is under way goes into the next. Whoever appends hears when it is on disk.
- How much that means is `synchronous`: with "full" the disk has it, with "normal" the system has
  it, so that a crash of the daemon takes nothing, and a power cut may take the last moments.
- A transaction that fails is done again write by write, so that none spoils the others. What cannot
  be written is `ClusterUnavailable`; it is logged when that begins and when it ends.
- What is read is looked at: a song whose rows cannot be right is `ClusterUnavailable` as well, and
  logged once. The others do not notice.
- An entry is only ever appended behind the last: what would overwrite one, or leave a hole, fails.
- One daemon has the file at a time. Others may read it, as `sqlite3 PATH .backup` does.
"""

import fcntl
import os
import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from chordme_daemon.cluster import rows
from chordme_daemon.cluster.interface import (
    KEPT_NOTES,
    ClusterUnavailable,
    Entry,
    Member,
    Note,
    Record,
    Snapshot,
)

# How long a program that writes to the file itself, as `sqlite3 PATH` may, is waited for.
BUSY_MS: Final = 2000
# What to do is in the README, under the same words.
UNREADABLE: Final = (
    "The song {room} in {path} cannot be read: {reason}. Put back a backup, or make the song anew: "
    "see README, A song that cannot be read"
)


class JournalError(Exception):
    """Why a journal cannot be used, in one line."""


class _Unreadable(Exception):
    """Why nothing can be made of the rows of a room."""

    def __init__(self, room: str, reason: str) -> None:
        super().__init__(reason)
        self.room = room


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
        # Transactions that wrote, how long they took in all, and writes that failed.
        self.commits = self.failures = 0
        self.commits_took_s = 0.0
        self.path = path
        # The rooms of which it was said that they cannot be read.
        self._unreadable: set[str] = set()
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
            if self.path != ":memory:":
                self._take_lock()
            self._connect()
        except BaseException as error:
            self._release()
            if not isinstance(error, (OSError, sqlite3.Error)):
                raise
            reason = getattr(error, "strerror", None) or error
            raise JournalError(f"{self.path}: {reason}") from None
        if self._reactor is not None:
            self._pool = ThreadPool(1, 1, "journal")
            # A process that ends without closing the journal does not wait for the thread.
            self._pool.threadFactory = partial(Thread, daemon=True)  # type: ignore[assignment] # it is only called
            self._pool.start()

    def _take_lock(self) -> None:
        # One file has one lock, by whatever links it is reached.
        lock = os.path.realpath(self.path) + ".lock"
        self._lock = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"{self.path} is in use by another daemon") from None

    def _connect(self) -> None:
        database = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
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
        known = len(rows.MIGRATIONS)
        if application_id != rows.APPLICATION_ID and (tables or application_id or version):
            raise JournalError(f"{self.path} is a database of something else")
        if version > known:
            written = f"was written by a newer chordme-daemon (schema {version}"
            raise JournalError(f"{self.path} {written}, this one knows {known})")
        if version < known:
            script = "".join(rows.MIGRATIONS[version:]) + f"PRAGMA user_version = {known};"
            script += f"PRAGMA application_id = {rows.APPLICATION_ID};"
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
        query = (
            "SELECT room, key, member, coalesce(head, 0) FROM members LEFT JOIN rooms USING (room)"
        )
        members = []
        for room, key, text, head in self.read_now(query):
            try:
                members.append((room, rows.member(key, text), head))
            except rows.Damaged as error:
                self.log.warn("A member of {room} is forgotten: {why}", room=room, why=str(error))
                self.forget(room, key).addErrback(lambda _: None)
        return members

    def read_now(self, query: str) -> list[Any]:
        """What a query finds; before anything is asked, as this does not wait for the thread."""
        assert self._database is not None  # noqa: S101 - it is open
        try:
            return self._database.execute(query).fetchall()
        except sqlite3.Error as error:
            raise JournalError(f"{self.path}: {error}") from None

    def load(self, room: str) -> Deferred[Record]:
        """All that is kept of a room."""
        queries = (
            "SELECT head, revision, text, answered FROM rooms WHERE room = ?",
            "SELECT revision, draft FROM entries WHERE room = ? ORDER BY revision",
            "SELECT note FROM messages WHERE room = ? ORDER BY number",
        )

        def work(database: sqlite3.Connection) -> Record:
            try:
                # To the end, before anything is looked at: a statement that is left under way
                # would keep the file as it is now from being written.
                found = [database.execute(query, (room,)).fetchall() for query in queries]
                record = rows.record(found[0][0] if found[0] else None, *found[1:])
            except (sqlite3.Error, rows.Damaged) as error:
                raise _Unreadable(room, str(error)) from None
            self._unreadable.discard(room)
            return record

        return self.ask(work, writes=False)

    def append(self, room: str, entries: Sequence[Entry]) -> Deferred[None]:
        """Put entries behind the last one of a room: all of them, or it fails."""
        first, last = entries[0].revision, entries[-1].revision
        values = [(room, entry.revision, rows.to_json(entry.draft)) for entry in entries]
        has_holes = any(row[1] != number for number, row in enumerate(values, first))

        def work(database: sqlite3.Connection) -> None:
            if first == 1:
                database.execute("INSERT OR IGNORE INTO rooms (room) VALUES (?)", (room,))
            moved = database.execute(
                "UPDATE rooms SET head = ? WHERE room = ? AND head = ?", (last, room, first - 1)
            )
            if has_holes or moved.rowcount != 1:
                raise sqlite3.IntegrityError(f"{room}: revision {first} does not follow the last")
            database.executemany("INSERT INTO entries VALUES (?, ?, ?)", values)

        return self.ask(work)

    def compact(self, room: str, snapshot: Snapshot, base: int) -> Deferred[None]:
        """Keep a snapshot that is not older than the last, and forget entries that it covers."""
        revision, answered = snapshot.revision, rows.to_json(snapshot.answered)
        values = (revision, snapshot.text, answered, room, revision)
        statement = (
            "UPDATE rooms SET revision = ?, text = ?, answered = ? "
            "WHERE room = ? AND ? BETWEEN revision AND head"
        )

        def work(database: sqlite3.Connection) -> None:
            if base > revision or database.execute(statement, values).rowcount != 1:
                raise sqlite3.IntegrityError(f"{room}: no snapshot can be of revision {revision}")
            database.execute("DELETE FROM entries WHERE room = ? AND revision <= ?", (room, base))

        return self.ask(work)

    def copy(self, room: str, snapshot: Snapshot) -> Deferred[None]:
        """Keep a snapshot of a room whose log is elsewhere, if it is not older than the last."""
        revision, answered = snapshot.revision, rows.to_json(snapshot.answered)
        statement = (
            "INSERT INTO rooms (room, head, revision, text, answered) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (room) DO UPDATE SET head = excluded.head, revision = excluded.revision, "
            "text = excluded.text, answered = excluded.answered WHERE excluded.head >= rooms.head"
        )

        def work(database: sqlite3.Connection) -> None:
            values = (room, revision, revision, snapshot.text, answered)
            if database.execute(statement, values).rowcount:
                database.execute("DELETE FROM entries WHERE room = ?", (room,))

        return self.ask(work)

    def keep_messages(self, room: str, notes: Sequence[Note]) -> Deferred[None]:
        """Keep notes of a room that are new, and so many of the last."""
        forget = (
            "DELETE FROM messages WHERE room = ? AND number <= (SELECT number FROM messages "
            "WHERE room = ? ORDER BY number DESC LIMIT 1 OFFSET ?)"
        )

        def work(database: sqlite3.Connection) -> None:
            # In the thread, one by one: they may be long.
            values = ((room, note.number, rows.to_json(note)) for note in notes)
            database.executemany("INSERT OR REPLACE INTO messages VALUES (?, ?, ?)", values)
            database.execute(forget, (room, room, KEPT_NOTES))

        return self.ask(work)

    def remember(self, room: str, member: Member) -> Deferred[None]:
        """Know that somebody is in a room, whatever happens."""
        values = (room, member.key, rows.to_json(member))
        statement = "INSERT OR REPLACE INTO members VALUES (?, ?, ?)"
        return self.ask(lambda database: database.execute(statement, values))

    def forget(self, room: str, key: str) -> Deferred[None]:
        """Know it no more."""
        statement = "DELETE FROM members WHERE room = ? AND key = ?"
        return self.ask(lambda database: database.execute(statement, (room, key)))

    def ask(self, work: Work, *, writes: bool = True) -> Deferred[Any]:
        """Do something with the database; fires with what came of it, if it only reads."""
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
        began_s = time.perf_counter()
        try:
            database.execute("BEGIN IMMEDIATE" if any(task.writes for task in tasks) else "BEGIN")
            before = database.total_changes
            for task in tasks:
                task.outcome = task.work(database)
            database.execute("COMMIT")
            wrote = database.total_changes > before
            for task in tasks:
                task.wrote = wrote
            self.commits += wrote
            self.commits_took_s += wrote and time.perf_counter() - began_s
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
                task.done.errback(Failure(ClusterUnavailable(task.outcome.getErrorMessage())))
            else:
                if task.wrote and not self.healthy:
                    self.healthy = True
                    self.log.info("Songs can be kept again")
                task.done.callback(None if task.writes else task.outcome)

    def _note_failure(self, failure: Failure, writes: bool) -> None:
        reason = failure.getErrorMessage()
        self.failures += writes
        if isinstance(failure.value, _Unreadable):
            room = failure.value.room
            if room not in self._unreadable:
                self._unreadable.add(room)
                self.log.error(UNREADABLE, room=room, reason=reason, path=self.path)
        elif not writes:
            self.log.error("Songs cannot be read: {reason}", reason=reason)
        elif failure.check(sqlite3.IntegrityError):
            self.log.error("What does not fit a song's log is refused: {reason}", reason=reason)
        elif self.healthy:
            self.healthy = False
            self.log.error("Songs cannot be kept, edits are refused: {reason}", reason=reason)
