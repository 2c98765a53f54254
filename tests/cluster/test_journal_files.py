"""The journal's file: who may have it, what else lies there, and a daemon that dies over it."""

import os
import random
import resource
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.logger import capturedLogs

from chordme_daemon.cluster import rows
from chordme_daemon.cluster.interface import Member, Note, Record, Snapshot
from chordme_daemon.cluster.journal import Journal, JournalError
from chordme_daemon.cluster.rows import APPLICATION_ID, MIGRATIONS
from tests.cluster.appender import ROOMS
from tests.cluster.conftest import TEXT, OpenJournal, entry, results

ROOT = Path(__file__).parents[2]
# How often it dies in `make soak`, and in `make test`.
KILLS = 100 if os.environ.get("CHORDME_SOAK") else 8


def refused(path: str | Path) -> str:
    """Why the file cannot be opened."""
    with pytest.raises(JournalError) as error:
        Journal(str(path)).open()
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line.removeprefix(str(path))


def create(path: str) -> None:
    """A journal with a song, closed."""
    journal = Journal(path)
    journal.open()
    assert results(journal.append("song", [entry(1)])) == [None]
    assert results(journal.close()) == [None]


def read(path: str, room: str = "song") -> Record:
    """What is kept of a song."""
    journal = Journal(path)
    journal.open()
    [record] = results(journal.load(room))
    results(journal.close())
    assert isinstance(record, Record)
    return record


# One daemon at a time


@pytest_twisted.ensureDeferred
async def test_a_file_is_one_daemons_at_a_time(open_journal: OpenJournal, path: str) -> None:
    journal = open_journal()
    assert refused(path) == " is in use by another daemon"
    link = Path(path).with_name("link.sqlite3")
    link.symlink_to(path)
    assert refused(link) == " is in use by another daemon"
    await journal.close()
    open_journal()


def test_a_journal_that_could_not_be_opened_can_be_closed(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "missing" / "songs.sqlite3"))
    with pytest.raises(JournalError):
        journal.open()
    assert results(journal.close()) == [None]


def test_a_process_that_ends_otherwise_does_not_wait_for_its_journal(path: str) -> None:
    program = (
        "import sys\n"
        "from twisted.internet import reactor\n"
        "from chordme_daemon.cluster.journal import Journal\n"
        "Journal(sys.argv[1], reactor=reactor).open()\n"
        "sys.exit(3)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, path], cwd=ROOT, timeout=60, check=False)
    assert ended.returncode == 3
    create(path)


# Versions


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path: str) -> None:
    create(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 7")
    before = Path(path).read_bytes()
    expected = (
        f" was written by a newer chordme-daemon (schema 7, this one knows {len(MIGRATIONS)})"
    )
    assert refused(path) == expected
    assert Path(path).read_bytes() == before


def test_an_empty_file_becomes_a_journal(path: str) -> None:
    Path(path).touch()
    create(path)
    assert read(path).revision == 1


def test_versions_between_are_made_up_for_at_once(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(path)
    moods = ("ALTER TABLE rooms ADD COLUMN mood TEXT;", "UPDATE rooms SET mood = 'blue';")
    monkeypatch.setattr(rows, "MIGRATIONS", (*MIGRATIONS, *moods))
    assert read(path).revision == 1
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 2,)
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert database.execute("SELECT mood FROM rooms").fetchall() == [("blue",)]


def test_the_messages_of_the_first_version_are_kept(path: str) -> None:
    notes = [
        Note("room_message", {"message": 'é\u2028 "\U0001f3b8"'}, "tab", kept=True, number=number)
        for number in (8, 9)
    ]
    lists: tuple[object, ...] = (b"[" + b",".join(map(rows.to_json, notes)) + b"]", "[]", b"[", "7")
    with closing(sqlite3.connect(path)) as database, database:
        database.executescript(MIGRATIONS[0])
        database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        database.execute("PRAGMA user_version = 1")
        for number, messages in enumerate(lists):
            values = (f"song-{number}", 1, 1, TEXT, b'{"ada":[1,1,1]}', messages)
            database.execute("INSERT INTO rooms VALUES (?, ?, ?, ?, ?, ?)", values)
    for number in range(len(lists)):
        record = read(path, f"song-{number}")
        assert record.snapshot == Snapshot(1, TEXT, {"ada": (1, 1, 1)})
        # What is no list of messages is left behind.
        assert record.messages == ([] if number else notes)
    journal = Journal(path)
    journal.open()
    assert results(journal.append("song-0", [entry(2)])) == [None]
    assert results(journal.append("new", [entry(1)])) == [None]
    results(journal.close())
    assert read(path, "song-0").revision == 2


def test_a_migration_that_fails_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path)
    before = Path(path).read_bytes()
    later = (*MIGRATIONS, "CREATE TABLE moods (mood);", "nonsense;")
    with monkeypatch.context() as patch:
        patch.setattr(rows, "MIGRATIONS", later)
        assert "syntax error" in refused(path)
    assert Path(path).read_bytes() == before
    assert read(path).revision == 1


