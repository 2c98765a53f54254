"""Answers clients, one request at a time each.

Every request gets exactly one answer: an acknowledgement if it asked for one, else its answering
event or `error`. This is the only place where a refusal becomes what the client reads; anything
unforeseen becomes `internal` here, and is logged.
"""

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, ClassVar, Final

from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from chordme_daemon.app import events, payloads
from chordme_daemon.app.access import Access
from chordme_daemon.app.answer import Answer
from chordme_daemon.app.answers import Answers
from chordme_daemon.app.budgets import Budget
from chordme_daemon.app.clients import Client
from chordme_daemon.app.document import OutOfStep
from chordme_daemon.app.events import Code, Fields, Refused
from chordme_daemon.app.limits import Rate
from chordme_daemon.app.measures import OTHER, TIMED, Measures
from chordme_daemon.app.parsing import NAMES, parse
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.security import SecurityLog
from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.recovery import RECOVERABLE
from chordme_daemon.socketio.server import Connection, Receive

# How many requests of one client may wait while one of its requests takes its time.
MAX_WAITING: Final = 256
MAX_AUTH_FAILURES: Final = 5
# The refusals that say something of who is refused, and what kind of event each is.
TELLING: Final = {
    Code.INVALID_TOKEN: "token",
    Code.TOKEN_EXPIRED: "token",
    Code.FORBIDDEN: "forbidden",
    Code.RATE_LIMITED: "limit",
    Code.MESSAGE_TOO_LARGE: "limit",
    Code.DOCUMENT_TOO_LARGE: "limit",
    Code.TOO_MANY_ROOMS: "limit",
    Code.ROOM_FULL: "limit",
}
# Refusals of one connection: a client that earns more is broken, or means harm.
REFUSALS: Final = Rate(200, 10.0)


