"""What a token permits in a room."""

from collections.abc import Mapping

import pytest

from chordme_daemon.app.auth import Identity, permission
from chordme_daemon.app.events import Permission


def somebody(rooms: Mapping[str, Permission] | None) -> Identity:
    return Identity(5, "i:5", None, 0.0, 0.0, rooms)


@pytest.mark.parametrize(
    ("rooms", "level"),
    [
        (None, Permission.EDIT),
        ({}, Permission.NONE),
        ({"other": Permission.ADMIN}, Permission.NONE),
        ({"song": Permission.READ}, Permission.READ),
        ({"*": Permission.READ}, Permission.READ),
        ({"song": Permission.ADMIN, "*": Permission.READ}, Permission.ADMIN),
        ({"song": Permission.NONE, "*": Permission.ADMIN}, Permission.NONE),
    ],
)
def test_the_room_itself_goes_before_every_room_and_no_claim_is_the_default(
    rooms: dict[str, Permission] | None, level: Permission
) -> None:
    assert permission(somebody(rooms), "song", Permission.EDIT) is level
