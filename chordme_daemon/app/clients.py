"""One client as the application knows it: who it is, where it is, what of it waits."""

from collections import deque
from collections.abc import Callable

from twisted.internet.interfaces import IDelayedCall

from chordme_daemon.app.auth import Identity
from chordme_daemon.app.document import PASSING
from chordme_daemon.app.events import Code, MoveCursor, Permission, Refused
from chordme_daemon.app.room import Room
from chordme_daemon.app.seats import Seat
from chordme_daemon.socketio.server import Connection


class Client:
    """One connection of one user, or of somebody who has not said yet who they are."""

    __slots__ = (
        "auth_failures",
        "authenticate_by",
        "busy",
        "client_id",
        "connection",
        "cursor_asks",
        "cursor_call",
        "cursors",
        "gone",
        "identity",
        "lost",
        "requests_waiting",
        "seats",
        "told_of_expiry",
        "waiting",
    )

    def __init__(
        self, connection: Connection, authenticate_by: float, *, client_id: str | None = None
    ) -> None:
        self.connection = connection
        # By the monotonic clock; after that an unauthenticated connection is closed.
        self.authenticate_by = authenticate_by
        self.identity: Identity | None = None
        self.client_id = client_id
        self.auth_failures = 0
        self.told_of_expiry = False
        self.seats: dict[str, tuple[Room, Seat]] = {}
        # Gone, and perhaps lost: it did not say goodbye, and may come back.
        self.gone = self.lost = False
        # One request is under way; what comes next waits for it, so many requests among it.
        self.busy = False
        self.waiting: deque[Callable[[], None]] | None = None
        self.requests_waiting = 0
        # The newest cursor of each room that waits for its allowance, the call that ends the wait,
        # and whether it is being asked for.
        self.cursors: dict[str, MoveCursor] = {}
        self.cursor_call: IDelayedCall | None = None
        self.cursor_asks = False

    @property
    def member_key(self) -> str:
        """What it is known by in rooms: the same again when a current client comes back."""
        if self.client_id is None or self.identity is None:
            return PASSING + self.connection.sid
        return f"{self.identity.key}/{self.client_id}"

    @property
    def tie_id(self) -> str:
        """What decides whose text goes left; that of a legacy client is greater than all others."""
        return self.client_id or PASSING + self.connection.sid

    def in_turn(self, call: Callable[[], None]) -> None:
        """Call when what the client asked for before has been answered."""
        if not self.busy:
            call()
            return
        if self.waiting is None:
            self.waiting = deque()
        self.waiting.append(call)

    def known(self, now_s: float) -> Identity:
        """Who this is, while the token is good; `now_s` is the time of day."""
        if self.identity is None or now_s >= self.identity.good_until_s:
            raise Refused(Code.UNAUTHENTICATED, "Authentication required")
        return self.identity

    def seat(self, room_id: str) -> tuple[Room, Seat]:
        """The client's place in a room that it has joined."""
        seat = self.seats.get(room_id)
        if seat is None:
            raise Refused(Code.NOT_IN_ROOM, "Not authorized for this room")
        return seat

    def editing(self, room_id: str) -> tuple[Room, Seat]:
        """The same, for one who wants to edit."""
        room, seat = self.seat(room_id)
        if seat.permission < Permission.EDIT:
            raise Refused(Code.FORBIDDEN, "Not authorized for this room")
        return room, seat