class App:
    """What ChordMe means by its events; `clock` is monotonic.

    `greeting()` is what a new connection is told.
    """

    log: ClassVar = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        answers: Answers,
        access: Access,
        greeting: Callable[[], Fields],
    ) -> None:
        self.clients: dict[str, Client] = {}
        self.measures = Measures()
        self.clock = clock
        self._answers = answers
        self._access = access
        self._greeting = greeting
        self._refusals = Budget(REFUSALS)
        self._security = SecurityLog(clock)

    # Connections

    def accept(self, connection: Connection, auth: dict[str, object] | None) -> Receive:
        """Take a new connection to the namespace."""
        deadline = self.clock.seconds() + self._access.authenticate_within_s
        client = Client(connection, deadline, client_id=events.client_id_of(auth))
        self.clients[connection.sid] = client
        connection.emit("connected", self._greeting())
        if auth is not None and "token" in auth:
            self._begin(client, Called("authenticate", [auth], None, 0))

        def receive(event: Called | Disconnected) -> None:
            if isinstance(event, Called):
                self._begin(client, event)
            else:
                self._forget(client, event.reason)

        return receive

    def tick(self) -> None:
        """Look after tokens that expire, connections that never say who they are, and budgets."""
        now = self.clock.seconds()
        for client in list(self.clients.values()):
            try:
                self._look_after(client, now)
            except Exception:  # one bad client must not stop the care of the rest
                self.log.failure("Looking after a client failed")
        self._refusals.forget(now)
        self._answers.tick()

    def review(self) -> None:
        """Look again at what all clients may do, where that is known at once."""
        for client in list(self.clients.values()):
            for room_id in list(client.seats):
                self._answers.review(client, room_id)

    def _look_after(self, client: Client, now: float) -> None:
        if client.identity is not None:
            self._answers.look_after(client, client.identity)
        elif now >= client.authenticate_by:
            client.connection.close()

    def _forget(self, client: Client, reason: str) -> None:
        client.gone = True
        client.lost = reason in RECOVERABLE
        client.waiting = None
        del self.clients[client.connection.sid]
        self._answers.forget(client, lost=client.lost)

    # One request at a time

    def _begin(self, client: Client, called: Called) -> None:
        if not client.busy:
            self._answer(client, called)
            self._go_on(client)
            return
        client.in_turn(partial(self._take_up, client, called))
        client.requests_waiting += 1
        if client.requests_waiting > MAX_WAITING:
            client.connection.close()

    def _take_up(self, client: Client, called: Called) -> None:
        client.requests_waiting -= 1
        self._answer(client, called)

    def _answer(self, client: Client, called: Called) -> None:
        request = None
        self._note(called)
        try:
            request = parse(called.event, called.args)
            answer = self._answers.serve(client, request, called.size_bytes)
        except Exception:
            self._fail(client, called, request, Failure())
        else:
            if isinstance(answer, Answer):
                self._reply(client, called, answer)
            else:
                self._await(client, called, request, answer)

    def _note(self, called: Called) -> None:
        event = called.event
        self.measures.asked[str(event) if event in NAMES else OTHER] += 1
        if event in TIMED:
            called.began_s = self.clock.seconds()

    def _note_answered(self, called: Called, *, failed: bool) -> None:
        if called.began_s is not None:
            now = self.clock.seconds()
            durations = self.measures.durations[str(called.event)]
            durations.note(now - called.began_s, now, failed=failed)

    def _await(
        self,
        client: Client,
        called: Called,
        request: events.Request,
        answer: Coroutine[Deferred[Any], Any, Answer],
    ) -> None:
        client.busy = True
        answered = ensureDeferred(answer).addCallback(
            lambda answer: self._reply(client, called, answer)
        )
        answered.addErrback(lambda failure: self._fail(client, called, request, failure))
        if answered.called:
            # Whoever called goes on with the next; doing it here as well would be a recursion.
            client.busy = False
        else:
            answered.addCallback(lambda _: self._next(client))

    def _next(self, client: Client) -> None:
        client.busy = False
        self._go_on(client)

    def _go_on(self, client: Client) -> None:
        while client.waiting and not client.busy:
            client.waiting.popleft()()

    def _reply(self, client: Client, called: Called, answer: Answer) -> None:
        self._note_answered(called, failed=False)
        if client.gone:
            return
        if called.reply is not None:
            called.reply({"ok": True, **answer.payload})
        else:
            for event, payload in answer.before:
                client.connection.emit(event, payload)
            if answer.prepared is not None:
                client.connection.send(answer.prepared)
            elif answer.event is not None:
                client.connection.emit(answer.event, answer.payload)
        if answer.then is not None:
            answer.then()

    def _fail(
        self, client: Client, called: Called, request: events.Request | None, failure: Failure
    ) -> None:
        match failure.value:
            case Refused() as refused:
                pass
            case ClusterUnavailable():
                refused = events.unavailable()
            case _:
                self.log.failure("A request failed", failure, connection=client.connection.sid)
                refused = Refused(Code.INTERNAL, "Internal error")
        if request is not None:
            refused.room_id = getattr(request, "room_id", None)
            refused.operation_id = getattr(request, "operation_id", None)
            refused.seq = getattr(request, "seq", None)
        self._refuse(client, called, refused)
        if isinstance(refused, OutOfStep) and refused.room_id is not None and not client.gone:
            self._answers.tell_state(client, refused.room_id)

    def _note_refusal(self, client: Client, request: str, refused: Refused) -> None:
        address, code = client.connection.address, refused.code
        fields: dict[str, object] = {"request": request, "code": code.value}
        kind, who, where = TELLING[code], "Somebody", ""
        if client.identity is not None:
            fields["user_id"] = client.identity.user_id
            who = "User {user_id}"
        elif request == "authenticate":
            kind = "token"
        if refused.room_id is not None:
            fields["room"] = refused.room_id
            where = " in {room}"
        text = f"{who} at {{address}} was refused {{request}}{where}: {{code}}"
        self._security.note(kind, text, address=address, **fields)

    def _refuse(self, client: Client, called: Called, refused: Refused) -> None:
        self.measures.refused[refused.code.value] += 1
        self._note_answered(called, failed=True)
        if client.gone:
            return
        # A name that we do not know is not repeated.
        event = str(called.event) if refused.code is not Code.UNKNOWN_EVENT else None
        if event is not None and refused.code in TELLING:
            self._note_refusal(client, event, refused)
        if self._refusals.spend(client.connection.sid, self.clock.seconds()) > 0:
            text = "Closed a connection of {address}, which asks again and again"
            self._security.note("flood", text, address=client.connection.address)
            client.connection.close()
            return
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
