"""What the application answers: once for each request, in the words of the contract.

Rows: S (Socket.IO) of hostile input.
"""

import json
from typing import Any

import pytest
from twisted.logger import capturedLogs

from tests.app.conftest import EVENT_BYTES, STARTED_S, Client, House

INSERT = {"type": "insert", "position": 0, "content": "[G]"}
POSITION = {"line": 1, "column": 2}
WELL_FORMED: dict[str, dict[str, Any]] = {
    "join_room": {"room_id": "song"},
    "leave_room": {"room_id": "song"},
    "broadcast_message": {"room_id": "song", "message": "hello"},
    "collaboration_operation": {"room_id": "song", "operation": {**INSERT, "id": "op-1"}},
    "cursor_update": {"room_id": "song", "position": POSITION},
    "ping": {},
}
INVALID_DATA = {
    "join_room": ("bad_request", "Invalid room data"),
    "leave_room": ("bad_request", "Invalid room data"),
    "broadcast_message": ("bad_request", "Invalid message data"),
    "collaboration_operation": ("invalid_operation", "Invalid operation data"),
    "cursor_update": ("bad_request", "Invalid cursor data"),
}
IN_A_ROOM = sorted(INVALID_DATA)
NEEDS_A_SEAT = ["broadcast_message", "collaboration_operation", "cursor_update"]


def only_error(client: Client, event: object, *args: object) -> dict[str, Any]:
    """The one `error` that answers an event; what it did on a legacy screen may be undone."""
    (name, payload), *undone = client.tell(event, *args)
    assert name == "error"
    assert [update["user_id"] for _, update in undone] in ([], ["server"])
    error: dict[str, Any] = payload
    return error


# The order at connect


def test_a_client_without_a_token_is_greeted_and_nothing_else(house: House) -> None:
    client = Client(house)
    client.send("0")
    [(connect, answer), (connected, greeting)] = client.heard()
    assert (connect, connected) == ("CONNECT", "connected")
    assert answer.keys() == {"sid"}
    assert greeting == {
        "message": "Connected to ChordMe real-time server",
        "server_version": "1.2.3",
        "limits": {"event_bytes": EVENT_BYTES},
    }


def test_a_client_with_a_token_is_greeted_then_authenticated(house: House) -> None:
    client = Client(house)
    client.send("0" + json.dumps({"token": house.token(7)}))
    heard = client.heard()
    assert [name for name, _ in heard] == ["CONNECT", "connected", "authenticated"]
    assert heard[-1][1] == {
        "user_id": 7,
        "message": "Authentication successful",
        "expires_at": int((STARTED_S + 86_400) * 1000),
        "resumed": [],
    }


def test_a_bad_token_at_connect_does_not_refuse_the_connection(house: House) -> None:
    client = Client(house)
    client.send('0{"token":"a.b.c"}')
    heard = client.heard()
    assert [name for name, _ in heard] == ["CONNECT", "connected", "auth_error"]
    assert heard[-1][1] == {"message": "Invalid or expired token", "code": "invalid_token"}
    assert client.ask("authenticate", {"token": house.token()})["ok"]


@pytest.mark.parametrize("token", ["null", "5", "[]", '{"$ne":1}'])
def test_what_is_no_token_at_connect_is_invalid_authentication_data(
    house: House, token: str
) -> None:
    client = Client(house)
    client.send(f'0{{"token":{token}}}')
    assert client.heard()[-1] == (
        "auth_error",
        {"message": "Invalid authentication data", "code": "bad_request"},
    )


def test_a_client_id_at_connect_makes_a_current_client(house: House) -> None:
    client = Client(house)
    client.send("0" + json.dumps({"token": house.token("bob"), "client_id": "tab-1"}))
    client.join()
    house.member("ada").ask("collaboration_operation", WELL_FORMED["collaboration_operation"])
    assert [payload["revision"] for name, payload in client.heard() if "update" in str(name)] == [1]


def test_a_client_id_at_connect_counts_also_when_the_token_comes_later(house: House) -> None:
    client = Client(house)
    client.send("0" + json.dumps({"client_id": "tab-1"}))
    assert client.ask("authenticate", {"token": house.token("bob")})["ok"]
    client.join()
    house.member("ada").ask("collaboration_operation", WELL_FORMED["collaboration_operation"])
    assert [payload["revision"] for name, payload in client.heard() if "update" in str(name)] == [1]


# Ping


