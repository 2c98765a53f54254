"""Parsers of settings: text in, value out.

A parser says in its ValueError what is expected, never what it was given: that may be a secret.
"""

import ipaddress
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography.x509 import load_pem_x509_certificates

from chordme_daemon.app.keyring import (
    MAX_KEYS,
    WITH_A_PUBLIC_KEY,
    WITH_A_SECRET,
    Key,
    public_key,
)
from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster.address import RedisAddress, redis_address

MIN_SECRET_BYTES = 32
MAX_SECRET_BYTES = 4096
MAX_KEY_BYTES = 16_384
HOW_TO_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
# The parameters of Twisted's server endpoints, in their order; the first is required.
ENDPOINTS = {
    "tcp": "port interface backlog",
    "tcp6": "port backlog interface",
    "ssl": "port privateKey certKey sslmethod interface backlog extraCertChain dhParameters",
    "tls": "path port backlog interface",
    "unix": "address mode backlog lockfile",
    "systemd": "domain name index",
}
# What tutorials and examples make their secrets of.
STOCK_WORDS = re.compile(
    r"chordme|your|very|super|secret|key|change|replace|this|with|development|dev|production|prod|"
    r"testing|test|local|default|example|sample|demo|insecure|unsafe|please|some|random|long|strong|"
    r"secure|string|password|passphrase|jwt|web|token|hmac|hs256|auth|access|refresh|sign(?:ing)?|"
    r"session|app|api|backend|server|flask|socketio|hard|guess|never|know|value|bit|byte|least|"
    r"character|char|must|not|use|the|and|for|placeholder|hello|world|0?123456789?0?|abcdef|32|64|"
    r"256|me|my|in|to|or|is|it|at|be|do|an?|[\s_.,:;!?/+=-]+|[0-9]{1,4}$"
)


# Parsers: text in, value out; what their ValueError says is what is expected.


def number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
    digits = "[0-9]{1,12}" if kind is int else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    what = "a whole number" if kind is int else "a number of seconds"

    def parse(text: str) -> int | float:
        if not re.fullmatch(digits, text) or not low <= float(text) <= high:
            raise ValueError(f"{what} from {low:.12g} to {high:.12g}")
        return kind(text)

    return parse


def whole(low: int, high: int) -> Callable[[str], int]:
    return number(int, low, high)


def seconds(low: float, high: float) -> Callable[[str], float]:
    return number(float, low, high)


def one_of(*words: str, expected: str = "") -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(expected or f"one of {', '.join(words)}")
        return text

    return parse


def rate(text: str) -> Rate:
    count, _, per_s = text.partition("/")
    if text == "0":
        return Rate(0, 60.0)
    try:
        return Rate(whole(0, 1_000_000)(count), seconds(0.001, 86_400)(per_s))
    except ValueError:
        raise ValueError("count/seconds such as 60/60, or 0 for no limit") from None


def line(text: str) -> str:
    if not text.isprintable() or len(text) > 256:
        raise ValueError("at most 256 printable characters")
    return text


def listed(text: str) -> list[str]:
    return [one for one in re.split(r"[\s,]+", text) if one]


def endpoint(text: str) -> dict[str, str]:
    """The parameters of one endpoint; what they name is not looked up."""
    kind, *parts = re.split(r"(?<!\\):", text)
    if kind == "haproxy":
        return endpoint(":".join(parts))
    known = ENDPOINTS.get(kind, "").split()
    unnamed = iter(known)
    found: dict[str, str] = {}
    for part in parts:
        name, equals, value = part.partition("=")
        found |= {name: value} if equals else {next(unnamed, "?"): part}
    if kind == "systemd" and found.keys() <= set(known):
        name, index = found.get("name"), found.get("index")
        if bool(name) == bool(index) or (index and not re.fullmatch("[0-9]{1,3}", index)):
            raise ValueError("endpoints such as systemd:name=chordme, or systemd:index=0")
    elif not known or not found.get(known[0]) or not found.keys() <= set(known):
        raise ValueError("endpoints such as tcp:5000 or unix:/run/chordme.sock")
    if not all(re.fullmatch("[0-9]{1,5}", found.get(name, "0")) for name in ("port", "backlog")):
        raise ValueError("whole numbers as port and backlog")
    if int(found.get("port", "0")) > 65_535:
        raise ValueError("a port from 0 to 65535")
    return found


