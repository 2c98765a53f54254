"""Who saves a song, and what is known of it: of one daemon, and of several."""

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.saves import LocalSaves, NotOwner, RedisSaves, Saved, decode, encode
from tests.cluster.conftest import entry, results
from tests.cluster.daemons import Daemons

FIRST = Saved(1, "R&B \U0001f3b8", "R&amp;B \U0001f3b8")
SECOND = Saved(3, "a", "a", (4, "b"), "c", 2)


def one(deferred: "Deferred[object]") -> object:
    [result] = results(deferred)
    return result


@pytest.fixture
def saves() -> LocalSaves:
    journal = Journal(":memory:")
    journal.open()
    one(journal.append("7", [entry(1), entry(2)]))
    return LocalSaves(journal, Clock())


@pytest.mark.parametrize("saved", [FIRST, SECOND])
def test_what_is_kept_is_what_was_known(saved: Saved) -> None:
    assert decode(encode(saved)) == saved


@pytest.mark.parametrize("kept", [b"", b"{}", b"[1]", b'["1","a","a",null,null,0]'])
def test_what_is_damaged_is_not_believed(kept: bytes) -> None:
    with pytest.raises(ClusterUnavailable):
        decode(kept)


def test_one_daemon_alone_saves_everything(saves: LocalSaves) -> None:
    assert one(saves.look("7")) is None
    one(saves.begin("7", FIRST))
    one(saves.begin("7", SECOND))
    assert one(saves.claim("7")) == FIRST
    one(saves.note("7", SECOND, is_all=True))
    assert one(saves.look("7")) == SECOND


def test_what_is_unsaved_is_known_after_a_restart(saves: LocalSaves) -> None:
    one(saves.begin("7", FIRST))
    assert one(saves.unsaved()) == ["7"]
    one(saves.note("7", Saved(2, "x", "x"), is_all=False))
    assert one(saves.unsaved()) == ["7"]
    one(saves.note("7", Saved(2, "x", "x"), is_all=True))
    assert one(saves.unsaved()) == []


def test_of_several_daemons_one_saves_a_song(daemons: Daemons) -> None:
    a, b = daemons(), daemons()
    mine, yours = RedisSaves(a.cluster.session), RedisSaves(b.cluster.session)
    a.wait(mine.begin("7", FIRST))
    b.wait(yours.begin("7", SECOND))
    assert a.wait(mine.claim("7")) == a.wait(mine.claim("7")) == FIRST
    with pytest.raises(NotOwner) as other:
        b.wait(yours.claim("7"))
    assert other.value.revision == 1
    with pytest.raises(NotOwner):
        b.wait(yours.note("7", SECOND, is_all=True))
    assert b.wait(yours.unsaved()) == ["7"]
    a.wait(mine.note("7", SECOND, is_all=True))
    assert b.wait(yours.look("7")) == SECOND
    assert b.wait(yours.unsaved()) == []
    b.wait(yours.release("7"))
    with pytest.raises(NotOwner):
        b.wait(yours.claim("7"))
    a.wait(mine.release("7"))
    assert b.wait(yours.claim("7")) == SECOND


def test_what_is_being_loaded_is_not_unsaved(daemons: Daemons) -> None:
    a, b = daemons(), daemons()
    mine, yours = RedisSaves(a.cluster.session), RedisSaves(b.cluster.session)
    assert a.wait(mine.claim("7")) is None
    assert a.wait(mine.unsaved()) == []
    with pytest.raises(NotOwner):
        b.wait(yours.claim("7"))
    a.wait(mine.begin("7", FIRST))
    a.wait(mine.release("7"))
    assert a.wait(mine.unsaved()) == []
    # Whoever notes that there is more says so.
    b.wait(yours.claim("7"))
    b.wait(yours.note("7", SECOND, is_all=True))
    b.wait(yours.note("7", SECOND, is_all=False))
    assert a.wait(mine.unsaved()) == ["7"]


def test_in_any_window_there_are_no_more_saves_than_may_be() -> None:
    clock = Clock()
    journal = Journal(":memory:")
    journal.open()
    saves = LocalSaves(journal, clock)
    spent: list[float] = []
    for _ in range(100):
        wait_s = one(saves.spend(3, 10.0))
        assert isinstance(wait_s, float)
        if wait_s:
            assert spent[-3] + 10.0 - clock.seconds() == pytest.approx(wait_s)
        else:
            spent.append(clock.seconds())
        clock.advance(0.5)
    assert len(spent) == 15
    assert all(later - earlier >= 10.0 for earlier, later in zip(spent, spent[3:], strict=False))


def test_several_daemons_have_one_budget(daemons: Daemons) -> None:
    a, b = daemons(), daemons()
    mine, yours = RedisSaves(a.cluster.session), RedisSaves(b.cluster.session)
    assert a.wait(mine.spend(3, 300.0)) == 0
    assert b.wait(yours.spend(3, 300.0)) == 0
    assert a.wait(mine.spend(3, 300.0)) == 0
    for daemon, saves in ((a, mine), (b, yours)):
        assert 0 < daemon.wait(saves.spend(3, 300.0)) <= 300
    # What was spent before the window does not count, nor what a clock that was set back has left.
    link = a.cluster.session.link
    a.wait(link.call("LSET", "chordme:spent", 0, 1))
    assert b.wait(yours.spend(3, 300.0)) == 0
    assert b.wait(yours.spend(3, 300.0)) > 0
    a.wait(link.call("LSET", "chordme:spent", 0, 2**52))
    assert b.wait(yours.spend(3, 300.0)) == 0


def test_who_is_thought_dead_saves_no_more(daemons: Daemons) -> None:
    a, b = daemons(), daemons()
    mine, yours = RedisSaves(a.cluster.session), RedisSaves(b.cluster.session)
    a.wait(mine.claim("7"))
    a.wait(a.cluster.session.link.call("HSET", "chordme:sessions", a.cluster.session.node, "new"))
    assert b.wait(yours.claim("7")) is None
    with pytest.raises(ClusterUnavailable):
        a.wait(mine.note("7", FIRST, is_all=True))
