"""Who a client is and what they may do.

- A token that cannot be good costs little: its length and shape are looked at before any crypto.
- How a key is used is fixed by the key, never by the token, whose header only chooses among the
  keys that are known: see `keyring`.
- PyJWT checks signature, audience and issuer. Time is told, so the claims about it are checked
  here, as are the types of all claims: PyJWT believes `exp: "9999999999"` and a `user_id` of {}.
- Whatever goes wrong inside is one answer to the client, which does not say what.
- A token that was good is remembered by its digest, so that it costs little the next time.
"""

import base64
import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Final

import attrs
import jwt
from jwt.types import Options

from chordme_daemon.app.events import (
    MAX_SAFE_INTEGER,
    Code,
    Permission,
    Refused,
    is_room_id,
    unavailable,
)
from chordme_daemon.app.keyring import Key
from chordme_daemon.cluster.interface import UserId

MAX_TOKEN: Final = 4096
MAX_LIFETIME_S: Final = 7 * 24 * 3600.0
MAX_USER_ID: Final = 128
MAX_NAME: Final = 80
EVERY_ROOM: Final = "*"
# So many tokens are remembered.
MAX_REMEMBERED: Final = 10_000

_SHAPE: Final = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")


@attrs.frozen
class Identity:
    """Who a token says that somebody is.

    `rooms` is None where the token says nothing about rooms. The token expires at `expires_at_s`,
    and is honoured until `good_until_s`, as the clock that it was made by may be ahead of ours.
    """

    user_id: UserId
    key: str
    name: str | None
    expires_at_s: float
    good_until_s: float
    rooms: Mapping[str, Permission] | None = None
    token_id: str | None = None
    issued_s: float | None = None
    # The token itself, for the backend alone; it is gone with the connection, and never shown.
    token: str = attrs.field(default="", repr=False, eq=False)


class UnknownKey(Refused):
    """A token that names a key which is not known; it may be found."""


class Verifier:
    """Tells good tokens from bad ones; several keys allow one to be replaced by the next.

    Where `keys` are None they are found elsewhere, and given with `use`. The claim `user_claim`
    says who somebody is.
    """

    def __init__(
        self,
        keys: Sequence[Key] | None,
        *,
        issuer: str | None = None,
        audience: str | None = None,
        leeway_s: float = 0.0,
        user_claim: str = "user_id",
    ) -> None:
        self._keys: tuple[Key, ...] = ()
        self._are_found = keys is None
        # Who the last tokens were for, by their digests, and until when their keys are good.
        self._remembered: OrderedDict[bytes, tuple[Identity, float]] = OrderedDict()
        if keys is not None:
            self.use(keys)
        self._user_claim = user_claim
        self._issuer = issuer
        self._audience = audience
        self._leeway_s = leeway_s
        self._options: Options = {
            "verify_exp": False,
            "verify_nbf": False,
            "verify_iat": False,
            "verify_sub": False,
            "verify_jti": False,
            "verify_iss": issuer is not None,
            "verify_aud": audience is not None,
        }

    def verify(self, token: object, now_s: float) -> Identity:
        """Who the token is for; `Refused` if it is not good at `now_s`, the time of day."""
        if not isinstance(token, str):
            raise Refused(Code.BAD_REQUEST, "Invalid authentication data")
        try:
            bare = _bare(token)
            digest = sha256(bare.encode()).digest()
            identity, until_s = self._recall(digest, now_s) or self._look_at(bare, now_s)
        except UnknownKey:
            raise
        except Exception:  # PyJWT lets more than its own errors out; none of them is for the client
            raise _bad(Code.INVALID_TOKEN) from None
        if identity.good_until_s <= now_s:
            raise _bad(Code.TOKEN_EXPIRED)
        self._remembered[digest] = (identity, until_s)
        if len(self._remembered) > MAX_REMEMBERED:
            self._remembered.popitem(last=False)
        return identity

    def use(self, keys: Sequence[Key]) -> None:
        """Believe these keys, and no others any more."""
        secrets = [isinstance(key.material, bytes) for key in keys]
        if any(secrets) and (self._are_found or not all(secrets)):
            raise ValueError("a secret beside public keys")
        if not keys and not self._are_found:
            raise ValueError("a key is needed")
        self._keys = tuple(keys)
        self._remembered.clear()

    def _recall(self, digest: bytes, now_s: float) -> tuple[Identity, float] | None:
        found = self._remembered.pop(digest, None)
        return found if found is not None and now_s < found[1] else None

    def _look_at(self, token: str, now_s: float) -> tuple[Identity, float]:
        _check_shape(token)
        claims, key = self._claims(token, now_s)
        return self._identity(claims, now_s), key.until_s

    def _fitting(self, token: str, now_s: float) -> Sequence[Key]:
        """The keys that a token may be signed with, by what it says itself."""
        header = jwt.get_unverified_header(token)
        algorithm, key_id = header.get("alg"), header.get("kid")
        fitting = [
            key
            for key in self._keys
            if algorithm in key.algorithms
            and now_s < key.until_s
            and (key.id is None or key_id in (None, key.id))
        ]
        if not fitting and self._are_found:
            if not self._keys:
                raise UnknownKey(Code.UNAVAILABLE, unavailable().message)
            raise UnknownKey(Code.INVALID_TOKEN, _bad(Code.INVALID_TOKEN).message)
        return fitting

    def _claims(self, token: str, now_s: float) -> tuple[Mapping[str, object], Key]:
        for key in self._fitting(token, now_s):
            try:
                decoded = jwt.decode_complete(
                    token,
                    key.material,
                    algorithms=key.algorithms,
                    options=self._options,
                    issuer=self._issuer,
                    audience=self._audience,
                )
            except jwt.InvalidSignatureError:
                continue
            if not decoded["header"].keys().isdisjoint(("crit", "b64")):
                raise ValueError("an extension that we do not know")
            claims: dict[str, object] = decoded["payload"]
            return claims, key
        raise ValueError("signed by somebody else")

    def _identity(self, claims: Mapping[str, object], now_s: float) -> Identity:
        expires_at_s = _instant(claims["exp"])
        latest_s = now_s + self._leeway_s
        if expires_at_s > latest_s + MAX_LIFETIME_S:
            raise ValueError("good for too long")
        for claim in ("nbf", "iat"):
            if claim in claims and _instant(claims[claim]) > latest_s:
                raise ValueError("not good yet")
        user_id = checked_user_id(claims[self._user_claim])
        name = claims.get("name")
        return Identity(
            user_id=user_id,
            key=user_key(user_id),
            name=name if isinstance(name, str) and _is_plain(name, MAX_NAME) else None,
            expires_at_s=expires_at_s,
            good_until_s=expires_at_s + self._leeway_s,
            rooms=_rooms(claims["rooms"]) if "rooms" in claims else None,
            token_id=checked_text(claims["jti"]) if "jti" in claims else None,
            issued_s=_instant(claims["iat"]) if "iat" in claims else None,
        )


