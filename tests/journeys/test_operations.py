"""Operations of several people at once: one order for everybody."""

from typing import Any

import pytest

from tests.journeys.clients import WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token

pytestmark = pytest.mark.journey

EACH = 100


def current(clients: ClientProgram, url: str, name: str, **options: object) -> Client:
    auth = {"token": token(name), "client_id": f"tab-{name}"}
    client = clients.connect(url, name, auth=auth, **options)
    client.join("song-1")
    return client


def send(client: Client, name: str, seq: int, revision: int) -> None:
    part = {"type": "insert", "position": 0, "content": f"{name}{seq} "}
    request = {"room_id": "song-1", "operation": [part], "revision": revision, "seq": seq}
    client.emit("collaboration_operation", request)


def told(client: Client) -> list[Any]:
    """The revisions that a client was told of, in order: of others' operations and its own."""
    names = ("collaboration_update", "operation_confirmed")
    return [
        heard.args[0]["revision"]
        for heard in client.story
        if heard.kind == "event" and heard.name in names
    ]


def test_everybody_sees_all_operations_in_one_order_without_a_hole(
    start_daemon: StartDaemon, clients: ClientProgram, other_clients: ClientProgram
) -> None:
    daemon = start_daemon({"limits.operations": 0})
    ada = current(clients, daemon.url, "ada", **WEBSOCKET)
    ben = current(other_clients, daemon.url, "ben", transports=["polling"])
    eve = current(clients, daemon.url, "eve")
    old = clients.connect(daemon.url, "old", **WEBSOCKET)
    old.join("song-1")
    has = {ada: 0, ben: 0}
    for seq in range(1, EACH + 1):
        send(ada, "ada", seq, has[ada])
        send(ben, "ben", seq, has[ben])
        # One at a time; when it is answered, all that went before it has been told.
        has = {client: client.event("operation_confirmed")["revision"] for client in has}
    for client in (ada, ben):
        client.events("collaboration_update", EACH)
    log = eve.events("collaboration_update", 2 * EACH)
    as_legacy = old.events("collaboration_update", 2 * EACH)

    everything = list(range(1, 2 * EACH + 1))
    assert [update["revision"] for update in log] == everything
    # A sender's own come at their places among those of the others.
    assert told(ada) == everything
    assert told(ben) == everything
    texts = [update["operations"][0]["content"] for update in log]
    assert [update["operation"]["content"] for update in as_legacy] == texts
    for name in ("ada", "ben"):
        seqs = [update["seq"] for update in log if update["client_id"] == f"tab-{name}"]
        assert seqs == list(range(1, EACH + 1))


def test_a_newcomer_learns_where_the_song_stands(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    ada = current(clients, daemon.url, "ada")
    for seq in (1, 2, 3):
        send(ada, "ada", seq, revision=seq - 1)
        assert ada.event("operation_confirmed")["revision"] == seq
    ben = clients.connect(daemon.url, "ben")
    assert ben.join("song-1")["revision"] == 3


NO_OPERATIONS: list[object] = [
    {"type": "format", "position": 0, "length": 1},
    {"type": "insert", "position": -1, "content": "x"},
    {"type": "insert", "position": 0, "content": ""},
    {"type": "insert", "position": 0, "content": 5},
    {"type": "delete", "position": 0, "length": 0},
    {"type": "delete", "position": True, "length": 1},
    {"type": "delete", "position": 0.5, "length": 1},
    "insert",
    None,
    [],
]


def test_what_is_no_operation_is_refused_by_its_id_and_reaches_nobody(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada, ben = (clients.connect(daemon.url, user) for user in (7, 8))
    for client in (ada, ben):
        client.join("song-1")
    for number, bad in enumerate(NO_OPERATIONS):
        operation = {**bad, "id": f"op-{number}"} if isinstance(bad, dict) else bad
        ada.emit("collaboration_operation", {"room_id": "song-1", "operation": operation})
        refused = ada.event("error")
        assert refused["code"] == "invalid_operation", bad
        assert refused["message"] == "Invalid operation data"
        assert refused.get("id") == (f"op-{number}" if isinstance(bad, dict) else None)
    ada.ask("broadcast_message", {"room_id": "song-1", "message": "fence"})
    ben.event("room_message")
    assert ben.count("collaboration_update") == 0
