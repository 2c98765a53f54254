"""What those who are in rooms may do there, asked again as long as they are there.

Everybody is asked about after a while that is never quite the same, and at once when the backend
says that something has changed. No answer changes nothing: it is asked again. Where an operator
has decided, that stands.
"""

from collections.abc import Callable, Iterable
from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.app.answers import Answers
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.authorizers import SongRights, song_id
from chordme_daemon.app.clients import Client
from chordme_daemon.app.events import Permission, Refused
from chordme_daemon.app.rulings import Rulings
from chordme_daemon.app.server import App

# The least and the most of the interval after which one is asked about.
JITTER: Final = (0.75, 0.5)

# Within this time who was let in has arrived.
ARRIVED_WITHIN_S: Final = 12.0

# A user in a room.
Place = tuple[str, str]


class Reviews:
    """Asks `rights` again about everybody, every `every_s` or so; `dice()` is from 0 to 1.

    `wall_s()` is the time of day.
    """

    log = Logger()

    def __init__(
        self,
        app: App,
        answers: Answers,
        rights: SongRights,
        clock: IReactorTime,
        *,
        rulings: Rulings,
        wall_s: Callable[[], float],
        dice: Callable[[], float],
        every_s: float,
    ) -> None:
        self._app = app
        self._answers = answers
        self._rights = rights
        self._clock = clock
        self._rulings = rulings
        self._wall_s = wall_s
        self._dice = dice
        self._every_s = every_s
        self._due: dict[Place, float] = {}
        # The rooms that are to be asked about once more, and when.
        self._again: dict[str, float] = {}

    def tick(self) -> None:
        """Ask about those who are due; to be called every second."""
        now = self._clock.seconds()
        here = self._places()
        self._due = {place: self._due.get(place) or self._next(now) for place in here}
        for place, clients in here.items():
            if now >= self._due[place]:
                self._due[place] = self._next(now)
                self._review(place, clients)
        for room_id in [room_id for room_id, at in self._again.items() if now >= at]:
            del self._again[room_id]
            self._review_room(room_id)

    def review_room(self, room_id: str) -> None:
        """Ask about everybody who is in a room, and about those who are on their way there."""
        self._again[room_id] = self._clock.seconds() + ARRIVED_WITHIN_S
        self._review_room(room_id)

    def _review_room(self, room_id: str) -> None:
        for place, clients in self._places().items():
            if place[1] == room_id:
                self._review(place, clients)

    def _next(self, now: float) -> float:
        least, more = JITTER
        return now + self._every_s * (least + more * self._dice())

    def _places(self) -> dict[Place, list[Client]]:
        """Who is in which song, over which connections; without those whose tokens expire."""
        places: dict[Place, list[Client]] = {}
        now_s = self._wall_s()
        for client in self._app.clients.values():
            if client.identity is not None and now_s < client.identity.expires_at_s:
                for room_id in client.seats:
                    if song_id(room_id) is not None:
                        places.setdefault((client.identity.key, room_id), []).append(client)
        return places

    def _review(self, place: Place, clients: Iterable[Client]) -> None:
        _, room_id = place
        identities = [client.identity for client in clients if client.identity is not None]
        # Of several tokens the freshest.
        identity = max(identities, key=lambda one: one.expires_at_s)
        asking = self._rights.ask(identity, room_id, anew=True)
        asking.addCallback(lambda level: self._apply(identity, room_id, level))
        asking.addErrback(lambda failure: failure.trap(Refused))
        asking.addErrback(
            lambda failure: self.log.failure("A right could not be asked for again", failure)
        )

    def _apply(self, identity: Identity, room_id: str, level: Permission) -> None:
        is_deleted = self._rights.is_deleted(room_id)
        for client in self._places().get((identity.key, room_id), ()):
            if self._rulings.of(identity, room_id) is None:
                reason = "deleted" if is_deleted else "revoked"
                self._answers.permit(client, room_id, level, reason)
        if is_deleted and level < Permission.READ:
            self._review_room(room_id)  # the others need not wait for their turn
