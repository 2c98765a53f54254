"""Songs of the backend: who loads them, and who waits."""

from collections.abc import Callable
from typing import Any

import pytest
from twisted.internet.defer import Deferred, ensureDeferred, fail
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.room import Room
from chordme_daemon.app.songs import HEARD_WITHIN_S, LOADER, OTHERS_WITHIN_S, Songs
from chordme_daemon.backend.client import Denied, Unavailable
from chordme_daemon.cluster.interface import Draft
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.saves import LocalSaves, NotOwner, Saved
from tests.app.clusters import local_cluster
from tests.app.conftest import House

TEXT = "[C]La\n"
EMPTY = Saved(0, "", "")


class Shared(LocalSaves):
    """What is known of saves, of which another daemon may have the claims."""

    is_theirs = False

    def claim(self, room: str) -> Deferred[Saved | None]:
        return fail(NotOwner(0)) if self.is_theirs else super().claim(room)


class Slow:
    """A backend that answers when the test says so; `tokens` are those that came."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.answers: list[Deferred[str]] = []

    def read(self, song_id: int, token: str) -> Deferred[str]:
        self.tokens.append(token)
        self.answers.append(Deferred())
        return self.answers[-1]


class Shop:
    """A daemon, a backend, and the room of a song; `loaded` is whether it was here."""

    def __init__(self) -> None:
        journal = Journal(":memory:")
        journal.open()
        self.house = House(lambda clock: local_cluster(clock, journal))
        self.saves = Shared(journal, self.house.clock)
        self.backend: Any = Slow()
        self.loaded: list[bool] = []
        self.songs = Songs(
            self.backend,
            self.house.cluster,
            self.saves,
            clock=self.house.clock,
            now_ms=self.house.now_ms,
            loaded=lambda _, was_here: self.loaded.append(was_here),
        )
        self.room: Room
        ensureDeferred(self.house.rooms.borrow("7")).addCallback(
            lambda room: setattr(self, "room", room)
        )

    def fill(self, token: str = "one's") -> list[Any]:
        found: list[Any] = []
        ensureDeferred(self.songs.fill(self.room, token)).addBoth(found.append)
        return found

    def load_elsewhere(self) -> None:
        """Another daemon says that it loads the song, and does."""
        self.saves.begin("7", Saved(1, TEXT, TEXT))
        operation = ot.to_json(ot.insertion(0, TEXT))
        self.house.cluster.commit("7", 0, [Draft(operation, LOADER, 1, LOADER, "server", 0)])

    def wait(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.1) + 1):
            self.house.clock.advance(0.1)

    @property
    def text(self) -> str:
        return str(self.room.text.text)


@pytest.fixture
def shop() -> Shop:
    return Shop()


def code(found: list[Any]) -> Code:
    [failure] = found
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, Refused)
    return failure.value.code


def test_who_comes_at_the_same_moment_gets_what_was_loaded_once(shop: Shop) -> None:
    waiting = [shop.fill(), shop.fill("another's")]
    assert waiting == [[], []]
    shop.backend.answers[0].callback(TEXT)
    assert waiting == [[None], [None]]
    assert shop.fill("a third's") == [None]
    assert (shop.text, shop.backend.tokens, shop.loaded) == (TEXT, ["one's"], [False])


def test_who_may_not_read_it_does_not_keep_it_from_the_others(shop: Shop) -> None:
    one, another = shop.fill(), shop.fill("another's")
    shop.backend.answers[0].errback(Denied(404))
    assert code(one) == Code.FORBIDDEN
    assert another == []
    shop.backend.answers[1].callback(TEXT)
    assert another == [None]
    assert shop.backend.tokens == ["one's", "another's"]


def test_no_answer_is_one_for_all_and_the_next_one_tries_again(shop: Shop) -> None:
    one, another = shop.fill(), shop.fill("another's")
    shop.backend.answers[0].errback(Unavailable("away", retry_after_s=7))
    assert code(one) == code(another) == Code.UNAVAILABLE
    assert one[0].value.retry_after_ms == 7000
    late = shop.fill()
    shop.backend.answers[1].callback(TEXT)
    assert late == [None]


def test_who_is_slower_than_another_daemon_waits_for_it(shop: Shop) -> None:
    shop.saves.is_theirs = True
    waiting = shop.fill()
    shop.wait(1)
    assert waiting == []
    shop.load_elsewhere()
    shop.wait(0.2)
    assert waiting == [None]
    assert (shop.text, shop.backend.tokens) == (TEXT, [])


def test_nobody_waits_for_another_daemon_for_ever(shop: Shop) -> None:
    shop.saves.is_theirs = True
    waiting = shop.fill()
    shop.wait(OTHERS_WITHIN_S)
    assert code(waiting) == Code.UNAVAILABLE
    assert shop.backend.tokens == []


def test_where_another_daemon_has_died_on_the_way_the_next_one_loads(shop: Shop) -> None:
    shop.saves.is_theirs = True
    waiting = shop.fill()
    shop.wait(1)
    shop.saves.begin("7", Saved(1, TEXT, TEXT))
    shop.saves.is_theirs = False
    shop.wait(HEARD_WITHIN_S + 0.2)
    shop.backend.answers[0].callback(TEXT)
    assert waiting == [None]
    assert shop.text == TEXT


@pytest.mark.parametrize("begin", [Shop.load_elsewhere, lambda shop: shop.saves.begin("7", EMPTY)])
def test_what_is_known_is_not_loaded(shop: Shop, begin: Callable[[Shop], object]) -> None:
    begin(shop)
    assert shop.fill() == [None]
    assert (shop.backend.tokens, shop.loaded) == ([], [True])


def test_a_song_that_is_too_large_is_refused(shop: Shop) -> None:
    waiting = shop.fill()
    shop.backend.answers[0].callback("x" * 200_001)
    assert code(waiting) == Code.DOCUMENT_TOO_LARGE
