"""Who loses the connection and comes back has never left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.clients import WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token

pytestmark = pytest.mark.journey

# The daemon waits 15 seconds for whoever was lost.
GONE_WITHIN_S = 25.0


def tab(clients: ClientProgram, daemon: Daemon, name: str, **options: object) -> Client:
    """A current client that is authenticated; it comes back by itself unless told otherwise."""
    auth = {"token": token(name), "client_id": f"tab-{name}"}
    return clients.connect(daemon.url, name, auth=auth, **{**WEBSOCKET, **options})


def insert(client: Client, content: str, revision: int, seq: int) -> dict[str, Any]:
    part = {"type": "insert", "position": 0, "content": content}
    request = {"room_id": "song-1", "operation": part, "revision": revision, "seq": seq}
    answer: dict[str, Any] = client.ask("collaboration_operation", request)
    assert answer["ok"] is True, answer
    return answer


def say(client: Client, message: str) -> None:
    assert client.ask("broadcast_message", {"room_id": "song-1", "message": message})["ok"] is True


def who_came_and_went(client: Client) -> list[tuple[object, object]]:
    """What a client was told of the presence of others, in order."""
    return [
        (heard.name, heard.args[0]["user_id"])
        for heard in client.story
        if heard.kind == "event" and heard.name in ("user_joined", "user_left")
    ]


def contents(operations: list[Any]) -> list[tuple[int, str]]:
    return [(update["revision"], update["operations"][0]["content"]) for update in operations]


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    """For daemons that follow each other."""
    return {"store.url": f"sqlite:{tmp_path / 'songs.sqlite3'}"}


def test_a_page_that_is_loaded_again_has_never_left(daemon: Daemon, clients: ClientProgram) -> None:
    ada, ben = (tab(clients, daemon, name, reconnection=False) for name in ("ada", "ben"))
    for client in (ada, ben):
        client.join("song-1")
    insert(ben, "before", revision=0, seq=1)
    assert ada.event("collaboration_update")["revision"] == 1
    say(ben, "first")
    heard = ada.event("room_message")["message_id"]

    ada.tell("drop")
    ada.state("disconnect")
    insert(ben, "meanwhile", revision=1, seq=2)
    for message in ("second", "third"):
        say(ben, message)
    again = tab(clients, daemon, "ada")
    [authenticated] = [one.args[0] for one in again.story if one.name == "authenticated"]
    [resumed] = authenticated["resumed"]
    assert (resumed["room_id"], resumed["permission"]) == ("song-1", "edit")
    assert resumed["revision"] == 2

    joined = again.join("song-1", revision=1, last_message_id=heard)
    assert joined["participant_count"] == 2
    assert {"user_id": "ada", "connections": 1} in joined["participants"]
    assert contents(joined["operations"]) == [(2, "meanwhile")]
    assert [message["message"] for message in joined["messages"]] == ["second", "third"]
    assert joined["last_message_id"] == joined["messages"][-1]["message_id"]
    assert "resync" not in joined
    # It goes on where it was; nobody has heard of it.
    insert(again, "after", revision=2, seq=joined["last_seq"] + 1)
    assert ben.event("collaboration_update")["client_id"] == "tab-ada"
    assert who_came_and_went(ben) == [("user_joined", "ben")]


def test_a_cut_connection_is_made_good_by_the_client_itself(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada, ben = (tab(clients, daemon, name) for name in ("ada", "ben"))
    for client in (ada, ben):
        client.join("song-1")
    for seq in (1, 2, 3):
        ada.tell("drop")
        ada.state("disconnect")
        insert(ben, f"{seq}", revision=seq - 1, seq=seq)
        resumed = ada.event("authenticated")["resumed"]
        assert [one["room_id"] for one in resumed] == ["song-1"]
        joined = ada.join("song-1", revision=seq - 1)
        assert contents(joined["operations"]) == [(seq, f"{seq}")]
    assert who_came_and_went(ben) == [("user_joined", "ben")]


def test_an_operation_whose_answer_was_lost_is_found_after_coming_back(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = tab(clients, daemon, "ada")
    ada.join("song-1", document=True)
    insert(ada, "once ", revision=0, seq=1)
    ada.tell("drop")
    ada.state("disconnect")
    ada.event("authenticated")
    # As if it had not been told: it joins with what it had before.
    joined = ada.join("song-1", revision=0)
    assert joined["last_seq"] == 1
    assert [(one["client_id"], one["seq"]) for one in joined["operations"]] == [("tab-ada", 1)]
    assert insert(ada, "once ", revision=0, seq=1)["revision"] == 1
    assert ada.join("song-1", document=True)["document"] == {"text": "once "}


def test_who_stays_away_is_gone_after_the_grace_and_only_then(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada, ben = (tab(clients, daemon, name, reconnection=False) for name in ("ada", "ben"))
    for client in (ada, ben):
        client.join("song-1")
    ada.tell("drop")
    ada.state("disconnect")
    left = ben.event("user_left", GONE_WITHIN_S)
    assert left == {"user_id": "ada", "room_id": "song-1", "participant_count": 1}

    again = tab(clients, daemon, "ada")
    [authenticated] = [one.args[0] for one in again.story if one.name == "authenticated"]
    assert authenticated["resumed"] == []
    assert again.join("song-1")["participant_count"] == 2
    assert ben.events("user_joined", 2)[-1]["user_id"] == "ada"
    presence = [("user_joined", "ben"), ("user_left", "ada"), ("user_joined", "ada")]
    assert who_came_and_went(ben) == presence


@pytest.mark.parametrize("goodbye", ["leave_room", "close"])
def test_who_says_goodbye_is_gone_at_once(
    daemon: Daemon, clients: ClientProgram, goodbye: str
) -> None:
    ada, ben = (tab(clients, daemon, name) for name in ("ada", "ben"))
    for client in (ada, ben):
        client.join("song-1")
    if goodbye == "leave_room":
        ada.emit("leave_room", {"room_id": "song-1"})
    else:
        ada.close()
    assert ben.event("user_left", within_s=5)["user_id"] == "ada"
    again = tab(clients, daemon, "ada")
    [authenticated] = [one.args[0] for one in again.story if one.name == "authenticated"]
    assert authenticated["resumed"] == []


@pytest.mark.parametrize("end", [Daemon.stop, Daemon.kill], ids=["SIGTERM", "SIGKILL"])
def test_a_daemon_that_starts_again_has_lost_nobody(
    start_daemon: StartDaemon,
    clients: ClientProgram,
    store: dict[str, object],
    end: Callable[[Daemon], object],
) -> None:
    daemon = start_daemon(store)
    ada, ben, eve = (tab(clients, daemon, name) for name in ("ada", "ben", "eve"))
    for client in (ada, ben, eve):
        client.join("song-1")
    insert(ben, "before", revision=0, seq=1)
    ada.event("collaboration_update")
    assert [one["user_id"] for one in ada.events("user_joined", 3)] == ["ada", "ben", "eve"]
    end(daemon)
    for client in (ada, ben, eve):
        assert client.state("disconnect")["active"] is True

    again = start_daemon(store, port=daemon.port)
    for client in (ada, ben):
        resumed = client.event("authenticated")["resumed"]
        assert resumed == [{"room_id": "song-1", "permission": "edit", "revision": 1}]
        joined = client.join("song-1", revision=1)
        assert joined["participant_count"] == 3
        assert (joined["operations"], joined["revision"]) == ([], 1)
    insert(ben, "after", revision=1, seq=2)
    assert ada.event("collaboration_update")["revision"] == 2
    eve.event("authenticated")
    eve.join("song-1", revision=0)
    # Whoever came back is in no other's story; an own join is told to the joiner itself.
    assert who_came_and_went(ben) == [("user_joined", name) for name in ("ben", "eve", "ben")]
    assert again.connections == 3


def test_who_does_not_come_back_to_the_next_daemon_is_gone_once(
    start_daemon: StartDaemon, clients: ClientProgram, store: dict[str, object]
) -> None:
    daemon = start_daemon(store)
    ada = tab(clients, daemon, "ada", reconnection=False)
    ben = tab(clients, daemon, "ben")
    for client in (ada, ben):
        client.join("song-1")
    ben.event("user_joined")
    # When an edit is acknowledged, all that went before it is on the disk as well.
    assert insert(ben, "la", 0, 1)["ok"]
    daemon.kill()
    ben.state("disconnect")
    start_daemon(store, port=daemon.port)
    ben.event("authenticated")
    assert ben.join("song-1")["participant_count"] == 2
    assert ben.event("user_left", GONE_WITHIN_S)["user_id"] == "ada"
    # A question to the daemon, after which nothing more of that can come.
    assert ben.join("song-1")["participant_count"] == 1
    assert ben.count("user_left") == 1


def test_the_newer_of_two_connections_with_one_client_id_takes_over(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada, ben = (tab(clients, daemon, name) for name in ("ada", "ben"))
    for client in (ada, ben):
        client.join("song-1")
    insert(ada, "mine", revision=0, seq=1)
    copy = tab(clients, daemon, "ada")
    gone = ada.state("disconnect")
    assert gone == {"reason": "io server disconnect", "active": False}
    [authenticated] = [one.args[0] for one in copy.story if one.name == "authenticated"]
    assert [one["room_id"] for one in authenticated["resumed"]] == ["song-1"]
    joined = copy.join("song-1", document=True)
    assert (joined["document"], joined["last_seq"]) == ({"text": "mine"}, 1)
    assert joined["participant_count"] == 2
    insert(copy, "more ", revision=1, seq=2)
    assert ben.events("collaboration_update", 2)[-1]["revision"] == 2
    assert who_came_and_went(ben) == [("user_joined", "ben")]


def test_another_user_with_the_same_client_id_is_somebody_else(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = tab(clients, daemon, "ada")
    ada.join("song-1")
    eve = clients.connect(daemon.url, "eve", auth={"token": token("eve"), "client_id": "tab-ada"})
    [authenticated] = [one.args[0] for one in eve.story if one.name == "authenticated"]
    assert authenticated["resumed"] == []
    assert ada.ask("ping", {})["ok"] is True
    assert ada.count("user_joined") == 1
