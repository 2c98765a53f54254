"""The journal on disk: what is kept, together with what, and what it says when it cannot be."""

import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import gatherResults
from twisted.logger import capturedLogs

from chordme_daemon.cluster import journal as module
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Entry,
    Member,
    Note,
    Record,
    Snapshot,
)
from chordme_daemon.cluster.journal import APPLICATION_ID, MIGRATIONS, Journal, JournalError

ROOT = Path(__file__).parents[2]
TEXT = 'la [Am] é\u2028 \U0001f3b8 "quoted"'
KILLS = 10

OpenJournal = Callable[..., Journal]


def entry(revision: int, text: str = "x") -> Entry:
    draft = Draft([3, text, -1], "i:5/tab-1", revision, "tab-1", 5, 1_794_484_800_000, "op 1")
    return Entry(revision, draft)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "songs.sqlite3")


@pytest.fixture
def open_journal(path: str) -> Iterator[OpenJournal]:
    """Opens journals on the path, which are closed in the end."""
    journals: list[Journal] = []

    def open_(**options: Any) -> Journal:
        journal = Journal(path, reactor=reactor, **options)
        journal.open()
        journals.append(journal)
        return journal

    yield open_
    for journal in journals:
        pytest_twisted.blockon(journal.close())


# What is kept


@pytest_twisted.ensureDeferred
async def test_a_song_is_there_after_a_restart(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert await journal.load("song") == Record()
    await journal.append("song", [entry(1, TEXT), entry(2)])
    await journal.append("song", [entry(3)])
    notes = [Note("room_message", {"message": TEXT, "user_id": 5}, "tab", kept=True, number=7)]
    await journal.keep_messages("song", notes)
    await journal.append("other", [entry(1)])
    await journal.close()
    record = await open_journal().load("song")
    assert record == Record(Snapshot(), [entry(1, TEXT), entry(2), entry(3)], notes)
    assert record.revision == 3


@pytest_twisted.ensureDeferred
async def test_a_snapshot_takes_the_place_of_old_entries(open_journal: OpenJournal) -> None:
    journal = open_journal()
    await journal.append("song", [entry(number) for number in range(1, 6)])
    snapshot = Snapshot(4, TEXT, {"i:5/tab-1": (4, 4, 1_794_484_800_000)})
    await journal.compact("song", snapshot, 2)
    record = await journal.load("song")
    assert record == Record(snapshot, [entry(3), entry(4), entry(5)], [])
    await journal.append("song", [entry(6)])


@pytest_twisted.ensureDeferred
async def test_who_was_there_is_known_with_the_heads(open_journal: OpenJournal) -> None:
    journal = open_journal()
    tab = Member("i:5/tab-1", "i:5", 5, None, resumable=True)
    other = Member("s:5/tab-2", "s:5", "5", "\U0001f3b8", resumable=True)
    await journal.append("song", [entry(1)])
    for room, member in (("song", tab), ("song", other), ("empty", tab)):
        await journal.remember(room, member)
    await journal.remember("song", tab)
    await journal.forget("song", other.key)
    await journal.close()
    assert sorted(open_journal().memberships()) == [("empty", tab, 0), ("song", tab, 1)]


@pytest_twisted.ensureDeferred
async def test_what_a_later_version_adds_to_a_value_is_passed_over(
    open_journal: OpenJournal, path: str
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1)])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET draft = json_set(draft, '$.mood', 'blue')")
    database.close()
    assert (await journal.load("song")).entries == [entry(1)]


@pytest_twisted.ensureDeferred
async def test_a_copy_that_is_made_meanwhile_is_a_journal(
    open_journal: OpenJournal, path: str, tmp_path: Path
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1, TEXT)])
    source, copy = sqlite3.connect(path), sqlite3.connect(tmp_path / "copy.sqlite3")
    source.backup(copy)
    source.close()
    copy.close()
    restored = Journal(str(tmp_path / "copy.sqlite3"))
    restored.open()
    [record] = results(restored.load("song"))
    assert record.entries == [entry(1, TEXT)]
    results(restored.close())


