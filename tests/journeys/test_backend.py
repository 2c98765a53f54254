"""The songs belong to ChordMe: its backend says who may do what, and has what was typed."""

from collections.abc import Iterator

import pytest

from tests.backend.extended import Realtime, extend
from tests.backend.server import BackendServer
from tests.journeys.clients import ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import http_request, wait_until
from tests.journeys.stage import EDITOR, KEY, OWNER, READER, STRANGER, Stage

pytestmark = pytest.mark.journey


@pytest.fixture
def stage(start_daemon: StartDaemon, clients: ClientProgram) -> Iterator[Stage]:
    with BackendServer() as backend:
        yield Stage(backend, start_daemon, clients)


@pytest.fixture
def exact_stage(start_daemon: StartDaemon, clients: ClientProgram) -> Iterator[Stage]:
    with BackendServer(extend) as backend:
        yield Stage(backend, start_daemon, clients)


class TestRights:
    def test_each_may_do_what_the_backend_says(self, stage: Stage) -> None:
        stage.start()
        owner, reader = (stage.editor(user) for user in (OWNER, READER))
        stranger = stage.editor(STRANGER)
        assert owner.joined["permission"] == "admin"
        assert reader.joined["permission"] == "read"
        assert owner.text == reader.text == "[C]La\n"
        assert (stranger.joined["code"], stranger.joined["message"]) == (
            "forbidden",
            "Not authorized for this room",
        )
        assert reader.type("x")["code"] == "forbidden"
        nothing = stage.editor(OWNER, room="nothing", tab="other")
        assert nothing.joined["code"] == "forbidden"
        for name in ("participants", "permission"):
            assert "@" not in str(owner.joined[name])

    def test_rooms_that_are_no_songs_are_free_by_name(self, stage: Stage) -> None:
        stage.start(backend__free_rooms="lobby-*")
        assert stage.editor(OWNER, room="lobby-1").joined["permission"] == "edit"
        assert stage.backend.store.calls == []

    def test_a_revoke_in_the_middle_of_typing_is_known_by_the_next_look(self, stage: Stage) -> None:
        stage.start()
        editor = stage.editor(EDITOR)
        assert editor.type("mine")["ok"]
        stage.song.collaborators[EDITOR] = "read"
        assert editor.client.event("permission_changed") == {
            "room_id": "7",
            "permission": "read",
        }
        assert editor.type("mine again")["code"] == "forbidden"
        del stage.song.collaborators[EDITOR]
        assert editor.client.event("room_left") == {"room_id": "7", "reason": "revoked"}

    def test_a_song_that_is_deleted_is_left(self, stage: Stage) -> None:
        stage.start()
        owner = stage.editor(OWNER)
        stage.song.is_deleted = True
        assert owner.client.event("room_left") == {"room_id": "7", "reason": "deleted"}

    @pytest.mark.parametrize("fault", ["hang", "error-200"])
    def test_no_answer_is_no_right_and_changes_none(self, stage: Stage, fault: str) -> None:
        daemon = stage.start()
        editor = stage.editor(EDITOR)
        stage.backend.store.faults["collaborators"] = fault
        refused = stage.editor(OWNER).joined
        assert refused["code"] == "unavailable"
        assert editor.type("still")["ok"]
        health = http_request(f"{daemon.admin_url}/health/detailed")
        assert health.status == 200
        assert health.json()["checks"]["backend"]["status"] == "degraded"
        stage.backend.store.faults.clear()
        stage.backend.store.go_on.set()
        assert stage.editor(OWNER, tab="again").joined["ok"]
        assert editor.token not in daemon.log

    def test_one_right_is_asked_for_once_and_kept_for_a_while(self, stage: Stage) -> None:
        stage.start(backend__recheck=60)
        for number in range(5):
            assert stage.editor(OWNER, tab=f"t{number}").joined["ok"]
        assert stage.backend.store.count("GET", "/collaborators") == 1
        assert stage.backend.store.count("GET", "fresh=") == 1


