"""What an operator orders, and how every daemon carries it out.

An order is a ruling: each daemon hears it, and does for the clients that it has what follows.
"""

from collections.abc import Callable
from typing import Final

from twisted.logger import Logger

from chordme_daemon.app import payloads
from chordme_daemon.app.answers import Answers
from chordme_daemon.app.auth import MAX_LIFETIME_S, user_key
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.app.records import OPERATOR
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.rulings import (
    DENIED,
    LIFTED,
    RoomRuling,
    Rulings,
    of_room,
    of_token,
    of_user,
)
from chordme_daemon.app.server import App
from chordme_daemon.cluster.interface import ICluster, Ruling, UserId

# So long an order holds: no token that was made before lives longer.
HOLDS_S: Final = MAX_LIFETIME_S


class Orders:
    """Gives orders to all daemons, and carries out what is heard; `wall_s()` is the time of day."""

    log = Logger()

    def __init__(
        self,
        cluster: ICluster,
        app: App,
        answers: Answers,
        rooms: Rooms,
        *,
        rulings: Rulings,
        wall_s: Callable[[], float],
    ) -> None:
        self._cluster = cluster
        self._app = app
        self._answers = answers
        self._rooms = rooms
        self._rulings = rulings
        self._wall_s = wall_s
        # Called with a room in which nothing is decided any more: who else knows is to be asked.
        self.ask_again: Callable[[str], None] = lambda _: None
        cluster.govern(self.hear)

    # Given

    async def change_permission(
        self,
        room_id: str,
        user_id: UserId,
        level: Permission | None,
        *,
        reason: str = "revoked",
        until_s: float | None = None,
    ) -> None:
        """Let a user do this in a room from now on, whatever an older token says.

        Without a level, their right is looked at again: nothing that was decided holds any more.
        """
        key = of_room(room_id, user_key(user_id))
        if level is None:
            await self._lift(key)
        else:
            value = RoomRuling(level, int(self._wall_s()), reason).encode()
            await self._rule(key, value, until_s)

    async def deny(
        self,
        *,
        user_id: UserId | None = None,
        token_id: str | None = None,
        until_s: float | None = None,
    ) -> None:
        """Refuse all tokens of a user, or one token; who is connected with one must go."""
        await self._rule(_denial(user_id, token_id), DENIED, until_s)

    async def allow(self, *, user_id: UserId | None = None, token_id: str | None = None) -> None:
        """Refuse them no more."""
        await self._lift(_denial(user_id, token_id))

    async def disconnect(self, user_id: UserId) -> None:
        """Tell all connections of a user not to come back; nothing keeps it from doing so."""
        await self._cluster.rule(Ruling(f"disconnect {user_key(user_id)}", ""))

    def close(self, sid: str) -> bool:
        """Close a connection, which comes back; whether it is here."""
        if sid not in self._app.clients:
            return False
        self._app.clients[sid].connection.close()
        return True

    async def say(self, room_id: str, message: object) -> None:
        """Send a message to a room, as the server."""
        room = await self._rooms.borrow(room_id)
        try:
            now_ms = int(self._wall_s() * 1000)
            payload = payloads.room_message(payloads.SERVER, room_id, message, now_ms)
            self._rooms.publish(room, "room_message", payload, author=OPERATOR, kept=True)
        finally:
            self._rooms.give_back(room)

    async def _rule(self, key: str, value: str, until_s: float | None) -> None:
        until_s = self._wall_s() + HOLDS_S if until_s is None else until_s
        await self._cluster.rule(Ruling(key, value, int(until_s * 1000)))

    async def _lift(self, key: str) -> None:
        """Kept as long as what it lifts: a daemon that was away is to hear of it."""
        before = self._rulings.find(key)
        until_ms = before.until_ms if before is not None else 0
        await self._cluster.rule(Ruling(key, LIFTED, until_ms))

    # Heard

    def hear(self, ruling: Ruling) -> None:
        """Carry out what was ruled, if it is news."""
        try:
            if not self._rulings.learn(ruling, int(self._wall_s() * 1000)):
                return
        except ValueError:
            self.log.warn("What was ruled of {key} makes no sense", key=ruling.key)
            return
        match ruling.key.split(" "):
            case ["user" | "token", *_]:
                for client in self._known():
                    if client.identity is not None and self._rulings.is_denied(client.identity):
                        self._put_off(client)
            case ["disconnect", *_]:
                for client in self._of(ruling.key.removeprefix("disconnect ")):
                    client.connection.disconnect()
            case ["room", *_]:
                self._review(ruling.key)
                if ruling.value == LIFTED:
                    self.ask_again(ruling.key.split(" ")[1])

    def tick(self) -> None:
        """Forget what holds no more, and let those do what they may whom it has kept from it."""
        for key in self._rulings.forget(int(self._wall_s() * 1000)):
            if key.startswith("room "):
                self._review(key)

    def _review(self, key: str) -> None:
        _, room_id, user = key.split(" ", 2)
        for client in self._of(user):
            self._answers.review(client, room_id)

    def _known(self) -> list[Client]:
        return [client for client in self._app.clients.values() if client.identity is not None]

    def _of(self, key: str) -> list[Client]:
        return [
            client
            for client in self._known()
            if client.identity is not None and client.identity.key == key
        ]

    def _put_off(self, client: Client) -> None:
        refused = Refused(Code.FORBIDDEN, "Access has been withdrawn")
        client.connection.emit("error", refused.payload(None))
        client.connection.disconnect()


def _denial(user_id: UserId | None, token_id: str | None) -> str:
    if user_id is not None:
        return of_user(user_key(user_id))
    assert token_id is not None  # noqa: S101 - one of both is given
    return of_token(token_id)
