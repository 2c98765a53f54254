"""A backend with the endpoints for the daemon: nothing is changed on the way."""

from collections.abc import Iterator

import pytest

from chordme_daemon.backend.client import Backend, Conflict, Denied, Unavailable
from tests.backend.conftest import EDITOR, OWNER, STRANGER
from tests.backend.extended import extend
from tests.backend.server import BackendServer
from tests.backend.test_client import ask
from tests.journeys.daemon import token

TEXT = "R&B <b> \U0001f3b8\r\n\n\n" + "x" * 20_000


@pytest.fixture
def server() -> Iterator[BackendServer]:
    with BackendServer(extend) as server:
        server.store.song(7, OWNER, "[C]La\n", collaborators={EDITOR: "edit"})
        yield server


def test_it_is_looked_for_once(backend: Backend, server: BackendServer) -> None:
    for _ in range(3):
        assert ask(backend.right(7, token(EDITOR), EDITOR)).level == "edit"
    assert backend.is_exact
    assert server.store.count("GET", "/api/v1/realtime?") == 1
    assert server.store.count("GET", "/permission") == 3
    assert server.store.count("GET", "/collaborators") == 0


def test_a_song_that_is_deleted_is_told_from_one_that_is_not_ours(
    backend: Backend, server: BackendServer
) -> None:
    with pytest.raises(Denied) as denied:
        ask(backend.right(7, token(STRANGER), STRANGER))
    assert denied.value.status == 404
    server.store.songs[7].is_deleted = True
    with pytest.raises(Denied) as denied:
        ask(backend.right(7, token(OWNER), OWNER))
    assert denied.value.status == 410


def test_a_text_is_saved_and_read_as_it_is(backend: Backend, server: BackendServer) -> None:
    assert ask(backend.read(7, token(EDITOR))) == "[C]La\n"
    assert ask(backend.write(7, TEXT, token(EDITOR), "[C]La\n")) == TEXT
    assert server.store.songs[7].content == TEXT
    assert ask(backend.read(7, token(EDITOR))) == TEXT
    assert ask(backend.write(7, "", token(EDITOR), TEXT)) == ""


def test_nothing_is_saved_over_what_is_not_known(backend: Backend, server: BackendServer) -> None:
    server.store.songs[7].content = "somebody else's"
    with pytest.raises(Conflict):
        ask(backend.write(7, TEXT, token(EDITOR), "[C]La\n"))
    assert server.store.songs[7].content == "somebody else's"


@pytest.mark.parametrize("fault", ["500", "503", "html", "redirect", "page-403"])
def test_an_ill_moment_does_not_lead_to_where_songs_are_damaged(
    backend: Backend, server: BackendServer, fault: str
) -> None:
    assert ask(backend.read(7, token(EDITOR))) == "[C]La\n"
    backend.look_again()
    server.store.faults["tell_version"] = fault
    assert ask(backend.write(7, "R&B", token(EDITOR), "[C]La\n")) == "R&B"
    assert server.store.songs[7].content == "R&B"
    assert server.store.count("PUT", "/api/v1/songs/") == 0


def test_all_calls_for_one_right_have_one_deadline(backend: Backend, server: BackendServer) -> None:
    # Each of them would be in time.
    server.store.faults |= {"tell_version": "slow", "tell_permission": "slow"}
    with pytest.raises(Unavailable, match="in time"):
        ask(backend.right(7, token(EDITOR), EDITOR))


def test_a_backend_that_has_them_no_more_is_looked_at_anew(
    backend: Backend, server: BackendServer
) -> None:
    assert ask(backend.read(7, token(EDITOR))) == "[C]La\n"
    server.stop()
    with BackendServer() as plain:
        plain.store.song(7, OWNER, "plain")
        backend.url = plain.url
        with pytest.raises(Unavailable):
            ask(backend.read(7, token(OWNER)))
        assert ask(backend.read(7, token(OWNER))) == "plain"
    assert not backend.is_exact