def results(deferred: Any) -> list[Any]:
    """What has fired already."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


def test_without_a_reactor_everything_is_done_at_once(path: str) -> None:
    for where in (path, ":memory:"):
        journal = Journal(where)
        journal.open()
        assert results(journal.append("song", [entry(1)])) == [None]
        [record] = results(journal.load("song"))
        assert record.revision == 1
        assert results(journal.close()) == [None]


# One turn, one transaction


@pytest_twisted.ensureDeferred
async def test_what_is_asked_for_in_one_turn_is_one_transaction(open_journal: OpenJournal) -> None:
    journal = open_journal()
    statements: list[str] = []
    assert journal._database is not None
    journal._database.set_trace_callback(statements.append)
    await gatherResults([journal.append(f"song-{number}", [entry(1)]) for number in range(100)])
    assert statements.count("COMMIT") == 1
    for number in range(3):
        await journal.append("song", [entry(number + 1)])
    assert statements.count("COMMIT") == 4


@pytest_twisted.ensureDeferred
async def test_what_comes_while_one_is_under_way_is_done_in_its_order(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    done: list[int] = []

    def append(number: int) -> Any:
        appended = journal.append("song", [entry(number)])
        appended.addCallback(lambda _: done.append(number))
        return appended

    first = append(1)
    first.addCallback(lambda _: append(4))
    await gatherResults([first, append(2), append(3)])
    assert (await journal.load("song")).revision == 4
    assert done == [1, 2, 3, 4]


@pytest.mark.parametrize("revision", [1, 2, 4, 9])
@pytest_twisted.ensureDeferred
async def test_what_would_overwrite_or_leave_a_hole_fails_and_spoils_nothing_else(
    open_journal: OpenJournal, revision: int
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1), entry(2)])
    wrong = results(journal.append("song", [entry(revision, "wrong")]))
    others = gatherResults([journal.append(f"song-{number}", [entry(1)]) for number in range(5)])
    with capturedLogs() as logged:
        await others
    assert wrong[0].check(ClusterUnavailable)
    assert len(logged) <= 2
    assert (await journal.load("song")).entries == [entry(1), entry(2)]
    assert (await journal.load("song-4")).revision == 1


# What goes wrong


@pytest_twisted.ensureDeferred
async def test_a_full_disk_refuses_and_is_told_once_and_then_all_goes_on(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1)])
    database = journal._database
    assert database is not None
    [pages] = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count = {pages}")
    with capturedLogs() as logged:
        for _ in range(3):
            with pytest.raises(ClusterUnavailable):
                await journal.append("song", [entry(2, "x" * 100_000)])
        # What finds nothing to write says nothing about the disk.
        await journal.forget("song", "nobody")
        assert not journal.healthy
        database.execute(f"PRAGMA max_page_count = {pages + 1000}")
        await journal.append("song", [entry(2, "x" * 100_000)])
    assert journal.healthy
    assert [line["log_format"][:15] for line in logged] == ["Songs cannot be", "Songs can be ke"]
    assert (await journal.load("song")).revision == 2


@pytest_twisted.ensureDeferred
async def test_a_closed_journal_keeps_nothing(open_journal: OpenJournal) -> None:
    journal = open_journal()
    waiting = journal.append("song", [entry(1)])
    await journal.close()
    await waiting
    with pytest.raises(ClusterUnavailable):
        await journal.append("song", [entry(2)])
    assert (await open_journal().load("song")).revision == 1


def refused(path: str | Path) -> str:
    with pytest.raises(JournalError) as error:
        Journal(str(path)).open()
    line = str(error.value)
    assert "\n" not in line
    assert line.startswith(str(path))
    return line.removeprefix(str(path))


def create(path: str) -> None:
    journal = Journal(path)
    journal.open()
    results(journal.close())


@pytest_twisted.ensureDeferred
async def test_a_file_is_one_daemons_at_a_time(open_journal: OpenJournal, path: str) -> None:
    journal = open_journal()
    assert refused(path) == " is in use by another daemon"
    await journal.close()
    open_journal()


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path: str) -> None:
    create(path)
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    before = Path(path).read_bytes()
    expected = (
        f" was written by a newer chordme-daemon (schema 7, this one knows {len(MIGRATIONS)})"
    )
    assert refused(path) == expected
    assert Path(path).read_bytes() == before


def test_each_version_becomes_the_next(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = Journal(path)
    journal.open()
    results(journal.append("song", [entry(1)]))
    results(journal.close())
    later = (*MIGRATIONS, "ALTER TABLE rooms ADD COLUMN mood TEXT; CREATE TABLE moods (mood);")
    monkeypatch.setattr(module, "MIGRATIONS", later)
    journal.open()
    [record] = results(journal.load("song"))
    assert record.revision == 1
    results(journal.close())
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (2,)
        assert database.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert database.execute("SELECT mood FROM rooms").fetchall() == [(None,)]
    database.close()


def test_a_migration_that_fails_changes_nothing(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    create(path)
    later = (*MIGRATIONS, "CREATE TABLE moods (mood); nonsense;")
    monkeypatch.setattr(module, "MIGRATIONS", later)
    assert "syntax error" in refused(path)
    monkeypatch.undo()
    journal = Journal(path)
    journal.open()
    results(journal.close())


def test_what_is_no_journal_is_left_alone(tmp_path: Path) -> None:
    text = tmp_path / "song.cho"
    text.write_text("{title: no database, but long enough to be taken for one}\n" * 100)
    assert "not a database" in refused(text)
    other = tmp_path / "other.sqlite3"
    with sqlite3.connect(other) as database:
        database.execute("CREATE TABLE songs (title)")
    database.close()
    before = other.read_bytes()
    assert refused(other) == " is a database of something else"
    assert other.read_bytes() == before
    assert "directory" in refused(tmp_path / "missing" / "songs.sqlite3").lower()
    assert refused(tmp_path / "song.cho" / "songs.sqlite3") == ": Not a directory"
    (tmp_path / "folder.lock").touch()
    (tmp_path / "folder").mkdir()
    assert "unable to open" in refused(tmp_path / "folder")


# Killed


def test_what_was_acknowledged_survives_being_killed_at_any_moment(path: str) -> None:
    dice = random.Random()
    acknowledged: dict[str, int] = {}
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.cluster.appender", path],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(dice.uniform(0.0, 0.1))
            process.kill()
            lines += process.stdout.readlines()
        for line in lines:
            if line.endswith("\n"):
                room, revision = line.split()
                assert int(revision) == acknowledged.get(room, int(revision) - 1) + 1
                acknowledged[room] = int(revision)
        journal = Journal(path)
        journal.open()
        for room, revision in acknowledged.copy().items():
            [record] = results(journal.load(room))
            revisions = [one.revision for one in record.entries]
            assert revisions == list(range(1, record.revision + 1))
            assert int(revision) <= record.revision <= int(revision) + 1
            acknowledged[room] = record.revision
        results(journal.close())
    assert len(acknowledged) == 3