class TestTexts:
    @pytest.mark.parametrize(
        ("typed", "held", "reason"),
        [
            ("R&B", "R&amp;B", "entities"),
            ("[C]la\n\n\n", "[C]la", "trimmed"),
            ("x" * 15_001, "x" * 15_000, "cut"),
        ],
    )
    def test_what_the_backend_damages_stays_as_it_was_typed(
        self, stage: Stage, typed: str, held: str, reason: str
    ) -> None:
        stage.start(limits__event_bytes=20_000)
        editor, reader = stage.editor(EDITOR), stage.editor(READER)
        assert editor.type(typed)["ok"]
        for one in (editor, reader):
            state = one.saved("altered")
            assert (state["reason"], state["revision"]) == (reason, 2)
        assert stage.song.content == held
        assert editor.look() == typed
        # Nor does looking again take the damage for an edit.
        assert editor.type("!" + typed)["ok"]
        editor.saved("altered")
        assert editor.look() == "!" + typed

    def test_what_is_typed_is_saved_when_it_is_quiet(self, stage: Stage) -> None:
        stage.start(backend__save_after=1)
        editor = stage.editor(EDITOR)
        for number in range(10):
            assert editor.type(f"take {number}")["ok"]
        assert editor.saved("pending")["revision"] >= 2
        assert editor.saved("saved") == {"room_id": "7", "state": "saved", "revision": 11}
        assert stage.song.content == "take 9"
        assert stage.song.versions == ["[C]La\n"]

    def test_what_is_edited_in_the_backend_is_merged_with_what_is_typed(self, stage: Stage) -> None:
        stage.song.content = "one\ntwo\nthree"
        stage.start()
        editor = stage.editor(EDITOR)
        assert editor.type("one\ntwo\nTHREE & four")["ok"]
        editor.saved("altered")
        stage.song.write("ONE\ntwo\nTHREE &amp; four")
        assert editor.type("one\ntwo and a half\nTHREE & four")["ok"]
        update = editor.client.event("collaboration_update")
        assert update["user_id"] == "server"
        wait_until(lambda: "half" in stage.song.content, "the save")
        assert editor.look() == "ONE\ntwo and a half\nTHREE & four"
        assert stage.song.content == "ONE\ntwo and a half\nTHREE &amp; four"

    def test_a_client_that_saves_by_itself_edits_nothing(self, stage: Stage) -> None:
        stage.start(backend__save_after=1)
        editor = stage.editor(EDITOR)
        assert editor.type("[C]La la & la\n")["ok"]
        stage.song.write("[C]La la &amp; la")
        assert editor.type("[C]La la & la\nmore")["ok"]
        editor.saved("altered")
        assert editor.look() == "[C]La la & la\nmore"
        assert editor.client.count("collaboration_update") == 0

    def test_the_last_to_leave_saves(self, stage: Stage) -> None:
        stage.start(backend__save_after=30)
        editor = stage.editor(EDITOR)
        assert editor.type("and gone")["ok"]
        editor.client.close()
        wait_until(lambda: stage.song.content == "and gone", "the save")

    def test_who_stops_saves(self, stage: Stage) -> None:
        daemon = stage.start(backend__save_after=30)
        editor = stage.editor(EDITOR)
        assert editor.type("goodbye")["ok"]
        daemon.stop()
        assert stage.song.content == "goodbye"
        stage.start(store__url=daemon.settings["store.url"])
        assert stage.editor(OWNER, tab="new").text == "goodbye"
        assert len(stage.song.versions) == 1

    def test_a_backend_that_is_away_gets_all_when_it_is_back(self, stage: Stage) -> None:
        daemon = stage.start()
        editor = stage.editor(EDITOR)
        stage.backend.stop()
        for number in range(5):
            assert editor.type(f"alone {number}")["ok"]
        assert editor.saved("pending")
        daemon.expect("does not answer")
        assert editor.client.event("save_state")["reason"] == "backend_unavailable"
        stage.backend.start()
        assert editor.saved("saved")["revision"] == 6
        assert stage.song.content == "alone 4"
        assert editor.joined["permission"] == "edit"

    def test_a_daemon_that_is_killed_between_save_and_answer_saves_once(self, stage: Stage) -> None:
        daemon = stage.start()
        editor = stage.editor(EDITOR)
        stage.backend.store.faults["update_song"] = "late"
        assert editor.type("R&B & soul")["ok"]
        wait_until(lambda: stage.song.content == "R&amp;B &amp; soul", "the save")
        daemon.kill()
        stage.backend.store.faults.clear()
        stage.backend.store.go_on.set()
        stage.start(store__url=daemon.settings["store.url"])
        late = stage.editor(OWNER, tab="new")
        assert late.text == "R&B & soul"
        assert late.saved("altered")["reason"] == "entities"
        assert len(stage.song.versions) == 1
        assert late.look() == "R&B & soul"


