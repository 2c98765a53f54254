"""Who clients are, and what they may do: by their tokens, and by what an operator has decided."""

from collections.abc import Callable

import attrs
from twisted.internet.defer import Deferred, succeed

from chordme_daemon.app.auth import Identity, UnknownKey, Verifier
from chordme_daemon.app.authorizers import IAuthorizer
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.app.rulings import Rulings


@attrs.define
class Access:
    """Who clients are, and what they may do by what `authorizer` says.

    `find_keys()` looks for keys that the verifier does not know yet. The parts may be replaced: a
    new one counts from the next request on.
    """

    verifier: Verifier
    authorizer: IAuthorizer
    authenticate_within_s: float = 30.0
    find_keys: Callable[[], Deferred[None]] | None = None
    # What an operator has decided; it goes before what anybody else says.
    rulings: Rulings = attrs.field(factory=Rulings)

    def identify(self, token: object, now_s: float) -> Identity | Deferred[Identity]:
        """Who a token is for; raises or fails with `Refused` if it is not good."""
        try:
            return self._admitted(token, now_s)
        except UnknownKey:
            if self.find_keys is None:
                raise
            return self.find_keys().addCallback(lambda _: self._admitted(token, now_s))

    def known(self, identity: Identity, room_id: str) -> Permission | None:
        """What somebody may do in a room; None when that has to be asked."""
        ruling = self.rulings.of(identity, room_id)
        return self.authorizer.known(identity, room_id) if ruling is None else ruling.level

    def ask(self, identity: Identity, room_id: str) -> Deferred[Permission]:
        """What somebody may do in a room; fails with `Refused` when nobody can tell."""
        ruling = self.rulings.of(identity, room_id)
        return self.authorizer.ask(identity, room_id) if ruling is None else succeed(ruling.level)

    def _admitted(self, token: object, now_s: float) -> Identity:
        identity = self.verifier.verify(token, now_s)
        if self.rulings.is_denied(identity):
            raise Refused(Code.INVALID_TOKEN, "Invalid or expired token")
        return attrs.evolve(identity, token=str(token).removeprefix("Bearer "))
