"""The payloads of what is told: all the fields of the wire contract, and no other."""

import pytest

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.events import Code, Permission
from chordme_daemon.cluster.interface import Draft, Entry, Note, Participant

INSERT = {"type": "insert", "position": 3, "content": "[G]\U0001f3b8"}
DELETE = {"type": "delete", "position": 8, "length": 2}
OPERATION = ot.from_wire([INSERT, DELETE])


def entry(operation: ot.Operation) -> Entry:
    return Entry(7, Draft(ot.to_json(operation), "s:5/tab", 2, "tab", 5, 1000, "op-1"))


@pytest.mark.parametrize(("operation", "told"), [(OPERATION, [INSERT, DELETE]), ((), [])])
def test_a_current_client_is_told_of_each_revision_once(
    operation: ot.Operation, told: list[object]
) -> None:
    update = payloads.collaboration_update("song", entry(operation), operation)
    assert update == {
        "room_id": "song",
        "operations": told,
        "user_id": 5,
        "timestamp": 1000,
        "operation_id": "op-1",
        "revision": 7,
        "client_id": "tab",
        "seq": 2,
    }


def test_a_legacy_client_is_told_of_each_flat_part_with_its_delivery() -> None:
    first, second = ot.split(OPERATION)
    told = {"room_id": "song", "timestamp": 9}
    assert payloads.legacy_update("song", entry(()).draft, first, 4, 9) == {
        **told,
        "operation": INSERT,
        "user_id": 5,
        "operation_id": "op-1",
        "delivery": 4,
    }
    # What mends a client's text is nobody's edit.
    assert payloads.legacy_update("song", None, second, 5, 9) == {
        **told,
        "operation": DELETE,
        "user_id": "server",
        "operation_id": None,
        "delivery": 5,
    }


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
            payloads.connected("1.0", {"event_bytes": 10240}, degraded=False),
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
            payloads.cursor_moved(5, "song", {"line": 1, "column": 2}, 1000, client_id="tab"),
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
        (
            payloads.document_state("song", 7, "text", "behind", last_seq=2),
            {"room_id": "song", "revision": 7, "text": "text", "reason": "behind", "last_seq": 2},
        ),
        (
            payloads.document_state("song", 7, "text", "joined", delivery=9),
            {"room_id": "song", "revision": 7, "text": "text", "reason": "joined", "delivery": 9},
        ),
        (
            payloads.conflict_resolved("song", 7, "Am", "G7"),
            {"room_id": "song", "revision": 7, "kept": "Am", "dropped": "G7"},
        ),
        (
            payloads.resumed("song", Permission.EDIT, 7),
            {"room_id": "song", "permission": "edit", "revision": 7},
        ),
        (
            payloads.numbered(Note("room_message", {"message": 1}, "tab", kept=True, number=3)),
            {"message": 1, "message_id": 3},
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
