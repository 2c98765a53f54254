"""What each request does, and what it is answered.

The token is looked at again with every request, and so is what it permits.
"""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.app import events, payloads
from chordme_daemon.app.access import Access
from chordme_daemon.app.allowance import Allowance, Share
from chordme_daemon.app.answer import Answer
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.clients import Client
from chordme_daemon.app.cursors import Cursors
from chordme_daemon.app.editing import Editing, catch_up
from chordme_daemon.app.events import Code, Fields, Permission, Refused
from chordme_daemon.app.limits import Limits
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.seats import Seat
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.app.turnstile import Turnstile
from chordme_daemon.cluster.interface import ClusterUnavailable, Member

TOKEN_EXPIRING_BEFORE_S: Final = 60.0
LEAVE_AFTER_EXPIRY_S: Final = 30.0


# What is answered where nobody waits for more than an acknowledgement.
NOTHING: Final = Answer()

Answering = Answer | Coroutine[Deferred[Any], Any, Answer]


class Answers:
    """Does what clients ask for.

    `clock` is monotonic; `wall_s()` is the time of day in seconds, for tokens and timestamps.
    """

    def __init__(
        self,
        clock: IReactorTime,
        wall_s: Callable[[], float],
        *,
        access: Access,
        limits: Limits,
        rooms: Rooms,
        editing: Editing,
        turnstile: Turnstile,
        share: Share | None = None,
    ) -> None:
        self._clock = clock
        self._wall_s = wall_s
        self._access = access
        self.limits = limits
        self._rooms = rooms
        self._editing = editing
        self._turnstile = turnstile
        self._joins = Allowance("joins", limits.joins, clock, share)
        self._messages = Allowance("messages", limits.messages, clock, share)
        self._operations = Allowance("operations", limits.operations, clock, share)
        self._moves = Allowance("cursors", limits.cursors, clock, share)
        self._allowances = (self._joins, self._messages, self._operations, self._moves)
        self._cursors = Cursors(clock, self._moves, self._publish_cursor)
        # Current clients by what they are known by when they come back.
        self._current: dict[str, Client] = {}
        self._serve: dict[type, Callable[..., Answering]] = {
            events.Authenticate: self._authenticate,
            events.JoinRoom: self._join,
            events.LeaveRoom: self._leave,
            events.BroadcastMessage: self._broadcast,
            events.MoveCursor: self._move_cursor,
            events.Ping: self._ping,
        }

    def go_by(self, limits: Limits) -> None:
        """Have other limits from now on; rates that have changed begin anew."""
        self.limits = limits
        self._joins.change(limits.joins)
        self._messages.change(limits.messages)
        self._operations.change(limits.operations)
        self._moves.change(limits.cursors)

    def serve(self, client: Client, request: events.Request, size_bytes: int) -> Answering:
        """Do what a request asks for; raises or fails with `Refused` if that is not granted."""
        too_large: Refused | None = None
        if isinstance(request, events.BroadcastMessage):
            # A number can be longer than it was written.
            size_bytes = max(size_bytes, request.size_bytes)
        if size_bytes > self.limits.event_bytes:
            limit = self.limits.event_bytes
            too_large = Refused(Code.MESSAGE_TOO_LARGE, "Message too large", limit=limit)
        if isinstance(request, events.SubmitOperation):
            return self._submit(client, request, too_large)
        if too_large is not None:
            raise too_large
        return self._serve[type(request)](client, request)

    def tell_state(self, client: Client, room_id: str) -> None:
        """Give a current client the whole text of a room, if it is in there.

        What a legacy client did is undone by the next update; it need not listen to anything else.
        """
        if room_id in client.seats:
            room, seat = client.seats[room_id]
            if seat.shadow is None:
                room.tell_state(seat, "refused")

    def put_out(self, client: Client, room_id: str, reason: str = "revoked") -> None:
        """Take a client out of a room, if it is there, and tell it so."""
        if room_id in client.seats:
            self._stand_up(client, room_id)
            client.connection.emit("room_left", payloads.room_left(room_id, reason))

    def permit(
        self, client: Client, room_id: str, level: Permission, reason: str = "revoked"
    ) -> None:
        """Let a client do this from now on in a room where it is, and tell it what has changed."""
        if room_id not in client.seats:
            return
        _, seat = client.seats[room_id]
        if level == seat.permission:
            return
        seat.permission = level
        if level < Permission.READ:
            self.put_out(client, room_id, reason)
        else:
            changed = payloads.permission_changed(room_id, level)
            client.connection.emit("permission_changed", changed)

    def review(self, client: Client, room_id: str) -> None:
        """Look again at what a client may do in a room, and tell it if that has changed."""
        if client.identity is not None:
            ruling = self._access.rulings.of(client.identity, room_id)
            reason = ruling.reason if ruling is not None else "revoked"
            level = self._access.known(client.identity, room_id)
            if level is not None:
                self.permit(client, room_id, level, reason)

    def forget(self, client: Client, *, lost: bool) -> None:
        """Take a client that is gone out of its rooms; one that was lost may come back."""
        self._cursors.forget(client)
        self._turnstile.leave(client)
        if self._current.get(client.member_key) is client:
            del self._current[client.member_key]
        self._stand_up_everywhere(client, lost=lost)

    def look_after(self, client: Client, identity: Identity) -> None:
        """Tell a client that its token expires, and let it leave its rooms some time later."""
        left_s = identity.expires_at_s - self._wall_s()
        if left_s > TOKEN_EXPIRING_BEFORE_S:
            return
        if not client.told_of_expiry:
            client.told_of_expiry = True
            expires_at_ms = int(identity.expires_at_s * 1000)
            client.connection.emit("token_expiring", payloads.token_expiring(expires_at_ms))
        if left_s <= -LEAVE_AFTER_EXPIRY_S and not client.busy:  # it may be busy joining again
            for room_id in list(client.seats):
                self._stand_up(client, room_id)
                client.connection.emit("room_left", payloads.room_left(room_id, "expired"))

    def tick(self) -> None:
        """Forget the buckets that are full again, and look after the rooms."""
        for allowance in self._allowances:
            allowance.tick()
        self._rooms.tick()

    # Who somebody is

    def _authenticate(self, client: Client, request: events.Authenticate) -> Answering:
        identity = self._access.identify(request.token, self._wall_s())
        if isinstance(identity, Deferred):
            return self._admit_later(client, request, identity)
        return self._admit(client, request, identity)

    async def _admit_later(
        self, client: Client, request: events.Authenticate, identity: Deferred[Identity]
    ) -> Answer:
        known = await identity
        if client.gone:
            return NOTHING
        answer = self._admit(client, request, known)
        return answer if isinstance(answer, Answer) else await answer

    def _admit(self, client: Client, request: events.Authenticate, identity: Identity) -> Answering:
        is_first = client.identity is None
        if client.identity is not None:
            if client.identity.key != identity.key:
                raise Refused(Code.FORBIDDEN, "Already authenticated as another user")
            if request.client_id not in (None, client.client_id):
                raise Refused(Code.FORBIDDEN, "Already authenticated as another client")
        if is_first:
            tab = f"{identity.key}/{request.client_id or client.client_id}"
            self._turnstile.enter(client, identity, replaces=tab in self._current)
        client.auth_failures = 0
        client.identity = identity
        client.client_id = request.client_id or client.client_id
        client.told_of_expiry = False
        for room_id in list(client.seats):
            self.review(client, room_id)
        if is_first and client.client_id is not None:
            return self._resume(client, identity)
        return _authenticated(identity, [])

    async def _resume(self, client: Client, identity: Identity) -> Answer:
        """A current client: perhaps it was here a moment ago, and keeps its places."""
        before = self._current.get(client.member_key)
        self._current[client.member_key] = client
        if before is not None:
            # Lost without our knowing it yet; or a copy of the tab, which must not come back.
            self._stand_up_everywhere(before, lost=True)
            before.connection.disconnect()
            # It may be joining a room: its place there is its successor's now.
            before.lost = True
        try:
            rooms = await self._rooms.memberships(client.member_key)
        except ClusterUnavailable:
            rooms = {}
        # All at once; of those that nobody can tell of now it will ask when it joins.
        asking = [self._access.ask(identity, room_id) for room_id in rooms]
        asked = DeferredList(asking, consumeErrors=True)
        resumed = [
            payloads.resumed(room_id, level, revision)
            for (room_id, revision), (is_known, level) in zip(
                rooms.items(), await asked, strict=True
            )
            if is_known and level >= Permission.READ
        ]
        return _authenticated(identity, resumed)

    # Rooms

    async def _join(self, client: Client, request: events.JoinRoom) -> Answer:
        identity = client.known(self._wall_s())
        await self._spend(self._joins, identity)
        level = await self._may_join(client, identity, request.room_id)
        if request.room_id in client.seats:
            _, seat = client.seats[request.room_id]
        else:
            most = self.limits.rooms_per_connection
            if len(client.seats) >= most:
                raise Refused(Code.TOO_MANY_ROOMS, "Too many rooms", limit=most)
            seat = _seat(client, identity, level)
        room, participants = await self._rooms.join(request.room_id, seat)
        if client.gone:
            self._rooms.leave(room, seat, lost=client.lost)
            return NOTHING
        known = self._access.known(identity, room.id)
        level = seat.permission = level if known is None else known
        if level < Permission.READ or not room.has(seat):  # that has changed meanwhile
            client.seats.pop(room.id, None)
            self._rooms.leave(room, seat)
            raise Refused(Code.FORBIDDEN, "Not authorized for this room")
        client.seats[room.id] = (room, seat)
        count, name = len(participants), identity.name
        asked, then = catch_up(room, seat, request)
        room.arrivals.let_in(seat)
        return Answer(
            "room_joined",
            payloads.room_joined(room.id, level, participants, room.text.revision, **asked),
            before=[("user_joined", payloads.user_joined(room.id, identity.user_id, count, name))],
            then=then,
        )

    async def _may_join(self, client: Client, identity: Identity, room_id: str) -> Permission:
        """What a client may do in a room, where it may already be; `Refused` if nothing."""
        level = await self._access.ask(identity, room_id)
        self.permit(client, room_id, level)
        if level < Permission.READ:
            raise Refused(Code.FORBIDDEN, "Not authorized for this room")
        return level

    def _leave(self, client: Client, request: events.LeaveRoom) -> Answer:
        client.known(self._wall_s())
        if request.room_id in client.seats:
            self._stand_up(client, request.room_id)
        return Answer("room_left", payloads.room_left(request.room_id, "asked"))

    def _stand_up(self, client: Client, room_id: str, *, lost: bool = False) -> None:
        room, seat = client.seats.pop(room_id)
        client.cursors.pop(room_id, None)
        self._rooms.leave(room, seat, lost=lost)

    def _stand_up_everywhere(self, client: Client, *, lost: bool) -> None:
        while client.seats:
            self._stand_up(client, next(iter(client.seats)), lost=lost)

    # What is said and done there

    def _broadcast(self, client: Client, request: events.BroadcastMessage) -> Answering:
        identity = client.known(self._wall_s())
        client.seat(request.room_id)
        wait_s = self._messages.spend(identity.key)
        if isinstance(wait_s, Deferred):
            return self._broadcast_later(client, identity, request, wait_s)
        return self._broadcast_now(client, identity, request, wait_s)

    async def _broadcast_later(
        self,
        client: Client,
        identity: Identity,
        request: events.BroadcastMessage,
        wait_s: Deferred[float],
    ) -> Answer:
        return self._broadcast_now(client, identity, request, await wait_s)

    def _broadcast_now(
        self, client: Client, identity: Identity, request: events.BroadcastMessage, wait_s: float
    ) -> Answer:
        self._messages.check(wait_s)
        room, seat = client.seat(request.room_id)
        payload = payloads.room_message(
            identity.user_id, request.room_id, request.message, self.now_ms()
        )
        author = seat.member.key
        self._rooms.publish(room, "room_message", payload, author=author, kept=True)
        return room.message_sent

    def _submit(
        self, client: Client, request: events.SubmitOperation, too_large: Refused | None
    ) -> Answering:
        if request.room_id not in client.seats:
            client.known(self._wall_s())
        room, seat = client.seat(request.room_id)

        async def allow() -> None:
            """What is refused costs as much as what is not."""
            identity = client.known(self._wall_s())
            await self._spend(self._operations, identity)
            client.editing(request.room_id)
            if too_large is not None:
                raise too_large

        return self._editing.submit(room, seat, request, allow)

    def _move_cursor(self, client: Client, request: events.MoveCursor) -> Answer:
        identity = client.known(self._wall_s())
        client.seat(request.room_id)
        self._cursors.move(client, identity, request)
        return NOTHING

    def _publish_cursor(self, client: Client, request: events.MoveCursor) -> None:
        try:
            identity = client.known(self._wall_s())
        except Refused:
            return  # it has waited, and its token has not
        room, seat = client.seats[request.room_id]
        position, revision = request.position, request.revision
        if revision is not None:
            # Others may have typed since then.
            position, revision = room.text.carry(position, revision)
        payload = payloads.cursor_moved(
            identity.user_id,
            room.id,
            position,
            self.now_ms(),
            client_id=client.client_id,
            revision=revision,
        )
        author = seat.member.key
        self._rooms.publish(room, "cursor_moved", payload, author=author, conflate=True)

    def _ping(self, client: Client, request: events.Ping) -> Answer:
        client.known(self._wall_s())
        return Answer("pong", payloads.pong(self.now_ms(), request.sent_at))

    def now_ms(self) -> int:
        """The time of day, as timestamps have it."""
        return int(self._wall_s() * 1000)

    async def _spend(self, allowance: Allowance, identity: Identity) -> None:
        wait_s = allowance.spend(identity.key)
        allowance.check(wait_s if isinstance(wait_s, float) else await wait_s)


def _authenticated(identity: Identity, resumed: list[Fields]) -> Answer:
    expires_at_ms = int(identity.expires_at_s * 1000)
    payload = payloads.authenticated(identity.user_id, expires_at_ms, resumed)
    return Answer("authenticated", payload)


def _seat(client: Client, identity: Identity, level: Permission) -> Seat:
    is_current = client.client_id is not None
    key = client.member_key
    return Seat(
        client.connection,
        Member(key, identity.key, identity.user_id, identity.name, resumable=is_current),
        client.tie_id,
        level,
        shadow=None if is_current else Shadow(client.tie_id),
        in_turn=client.in_turn,
    )
