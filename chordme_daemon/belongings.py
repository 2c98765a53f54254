"""The parts of a daemon whose songs belong to a ChordMe backend, built and joined to the rest."""

import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet.ssl import Certificate

from chordme_daemon.app.access import Access
from chordme_daemon.app.answers import Answers
from chordme_daemon.app.auth import Identity
from chordme_daemon.app.authorizers import SongRights, TokenClaims
from chordme_daemon.app.broker import Broker
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.emitters import Emitters
from chordme_daemon.app.events import Permission
from chordme_daemon.app.notices import Notices
from chordme_daemon.app.reconciling import Reconciler
from chordme_daemon.app.reviews import Reviews
from chordme_daemon.app.room import Room
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.saving import Habits, Saving
from chordme_daemon.app.seats import Seat
from chordme_daemon.app.server import App
from chordme_daemon.app.songs import Songs
from chordme_daemon.backend.client import Backend
from chordme_daemon.cluster.interface import ICluster
from chordme_daemon.cluster.saves import ISaves
from chordme_daemon.settings import Backend as Settings


class Belongings:
    """What a backend is asked for, and what it is given; begun by `join`, ended by `stop`."""

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        wall_s: Callable[[], float],
        *,
        trust: Sequence[Certificate],
        claims: TokenClaims,
    ) -> None:
        self._settings = settings
        self._wall_s = wall_s
        self._reactor = reactor
        self.backend = Backend(reactor, settings.url, trust=trust)
        self.rights = SongRights(self.backend, reactor, claims, settings.free_rooms)
        self.saving: Saving
        self.reviews: Reviews
        # What the backend says by itself; None where it has no key to say it with.
        self.notices: Notices | None = None
        self._songs: Songs
        self._app: App

    def join(
        self,
        cluster: ICluster,
        saves: ISaves,
        rooms: Rooms,
        documents: Documents,
    ) -> None:
        """Take the floors below the application."""

        def now_ms() -> int:
            return int(self._wall_s() * 1000)

        settings = self._settings
        self.saving = Saving(
            Broker(self.backend, rooms, saves, Reconciler(documents, now_ms)),
            rooms,
            saves,
            self._reactor,
            self._wall_s,
            editors=self._editors,
            habits=Habits(
                settings.save_after_s,
                settings.save_within_s,
                settings.saves,
                settings.service_token,
            ),
        )
        self._songs = Songs(
            self.backend,
            cluster,
            saves,
            clock=self._reactor,
            now_ms=now_ms,
            loaded=self.saving.watch,
        )

    def attend(self, app: App, answers: Answers, emitters: Emitters, access: Access) -> None:
        """Take the application."""
        self._app = app
        every_s = self._settings.recheck_s
        self.reviews = Reviews(
            app,
            answers,
            self.rights,
            self._reactor,
            rulings=access.rulings,
            wall_s=self._wall_s,
            dice=random.random,
            every_s=every_s,
        )

        if self._settings.key:
            self.notices = Notices(
                self._settings.key,
                self._wall_s,
                app=app,
                emitters=emitters,
                rights=self.rights,
                reviews=self.reviews,
                saving=self.saving,
            )

    async def fill(self, room: Room, seat: Seat) -> None:
        """Have a room's song there for somebody who is about to join."""
        client = self._app.clients.get(seat.connection.sid)
        if client is None or client.identity is None:
            return  # it is gone; so is its join, in a moment
        identity = client.identity
        await self._songs.fill(room, identity.token)
        self.saving.meet(room, seat.member.key, identity)

    def _editors(self, room: Room) -> Iterator[Identity]:
        for seat in room.seats.values():
            client = self._app.clients.get(seat.connection.sid)
            if seat.permission >= Permission.EDIT and client is not None and client.identity:
                yield client.identity

    def tick(self) -> None:
        """Ask again, and save; to be called every second."""
        self.reviews.tick()
        self.saving.tick()

    async def stop(self) -> None:
        """Save what is not saved, and hang up."""
        await self.saving.stop()
        await self.backend.close()