class TestNotices:
    def test_a_revoke_that_is_told_is_known_at_once(self, stage: Stage) -> None:
        daemon = stage.start(backend__recheck=600, backend__key=KEY)
        editor = stage.editor(EDITOR)
        assert editor.type("mine")["ok"]
        stage.song.collaborators[EDITOR] = "read"
        # By itself it would look again in ten minutes.
        assert Realtime(KEY, url=daemon.admin_url).notify_permission_changed(7)
        assert editor.client.event("permission_changed")["permission"] == "read"
        assert editor.type("mine again")["code"] == "forbidden"

    def test_an_edit_that_is_told_is_there_at_once(self, stage: Stage) -> None:
        daemon = stage.start(backend__recheck=600, backend__key=KEY)
        editor = stage.editor(EDITOR)
        stage.song.write("[G]Lo\n")
        assert Realtime(KEY, url=daemon.admin_url).notify_song_changed(7)
        assert editor.client.event("collaboration_update")["user_id"] == "server"
        assert editor.look() == "[G]Lo\n"
        assert stage.backend.store.count("PUT", "/songs") == 0

    def test_the_backend_speaks_to_rooms_and_sends_users_away(self, stage: Stage) -> None:
        daemon = stage.start(backend__key=KEY)
        editor, reader = stage.editor(EDITOR), stage.editor(READER)
        realtime = Realtime(KEY, url=daemon.admin_url)
        assert realtime.emit_to_room(7, "comment_added", {"by": "Ada"})
        for one in (editor, reader):
            assert one.client.event("comment_added") == {"by": "Ada"}
        assert realtime.disconnect_user(READER)
        assert reader.client.state("disconnect")["reason"] == "io server disconnect"
        assert editor.look() == "[C]La\n"

    def test_nobody_else_speaks_for_the_backend(self, stage: Stage) -> None:
        daemon = stage.start(backend__key=KEY)
        editor = stage.editor(EDITOR)
        assert not Realtime("x" * 40, url=daemon.admin_url).disconnect_user(EDITOR)
        assert not Realtime(KEY, url=daemon.admin_url).emit_to_room(7, "document_state", {})
        assert editor.client.ask("ping", {})["ok"]
        daemon.stop()
        assert not Realtime(KEY, url=daemon.admin_url).disconnect_user(EDITOR)


class TestExactEndpoints:
    def test_nothing_is_damaged_and_nothing_overwritten(self, exact_stage: Stage) -> None:
        exact_stage.start()
        editor = exact_stage.editor(EDITOR)
        typed = "R&B <3\n\n\n"
        assert editor.type(typed)["ok"]
        assert editor.saved("saved", "altered")["state"] == "saved"
        assert exact_stage.song.content == typed
        exact_stage.song.write("Title\n" + typed)
        assert editor.type(typed + "more")["ok"]
        wait_until(lambda: "more" in exact_stage.song.content, "the save")
        assert exact_stage.song.content == editor.look() == "Title\n" + typed + "more"
        assert exact_stage.backend.store.count("GET", "/collaborators") == 0
