"""Answers clients, one request at a time each.

Every request gets exactly one answer: an acknowledgement if it asked for one, else its answering
event or `error`. This is the only place where a refusal becomes what the client reads; anything
unforeseen becomes `internal` here, and is logged.
"""

from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import attrs
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.app import events, payloads
from chordme_daemon.app.auth import Identity, Verifier, permission
from chordme_daemon.app.clients import Client
from chordme_daemon.app.cursors import Cursors
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.app.limits import Budget, Rate
from chordme_daemon.app.rooms import Rooms, Seat
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Member
from chordme_daemon.socketio.server import Called, Connection, Disconnected, Receive

# How many requests of one client may wait while one of its requests takes its time.
MAX_WAITING: Final = 256
MAX_AUTH_FAILURES: Final = 5
TOKEN_EXPIRING_BEFORE_S: Final = 60.0
LEAVE_AFTER_EXPIRY_S: Final = 30.0
# Refusals of one connection: a client that earns more is broken, or means harm.
REFUSALS: Final = Rate(200, 10.0)


@attrs.frozen
class Limits:
    """How much a client may ask for, and what of that it is told when it connects."""

    messages: Rate
    operations: Rate
    cursors: Rate
    joins: Rate
    event_bytes: int
    rooms_per_connection: int
    announced: dict[str, object]


@attrs.frozen
class Access:
    """Who clients are, and what they may do where their token does not say."""

    verifier: Verifier
    default_permission: Permission
    authenticate_within_s: float = 30.0


# The events that answer a request, with their payloads. The last is the answer proper, and all
# that an acknowledgement carries; there may be none.
Answer = Sequence[tuple[str, dict[str, object]]]
Serve = Callable[..., Answer | Coroutine[Deferred[Any], Any, Answer]]


