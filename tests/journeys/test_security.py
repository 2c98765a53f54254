"""Refusals, as they stand in the log: with fields for machines, without what must not be there."""

import time
from typing import Any

import orjson
import pytest

from tests.journeys.clients import WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request, token

pytestmark = pytest.mark.journey

BAD_TOKEN = token(7, secret="x" * 48)
ADMIN_KEY = "an-admin-key-of-more-than-32-bytes-9f3a"
WORDS = "words of a song that are nobody's business"


def events(daemon: Daemon) -> list[dict[str, Any]]:
    """What it has said of refusals."""
    lines = [orjson.loads(line) for line in daemon.log.splitlines()]
    return [line for line in lines if line["namespace"] == "chordme_daemon.security"]


def test_who_is_refused_is_said_with_fields_and_without_secrets(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon(
        {"log.format": "json", "limits.messages": "2/3600", "admin.key": ADMIN_KEY}
    )
    clients.open(daemon.url, auth={"token": BAD_TOKEN}, **WEBSOCKET).event("auth_error")
    rooms = {"song-1": "read"}
    ada = clients.open(daemon.url, auth={"token": token(7, rooms=rooms)}, **WEBSOCKET)
    ada.event("authenticated")
    for _ in range(20):
        assert ada.ask("join_room", {"room_id": "song-2"})["code"] == "forbidden"
    ada.join("song-1")
    operation = {"type": "insert", "position": 0, "content": WORDS}
    assert not ada.ask("collaboration_operation", {"room_id": "song-1", "operation": operation})[
        "ok"
    ]
    for _ in range(5):
        ada.ask("broadcast_message", {"room_id": "song-1", "message": WORDS})
    assert (
        ada.ask("broadcast_message", {"room_id": "song-1", "message": "x" * 11_000})["ok"] is False
    )
    handshake = f"{daemon.url}/socket.io/?EIO=4&transport=polling&token={BAD_TOKEN}"
    origin = {"Origin": "https://evil.example"}
    assert http_request(handshake, headers=origin).status == 403
    assert http_request(f"{daemon.admin_url}/rooms").status == 401
    here, said = {"address": "127.0.0.1"}, events(daemon)
    for expected in (
        {"event": "token", "code": "invalid_token", "request": "authenticate"},
        {"event": "forbidden", "user_id": 7, "request": "join_room", "room": "song-2"},
        {"event": "forbidden", "user_id": 7, "request": "collaboration_operation"},
        {"event": "limit", "user_id": 7, "code": "rate_limited", "request": "broadcast_message"},
        {"event": "limit", "user_id": 7, "code": "message_too_large"},
        {"event": "origin", "origin": "https://evil.example"},
        {"event": "admin"},
    ):
        found = [line for line in said if line.items() >= {**here, **expected}.items()]
        assert len(found) in (1, 2), expected  # once in ten seconds
        assert found[0]["level"] == "warn"
    for secret in (BAD_TOKEN, ADMIN_KEY, WORDS, token(7, rooms=rooms)[:60]):
        assert secret not in daemon.log


def test_who_connects_too_often_is_said(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"log.format": "json", "limits.connections": "2/3600"})
    url = f"{daemon.url}/socket.io/?EIO=4&transport=polling"
    began = time.monotonic()
    assert [http_request(url).status for _ in range(30)] == [200] * 2 + [429] * 28
    said = [line for line in events(daemon) if line["event"] == "limit"]
    assert len(said) <= 1 + (time.monotonic() - began) / 10
    assert said[0]["text"] == "127.0.0.1 connects too often"
