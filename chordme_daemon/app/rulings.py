"""What an operator has decided of users, tokens and rooms, for as long as it holds.

A ruling's key names what it is about: `user KEY`, `token ID` or `room ROOM KEY`, where KEY is an
`Identity.key`. Its value says what was decided; one that was lifted has none, and is kept for its
time all the same, so that a daemon that was away hears of it.

What was decided of a room holds against tokens that were made before, or that say nothing about
rooms. A later token that does knows better.
"""

import math
from typing import Final

import attrs

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.events import Permission
from chordme_daemon.cluster.interface import Ruling

DENIED: Final = "denied"
LIFTED: Final = ""


@attrs.frozen
class RoomRuling:
    """What a user may do in a room, since when, and why: a reason of `room_left`."""

    level: Permission
    since_s: int
    reason: str

    def encode(self) -> str:
        """As a ruling has it."""
        return f"{self.level.wire} {self.since_s} {self.reason}"

    @classmethod
    def decode(cls, value: str) -> "RoomRuling":
        """What a ruling has; ValueError if it is none."""
        level, since_s, reason = value.split(" ")
        return cls(Permission.from_wire(level), int(since_s), reason)


def of_user(user_key: str) -> str:
    """The key of what is decided of a user."""
    return f"user {user_key}"


def of_token(token_id: str) -> str:
    """The key of what is decided of a token."""
    return f"token {token_id}"


def of_room(room_id: str, user_key: str) -> str:
    """The key of what is decided of a user in a room."""
    return f"room {room_id} {user_key}"


class Rulings:
    """All that holds."""

    def __init__(self) -> None:
        self._rulings: dict[str, Ruling] = {}
        self._rooms: dict[str, RoomRuling] = {}

    def __len__(self) -> int:
        return len(self._rulings)

    def find(self, key: str) -> Ruling | None:
        """The ruling of a key."""
        return self._rulings.get(key)

    def denials(self) -> list[Ruling]:
        """The users and tokens that are denied."""
        return [ruling for ruling in self._rulings.values() if ruling.value == DENIED]

    def learn(self, ruling: Ruling, now_ms: int) -> bool:
        """Take a ruling up; whether it is news. ValueError if it cannot be one."""
        if self._rulings.get(ruling.key) == ruling:
            return False
        room = None
        if ruling.key.startswith("room "):
            if ruling.key.count(" ") < 2:
                raise ValueError("nobody in a room")
            if ruling.value != LIFTED:
                room = RoomRuling.decode(ruling.value)
        self._drop(ruling.key)
        if ruling.until_ms > now_ms:
            self._rulings[ruling.key] = ruling
            if room is not None:
                self._rooms[ruling.key] = room
        return True

    def forget(self, now_ms: int) -> list[str]:
        """Drop what holds no more; the keys of that."""
        over = [key for key, one in self._rulings.items() if one.until_ms <= now_ms]
        for key in over:
            self._drop(key)
        return over

    def is_denied(self, identity: Identity) -> bool:
        """Whether somebody, or the token that they have, is denied."""
        keys = [of_user(identity.key)]
        if identity.token_id is not None:
            keys.append(of_token(identity.token_id))
        return any(key in self._rulings and self._rulings[key].value == DENIED for key in keys)

    def of(self, identity: Identity, room_id: str) -> RoomRuling | None:
        """What was decided of somebody in a room, unless their token is later and says so."""
        found = self._rooms.get(of_room(room_id, identity.key)) if self._rooms else None
        if found is None or identity.rooms is None:
            return found
        issued_s = -math.inf if identity.issued_s is None else identity.issued_s
        return found if issued_s <= found.since_s else None

    def _drop(self, key: str) -> None:
        self._rulings.pop(key, None)
        self._rooms.pop(key, None)
