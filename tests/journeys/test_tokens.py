"""Who gets in, what for, and how long."""

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token

pytestmark = pytest.mark.journey

BAD_TOKEN = token(7, secret="x" * 48)
EXPIRED_TOKEN = token(7, lasts_s=-60)


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_who_comes_with_a_bad_token_may_try_again(
    daemon: Daemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    for bad, code in (
        (BAD_TOKEN, "invalid_token"),
        ("garbage", "invalid_token"),
        ("", "invalid_token"),
        (EXPIRED_TOKEN, "token_expired"),
    ):
        ada = clients.open(daemon.url, auth={"token": bad}, **transport)
        assert ada.event("auth_error") == {"message": "Invalid or expired token", "code": code}
        assert ada.names() == ["connected", "auth_error"]
        assert ada.ask("join_room", {"room_id": "song-1"})["code"] == "unauthenticated"
        ada.emit("authenticate", {"token": token(7)})
        assert ada.event("authenticated")["user_id"] == 7
        assert ada.join("song-1")["participant_count"] == 1


def test_five_bad_tokens_in_a_row_end_the_connection(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = clients.open(daemon.url, auth={"token": BAD_TOKEN}, reconnection=False)
    for _ in range(3):
        ada.emit("authenticate", {"token": BAD_TOKEN})
    assert ada.ask("authenticate", {"token": token(7)})["ok"] is True
    for _ in range(5):
        ada.emit("authenticate", {"token": EXPIRED_TOKEN})
    assert ada.state("disconnect")["reason"] == "transport close"
    assert len(ada.events("auth_error", 9)) == 9


def test_who_never_says_who_they_are_is_sent_away(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"auth.authenticate_within": 1})
    silent = clients.open(daemon.url, reconnection=False)
    known = clients.connect(daemon.url, 7)
    assert silent.state("disconnect")["reason"] == "transport close"
    assert known.ask("ping", {})["ok"] is True


def test_a_connection_belongs_to_one_user(daemon: Daemon, clients: ClientProgram) -> None:
    ada = clients.connect(daemon.url, 7)
    refused = ada.ask("authenticate", {"token": token(8)})
    assert (refused["ok"], refused["code"]) == (False, "forbidden")
    assert ada.ask("authenticate", {"token": token(7)})["user_id"] == 7


def test_a_token_says_what_its_user_may_do_where(daemon: Daemon, clients: ClientProgram) -> None:
    rooms = {"song-1": "edit", "song-2": "read"}
    ada = clients.open(daemon.url, auth={"token": token(7, rooms=rooms, name="Ada")})
    ben = clients.open(daemon.url, auth={"token": token(8, rooms={"*": "read"})})
    assert ada.join("song-1")["permission"] == "edit"
    assert ben.join("song-1")["participants"][0]["name"] == "Ada"
    operation = {"id": "op-1", "type": "insert", "position": 0, "content": "x"}
    request = {"room_id": "song-1", "operation": operation}

    refused = ben.ask("collaboration_operation", request)
    assert (refused["code"], refused["id"]) == ("forbidden", "op-1")
    ben.emit("collaboration_operation", request)
    told = ben.event("error")
    assert (told["code"], told["event"]) == ("forbidden", "collaboration_operation")
    # Its editor shows what was refused: that is undone, each time.
    for undone in ben.events("collaboration_update", 2):
        assert undone["user_id"] == "server"
        assert undone["operation"] == {"type": "delete", "position": 0, "length": 1}
    # To listen, to talk and to point is what reading is.
    assert ben.ask("broadcast_message", {"room_id": "song-1", "message": "hi"})["ok"] is True
    ben.emit("cursor_update", {"room_id": "song-1", "position": {"line": 0, "column": 0}})
    assert ada.event("room_message")["message"] == "hi"
    assert ada.event("cursor_moved")["user_id"] == 8
    assert ada.ask("collaboration_operation", request)["ok"] is True
    assert ben.event("collaboration_update")["operation_id"] == "op-1"
    assert ada.count("collaboration_update") == 0


def test_a_room_without_permission_is_closed_whether_it_exists_or_not(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = clients.connect(daemon.url, 7)
    ada.join("song-1")
    ben = clients.open(daemon.url, auth={"token": token(8, rooms={"song-3": "edit"})})
    refusals = []
    for room_id in ("song-1", "song-2"):
        ben.emit("join_room", {"room_id": room_id})
        refusals.append(ben.event("error"))
    for refusal, room_id in zip(refusals, ("song-1", "song-2"), strict=True):
        assert refusal == {
            "message": "Not authorized for this room",
            "code": "forbidden",
            "event": "join_room",
            "room_id": room_id,
        }
    message = {"room_id": "song-1", "message": "let me in"}
    assert ben.ask("broadcast_message", message)["code"] == "not_in_room"
    ada.ask("ping", {})
    assert ada.names().count("user_joined") == 1


def test_a_token_that_runs_out_can_be_renewed_without_leaving(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon({"auth.leeway": 0})
    ben = clients.connect(daemon.url, "ben")
    ben.join("song-1")
    short = token(7, lasts_s=3)
    ada = clients.open(daemon.url, auth={"token": short})
    expires_at = ada.event("authenticated")["expires_at"]
    ada.join("song-1")
    assert ada.event("token_expiring") == {"expires_at": expires_at}
    message = {"room_id": "song-1", "message": "too late?"}
    answers = []
    while not answers or answers[-1]["ok"]:
        answers.append(ada.ask("ping", {}))
    assert (answers[-1]["code"], answers[-1]["message"]) == (
        "unauthenticated",
        "Authentication required",
    )
    assert answers[-2]["timestamp"] <= expires_at
    assert ada.ask("broadcast_message", message)["code"] == "unauthenticated"
    assert ada.ask("authenticate", {"token": token(7)})["expires_at"] > expires_at
    assert ada.ask("broadcast_message", {**message, "message": "in time"})["ok"] is True
    assert ben.event("room_message")["message"] == "in time"
    assert ben.count("user_left") == 0
    assert ada.count("token_expiring") == 1
