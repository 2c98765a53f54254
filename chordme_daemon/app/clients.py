"""One client as the application knows it: who it is, where it is, what of it waits."""

from collections import deque

import attrs
from twisted.internet.interfaces import IDelayedCall

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.events import Code, MoveCursor, Permission, Refused
from chordme_daemon.app.rooms import Room, Seat
from chordme_daemon.socketio.server import Called, Connection


@attrs.define(eq=False)
class Client:
    """One connection of one user, or of somebody who has not said yet who they are."""

    connection: Connection
    # By the monotonic clock; after that an unauthenticated connection is closed.
    authenticate_by: float
    identity: Identity | None = None
    client_id: str | None = None
    auth_failures: int = 0
    told_of_expiry: bool = False
    seats: dict[str, tuple[Room, Seat]] = attrs.field(factory=dict)
    gone: bool = False
    # One request is under way; the next wait for it.
    busy: bool = False
    waiting: deque[Called] | None = None
    # The newest cursor of each room that waits for its budget, and the call that ends the wait.
    cursors: dict[str, MoveCursor] = attrs.field(factory=dict)
    cursor_call: IDelayedCall | None = None

    def known(self, now_s: float) -> Identity:
        """Who this is, while the token is good; `now_s` is the time of day."""
        if self.identity is None or now_s >= self.identity.good_until_s:
            raise Refused(Code.UNAUTHENTICATED, "Authentication required")
        return self.identity

    def seat(self, room_id: str) -> tuple[Room, Seat]:
        """The client's place in a room that it has joined."""
        if room_id not in self.seats:
            raise Refused(Code.NOT_IN_ROOM, "Not authorized for this room")
        return self.seats[room_id]

    def editing(self, room_id: str) -> tuple[Room, Seat]:
        """The same, for one who wants to edit."""
        room, seat = self.seat(room_id)
        if seat.permission < Permission.EDIT:
            raise Refused(Code.FORBIDDEN, "Not authorized for this room")
        return room, seat
