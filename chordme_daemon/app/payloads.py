"""What is told: each function makes the payload of the event that it is named after."""

from collections.abc import Sequence

from chordme_daemon.app.events import Code, Fields, Permission, with_present
from chordme_daemon.cluster.interface import Entry, Participant, UserId


def connected(server_version: str, limits: Fields) -> Fields:
    return {
        "message": "Connected to ChordMe real-time server",
        "server_version": server_version,
        "limits": limits,
    }


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
    *,
    resync: bool = False,
) -> Fields:
    payload: Fields = {
        "room_id": room_id,
        "participant_count": len(participants),
        "permission": permission.wire,
        "participants": [
            with_present({"user_id": one.user_id, "connections": one.connections}, name=one.name)
            for one in participants
        ],
        "revision": revision,
    }
    return with_present(payload, resync=resync or None)


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


def message_sent(room_id: str) -> Fields:
    return {"room_id": room_id}


def cursor_moved(
    user_id: UserId,
    room_id: str,
    position: Fields,
    timestamp_ms: int,
    client_id: str | None = None,
) -> Fields:
    payload: Fields = {
        "user_id": user_id,
        "room_id": room_id,
        "position": position,
        "timestamp": timestamp_ms,
    }
    return with_present(payload, client_id=client_id)


def collaboration_update(room_id: str, entry: Entry) -> Fields:
    """For current clients: a revision in one event, with no operations if it came to nothing."""
    payload = _update(room_id, entry)
    payload["operations"] = _effective(entry)
    payload["revision"] = entry.revision
    return with_present(payload, client_id=entry.draft.client_id, seq=entry.draft.seq)


def legacy_updates(room_id: str, entry: Entry) -> list[Fields]:
    """For legacy clients: one `collaboration_update` for each flat insert or delete, in order."""
    return [{**_update(room_id, entry), "operation": operation} for operation in _effective(entry)]


def operation_confirmed(
    room_id: str, operation_id: str | None, revision: int, seq: int | None = None
) -> Fields:
    payload: Fields = {"room_id": room_id, "operation_id": operation_id, "revision": revision}
    return with_present(payload, seq=seq, id=operation_id)


def pong(timestamp_ms: int, sent_at: int | float | None = None) -> Fields:
    return with_present({"timestamp": timestamp_ms}, sent_at=sent_at)


def _update(room_id: str, entry: Entry) -> Fields:
    draft = entry.draft
    return {
        "room_id": room_id,
        "user_id": draft.user_id,
        "timestamp": draft.timestamp_ms,
        "operation_id": draft.operation_id,
    }


def _effective(entry: Entry) -> list[Fields]:
    """What of an entry changes a text."""
    return [dict(part) for part in entry.draft.operations if part["type"] != "retain"]