class App:
    """What ChordMe means by its events.

    `clock` is monotonic; `wall_s()` is the time of day in seconds, for tokens and timestamps.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        wall_s: Callable[[], float],
        *,
        access: Access,
        limits: Limits,
        rooms: Rooms,
        documents: Documents,
        version: str,
    ) -> None:
        self.clients: dict[str, Client] = {}
        self.rooms = rooms
        self._clock = clock
        self._wall_s = wall_s
        self._access = access
        self._limits = limits
        self._documents = documents
        self._greeting = payloads.connected(version, limits.announced)
        self._refusals = Budget(REFUSALS)
        self._joins = Budget(limits.joins)
        self._messages = Budget(limits.messages)
        self._operations = Budget(limits.operations)
        self._cursors = Cursors(clock, Budget(limits.cursors), self._publish_cursor)
        self._serve: dict[type, Serve] = {
            events.Authenticate: self._authenticate,
            events.JoinRoom: self._join,
            events.LeaveRoom: self._leave,
            events.BroadcastMessage: self._broadcast,
            events.SubmitOperation: self._submit,
            events.MoveCursor: self._move_cursor,
            events.Ping: self._ping,
        }

    # Connections

    def accept(self, connection: Connection, auth: dict[str, object] | None) -> Receive:
        """Take a new connection to the namespace."""
        deadline = self._clock.seconds() + self._access.authenticate_within_s
        client = Client(connection, deadline, client_id=events.client_id_of(auth))
        self.clients[connection.sid] = client
        connection.emit("connected", self._greeting)
        if auth is not None and "token" in auth:
            self._begin(client, Called("authenticate", [auth], None, 0))

        def receive(event: Called | Disconnected) -> None:
            if isinstance(event, Called):
                self._begin(client, event)
            else:
                self._forget(client)

        return receive

    def tick(self) -> None:
        """Look after tokens that expire, connections that never say who they are, and budgets."""
        now, wall_s = self._clock.seconds(), self._wall_s()
        for client in list(self.clients.values()):
            try:
                self._look_after(client, now, wall_s)
            except Exception:  # one bad client must not stop the care of the rest
                self.log.failure("Looking after a client failed")
        for budget in (self._refusals, self._joins, self._messages, self._operations):
            budget.forget(now)
        self._cursors.budget.forget(now)

    def _look_after(self, client: Client, now: float, wall_s: float) -> None:
        identity = client.identity
        if identity is None:
            if now >= client.authenticate_by:
                client.connection.close()
            return
        left_s = identity.expires_at_s - wall_s
        if left_s > TOKEN_EXPIRING_BEFORE_S:
            return
        if not client.told_of_expiry:
            client.told_of_expiry = True
            expires_at_ms = int(identity.expires_at_s * 1000)
            client.connection.emit("token_expiring", payloads.token_expiring(expires_at_ms))
        if left_s <= -LEAVE_AFTER_EXPIRY_S and not client.busy:  # it may be busy joining again
            while client.seats:
                room_id = next(iter(client.seats))
                self._stand_up(client, room_id)
                client.connection.emit("room_left", payloads.room_left(room_id, "expired"))

    def _forget(self, client: Client) -> None:
        client.gone = True
        client.waiting = None
        del self.clients[client.connection.sid]
        self._cursors.forget(client)
        for room_id in list(client.seats):
            self._stand_up(client, room_id)

    def _stand_up(self, client: Client, room_id: str) -> None:
        room, seat = client.seats.pop(room_id)
        client.cursors.pop(room_id, None)
        self.rooms.leave(room, seat)

    # One request at a time

    def _begin(self, client: Client, called: Called) -> None:
        if not client.busy:
            self._answer(client, called)
            return
        if client.waiting is None:
            client.waiting = deque()
        client.waiting.append(called)
        if len(client.waiting) > MAX_WAITING:
            client.connection.close()

    def _answer(self, client: Client, called: Called) -> None:
        request = None
        try:
            if not isinstance(called.event, str):
                raise Refused(Code.UNKNOWN_EVENT, "Unknown event")
            request = events.parse(called.event, called.args)
            if called.size_bytes > self._limits.event_bytes:
                limit = self._limits.event_bytes
                raise Refused(Code.MESSAGE_TOO_LARGE, "Message too large", limit=limit)
            answer = self._serve[type(request)](client, request)
        except Exception:
            self._fail(client, called, request, Failure())
        else:
            if isinstance(answer, Coroutine):
                self._await(client, called, request, answer)
            else:
                self._reply(client, called, answer)

    def _await(
        self,
        client: Client,
        called: Called,
        request: events.Request,
        answer: Coroutine[Deferred[Any], Any, Answer],
    ) -> None:
        client.busy = True
        answering = ensureDeferred(answer)
        answering.addCallback(lambda answer: self._reply(client, called, answer))
        answering.addErrback(lambda failure: self._fail(client, called, request, failure))
        if answering.called:
            # Whoever called goes on with the next; doing it here as well would be a recursion.
            client.busy = False
        else:
            answering.addCallback(lambda _: self._next(client))

    def _next(self, client: Client) -> None:
        client.busy = False
        while client.waiting and not client.busy:
            self._answer(client, client.waiting.popleft())

    def _reply(self, client: Client, called: Called, answer: Answer) -> None:
        if client.gone:
            return
        if called.reply is not None:
            called.reply({"ok": True, **(answer[-1][1] if answer else {})})
            return
        for event, payload in answer:
            client.connection.emit(event, payload)

    def _fail(
        self, client: Client, called: Called, request: events.Request | None, failure: Failure
    ) -> None:
        match failure.value:
            case Refused() as refused:
                pass
            case ClusterUnavailable():
                refused = Refused(Code.UNAVAILABLE, "Temporarily unavailable", retry_after_ms=1000)
            case _:
                self.log.failure("A request failed", failure, connection=client.connection.sid)
                refused = Refused(Code.INTERNAL, "Internal error")
        if request is not None:
            refused.room_id = getattr(request, "room_id", None)
            refused.operation_id = getattr(request, "operation_id", None)
        self._refuse(client, called, refused)

    def _refuse(self, client: Client, called: Called, refused: Refused) -> None:
        if client.gone:
            return
        if self._refusals.spend(client.connection.sid, self._clock.seconds()) > 0:
            client.connection.close()
            return
        # A name that we do not know is not repeated.
        event = str(called.event) if refused.code is not Code.UNKNOWN_EVENT else None
        payload = refused.payload(event)
        if called.reply is not None:
            called.reply({"ok": False, **payload})
        elif event == "authenticate":
            client.connection.emit("auth_error", payloads.auth_error(refused.message, refused.code))
        else:
            client.connection.emit("error", payload)
        if event == "authenticate":
            client.auth_failures += 1
            if client.auth_failures >= MAX_AUTH_FAILURES:
                client.connection.close()

    # The requests

    def _authenticate(self, client: Client, request: events.Authenticate) -> Answer:
        identity = self._access.verifier.verify(request.token, self._wall_s())
        if client.identity is not None and client.identity.key != identity.key:
            raise Refused(Code.FORBIDDEN, "Already authenticated as another user")
        client.auth_failures = 0
        client.identity = identity
        client.client_id = request.client_id or client.client_id
        for _, seat in client.seats.values():
            seat.current = client.client_id is not None
        client.told_of_expiry = False
        self._review_permissions(client, identity)
        expires_at_ms = int(identity.expires_at_s * 1000)
        payload = payloads.authenticated(identity.user_id, expires_at_ms, resumed=[])
        return [("authenticated", payload)]

    def _review_permissions(self, client: Client, identity: Identity) -> None:
        """Tell a client of the rooms in which its fresh token permits something else."""
        for room_id, (_, seat) in list(client.seats.items()):
            level = permission(identity, room_id, self._access.default_permission)
            if level == seat.permission:
                continue
            seat.permission = level
            if level < Permission.READ:
                self._stand_up(client, room_id)
                client.connection.emit("room_left", payloads.room_left(room_id, "revoked"))
            else:
                changed = payloads.permission_changed(room_id, level)
                client.connection.emit("permission_changed", changed)

    async def _join(self, client: Client, request: events.JoinRoom) -> Answer:
        identity = client.known(self._wall_s())
        self._spend(self._joins, identity)
        level = permission(identity, request.room_id, self._access.default_permission)
        if level < Permission.READ:
            raise Refused(Code.FORBIDDEN, "Not authorized for this room")
        if request.room_id in client.seats:
            _, seat = client.seats[request.room_id]
            seat.current = client.client_id is not None
        else:
            if len(client.seats) >= self._limits.rooms_per_connection:
                limit = self._limits.rooms_per_connection
                raise Refused(Code.TOO_MANY_ROOMS, "Too many rooms", limit=limit)
            member = Member(client.connection.sid, identity.key, identity.user_id, identity.name)
            seat = Seat(client.connection, member, level, current=client.client_id is not None)
        room, participants = await self.rooms.join(request.room_id, seat)
        if client.gone:
            self.rooms.leave(room, seat)
            return []
        client.seats[room.id] = (room, seat)
        count = len(participants)
        # There is no log yet to replay what was missed from.
        resync = request.revision not in (None, room.revision)
        joined = payloads.room_joined(room.id, level, participants, room.revision, resync=resync)
        return [
            ("user_joined", payloads.user_joined(room.id, identity.user_id, count, identity.name)),
            ("room_joined", joined),
        ]

    def _leave(self, client: Client, request: events.LeaveRoom) -> Answer:
        client.known(self._wall_s())
        if request.room_id in client.seats:
            self._stand_up(client, request.room_id)
        return [("room_left", payloads.room_left(request.room_id, "asked"))]

    def _broadcast(self, client: Client, request: events.BroadcastMessage) -> Answer:
        identity = client.known(self._wall_s())
        room, _ = client.seat(request.room_id)
        self._spend(self._messages, identity)
        payload = payloads.room_message(
            identity.user_id, request.room_id, request.message, self._now_ms()
        )
        self.rooms.publish(room, "room_message", payload, author=client.connection.sid)
        return [("message_sent", payloads.message_sent(request.room_id))]

    def _move_cursor(self, client: Client, request: events.MoveCursor) -> Answer:
        identity = client.known(self._wall_s())
        client.seat(request.room_id)
        self._cursors.move(client, identity, request)
        return []

    def _publish_cursor(self, client: Client, request: events.MoveCursor) -> None:
        assert client.identity is not None  # noqa: S101 - it moved a cursor
        room, _ = client.seats[request.room_id]
        payload = payloads.cursor_moved(
            client.identity.user_id,
            request.room_id,
            request.position,
            self._now_ms(),
            client.client_id,
        )
        self.rooms.publish(
            room, "cursor_moved", payload, author=client.connection.sid, conflate=True
        )

    async def _submit(self, client: Client, request: events.SubmitOperation) -> Answer:
        identity = client.known(self._wall_s())
        room, _ = client.editing(request.room_id)
        if request.revision is not None and request.revision > room.revision:
            raise Refused(Code.STALE_REVISION, "Revision is not of this document")
        self._spend(self._operations, identity)
        draft = Draft(
            operations=[events.to_wire(part) for part in request.parts],
            author=client.connection.sid,
            user_id=identity.user_id,
            timestamp_ms=self._now_ms(),
            operation_id=request.operation_id,
            client_id=client.client_id,
            seq=request.seq,
        )
        entry = await self._documents.submit(room, draft)
        payload = payloads.operation_confirmed(
            room.id, request.operation_id, entry.revision, request.seq
        )
        return [("operation_confirmed", payload)]

    def _ping(self, client: Client, request: events.Ping) -> Answer:
        client.known(self._wall_s())
        return [("pong", payloads.pong(self._now_ms(), request.sent_at))]

    def _now_ms(self) -> int:
        return int(self._wall_s() * 1000)

    def _spend(self, budget: Budget, identity: Identity) -> None:
        wait_s = budget.spend(identity.key, self._clock.seconds())
        if wait_s > 0:
            raise Refused(
                Code.RATE_LIMITED,
                "Rate limit exceeded",
                retry_after_ms=int(wait_s * 1000) + 1,
                limit=budget.rate.count,
            )
