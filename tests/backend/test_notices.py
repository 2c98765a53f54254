"""What the backend says by itself, and who else might."""

import hmac

import pytest

from chordme_daemon.backend.notices import (
    FRESH_S,
    BadNotice,
    DisconnectUser,
    EmitToRoom,
    Notice,
    PermissionChanged,
    Reader,
    SaidBefore,
    SongChanged,
    signed,
)

KEY = b"k" * 32
NOW_S = 1_794_484_800.0


def said(**fields: object) -> bytes:
    return signed(KEY, {"id": "1", "at": NOW_S, **fields})


@pytest.mark.parametrize(
    ("fields", "notice"),
    [
        ({"do": "permission_changed", "song_id": 7}, PermissionChanged(7)),
        ({"do": "song_changed", "song_id": 7}, SongChanged(7)),
        ({"do": "disconnect_user", "user_id": 5}, DisconnectUser(5)),
        ({"do": "disconnect_user", "user_id": "ada"}, DisconnectUser("ada")),
        (
            {"do": "emit_to_room", "song_id": 7, "event": "hi", "payload": {"a": 1}},
            EmitToRoom(7, "hi", {"a": 1}),
        ),
    ],
)
def test_what_is_said_is_heard_once(fields: dict[str, object], notice: Notice) -> None:
    reader = Reader(KEY)
    assert reader.read(said(**fields), NOW_S) == notice
    with pytest.raises(SaidBefore):
        reader.read(said(**fields), NOW_S + 1)


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"{}",
        b"v1 " + b"0" * 64 + b' {"do":"song_changed","song_id":7,"id":"1","at":1794484800}',
        signed(b"x" * 32, {"do": "song_changed", "song_id": 7, "id": "1", "at": NOW_S}),
        b"v2" + said(do="song_changed", song_id=7)[2:],
        said(do="song_changed", song_id=7) + b" ",
        said(do="song_changed", song_id="7"),
        said(do="song_changed"),
        said(do="format_the_disk", song_id=7),
        said(do="song_changed", song_id=7, id=7),
        said(do="song_changed", song_id=7, id="x" * 65),
        said(do="song_changed", song_id=7, at="now"),
        said(do="emit_to_room", song_id=7, event="", payload={}),
        said(do="emit_to_room", song_id=7, event="e", payload=[]),
        said(do="emit_to_room", song_id=7, event="e", payload={"a": "x" * 70_000}),
    ],
)
def test_what_is_not_the_backends_is_not_heard(message: bytes) -> None:
    with pytest.raises(BadNotice):
        Reader(KEY).read(message, NOW_S)


def test_what_is_signed_but_no_json_is_not_heard() -> None:
    body = b'{"do":}'
    message = b"v1 %s %s" % (hmac.digest(KEY, body, "sha256").hex().encode(), body)
    with pytest.raises(BadNotice, match="not JSON"):
        Reader(KEY).read(message, NOW_S)


@pytest.mark.parametrize("late_s", [FRESH_S + 1, -FRESH_S - 1])
def test_what_is_old_is_not_heard(late_s: float) -> None:
    with pytest.raises(BadNotice, match="old"):
        Reader(KEY).read(said(do="song_changed", song_id=7), NOW_S + late_s)


def test_what_was_said_long_ago_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chordme_daemon.backend.notices.MAX_REMEMBERED", 2)
    reader = Reader(KEY)

    def hear(name: str, at_s: float) -> None:
        reader.read(said(do="song_changed", song_id=7, id=name, at=at_s), at_s)

    hear("1", NOW_S)
    hear("2", NOW_S)
    with pytest.raises(BadNotice, match="too many"):
        hear("3", NOW_S)
    hear("3", NOW_S + 3 * FRESH_S)
