"""Calls to a backend, in order and out of order."""

from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from chordme_daemon.backend.client import Backend, Denied, Rejected, Unavailable
from tests.backend.conftest import EDITOR, OWNER, STRANGER
from tests.backend.server import BackendServer
from tests.journeys.daemon import token


def ask(call: Any) -> Any:
    return pytest_twisted.blockon(ensureDeferred(call))


def level(backend: Backend, user_id: int, song_id: int = 7) -> str:
    right = ask(backend.right(song_id, token(user_id), user_id))
    assert right.is_owner == (user_id == OWNER)
    found: str = right.level
    return found


class TestRights:
    def test_they_are_those_of_the_list_of_collaborators(
        self, backend: Backend, server: BackendServer
    ) -> None:
        assert level(backend, OWNER) == "admin"
        assert level(backend, EDITOR) == "edit"
        server.store.songs[7].is_public = True
        assert level(backend, STRANGER) == "read"

    def test_who_has_no_access_is_denied(self, backend: Backend) -> None:
        for user_id, song_id in ((STRANGER, 7), (OWNER, 8)):
            with pytest.raises(Denied) as denied:
                level(backend, user_id, song_id)
            assert denied.value.status == 404

    def test_the_song_itself_is_never_asked_for_them(
        self, backend: Backend, server: BackendServer
    ) -> None:
        level(backend, OWNER)
        assert server.store.count("GET", "/api/v1/songs/7?") == 0

    @pytest.mark.parametrize("status", ["401", "403"])
    def test_a_no_is_a_no(self, backend: Backend, server: BackendServer, status: str) -> None:
        server.store.faults["collaborators"] = status
        with pytest.raises(Denied) as denied:
            level(backend, OWNER)
        assert denied.value.status == int(status)

    @pytest.mark.parametrize(
        "fault",
        [
            *("500", "503", "418", "429", "hang", "redirect", "huge", "error-200", "html", "list"),
            # What is in front of the backend may say no; the backend has not.
            *("page-403", "page-404", "page-410"),
        ],
    )
    def test_what_is_no_answer_is_neither_yes_nor_no(
        self, backend: Backend, server: BackendServer, fault: str
    ) -> None:
        server.store.faults["collaborators"] = fault
        with pytest.raises(Unavailable):
            level(backend, OWNER)
        assert backend.trouble
        server.store.faults.clear()
        server.store.go_on.set()
        assert level(backend, OWNER) == "admin"
        assert not backend.trouble

    def test_a_page_that_is_not_found_by_what_is_in_front_of_it_is_no_no(
        self, server: BackendServer
    ) -> None:
        backend = Backend(reactor, server.url + "/elsewhere")
        with pytest.raises(Unavailable):
            level(backend, OWNER)
        ask(backend.close())

    def test_what_is_wrong_is_told(self, backend: Backend, server: BackendServer) -> None:
        server.store.faults["collaborators"] = "hang"
        with pytest.raises(Unavailable, match="no answer in time"):
            level(backend, OWNER)
        server.stop()
        with pytest.raises(Unavailable, match="no connection"):
            level(backend, OWNER)

    def test_nobody_who_listens_is_unavailable(
        self, backend: Backend, server: BackendServer
    ) -> None:
        server.stop()
        with pytest.raises(Unavailable):
            level(backend, OWNER)
        server.start()
        assert level(backend, OWNER) == "admin"


class TestTexts:
    def test_a_song_is_read_as_it_is_now(self, backend: Backend, server: BackendServer) -> None:
        assert ask(backend.read(7, token(OWNER))) == "[C]La\n"
        server.store.songs[7].content = "[G]Lo"
        assert ask(backend.read(7, token(OWNER))) == "[G]Lo"

    def test_what_is_saved_is_what_the_backend_has_then(
        self, backend: Backend, server: BackendServer
    ) -> None:
        assert ask(backend.write(7, "[C]R", token(EDITOR), "[C]La\n")) == "[C]R"
        assert ask(backend.write(7, "R&B\n\n", token(EDITOR), "[C]R")) == "R&amp;B"
        assert server.store.songs[7].versions == ["[C]La\n", "[C]R"]

    def test_a_text_for_which_there_is_no_place_is_rejected(self, backend: Backend) -> None:
        with pytest.raises(Rejected, match="too_large"):
            ask(backend.write(7, "x" * 60_000, token(EDITOR), ""))

    def test_too_many_saves_wait_as_long_as_they_are_told(
        self, backend: Backend, server: BackendServer
    ) -> None:
        server.store.most_puts = 1
        ask(backend.write(7, "one", token(EDITOR), ""))
        with pytest.raises(Unavailable) as unavailable:
            ask(backend.write(7, "two", token(EDITOR), ""))
        assert 290 <= unavailable.value.retry_after_s <= 301

    @pytest.mark.parametrize("fault", ["error-200", "html", "redirect", "huge", "hang", "500"])
    def test_a_text_is_never_made_of_what_is_none(
        self, backend: Backend, server: BackendServer, fault: str
    ) -> None:
        server.store.faults["get_song"] = fault
        with pytest.raises(Unavailable):
            ask(backend.read(7, token(OWNER)))
