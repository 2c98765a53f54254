"""Pairs of keys, as those who issue tokens have them; made once, as that takes its time."""

import base64
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)


@cache
def rsa_pair(number: int = 0, bits: int = 2048) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, bits)


@cache
def ec_pair(number: int = 0, curve: Any = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(curve())


def public_pem(pair: Any) -> bytes:
    pem: bytes = pair.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def private_pem(pair: Any) -> bytes:
    pem: bytes = pair.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return pem


def _number(value: int) -> str:
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def published(pair: Any, key_id: str | None, **fields: object) -> dict[str, object]:
    """The public key, as a JSON Web Key Set has it."""
    numbers = pair.public_key().public_numbers()
    if isinstance(pair, rsa.RSAPrivateKey):
        key = {"kty": "RSA", "n": _number(numbers.n), "e": _number(numbers.e)}
    else:
        key = {"kty": "EC", "crv": "P-256", "x": _number(numbers.x), "y": _number(numbers.y)}
    named = {} if key_id is None else {"kid": key_id}
    return {"use": "sig", **key, **named, **fields}


def token(pair: Any, claims: dict[str, Any], key_id: str | None = None, **header: Any) -> str:
    """A token that is signed with the private key."""
    algorithm = "RS256" if isinstance(pair, rsa.RSAPrivateKey) else "ES256"
    named = {} if key_id is None else {"kid": key_id}
    return jwt.encode(claims, pair, algorithm=algorithm, headers={**named, **header})
