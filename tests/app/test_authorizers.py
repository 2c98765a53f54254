"""What somebody may do, when it has to be asked for."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.authorizers import KNOWN_FOR_S, SongRights, TokenClaims, song_id
from chordme_daemon.app.events import Permission, Refused
from chordme_daemon.backend.bodies import Right
from chordme_daemon.backend.client import Denied, Unavailable


class Slow:
    """A backend that answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Deferred[Right]] = []

    def right(self, number: int, token: str, user_id: object) -> Deferred[Right]:
        assert (number, token) == (7, "the token")
        self.asked.append(Deferred())
        return self.asked[-1]


def identity(user_id: int = 5) -> Identity:
    return Identity(user_id, f"i:{user_id}", None, 1e9, 1e9, token="the token")


@pytest.fixture
def backend() -> Slow:
    return Slow()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def rights(backend: Any, clock: Clock) -> SongRights:
    return SongRights(backend, clock, TokenClaims(Permission.EDIT), ("lobby-*",))


def results(deferred: "Deferred[Any]") -> list[Any]:
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


@pytest.mark.parametrize(
    ("room_id", "number"), [("7", 7), ("07", None), ("-7", None), ("7a", None), ("9" * 20, None)]
)
def test_a_room_is_a_song_by_its_number(room_id: str, number: int | None) -> None:
    assert song_id(room_id) == number


def test_other_rooms_are_free_by_name_or_closed(rights: SongRights, backend: Slow) -> None:
    assert results(rights.ask(identity(), "lobby-1")) == [Permission.EDIT]
    assert results(rights.ask(identity(), "hall")) == [Permission.NONE]
    assert backend.asked == []


def test_all_who_ask_at_once_get_one_answer(
    rights: SongRights, backend: Slow, clock: Clock
) -> None:
    waiting = [results(rights.ask(identity(), "7")) for _ in range(3)]
    assert rights.known(identity(), "7") is None
    backend.asked[0].callback(Right("edit"))
    assert waiting == [[Permission.EDIT]] * 3
    assert results(rights.ask(identity(), "7")) == [Permission.EDIT]
    assert len(backend.asked) == 1
    clock.advance(KNOWN_FOR_S)
    rights.ask(identity(), "7")
    assert len(backend.asked) == 2


def test_each_user_is_asked_about(rights: SongRights, backend: Slow) -> None:
    rights.ask(identity(5), "7")
    rights.ask(identity(6), "7")
    assert len(backend.asked) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_no_is_a_no(rights: SongRights, backend: Slow, status: int) -> None:
    waiting = results(rights.ask(identity(), "7"))
    backend.asked[0].errback(Denied(status))
    assert waiting == [Permission.NONE]
    assert rights.is_deleted("7") == (status == 410)
    # Of a token that is not believed, nothing is known of its user.
    assert rights.known(identity(), "7") == (None if status == 401 else Permission.NONE)


def test_a_song_that_its_owner_has_not_is_no_more(rights: SongRights, backend: Slow) -> None:
    rights.ask(identity(), "7")
    backend.asked[0].callback(Right("admin", is_owner=True))
    rights.ask(identity(), "7", anew=True)
    backend.asked[1].errback(Denied(404))
    assert rights.is_deleted("7")


@pytest.mark.parametrize("status", [401, 403])
def test_an_owner_who_is_not_let_in_says_nothing_of_the_song(
    rights: SongRights, backend: Slow, status: int
) -> None:
    rights.ask(identity(), "7")
    backend.asked[0].callback(Right("admin", is_owner=True))
    waiting = results(rights.ask(identity(), "7", anew=True))
    backend.asked[1].errback(Denied(status))
    assert waiting == [Permission.NONE]
    assert not rights.is_deleted("7")
    assert rights.known(identity(), "7") != Permission.ADMIN


def test_no_answer_is_no_right_and_is_not_remembered(rights: SongRights, backend: Slow) -> None:
    waiting = results(rights.ask(identity(), "7"))
    backend.asked[0].errback(Unavailable("away", retry_after_s=3))
    [failure] = waiting
    assert isinstance(failure, Failure)
    assert isinstance(failure.value, Refused)
    assert failure.value.retry_after_ms == 3000
    rights.ask(identity(), "7")
    assert len(backend.asked) == 2


def test_what_was_asked_before_a_change_is_asked_again(rights: SongRights, backend: Slow) -> None:
    waiting = results(rights.ask(identity(), "7"))
    rights.forget("7")
    backend.asked[0].callback(Right("edit"))
    assert waiting == []
    backend.asked[1].callback(Right("read"))
    assert waiting == [Permission.READ]
    rights.forget("7")
    assert rights.known(identity(), "7") is None