# What is no journal, or none that can be used


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    text, other = tmp_path / "song.cho", tmp_path / "other.sqlite3"
    text.write_text("{title: no database, but long enough to be taken for one}\n" * 100)
    with closing(sqlite3.connect(other)) as database:
        database.execute("CREATE TABLE songs (title)")
    before = text.read_bytes(), other.read_bytes()
    assert refused(text) == ": file is not a database"
    assert refused(other) == " is a database of something else"
    assert (text.read_bytes(), other.read_bytes()) == before
    assert not list(tmp_path.glob("*-wal"))


def test_a_place_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "song.cho").touch()
    (tmp_path / "folder").mkdir()
    assert refused(tmp_path / "missing" / "songs.sqlite3") == ": No such file or directory"
    assert refused(tmp_path / "song.cho" / "songs.sqlite3") == ": Not a directory"
    assert refused(tmp_path / "folder") == ": unable to open database file"
    # Nobody makes files there, not even root.
    assert refused("/sys/songs.sqlite3") in (": Permission denied", ": Read-only file system")


def test_a_file_that_cannot_be_written_is_refused(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(path)
    connect = sqlite3.connect

    def connect_to_read(file: str, **options: Any) -> sqlite3.Connection:
        return connect(f"file:{file}?mode=ro", uri=True, **options)

    # What SQLite does by itself with a file that it may not write; root may write all.
    monkeypatch.setattr(sqlite3, "connect", connect_to_read)
    assert refused(path) == ": attempt to write a readonly database"


def test_a_damaged_file_is_told_in_one_line(path: str) -> None:
    create(path)
    journal = Journal(path)
    journal.open()
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("ALTER TABLE members RENAME COLUMN member TO who")
    with pytest.raises(JournalError, match=path):
        journal.memberships()
    results(journal.close())
    with Path(path).open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)
    assert refused(path) == ": database disk image is malformed"


@pytest.mark.parametrize(
    "damage",
    ["'{'", "'[]'", "5", "json_remove(member, '$.user')", "json_set(member, '$.key', 'another')"],
)
def test_members_who_cannot_be_read_are_forgotten_and_the_others_are_waited_for(
    path: str, damage: str
) -> None:
    create(path)
    journal = Journal(path)
    journal.open()
    ada, ben = (Member(f"i:{n}/tab-1", f"i:{n}", n, resumable=True) for n in (5, 6))
    for member in (ada, ben):
        results(journal.remember("song", member))
    results(journal.close())
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(f"UPDATE members SET member = {damage} WHERE key = '{ben.key}'")
    journal.open()
    with capturedLogs() as logged:
        assert journal.memberships() == [("song", ada, 1)]
    assert [(line["log_level"].name, line["room"]) for line in logged] == [("warn", "song")]
    with capturedLogs() as logged:
        assert journal.memberships() == [("song", ada, 1)]
    assert logged == []
    results(journal.close())


# A daemon that dies, and a disk that is full


@contextmanager
def appender(path: str) -> Iterator["subprocess.Popen[str]"]:
    """A process that appends, and says each revision that is kept; killed in the end."""
    command = [sys.executable, "-m", "tests.cluster.appender", path]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


class Heads:
    """The last revision of each song of which it was said that it is kept."""

    def __init__(self) -> None:
        self.acknowledged = dict.fromkeys(ROOMS, 0)
        self.refused = 0

    def hear(self, line: str) -> None:
        if not line.endswith("\n"):  # it was killed
            return
        room, said = line.split()
        if said == "refused":
            self.refused += 1
            return
        self.acknowledged[room] += 1
        assert int(said) == self.acknowledged[room]

    def check(self, path: str) -> None:
        """Each entry is there once; of what was on its way when the process died, one at most."""
        for room, head in self.acknowledged.items():
            entries = read(path, room).entries
            assert [one.revision for one in entries] == list(range(1, len(entries) + 1))
            assert [one.draft.seq for one in entries] == list(range(1, len(entries) + 1))
            assert head <= len(entries) <= head + 1
            self.acknowledged[room] = len(entries)


def test_what_was_acknowledged_survives_being_killed_at_any_moment(path: str) -> None:
    heads, dice = Heads(), random.Random()
    for _ in range(KILLS):
        with appender(path) as process:
            assert process.stdout is not None
            heads.hear(process.stdout.readline())
            time.sleep(dice.uniform(0.0, 0.1))
            process.kill()
            for line in process.stdout:
                heads.hear(line)
        heads.check(path)
    assert min(heads.acknowledged.values()) > 0


def test_what_was_acknowledged_is_kept_on_a_disk_that_is_full_for_a_while(path: str) -> None:
    heads = Heads()

    def until(reached: Any) -> None:
        assert process.stdout is not None
        while not reached():
            line = process.stdout.readline()
            assert line, "it ended"
            heads.hear(line)

    with appender(path) as process:
        until(lambda: min(heads.acknowledged.values()) >= 5)
        # No file of it grows any more. Python ignores the signal that comes with that.
        full = os.stat(f"{path}-wal").st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (full, resource.RLIM_INFINITY))
        until(lambda: heads.refused >= 20)
        again = max(heads.acknowledged.values()) + 5
        unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, unlimited)
        until(lambda: min(heads.acknowledged.values()) >= again)
        process.kill()
        assert process.stdout is not None
        for line in process.stdout:
            heads.hear(line)
    heads.check(path)