def user_key(user_id: UserId) -> str:
    """What tells users apart: the integer 5 and the text "5" are two."""
    return f"i:{user_id}" if isinstance(user_id, int) else f"s:{user_id}"


def permission(identity: Identity, room_id: str, default: Permission) -> Permission:
    """What somebody may do in a room; `default` is for tokens that say nothing about rooms."""
    if identity.rooms is None:
        return default
    for key in (room_id, EVERY_ROOM):
        if key in identity.rooms:
            return identity.rooms[key]
    return Permission.NONE


def mint(claims: Mapping[str, object], secret: bytes) -> str:
    """A token with these claims."""
    return jwt.encode(dict(claims), secret, algorithm="HS256")


def _bad(code: Code) -> Refused:
    return Refused(code, "Invalid or expired token")


def _bare(token: str) -> str:
    """The token without `Bearer `; ValueError if it is too long to be looked at."""
    if len(token) > MAX_TOKEN:
        raise ValueError("too long")
    return token.removeprefix("Bearer ")


def _check_shape(token: str) -> None:
    """ValueError unless these are three segments, and there is only one way to write them."""
    shape = _SHAPE.fullmatch(token)
    if shape is None:
        raise ValueError("not three segments")
    for segment in shape.groups():
        decoded = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
        if base64.urlsafe_b64encode(decoded).decode().rstrip("=") != segment:
            raise ValueError("not canonical")


def _instant(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not an instant")
    return float(value)


def _is_plain(text: str, longest: int) -> bool:
    """Whether a text is short and printable, which lone surrogates and controls are not."""
    return 1 <= len(text) <= longest and text.isprintable()


def checked_text(value: object) -> str:
    """A short printable text; ValueError if it is none."""
    if not isinstance(value, str) or not _is_plain(value, MAX_USER_ID):
        raise ValueError("not a printable text")
    return value


def checked_user_id(value: object) -> UserId:
    """A user's number or name; ValueError if it is none."""
    if type(value) is not int:  # by the exact type: True is an int to Python
        return checked_text(value)
    if not 1 <= value <= MAX_SAFE_INTEGER:
        raise ValueError("not a user's number")
    return value


def _rooms(value: object) -> Mapping[str, Permission]:
    if not isinstance(value, dict):
        raise ValueError("not rooms and levels")
    for room_id in value:
        if room_id != EVERY_ROOM and not is_room_id(room_id):
            raise ValueError("not a room")
    return MappingProxyType({key: Permission.from_wire(level) for key, level in value.items()})