def endpoints(text: str) -> tuple[str, ...]:
    for one in text.split() or [""]:
        endpoint(one)
    return tuple(text.split())


def endpoint_or_none(text: str) -> str:
    if len(endpoints(text or "tcp:0")) > 1:
        raise ValueError("one endpoint, or nothing for none")
    return text


def plain_endpoint_or_none(text: str) -> str:
    """One endpoint of TCP, or nothing."""
    if text and not endpoint_or_none(text).startswith(("tcp:", "tcp6:")):
        raise ValueError("an endpoint such as tcp:5002:interface=10.0.0.1, or nothing")
    return text


def origins(text: str) -> tuple[str, ...]:
    origins = listed(text.lower())
    for one in origins:
        found = re.fullmatch(
            r"[a-z][a-z0-9+.-]*://(?:[\w.-]+|\[[0-9a-f:.]+])(?::([0-9]{1,5}))?", one, re.A
        )
        if one != "*" and (not found or int(found[1] or 0) > 65_535):
            raise ValueError("origins such as https://chordme.example (nothing behind), or * alone")
    if "*" in origins and len(origins) > 1:
        raise ValueError("origins, or * alone")
    # As browsers write them: without the scheme's own port.
    return tuple(re.sub("^(http://.*):80$|^(https://.*):443$", r"\1\2", one) for one in origins)


def algorithms(text: str) -> tuple[str, ...]:
    names = listed(text)
    for kind in (WITH_A_SECRET, WITH_A_PUBLIC_KEY):
        if names and set(kind).issuperset(names):
            return tuple(names)
    secret, public = ", ".join(WITH_A_SECRET), ", ".join(WITH_A_PUBLIC_KEY)
    raise ValueError(f"one or several of {secret}, or of {public}")


def networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(one) for one in listed(text))
    except ValueError:
        raise ValueError("addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from None


def store(text: str) -> str:
    if text not in ("", "memory:") and not re.fullmatch("sqlite:[^\0]{1,1024}", text):
        raise ValueError("sqlite:PATH, or memory:")
    return text


def secret(text: str) -> bytes:
    return strong(text.encode("utf-8", "surrogateescape")) if text else b""


def strong(secret: bytes) -> bytes:
    """The secret itself, or ValueError when it is too short or could be guessed."""
    size = len(secret)
    if size < MIN_SECRET_BYTES:
        problem = "is shorter"
    elif size > MAX_SECRET_BYTES:
        problem = f"is longer than {MAX_SECRET_BYTES}"
    elif len(STOCK_WORDS.sub("", secret.decode("latin-1").lower())) < 10:
        problem = "is a well-known default"
    elif any(secret[n:] == secret[:-n] for n in range(1, min(MIN_SECRET_BYTES, size // 2 + 1))):
        problem = "repeats itself"
    else:
        return secret
    expected = f"at least {MIN_SECRET_BYTES} random bytes, and this {problem}"
    raise ValueError(f"{expected}; make one: {HOW_TO_MAKE_ONE}")


def secret_in(path: str) -> bytes:
    """The secret that a file holds, without one newline at its end."""
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_SECRET_BYTES + 3)
    except (OSError, ValueError) as error:
        raise ValueError(f"a readable file ({getattr(error, 'strerror', 'not a path')})") from None
    return strong(content.removesuffix(b"\r\n" if content.endswith(b"\r\n") else b"\n"))


def public_keys(text: str) -> tuple[Key, ...]:
    """The public keys in PEM files, each by the id before its path, or by the file's name."""
    keys: dict[str, Key] = {}
    for one in listed(text):
        before, colon, behind = one.partition(":")
        named = bool(colon) and "/" not in before
        path = behind if named else one
        key_id = before if named else Path(one).stem
        try:
            with open(path, "rb") as file:
                keys[key_id] = public_key(file.read(MAX_KEY_BYTES), key_id)
        except OSError as error:
            raise ValueError(f"readable files ({path}: {error.strerror})") from None
        except ValueError as error:
            raise ValueError(f"{error} ({path})") from None
    if len(keys) < len(listed(text)) or len(keys) > MAX_KEYS:
        raise ValueError(f"at most {MAX_KEYS} keys, each with another id")
    return tuple(keys.values())


def authorities(text: str) -> str:
    """The path of a PEM file with certificates in it; nothing for none."""
    path = line(text)
    if path:
        try:
            with open(path, "rb") as file:
                load_pem_x509_certificates(file.read())
        except OSError as error:
            raise ValueError(f"a readable file ({error.strerror})") from None
        except ValueError:
            raise ValueError("a PEM file of certificates, and nothing that is none") from None
    return path


def url(text: str) -> str:
    """A URL that nobody on the way can change the answer of; nothing for none."""
    try:
        parts = urlsplit(text)
        is_local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        is_safe = (parts.scheme == "https" or is_local) and bool(parts.hostname)
        is_plain = parts.username is None and not parts.fragment and (parts.port or 1) > 0
    except ValueError:
        is_safe = is_plain = False
    if text and not (is_safe and is_plain and re.fullmatch("[!-~]{1,1024}", text)):
        raise ValueError("an https:// URL without a user, or an http:// one of this machine")
    return text


def instant(text: str) -> float | None:
    """A time of day, in seconds since the epoch; None for none."""
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,11}(\.[0-9]{1,6})?", text):
        return float(text)
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None:
        raise ValueError("a time such as 2026-12-31T18:00:00Z, or seconds since the epoch")
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def claim(text: str) -> str:
    """The name of a claim."""
    if not re.fullmatch("[!-~]{1,128}", text):
        raise ValueError("the name of a claim, such as user_id or sub")
    return text


def flag(text: str) -> bool:
    """Yes or no."""
    return one_of("yes", "no")(text) == "yes"


def redis(text: str) -> RedisAddress | None:
    """The address of a Redis; nothing for none."""
    return redis_address(text) if text else None


def prefix(text: str) -> str:
    """What keys may begin with."""
    if not re.fullmatch(r"[\w:.{}/-]{1,64}", text, re.ASCII):
        raise ValueError("1 to 64 letters, digits or any of : . { } / _ -")
    return text


def host_and_port(text: str) -> str:
    """Where something is reached, or nothing."""
    match = re.fullmatch(r"(?:[\w.-]{1,253}|\[[0-9a-fA-F:.]+\]):([0-9]{1,5})", text, re.ASCII)
    if text and (match is None or not 0 < int(match[1]) < 65_536):
        raise ValueError("HOST:PORT, or nothing")
    return text


def metric_prefix(text: str) -> str:
    """What the names of figures may begin with."""
    if not re.fullmatch(r"[\w.-]{0,64}", text, re.ASCII):
        raise ValueError("at most 64 letters, digits or any of . _ -")
    return text


def origin_or_none(text: str) -> str:
    """The URL of a server, perhaps with a path, or nothing."""
    url = r"https?://(?:[\w.-]+|\[[0-9a-fA-F:.]+])(?::[0-9]{1,5})?(?:/[\w./~-]*)?"
    if text and not re.fullmatch(url, text, re.ASCII):
        raise ValueError("a URL such as https://chordme.example, without user, ? or #, or nothing")
    return text.rstrip("/")


def patterns(text: str) -> tuple[str, ...]:
    """Names of rooms with * for anything."""
    if not all(re.fullmatch(r"[A-Za-z0-9_*-]{1,50}", one) for one in listed(text)):
        raise ValueError("names of rooms such as lobby-*, separated by spaces")
    return tuple(listed(text))


def line_or_longer(text: str) -> str:
    """One line, as long as a token may be."""
    if not text.isprintable() or len(text) > MAX_SECRET_BYTES:
        raise ValueError(f"at most {MAX_SECRET_BYTES} printable characters")
    return text.strip()


def channels(text: str) -> tuple[str, ...]:
    """Names of channels."""
    if any(len(one) > 128 or not one.isprintable() for one in listed(text)):
        raise ValueError("names of channels, separated by spaces")
    return tuple(listed(text))


def some_of(*words: str) -> Callable[[str], tuple[str, ...]]:
    """Any of some words, also none."""

    def parse(text: str) -> tuple[str, ...]:
        if not set(words).issuperset(listed(text)):
            raise ValueError(f"any of {', '.join(words)}")
        return tuple(listed(text))

    return parse
