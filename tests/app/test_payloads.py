"""The payloads of what is told: all the fields of the wire contract, and no other."""

import pytest

from chordme_daemon.app import payloads
from chordme_daemon.app.events import Code, Permission
from chordme_daemon.cluster.interface import Draft, Entry, Participant

INSERT = {"type": "insert", "position": 3, "content": "[G]"}
DELETE = {"type": "delete", "position": 3, "length": 2}


def entry(*operations: dict[str, object], client_id: str | None = None) -> Entry:
    seq = None if client_id is None else 2
    return Entry(7, Draft(operations, "sid", 5, 1000, "op-1", client_id, seq))


def test_a_current_client_is_told_of_each_revision_once() -> None:
    update = payloads.collaboration_update("song", entry(INSERT, DELETE, client_id="tab"))
    assert update == {
        "room_id": "song",
        "operations": [INSERT, DELETE],
        "user_id": 5,
        "timestamp": 1000,
        "operation_id": "op-1",
        "revision": 7,
        "client_id": "tab",
        "seq": 2,
    }


def test_an_operation_that_came_to_nothing_is_a_revision_all_the_same() -> None:
    nothing = entry({"type": "retain"})
    assert payloads.collaboration_update("song", nothing) == {
        "room_id": "song",
        "operations": [],
        "user_id": 5,
        "timestamp": 1000,
        "operation_id": "op-1",
        "revision": 7,
    }
    assert payloads.legacy_updates("song", nothing) == []


def test_a_legacy_client_is_told_of_each_flat_part_in_order() -> None:
    updates = payloads.legacy_updates("song", entry(INSERT, {"type": "retain"}, DELETE))
    assert updates == [
        {
            "room_id": "song",
            "operation": operation,
            "user_id": 5,
            "timestamp": 1000,
            "operation_id": "op-1",
        }
        for operation in (INSERT, DELETE)
    ]


def test_who_joins_is_told_who_is_there() -> None:
    participants = [Participant(5, "Ada", 2), Participant("bob", None, 1)]
    assert payloads.room_joined("song", Permission.EDIT, participants, 7) == {
        "room_id": "song",
        "participant_count": 2,
        "permission": "edit",
        "participants": [
            {"user_id": 5, "name": "Ada", "connections": 2},
            {"user_id": "bob", "connections": 1},
        ],
        "revision": 7,
    }


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (
            payloads.connected("1.0", {"event_bytes": 10240}),
            {
                "message": "Connected to ChordMe real-time server",
                "server_version": "1.0",
                "limits": {"event_bytes": 10240},
            },
        ),
        (
            payloads.authenticated(5, 2000, []),
            {
                "user_id": 5,
                "message": "Authentication successful",
                "expires_at": 2000,
                "resumed": [],
            },
        ),
        (
            payloads.auth_error("Invalid or expired token", Code.TOKEN_EXPIRED),
            {"message": "Invalid or expired token", "code": "token_expired"},
        ),
        (payloads.token_expiring(2000), {"expires_at": 2000}),
        (payloads.room_left("song", "asked"), {"room_id": "song", "reason": "asked"}),
        (
            payloads.permission_changed("song", Permission.READ),
            {"room_id": "song", "permission": "read"},
        ),
        (
            payloads.user_joined("song", "ada", 2, "Ada"),
            {"user_id": "ada", "room_id": "song", "participant_count": 2, "name": "Ada"},
        ),
        (
            payloads.user_left("song", 5, 1),
            {"user_id": 5, "room_id": "song", "participant_count": 1},
        ),
        (
            payloads.room_message(5, "song", None, 1000),
            {"user_id": 5, "room_id": "song", "message": None, "timestamp": 1000},
        ),
        (payloads.message_sent("song"), {"room_id": "song"}),
        (
            payloads.cursor_moved(5, "song", {"line": 1, "column": 2}, 1000, "tab"),
            {
                "user_id": 5,
                "room_id": "song",
                "position": {"line": 1, "column": 2},
                "timestamp": 1000,
                "client_id": "tab",
            },
        ),
        (
            payloads.operation_confirmed("song", "op-1", 7, 2),
            {"room_id": "song", "operation_id": "op-1", "revision": 7, "seq": 2, "id": "op-1"},
        ),
        (
            payloads.operation_confirmed("song", None, 7),
            {"room_id": "song", "operation_id": None, "revision": 7},
        ),
        (payloads.pong(1000), {"timestamp": 1000}),
        (payloads.pong(1000, 0), {"timestamp": 1000, "sent_at": 0}),
    ],
)
def test_payloads_are_those_of_the_wire_contract(
    payload: dict[str, object], told: dict[str, object]
) -> None:
    assert payload == told


# Permissions