def test_a_ping_is_answered_once_with_the_time(house: House) -> None:
    client = house.client()
    assert client.tell("ping") == [("pong", {"timestamp": int(STARTED_S * 1000)})]
    house.advance(1.5)
    assert client.tell("ping", {"sent_at": 12.5}) == [
        ("pong", {"timestamp": int(STARTED_S * 1000) + 1500, "sent_at": 12.5})
    ]
    assert client.ask("ping", {}) == {"ok": True, "timestamp": int(STARTED_S * 1000) + 1500}


def test_no_pong_comes_unasked(house: House) -> None:
    client = house.member()
    house.advance(120)
    assert client.heard() == []


# Refusals


@pytest.mark.parametrize("event", [*IN_A_ROOM, "ping"])
def test_s12_everything_needs_an_authenticated_connection(house: House, event: str) -> None:
    client = house.stranger()
    error = only_error(client, event, WELL_FORMED[event])
    assert error.pop("id", "op-1") == "op-1"
    assert error.pop("room_id", "song") == "song"
    assert error == {
        "message": "Authentication required",
        "code": "unauthenticated",
        "event": event,
    }
    assert client.ask(event, WELL_FORMED[event])["code"] == "unauthenticated"


@pytest.mark.parametrize("event", IN_A_ROOM)
@pytest.mark.parametrize("payload", [None, 5, "song", [], {}])
def test_a_payload_that_makes_no_request_is_refused_in_the_events_words(
    house: House, event: str, payload: object
) -> None:
    code, message = INVALID_DATA[event]
    client = house.member()
    error = only_error(client, event, payload)
    assert error["message"] == message
    assert error["code"] in {code, "bad_request"}
    assert error["event"] == event
    assert client.tell(event)[0][1]["message"] == message


@pytest.mark.parametrize("event", IN_A_ROOM)
def test_r01_a_room_id_that_names_no_room_is_refused(house: House, event: str) -> None:
    client = house.member()
    room_ids: list[object] = ["", "a b", "../x", "x" * 51, "é", None, True, 1.0, [], {}]
    for room_id in room_ids:
        error = only_error(client, event, {**WELL_FORMED[event], "room_id": room_id})
        assert error.pop("id", "op-1") == "op-1"
        assert error == {"message": "Invalid room ID", "code": "invalid_room", "event": event}


@pytest.mark.parametrize("event", NEEDS_A_SEAT)
def test_r07_a_room_that_was_not_joined_is_not_authorized(house: House, event: str) -> None:
    client = house.client()
    house.member("ada")  # the same user's other tab is in the room: that does not help
    error = only_error(client, event, WELL_FORMED[event])
    assert error.pop("id", None) == ("op-1" if "operation" in event else None)
    assert error == {
        "message": "Not authorized for this room",
        "code": "not_in_room",
        "event": event,
        "room_id": "song",
    }


@pytest.mark.parametrize("event", NEEDS_A_SEAT)
def test_r07_a_room_that_was_left_is_not_authorized(house: House, event: str) -> None:
    client = house.member()
    client.ask("leave_room", {"room_id": "song"})
    assert only_error(client, event, WELL_FORMED[event])["code"] == "not_in_room"


# Unknown events


@pytest.mark.parametrize(
    "event", ["nonsense", "__init__", "on_connect", "../x", "pong", "error", "", "x" * 9000]
)
def test_s11_an_unknown_event_is_refused_and_its_name_not_repeated(
    house: House, event: str
) -> None:
    client = house.client()
    with capturedLogs() as logged:
        error = only_error(client, event, {})
    assert error == {"message": "Unknown event", "code": "unknown_event"}
    assert logged == []
    assert client.ask(event) == {"ok": False, **error}


@pytest.mark.parametrize("event", [1, 0, -1, 1.5])
def test_s09_an_event_named_by_a_number_is_unknown(house: House, event: float) -> None:
    client = house.client()
    assert only_error(client, event) == {"message": "Unknown event", "code": "unknown_event"}
    assert client.ask(event)["code"] == "unknown_event"


@pytest.mark.parametrize("event", ["connect", "connect_error", "disconnect", "newListener"])
def test_s10_a_reserved_event_closes(house: House, event: str) -> None:
    client = house.client()
    client.emit(event)
    assert client.closed


