"""What a backend says to clients: the messages of python-socketio's Redis manager.

Every daemon hears each message, and does it for the connections that it has; nothing of it is
passed on. A backend knows rooms by their names: those of songs, and those into which it put
connections itself, which have no members and no presence.

It may do no more than it is allowed to, and it cannot speak as the daemon: what tells a client of
revisions, or of its own state, is not the backend's to say.
"""

from collections.abc import Callable, Collection, Iterator
from typing import Final

import attrs
from twisted.logger import Logger

from chordme_daemon.app.answers import Answers
from chordme_daemon.app.clients import Client
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.server import App
from chordme_daemon.socketio.packet import RESERVED_EVENTS, PacketError, load_json
from chordme_daemon.socketio.server import Emission

MAX_BYTES: Final = 64 * 1024
MAX_NAME: Final = 100
MAX_GROUPS: Final = 64
# Of these a client believes that the daemon knows: to forge one would tear its text apart.
OURS: Final = frozenset(
    {
        "auth_error",
        "authenticated",
        "collaboration_update",
        "conflict_resolved",
        "connected",
        "document_state",
        "error",
        "operation_confirmed",
        "permission_changed",
        "pong",
        "room_joined",
        "room_left",
        "save_state",
        "token_expiring",
    }
)


class BadInstruction(Exception):
    """This is not what a manager says, or not what a backend may do."""


@attrs.frozen
class Emit:
    """An event for all connections, or for those in some rooms."""

    event: str
    args: tuple[object, ...]
    rooms: tuple[str, ...] | None
    skipped: frozenset[str]


@attrs.frozen
class EnterRoom:
    """Put a connection into a room."""

    sid: str
    room: str


@attrs.frozen
class LeaveRoom:
    """Take a connection out of a room."""

    sid: str
    room: str


@attrs.frozen
class CloseRoom:
    """Take all connections out of a room."""

    room: str


@attrs.frozen
class Disconnect:
    """Tell a connection not to come back."""

    sid: str


Instruction = Emit | EnterRoom | LeaveRoom | CloseRoom | Disconnect
METHODS: Final[dict[str, type[Instruction]]] = {
    "emit": Emit,
    "enter_room": EnterRoom,
    "leave_room": LeaveRoom,
    "close_room": CloseRoom,
    "disconnect": Disconnect,
}


def parse(data: bytes) -> Instruction:
    """What a message of a manager asks for; raises `BadInstruction`."""
    if len(data) > MAX_BYTES:
        raise BadInstruction("too large")
    try:
        fields = load_json(data.decode())
    except (PacketError, UnicodeDecodeError):
        raise BadInstruction("not JSON") from None  # a pickle, perhaps: never to be opened
    match fields:
        case {"namespace": str(namespace)} if namespace != "/":
            raise BadInstruction("another namespace")
        case {"method": "emit", "event": str(event), **rest} if not rest.get("binary"):
            return Emit(
                event_of_a_backend(event),
                _arguments(rest.get("data")),
                _names(rest.get("room")),
                frozenset(_names(rest.get("skip_sid")) or ()),
            )
        case {"method": "enter_room", "sid": str(sid), "room": str(room)}:
            return EnterRoom(sid, _name(room))
        case {"method": "leave_room", "sid": str(sid), "room": str(room)}:
            return LeaveRoom(sid, _name(room))
        case {"method": "close_room", "room": str(room)}:
            return CloseRoom(_name(room))
        case {"method": "disconnect", "sid": str(sid)}:
            return Disconnect(sid)
    raise BadInstruction("not an instruction")


def event_of_a_backend(name: str) -> str:
    """The name of an event that a backend may emit; raises `BadInstruction`."""
    if name in RESERVED_EVENTS | OURS or not name:
        raise BadInstruction("not an event of a backend")
    return name


def _arguments(data: object) -> tuple[object, ...]:
    """Before 5.15.1 a manager wrote one bare value; None in a list of one is none at all."""
    if not isinstance(data, list):
        return () if data is None else (data,)
    return () if data == [None] else tuple(data)


def _names(names: object) -> tuple[str, ...] | None:
    match names:
        case None:
            return None
        case str():
            return (_name(names),)
        case list():
            return tuple(_name(name) for name in names)
    raise BadInstruction("not a room")


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise BadInstruction("not a room")
    return name


class Emitters:
    """Does what a backend says, as far as it may; `may` are names of methods.

    `prepare` encodes an event once for all who get it.
    """

    log = Logger()

    def __init__(
        self,
        app: App,
        answers: Answers,
        rooms: Rooms,
        prepare: Callable[..., Emission],
        may: Collection[str],
    ) -> None:
        self.dropped = 0
        self._told_dropped = 0
        self._app = app
        self._answers = answers
        self._rooms = rooms
        self._prepare = prepare
        self._may = tuple(METHODS[name] for name in may)
        # The rooms into which a backend has put connections, by the sids of these.
        self._groups: dict[str, set[str]] = {}

    def hear(self, data: bytes) -> None:
        """Take a message of a manager."""
        try:
            instruction = parse(data)
            if not isinstance(instruction, self._may):
                raise BadInstruction("not allowed")
        except BadInstruction:
            self.dropped += 1
            return
        match instruction:
            case Emit():
                self.emit(instruction)
            case EnterRoom(sid, room):
                self._enter(sid, room)
            case LeaveRoom(sid, room):
                self._leave(sid, room)
            case CloseRoom(room):
                self._groups.pop(room, None)
                for client in self._sitting(room):
                    self._answers.put_out(client, room)
            case Disconnect(sid):
                if sid in self._app.clients:
                    self._app.clients[sid].connection.disconnect()

    def tick(self) -> None:
        """Forget the connections that are gone, and tell of what was dropped."""
        for room, sids in list(self._groups.items()):
            sids.intersection_update(self._app.clients)
            if not sids:
                del self._groups[room]
        if self.dropped > self._told_dropped:
            count, self._told_dropped = self.dropped - self._told_dropped, self.dropped
            self.log.warn("Dropped {count} messages of emitters", count=count)

    def emit(self, emit: Emit) -> None:
        """Send an event to those it is for."""
        heard: dict[str, Client] = {}
        if emit.rooms is None:
            known = self._app.clients.items()
            heard.update((sid, client) for sid, client in known if client.identity is not None)
        for room in emit.rooms or ():
            heard.update((client.connection.sid, client) for client in self._in(room))
        emission = self._prepare(emit.event, *emit.args)
        for sid, client in heard.items():
            if sid not in emit.skipped:
                client.connection.send(emission)

    def _in(self, room: str) -> Iterator[Client]:
        """The clients that a backend means by a room: a client's sid is a room of one as well."""
        yield from self._sitting(room)
        for sid in (room, *self._groups.get(room, ())):
            if sid in self._app.clients:
                yield self._app.clients[sid]

    def _sitting(self, room_id: str) -> list[Client]:
        room = self._rooms.find(room_id)
        seats = room.seats.values() if room is not None else ()
        sids = [seat.connection.sid for seat in seats if seat.hears]
        return [self._app.clients[sid] for sid in sids if sid in self._app.clients]

    def _enter(self, sid: str, room: str) -> None:
        client = self._app.clients.get(sid)
        if client is None or client.identity is None:
            return
        if sum(sid in sids for sids in self._groups.values()) >= MAX_GROUPS:
            self.dropped += 1
            return
        self._groups.setdefault(room, set()).add(sid)

    def _leave(self, sid: str, room: str) -> None:
        self._groups.get(room, set()).discard(sid)
        if sid in self._app.clients:
            self._answers.put_out(self._app.clients[sid], room)
