"""When songs are saved, and what their rooms are told."""

from collections.abc import Callable
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, ensureDeferred

from chordme_daemon import ot
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.broker import Broker
from chordme_daemon.app.document import Proposal
from chordme_daemon.app.limits import Rate
from chordme_daemon.app.reconciling import Reconciler
from chordme_daemon.app.room import Room
from chordme_daemon.app.saving import FLUSH_WITHIN_S, Habits, Saving
from chordme_daemon.backend.client import Conflict, Denied, Rejected, Unavailable
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.saves import LocalSaves, Saved
from tests.app.clusters import local_cluster
from tests.app.conftest import House

UNLIMITED = Rate(0, 1.0)
EDITOR = Identity(5, "i:5", None, 1e12, 1e12, token="the editor's")


class Shelf:
    """A backend that keeps songs as they come, and knows when; or does not answer."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.songs: dict[int, str] = {}
        self.writes: list[tuple[float, int, str]] = []
        self.fault: Exception | None = None
        # Until then it takes its time to write.
        self.gate: Deferred[None] | None = None
        # The tokens with which songs were asked for.
        self.asked: list[str] = []
        self._now = now

    async def read(self, song_id: int, token: str) -> str:
        self.asked.append(token)
        self._fail()
        return self.songs[song_id]

    async def write(self, song_id: int, text: str, token: str, expected: str) -> str:
        if self.gate is not None:
            await self.gate
        self._fail()
        assert self.songs[song_id] == expected
        self.songs[song_id] = text
        self.writes.append((self._now(), song_id, token))
        return text

    def _fail(self) -> None:
        if self.fault is not None:
            raise self.fault


class Desk:
    """A daemon with songs that somebody edits; `states` is what rooms were told."""

    def __init__(self, rate: Rate = UNLIMITED, service_token: str = "") -> None:
        self.journal = Journal(":memory:")
        self.journal.open()
        self.house = House(lambda clock: local_cluster(clock, self.journal))
        house = self.house
        self.shelf: Any = Shelf(house.clock.seconds)
        self.editors = [EDITOR]
        self.rooms: dict[str, Room] = {}
        self.states: list[tuple[str, str, object]] = []
        saves = LocalSaves(self.journal, house.clock)
        self.saves = saves
        self.saving = Saving(
            Broker(self.shelf, house.rooms, saves, Reconciler(house.documents, house.now_ms)),
            house.rooms,
            saves,
            house.clock,
            house.wall_s,
            editors=lambda _: self.editors,
            habits=Habits(2.0, 30.0, rate, service_token),
        )
        publish = house.rooms.publish

        def watched(room: Room, event: str, payload: dict[str, object], **rest: Any) -> None:
            assert event == "save_state"
            self.states.append((room.id, str(payload["state"]), payload.get("reason")))
            publish(room, event, payload, **rest)

        house.rooms.publish = watched  # type: ignore[method-assign] # to hear it, too

    def open(self, song_id: int) -> Room:
        """Have a song open that the backend has."""
        self.shelf.songs[song_id] = ""
        room: Room = self.result(ensureDeferred(self.house.rooms.borrow(str(song_id))))
        self.result(self.saves.begin(room.id, Saved(0, "", "")))
        self.saving.watch(room, was_here=False)
        self.saving.meet(room, "i:5/tab", EDITOR)
        return room

    def result(self, deferred: "Deferred[Any]") -> Any:
        results: list[Any] = []
        deferred.addBoth(results.append)
        return results[0]

    def type(self, room: Room, author: str = "i:5/tab") -> None:
        """Type an x."""
        head = room.text.revision
        proposal = Proposal(ot.insertion(0, "x"), head, author, head + 1, "tab", 5, 0)
        assert self.result(self.house.documents.submit(room, proposal)) == head + 1

    def wait(self, seconds: int) -> None:
        for _ in range(seconds):
            self.house.clock.advance(1)
            self.saving.tick()


def test_a_song_is_saved_when_it_is_quiet() -> None:
    desk = Desk()
    song = desk.open(7)
    for _ in range(5):
        desk.type(song)
        desk.wait(1)
    assert desk.shelf.writes == []
    desk.wait(2)
    assert [(number, token) for _, number, token in desk.shelf.writes] == [(7, EDITOR.token)]
    assert desk.shelf.songs[7] == "xxxxx"
    assert desk.states == [("7", "pending", None), ("7", "saved", None)]


def test_a_song_that_is_never_quiet_is_saved_all_the_same() -> None:
    desk = Desk()
    song = desk.open(7)
    for _ in range(62):
        desk.saving.meet(song, "i:5/tab", EDITOR)
        desk.type(song)
        desk.wait(1)
    assert len(desk.shelf.writes) == 2


def test_who_has_waited_longest_is_saved_first() -> None:
    desk = Desk(Rate(2, 10.0))
    songs = [desk.open(number) for number in range(1, 7)]
    for song in songs:
        desk.type(song)
        desk.wait(1)
    desk.wait(40)
    assert [number for _, number, _ in desk.shelf.writes] == [1, 2, 3, 4, 5, 6]
    for at, _, _ in desk.shelf.writes:
        assert sum(at - 10 < other <= at for other, _, _ in desk.shelf.writes) <= 2
    assert ("3", "pending", "rate_limited") in desk.states
    assert desk.states[-1] == ("6", "saved", None)


def test_a_backend_that_is_away_is_tried_again_more_and_more_seldom() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.shelf.fault = Unavailable("away")
    desk.type(song)
    desk.wait(200)
    assert desk.saving.unsaved == 1
    assert desk.states == [("7", "pending", None), ("7", "pending", "backend_unavailable")]
    desk.shelf.fault = None
    desk.wait(61)
    assert desk.shelf.songs[7] == "x"
    assert desk.states[-1] == ("7", "saved", None)
    assert desk.saving.unsaved == 0


def test_who_is_always_too_late_does_not_spend_what_others_need() -> None:
    desk = Desk(Rate(10, 300.0))
    one, other = desk.open(1), desk.open(2)
    desk.shelf.fault = Conflict()
    desk.type(one)
    desk.wait(100)
    desk.shelf.fault = None
    desk.type(other)
    desk.wait(3)
    assert desk.shelf.songs[2] == "x"


def test_a_backend_that_says_when_to_come_again_is_not_asked_before() -> None:
    desk = Desk()
    one, other = desk.open(1), desk.open(2)
    desk.shelf.fault = Unavailable("too many", retry_after_s=100)
    desk.type(one)
    desk.wait(3)
    desk.shelf.fault = None
    desk.type(other)
    desk.wait(95)
    assert desk.shelf.writes == []
    desk.wait(10)
    assert len(desk.shelf.writes) == 2


@pytest.mark.parametrize(
    ("fault", "reason"), [(Denied(403), "forbidden"), (Rejected("too_large"), "too_large")]
)
def test_what_the_backend_does_not_take_is_told(fault: Exception, reason: str) -> None:
    desk = Desk()
    song = desk.open(7)
    desk.shelf.fault = fault
    desk.type(song)
    desk.wait(5)
    assert desk.states[-1] == ("7", "failed", reason)
    desk.shelf.fault = None
    desk.wait(70)
    assert desk.states[-1] == ("7", "saved", None)


def test_the_last_editors_token_is_used_when_all_have_left_and_not_after() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.type(song)
    desk.editors = []
    desk.house.rooms.give_back(song)
    desk.wait(1)
    assert [token for _, _, token in desk.shelf.writes] == [EDITOR.token]
    assert desk.saving._songs == {}


def test_a_song_that_nobody_may_save_is_saved_by_the_service_token_or_waits() -> None:
    for service_token in ("", "the service's"):
        desk = Desk(service_token=service_token)
        song = desk.open(7)
        desk.saving._songs["7"].met.clear()
        desk.editors = []
        desk.type(song)
        desk.wait(6)
        tokens = [token for _, _, token in desk.shelf.writes]
        assert tokens == ([service_token] if service_token else [])


def test_what_was_not_saved_before_the_end_is_saved_by_the_next_one() -> None:
    desk = Desk(service_token="the service's")
    song = desk.open(7)
    desk.type(song)
    desk.house.rooms.give_back(song)
    desk.saving._songs.clear()
    desk.wait(16)
    assert desk.shelf.songs[7] == "x"


def test_the_end_waits_for_what_is_under_way() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.type(song)
    desk.shelf.gate = Deferred()
    desk.wait(3)
    ended: list[None] = []
    ensureDeferred(desk.saving.stop()).addCallback(ended.append)
    assert not ended
    desk.shelf.gate.callback(None)
    assert desk.shelf.songs[7] == "x"
    assert ended == [None]


def test_the_end_waits_for_nobody_who_does_not_answer() -> None:
    desk = Desk()
    desk.type(desk.open(7))
    desk.shelf.gate = Deferred()
    ended: list[None] = []
    ensureDeferred(desk.saving.stop()).addCallback(ended.append)
    desk.house.clock.advance(FLUSH_WITHIN_S - 0.1)
    assert not ended
    desk.house.clock.advance(0.2)
    assert ended == [None]
    assert desk.result(desk.saves.unsaved()) == ["7"]


def test_who_has_not_the_last_editor_leaves_the_save_to_who_has() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.type(song, "i:6/elsewhere")
    desk.wait(5)
    assert desk.shelf.writes == []
    # Nobody has done it: then with the token of somebody who is here.
    desk.wait(2)
    assert [token for _, _, token in desk.shelf.writes] == [EDITOR.token]


def test_who_comes_later_is_told_how_the_song_is_unless_all_is_well() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.wait(3)
    desk.saving.meet(song, "i:6/tab", EDITOR)
    desk.wait(3)
    assert desk.states == []
    desk.shelf.fault = Rejected("too_large")
    desk.type(song)
    desk.wait(3)
    desk.saving.meet(song, "i:6/other-tab", EDITOR)
    desk.wait(2)
    assert desk.states == [("7", "pending", None), *[("7", "failed", "too_large")] * 2]


def test_of_many_tokens_a_few_are_tried() -> None:
    desk = Desk(service_token="the service's")
    song = desk.open(7)
    desk.editors = [attrs.evolve(EDITOR, token=f"token {number}") for number in range(20)]
    desk.shelf.fault = Denied(403)
    desk.type(song)
    desk.wait(3)
    assert desk.states[-1] == ("7", "failed", "forbidden")
    assert desk.shelf.asked == [EDITOR.token, "token 0", "the service's"]


def test_the_end_saves_what_it_can() -> None:
    desk = Desk()
    song = desk.open(7)
    desk.type(song)
    desk.result(ensureDeferred(desk.saving.stop()))
    assert desk.shelf.songs[7] == "x"
