"""What somebody may do in a room: by their token's own claims, or by what ChordMe's backend says.

- Of the backend one user's right to one song is asked once at a time, and known for a short time.
- No answer is no right: who cannot be told yes is told to come back.
- While somebody is in a room, it is asked again; no answer changes nothing then.
"""

import re
from fnmatch import fnmatchcase
from typing import Final

import attrs
from twisted.internet.defer import Deferred, ensureDeferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from chordme_daemon.app.auth import Identity, permission
from chordme_daemon.app.events import Permission, Refused, unavailable
from chordme_daemon.backend.client import Backend, Denied, Unavailable

KNOWN_FOR_S: Final = 30.0
MAX_KNOWN: Final = 20_000
# For so long it is remembered who was the owner of a song.
REMEMBERED_S: Final = 3600.0
_SONG_ID: Final = re.compile("[1-9][0-9]{0,14}")


class IAuthorizer(Interface):
    """Tells what somebody may do in a room."""

    def known(identity: Identity, room_id: str) -> Permission | None:
        """What is known without asking anybody; None when that has to be asked."""

    def ask(identity: Identity, room_id: str, *, anew: bool = False) -> "Deferred[Permission]":
        """What somebody may do; `Refused` when nobody can tell."""


@implementer(IAuthorizer)
class TokenClaims:
    """What the token says; `default` is for tokens that say nothing about rooms."""

    def __init__(self, default: Permission) -> None:
        self.default = default

    def known(self, identity: Identity, room_id: str) -> Permission:
        """What the token says."""
        return permission(identity, room_id, self.default)

    def ask(self, identity: Identity, room_id: str, *, anew: bool = False) -> Deferred[Permission]:
        """The same; there is nobody else to ask."""
        return succeed(self.known(identity, room_id))


@attrs.frozen
class _Known:
    level: Permission
    until_s: float
    is_owner: bool = False


@implementer(IAuthorizer)
class SongRights:
    """What the backend says.

    In rooms that are no songs it is what `otherwise` says, if they are among the free ones, and
    nothing else.
    """

    log = Logger()

    def __init__(
        self,
        backend: Backend,
        clock: IReactorTime,
        otherwise: TokenClaims,
        free_rooms: tuple[str, ...] = (),
    ) -> None:
        self._backend = backend
        self._clock = clock
        self._otherwise = otherwise
        self._free_rooms = free_rooms
        self._known: dict[tuple[str, str], _Known] = {}
        self._asking: dict[tuple[str, str], list[Deferred[Permission]]] = {}
        # How often rooms have changed.
        self._changes: dict[str, int] = {}
        # The songs of which the backend has said that they are deleted.
        self._deleted: set[str] = set()
        self._told_of_tokens = False

    def known(self, identity: Identity, room_id: str) -> Permission | None:
        """What was answered a short time ago."""
        if song_id(room_id) is None:
            is_free = any(fnmatchcase(room_id, pattern) for pattern in self._free_rooms)
            return self._otherwise.known(identity, room_id) if is_free else Permission.NONE
        found = self._known.get((identity.key, room_id))
        return found.level if found is not None and self._clock.seconds() < found.until_s else None

    def ask(self, identity: Identity, room_id: str, *, anew: bool = False) -> Deferred[Permission]:
        """What the backend says, or has said a short time ago if it is not to be asked anew."""
        number = song_id(room_id)
        known = self.known(identity, room_id)
        if number is None or (known is not None and not anew):
            return succeed(known or Permission.NONE)
        waiting: Deferred[Permission] = Deferred()
        name = (identity.key, room_id)
        if name in self._asking:
            self._asking[name].append(waiting)
            return waiting
        self._asking[name] = [waiting]

        def settle(result: Permission | Failure) -> None:
            for each in self._asking.pop(name):
                each.callback(result)

        ensureDeferred(self._ask_until_sure(identity, room_id, number)).addBoth(settle)
        return waiting

    def forget(self, room_id: str) -> None:
        """Ask again about a room, whatever was answered, or is about to be."""
        self._changes[room_id] = self._changes.get(room_id, 0) + 1
        while len(self._changes) > MAX_KNOWN:
            del self._changes[next(iter(self._changes))]
        for name, known in self._known.items():
            if name[1] == room_id:
                self._known[name] = attrs.evolve(known, until_s=0.0)

    def is_deleted(self, room_id: str) -> bool:
        """Whether the backend has said that a song is no more."""
        return room_id in self._deleted

    async def _ask_until_sure(self, identity: Identity, room_id: str, number: int) -> Permission:
        """An answer to what was asked after the last change that is known of."""
        while True:
            changes = self._changes.get(room_id)
            level = await self._ask(identity, room_id, number)
            if changes == self._changes.get(room_id):
                return level

    async def _ask(self, identity: Identity, room_id: str, number: int) -> Permission:
        name = (identity.key, room_id)
        try:
            answer = await self._backend.right(number, identity.token, identity.user_id)
            level, is_owner = Permission.from_wire(answer.level), answer.is_owner
            self._deleted.discard(room_id)
        except Denied as denied:
            level, is_owner = Permission.NONE, False
            before = self._known.get(name)
            if denied.status == 401:
                self._tell_of_tokens()
                # That is about the token: the next one may be good.
                if before is not None:
                    self._known[name] = attrs.evolve(before, until_s=0.0)
                return level
            # Nobody takes a song from its owner: it is no more.
            is_owners = before is not None and before.is_owner
            if denied.status == 410 or (denied.status == 404 and is_owners):
                self._deleted.add(room_id)
        except Unavailable as error:
            raise not_now(error) from None
        self._learn(name, level, is_owner)
        return level

    def _tell_of_tokens(self) -> None:
        if not self._told_of_tokens:
            self._told_of_tokens = True
            self.log.warn(
                "The backend does not believe a token that is good here: is [auth] secret its "
                "JWT_SECRET_KEY?"
            )

    def _learn(self, name: tuple[str, str], level: Permission, is_owner: bool) -> None:
        now = self._clock.seconds()
        self._known.pop(name, None)
        self._known[name] = _Known(level, now + KNOWN_FOR_S, is_owner)
        # In the order in which they were learnt: the first are the oldest.
        while self._known:
            first = next(iter(self._known))
            if len(self._known) <= MAX_KNOWN and self._known[first].until_s > now - REMEMBERED_S:
                break
            del self._known[first]


def not_now(error: Unavailable) -> Refused:
    """How a request is refused that the backend has no answer for."""
    refused = unavailable()
    if error.retry_after_s:
        refused.retry_after_ms = int(error.retry_after_s * 1000)
    return refused


def song_id(room_id: str) -> int | None:
    """The id of the song that a room is for; None where it is no song."""
    return int(room_id) if _SONG_ID.fullmatch(room_id) else None
