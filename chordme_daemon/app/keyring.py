"""The keys that tokens are signed with: secrets or public keys, never both.

- An algorithm belongs to a kind of key, so that a public key can never be taken for a secret, nor
  one kind of key for another.
- A key's name, `kid`, only ever chooses among keys that are there already.
- What others publish is looked at before it is believed: a set that cannot be read is refused as a
  whole, a key in it that is of no use here is left out, and a secret in it is no key at all.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import attrs
import jwt
import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

WITH_A_SECRET: Final = ("HS256", "HS384", "HS512")
WITH_A_PUBLIC_KEY: Final = ("RS256", "ES256")
MAX_KEYS: Final = 32
MAX_KEY_ID: Final = 256
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 8192


@attrs.frozen
class Key:
    """A key, and how tokens may be signed with it; they are good until an instant.

    One with an `id` is for tokens that name it, and for those that name none.
    """

    material: bytes | RSAPublicKey | EllipticCurvePublicKey = attrs.field(repr=False)
    algorithms: tuple[str, ...]
    id: str | None = None
    until_s: float = math.inf


def secret_key(secret: bytes, algorithms: Sequence[str], until_s: float = math.inf) -> Key:
    """The key that a secret is."""
    if not secret:
        raise ValueError("a secret is needed")
    if not algorithms or not set(WITH_A_SECRET).issuperset(algorithms):
        raise ValueError("algorithms are some of " + ", ".join(WITH_A_SECRET))
    return Key(secret, tuple(algorithms), until_s=until_s)


def public_key(pem: bytes, key_id: str) -> Key:
    """The key in a PEM file; ValueError says what is expected."""
    try:
        return _public_key(load_pem_public_key(pem), key_id)
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError(
            f"a public key in PEM: of RSA with at least {MIN_RSA_BITS} bits, or of the curve P-256"
        ) from None


def key_set(data: bytes) -> tuple[Key, ...]:
    """The keys of a JSON Web Key Set that are of use; ValueError if it is none."""
    document = orjson.loads(data)
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list) or len(keys) > MAX_KEYS:
        raise ValueError(f"not a list of at most {MAX_KEYS} keys")
    found = [_published(fields) for fields in keys if isinstance(fields, dict)]
    return tuple(key for key in found if key is not None)


def _published(fields: Mapping[str, Any]) -> Key | None:
    key_id, use = fields.get("kid"), fields.get("use", "sig")
    algorithm = {"RSA": "RS256", "EC": "ES256"}.get(str(fields.get("kty")))
    if algorithm is None or use != "sig" or fields.get("alg", algorithm) != algorithm:
        return None
    if key_id is not None and (not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID):
        return None
    # Of what may be in there, only what makes a public key: no private one is to be kept.
    numbers = {name: fields[name] for name in ("kty", "n", "e", "crv", "x", "y") if name in fields}
    try:
        return _public_key(jwt.PyJWK(numbers, algorithm).key, key_id)
    except Exception:  # PyJWT lets more than its own errors out
        return None


def _public_key(material: object, key_id: str | None) -> Key:
    match material:
        case RSAPublicKey() if MIN_RSA_BITS <= material.key_size <= MAX_RSA_BITS:
            return Key(material, ("RS256",), key_id)
        case EllipticCurvePublicKey(curve=SECP256R1()):
            return Key(material, ("ES256",), key_id)
    raise ValueError("a key of no use")