def test_s31_a_flood_of_refusals_closes(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    for _ in range(200):
        client.emit("nonsense")
    assert client.names() == ["user_joined"] + ["error"] * 200
    assert not client.closed
    client.emit("nonsense")
    assert client.closed
    assert other.names() == ["user_left"]
    assert len(house.app.clients) == 1


def test_s31_refusals_that_come_slowly_do_not_close(house: House) -> None:
    client = house.client()
    for _ in range(30):
        for _ in range(15):
            client.emit("nonsense")
        house.advance(1)
    assert client.names() == ["error"] * 450
    assert not client.closed


# Sizes


def sized(event: str, size: int, filler: str) -> str:
    """A packet of so many bytes of UTF-8."""
    operation = {"id": "op-1", "type": "insert", "position": 0}
    field: Any
    if event == "broadcast_message":
        field = {"message": "@"}
    else:
        field = {"operation": {**operation, "content": "@"}}
    text = "2" + json.dumps([event, {"room_id": "song", **field}], separators=(",", ":"))
    text = text.replace("@", "@" + filler * ((size - len(text)) // len(filler.encode())))
    text = text.replace("@", "@" + "x" * (size - len(text.encode())))
    assert len(text.encode()) == size
    return text


@pytest.mark.parametrize("event", ["broadcast_message", "collaboration_operation"])
@pytest.mark.parametrize("filler", ["x", "\U0001f3b8"])
def test_s28_an_event_of_the_most_bytes_passes_and_one_byte_more_does_not(
    house: House, event: str, filler: str
) -> None:
    client = house.member()
    client.heard()
    for size in (EVENT_BYTES - 1, EVENT_BYTES):
        client.send(sized(event, size, filler))
        assert client.names() in (["message_sent"], ["operation_confirmed"])
    client.send(sized(event, EVENT_BYTES + 1, filler))
    [(name, error), *after] = client.heard()
    assert name == "error"
    # What is on the screen is taken back.
    taken_back = ["collaboration_update"] if event == "collaboration_operation" else []
    assert [name for name, _ in after] == taken_back
    assert error.pop("id", None) == ("op-1" if event == "collaboration_operation" else None)
    assert error == {
        "message": "Message too large",
        "code": "message_too_large",
        "event": event,
        "room_id": "song",
        "limit": EVENT_BYTES,
    }
    assert not client.closed
    assert client.names() == []


def test_s28_what_is_too_large_is_not_told_to_the_room(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    other.heard()
    client.send(sized("broadcast_message", EVENT_BYTES + 1, "x"))
    assert other.heard() == []


# Hostile payloads


def test_s25_of_a_key_that_comes_twice_the_last_counts_everywhere(house: House) -> None:
    client, hidden, shown = house.member(), house.member("bob", "a"), house.member("eve", "b")
    client.join("b")
    for other in (hidden, shown):
        other.heard()
    client.send('2["broadcast_message",{"room_id":"a","room_id":"b","message":1}]')
    assert hidden.heard() == []
    assert shown.names() == ["room_message"]


def test_s26_names_that_mean_something_in_javascript_are_data(house: House) -> None:
    client, other = house.member("ada"), house.member("bob")
    other.heard()
    message = {"__proto__": {"isAdmin": 1}, "constructor": {"prototype": {}}}
    client.tell("broadcast_message", {"room_id": "song", "message": message})
    assert other.heard()[0][1]["message"] == message
    client.tell("cursor_update", {"room_id": "song", "position": {**POSITION, **message}})
    assert other.heard()[0][1]["position"] == POSITION
    client.tell("collaboration_operation", {"room_id": "song", "operation": {**INSERT, **message}})
    assert other.heard()[0][1]["operation"] == INSERT


# One answer

MALFORMED: tuple[object, ...] = (None, 5, {}, {"room_id": "a b"}, {"room_id": "elsewhere"})


@pytest.mark.parametrize("who", ["stranger", "client", "member"])
@pytest.mark.parametrize("event", [*WELL_FORMED, "authenticate", "nonsense", 5])
def test_every_request_gets_exactly_one_answer(house: House, who: str, event: object) -> None:
    well_formed = WELL_FORMED.get(str(event), {"token": house.token()})
    for payload in (well_formed, *MALFORMED):
        for ack in (None, 77):
            # A client of its own for each, so that no answer depends on those before.
            client: Client = getattr(house, who)()
            client.heard()
            client.emit(event, payload, ack=ack)
            heard = client.heard()
            assert not client.closed
            if ack is not None:
                [(number, answer)] = heard
                assert number == ack
                assert answer["ok"] is ("code" not in answer)
                assert answer["ok"] or answer["message"]
                continue
            # The answer proper comes last; before it, a join brings one's own `user_joined`.
            answers = [name for name, _ in heard if name != "user_joined"]
            silent = event == "cursor_update" and who == "member" and payload is well_formed
            assert len(answers) == (0 if silent else 1)
            client.hang_up()
            house.advance(60)
