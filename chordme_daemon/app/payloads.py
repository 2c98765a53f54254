"""What is told: each function makes the payload of the event that it is named after."""

from collections.abc import Sequence
from typing import Final

from chordme_daemon import ot
from chordme_daemon.app.events import Code, Fields, Permission, unavailable, with_present
from chordme_daemon.cluster.interface import Draft, Entry, Note, Participant, UserId

# Who mends a legacy client's text: nobody's own id, so that no client takes it for its own edit.
SERVER: Final = "server"
# All that is told.
EVENTS: Final = frozenset(
    {
        "auth_error",
        "authenticated",
        "collaboration_update",
        "conflict_resolved",
        "connected",
        "cursor_moved",
        "document_state",
        "error",
        "message_sent",
        "operation_confirmed",
        "permission_changed",
        "pong",
        "room_joined",
        "room_left",
        "room_message",
        "save_state",
        "token_expiring",
        "user_joined",
        "user_left",
    }
)


def connected(server_version: str, limits: Fields, *, degraded: bool) -> Fields:
    payload: Fields = {
        "message": "Connected to ChordMe real-time server",
        "server_version": server_version,
        "limits": limits,
    }
    return with_present(payload, degraded=degraded or None)


def degraded(room_id: str) -> Fields:
    """The error that a room is told when edits are not possible for a while."""
    refused = unavailable()
    refused.room_id = room_id
    return refused.payload(None)


def authenticated(user_id: UserId, expires_at_ms: int, resumed: Sequence[Fields]) -> Fields:
    return {
        "user_id": user_id,
        "message": "Authentication successful",
        "expires_at": expires_at_ms,
        "resumed": list(resumed),
    }


def auth_error(message: str, code: Code) -> Fields:
    return {"message": message, "code": code.value}


def token_expiring(expires_at_ms: int) -> Fields:
    return {"expires_at": expires_at_ms}


def room_joined(
    room_id: str,
    permission: Permission,
    participants: Sequence[Participant],
    revision: int,
    **asked: object,
) -> Fields:
    """`asked` are the further fields that the client asked for."""
    payload: Fields = {
        "room_id": room_id,
        "participant_count": len(participants),
        "permission": permission.wire,
        "participants": [
            participant(one.user_id, one.name, one.connections) for one in participants
        ],
        "revision": revision,
    }
    return with_present(payload, **asked)


def participant(user_id: UserId, name: str | None, connections: int) -> Fields:
    """One of the users in a room."""
    return with_present({"user_id": user_id, "connections": connections}, name=name)


def resumed(room_id: str, permission: Permission, revision: int) -> Fields:
    """One of the rooms in `authenticated`."""
    return {"room_id": room_id, "permission": permission.wire, "revision": revision}


def room_left(room_id: str, reason: str) -> Fields:
    return {"room_id": room_id, "reason": reason}


def permission_changed(room_id: str, permission: Permission) -> Fields:
    return {"room_id": room_id, "permission": permission.wire}


def user_joined(
    room_id: str, user_id: UserId, participant_count: int, name: str | None = None
) -> Fields:
    payload: Fields = {
        "user_id": user_id,
        "room_id": room_id,
        "participant_count": participant_count,
    }
    return with_present(payload, name=name)


user_left = user_joined


def room_message(user_id: UserId, room_id: str, message: object, timestamp_ms: int) -> Fields:
    return {
        "user_id": user_id,
        "room_id": room_id,
        "message": message,
        "timestamp": timestamp_ms,
    }


def numbered(note: Note) -> Fields:
    """A kept note as it is told: with the number by which a client says how far it heard."""
    return {**note.payload, "message_id": note.number}


def message_sent(room_id: str) -> Fields:
    return {"room_id": room_id}


def cursor_moved(
    user_id: UserId,
    room_id: str,
    position: Fields,
    timestamp_ms: int,
    *,
    client_id: str | None = None,
    revision: int | None = None,
) -> Fields:
    payload: Fields = {
        "user_id": user_id,
        "room_id": room_id,
        "position": position,
        "timestamp": timestamp_ms,
    }
    return with_present(payload, client_id=client_id, revision=revision)


def collaboration_update(room_id: str, entry: Entry, operation: ot.Operation) -> Fields:
    """For current clients: a revision in one event, with no operations if it came to nothing."""
    draft = entry.draft
    return {
        "room_id": room_id,
        "operations": ot.to_wire(operation),
        "user_id": draft.user_id,
        "timestamp": draft.timestamp_ms,
        "operation_id": draft.operation_id,
        "revision": entry.revision,
        "client_id": draft.client_id,
        "seq": draft.seq,
    }


def legacy_update(
    room_id: str, draft: Draft | None, part: ot.Operation, delivery: int, timestamp_ms: int
) -> Fields:
    """For legacy clients: one flat insert or delete, as its author's or as the server's own."""
    [operation] = ot.to_wire(part)
    return {
        "room_id": room_id,
        "operation": operation,
        "user_id": SERVER if draft is None else draft.user_id,
        "timestamp": timestamp_ms,
        "operation_id": None if draft is None else draft.operation_id,
        "delivery": delivery,
    }


def operation_confirmed(
    room_id: str, operation_id: str | None, revision: int, seq: int | None = None
) -> Fields:
    payload: Fields = {"room_id": room_id, "operation_id": operation_id, "revision": revision}
    return with_present(payload, seq=seq, id=operation_id)


def document_state(
    room_id: str,
    revision: int,
    text: str,
    reason: str,
    *,
    last_seq: int | None = None,
    delivery: int | None = None,
) -> Fields:
    """`last_seq` is for a current client, `delivery` for a legacy one."""
    payload: Fields = {"room_id": room_id, "revision": revision, "text": text, "reason": reason}
    return with_present(payload, last_seq=last_seq, delivery=delivery)


def conflict_resolved(room_id: str, revision: int, kept: str, dropped: str) -> Fields:
    return {"room_id": room_id, "revision": revision, "kept": kept, "dropped": dropped}


def save_state(room_id: str, state: str, revision: int, reason: str | None = None) -> Fields:
    """`state` is one of saved, pending, failed, altered."""
    payload: Fields = {"room_id": room_id, "state": state, "revision": revision}
    return with_present(payload, reason=reason)


def pong(timestamp_ms: int, sent_at: int | float | None = None) -> Fields:
    return with_present({"timestamp": timestamp_ms}, sent_at=sent_at)
