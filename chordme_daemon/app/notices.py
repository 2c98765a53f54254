"""Does what the backend says: each daemon for the connections that it has."""

from collections.abc import Callable

from twisted.logger import Logger

from chordme_daemon.app.authorizers import SongRights
from chordme_daemon.app.emitters import BadInstruction, Emit, Emitters, event_of_a_backend
from chordme_daemon.app.reviews import Reviews
from chordme_daemon.app.saving import Saving
from chordme_daemon.app.server import App
from chordme_daemon.backend.notices import (
    BadNotice,
    DisconnectUser,
    EmitToRoom,
    PermissionChanged,
    Reader,
    SaidBefore,
    SongChanged,
)


class Notices:
    """Hears notices that were signed with a key; `wall_s()` is the time of day."""

    log = Logger()

    def __init__(
        self,
        key: bytes,
        wall_s: Callable[[], float],
        *,
        app: App,
        emitters: Emitters,
        rights: SongRights,
        reviews: Reviews,
        saving: Saving,
    ) -> None:
        self.dropped = 0
        self._reader = Reader(key)
        self._wall_s = wall_s
        self._app = app
        self._emitters = emitters
        self._rights = rights
        self._reviews = reviews
        self._saving = saving

    def hear(self, message: bytes) -> bool:
        """Do what a message says; whether it is one."""
        try:
            notice = self._reader.read(message, self._wall_s())
            match notice:
                case PermissionChanged(song_id):
                    self._rights.forget(str(song_id))
                    self._reviews.review_room(str(song_id))
                case SongChanged(song_id):
                    self._saving.look(str(song_id))
                case DisconnectUser(user_id):
                    self._disconnect(user_id)
                case EmitToRoom(song_id, event, payload):
                    event = event_of_a_backend(event)
                    self._emitters.emit(Emit(event, (payload,), (str(song_id),), frozenset()))
        except SaidBefore:
            return False
        except (BadNotice, BadInstruction) as why:
            self.dropped += 1
            self.log.warn("Dropped a notice of the backend: {why}", why=str(why))
            return False
        return True

    def _disconnect(self, user_id: int | str) -> None:
        for client in list(self._app.clients.values()):
            identity = client.identity
            if identity is not None and identity.user_id == user_id:
                client.connection.disconnect()
