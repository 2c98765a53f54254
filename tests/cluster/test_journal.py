"""The journal: what is kept, together with what, and what it says when it cannot be."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.logger import capturedLogs, formatEvent

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
from chordme_daemon.cluster.journal import Journal
from tests.cluster.conftest import TEXT, OpenJournal, entry, results


def message(number: int) -> Note:
    return Note("room_message", {"message": TEXT, "user_id": 5}, "tab", kept=True, number=number)


# What is kept


@pytest_twisted.ensureDeferred
async def test_a_song_is_there_after_a_restart(open_journal: OpenJournal) -> None:
    journal = open_journal()
    assert await journal.load("song") == Record()
    await journal.append("song", [entry(1, TEXT), entry(2)])
    await journal.append("song", [entry(3)])
    draft = Draft([f"{TEXT}!"], "s:5/tab-2", 1, "tab-2", "5", 1)
    await journal.append("song", [Entry(4, draft)])
    notes = [message(6), message(7)]
    await journal.keep_messages("song", notes[:1])
    await journal.keep_messages("song", notes[1:])
    await journal.keep_messages("silent", notes)
    await journal.append("other", [entry(1)])
    await journal.close()
    journal = open_journal()
    record = await journal.load("song")
    entries = [entry(1, TEXT), entry(2), entry(3), Entry(4, draft)]
    assert record == Record(Snapshot(), entries, notes)
    assert await journal.load("silent") == Record(messages=notes, entries=[])
    # Who said nothing before can still begin.
    await journal.append("silent", [entry(1)])


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
async def test_only_new_messages_are_written_and_the_last_hundred_are_kept(
    open_journal: OpenJournal,
) -> None:
    journal = open_journal()
    await journal.keep_messages("other", [message(1)])
    for first in range(0, 250, 50):
        notes = [message(number) for number in range(first, first + 50)]
        await journal.keep_messages("song", notes)
    assert (await journal.load("song")).messages == [message(number) for number in range(150, 250)]
    assert journal._database is not None
    before = journal._database.total_changes
    await journal.keep_messages("song", [message(250)])
    # The new one is there, and the oldest is gone.
    assert journal._database.total_changes == before + 2
    kept = (await journal.load("song")).messages
    assert [kept[0], kept[-1]] == [message(151), message(250)]
    # Asked for once more, as after a failure, they are there once.
    await journal.keep_messages("song", [message(250), message(251)])
    assert (await journal.load("song")).messages[-2:] == [message(250), message(251)]
    assert (await journal.load("other")).messages == [message(1)]


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


@pytest_twisted.ensureDeferred
async def test_what_is_read_is_what_was_asked_to_be_kept_before(open_journal: OpenJournal) -> None:
    journal = open_journal()
    first, between, second, after = (
        journal.append("song", [entry(1)]),
        journal.load("song"),
        journal.append("song", [entry(2)]),
        journal.load("song"),
    )
    records = [await between, await after]
    assert [record.revision for record in records] == [1, 2]
    await gatherResults([first, second])


@pytest.mark.parametrize("revisions", [[1], [2], [4], [9], [2, 3], [3, 5], [3, 3], [3, 2]])
@pytest_twisted.ensureDeferred
async def test_what_would_overwrite_or_leave_a_hole_fails_and_spoils_nothing_else(
    open_journal: OpenJournal, revisions: list[int]
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1), entry(2)])
    wrong = results(journal.append("song", [entry(revision, "wrong") for revision in revisions]))
    others = gatherResults([journal.append(f"song-{number}", [entry(1)]) for number in range(5)])
    with capturedLogs() as logged:
        await others
    assert wrong[0].check(ClusterUnavailable)
    [line] = logged
    assert line["reason"].startswith(f"song: revision {revisions[0]}")
    # The disk is as good as it was.
    assert journal.healthy
    assert (await journal.load("song")).entries == [entry(1), entry(2)]
    assert (await journal.load("song-4")).revision == 1


@pytest.mark.parametrize(
    ("room", "revision", "base"),
    [("song", 3, 3), ("song", 6, 3), ("song", 5, 6), ("unknown", 1, 1)],
    ids=["older than the last", "beyond the head", "does not cover", "of no song"],
)
@pytest_twisted.ensureDeferred
async def test_no_snapshot_leaves_a_hole_behind_it(
    open_journal: OpenJournal, room: str, revision: int, base: int
) -> None:
    journal = open_journal()
    await journal.append("song", [entry(number) for number in range(1, 6)])
    await journal.compact("song", Snapshot(4, TEXT), 4)
    before = await journal.load("song")
    with capturedLogs() as logged, pytest.raises(ClusterUnavailable):
        await journal.compact(room, Snapshot(revision, "wrong"), base)
    assert len(logged) == 1
    assert await journal.load("song") == before
    assert await journal.load("unknown") == Record()


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
async def test_a_disk_that_cannot_be_written_can_be_read(open_journal: OpenJournal) -> None:
    journal = open_journal()
    await journal.append("song", [entry(1)])
    assert journal._database is not None
    journal._database.execute("PRAGMA query_only = ON")
    with capturedLogs() as logged:
        refused = journal.append("song", [entry(2)])
        read = journal.load("song")
        with pytest.raises(ClusterUnavailable):
            await refused
        assert (await read).revision == 1
    assert not journal.healthy
    assert [line["reason"] for line in logged] == ["attempt to write a readonly database"]
    journal._database.execute("PRAGMA query_only = OFF")
    await journal.append("song", [entry(2)])
    assert journal.healthy


@pytest_twisted.ensureDeferred
async def test_while_another_program_writes_edits_are_refused_and_nothing_else(
    open_journal: OpenJournal, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BUSY_MS", 10)
    journal = open_journal()
    await journal.append("song", [entry(1)])
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    refused = [results(journal.append(f"song-{number}", [entry(1)])) for number in range(3)]
    assert (await journal.load("song")).revision == 1
    assert all(result[0].check(ClusterUnavailable) for result in refused)
    assert not journal.healthy
    other.execute("ROLLBACK")
    other.close()
    await journal.append("song-1", [entry(1)])
    assert journal.healthy


@pytest_twisted.ensureDeferred
async def test_a_song_that_cannot_be_read_does_not_hinder_the_others(
    open_journal: OpenJournal, path: str
) -> None:
    journal = open_journal()
    await gatherResults([journal.append(room, [entry(1)]) for room in ("broken", "song")])
    with sqlite3.connect(path) as database:
        database.execute("UPDATE entries SET draft = '{' WHERE room = 'broken'")
    database.close()
    with capturedLogs() as logged:
        kept, broken, read = (
            journal.append("song", [entry(2)]),
            journal.load("broken"),
            journal.load("song"),
        )
        with pytest.raises(ClusterUnavailable):
            await broken
        await kept
        assert (await read).revision == 2
    assert [line["room"] for line in logged] == ["broken"]
    assert journal.healthy


DAMAGES = {
    "a hole": "DELETE FROM entries WHERE room = 'broken' AND revision = 2",
    "the end": "DELETE FROM entries WHERE room = 'broken' AND revision = 3",
    "the beginning": "DELETE FROM entries WHERE room = 'broken' AND revision = 1",
    "too much": "UPDATE rooms SET head = 2 WHERE room = 'broken'",
    "its row": "DELETE FROM rooms WHERE room = 'broken'",
    "a field": "UPDATE entries SET draft = json_remove(draft, '$.seq') WHERE room = 'broken'",
    "an answer": "UPDATE rooms SET answered = '{\"ada\":[1]}' WHERE room = 'broken'",
    "a message": "INSERT INTO messages VALUES ('broken', 1, '{\"number\":1}')",
    "characters": "UPDATE rooms SET text = CAST(x'ff' AS TEXT) WHERE room = 'broken'",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest_twisted.ensureDeferred
async def test_a_damaged_song_is_noticed_when_it_is_read_and_told_once(
    open_journal: OpenJournal, path: str, damage: str
) -> None:
    journal = open_journal()
    entries = [entry(number) for number in range(1, 4)]
    await gatherResults([journal.append(room, entries) for room in ("broken", "song")])
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(damage)
    with capturedLogs() as logged:
        for _ in range(3):
            with pytest.raises(ClusterUnavailable):
                await journal.load("broken")
        assert (await journal.load("song")).revision == 3
    [line] = logged
    assert formatEvent(line).startswith(f"The song broken in {path} cannot be read: ")
    assert "\n" not in formatEvent(line)
    assert journal.healthy


@pytest_twisted.ensureDeferred
async def test_a_song_that_was_mended_is_read_and_no_other_was_hindered_meanwhile(
    open_journal: OpenJournal, path: str
) -> None:
    journal = open_journal()
    await gatherResults([journal.append(room, [entry(1)]) for room in ("broken", "song")])
    with closing(sqlite3.connect(path)) as database:
        for revision in (2, 3):
            with database:
                database.execute("UPDATE rooms SET answered = '[' WHERE room = 'broken'")
            failed = journal.load("broken")
            with pytest.raises(ClusterUnavailable) as kept:  # with all its frames
                await failed
            with database:
                database.execute("UPDATE rooms SET answered = '{}' WHERE room = 'broken'")
            # Nothing of what failed holds the file as it was then.
            await journal.append("song", [entry(revision)])
            assert (await journal.load("broken")).revision == 1
            assert kept is not None


@pytest_twisted.ensureDeferred
async def test_what_was_not_done_is_not_acknowledged(
    open_journal: OpenJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = open_journal()

    def fail(*_: object) -> bool:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(journal, "_attempt", fail)
        with pytest.raises(ClusterUnavailable):
            await journal.append("song", [entry(1)])
    await journal.append("song", [entry(1)])


@pytest_twisted.ensureDeferred
async def test_a_closed_journal_keeps_nothing(open_journal: OpenJournal) -> None:
    journal = open_journal()
    waiting = journal.append("song", [entry(1)])
    await journal.close()
    await waiting
    with pytest.raises(ClusterUnavailable):
        await journal.append("song", [entry(2)])
    assert (await open_journal().load("song")).revision == 1
