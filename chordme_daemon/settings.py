"""The settings: one table of what may be configured. `config`, `service` and `cli` read it.

A field of a section class is a setting, with its default as a file has it, its parser and its
sentence for the operator. A parser is given text and says in its ValueError what is expected,
never what it was given: that may be a secret.
"""

# ruff: noqa: RUF009 - what looks like a call in a default makes an attrs field.

import ipaddress
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from chordme_daemon.app.limits import Rate

MIN_SECRET_BYTES = 32
MAX_SECRET_BYTES = 4096
HOW_TO_MAKE_ONE = 'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
# The parameters of Twisted's server endpoints, in their order; the first is required.
ENDPOINTS = {
    "tcp": "port interface backlog",
    "tcp6": "port backlog interface",
    "ssl": "port privateKey certKey sslmethod interface backlog extraCertChain dhParameters",
    "tls": "path port backlog interface",
    "unix": "address mode backlog lockfile",
    "systemd": "domain index name",
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


def _number(kind: type[int] | type[float], low: float, high: float) -> Callable[[str], Any]:
    digits = "[0-9]{1,12}" if kind is int else r"[0-9]{1,9}(\.[0-9]{1,9})?"
    what = "a whole number" if kind is int else "a number of seconds"

    def parse(text: str) -> int | float:
        if not re.fullmatch(digits, text) or not low <= float(text) <= high:
            raise ValueError(f"{what} from {low:.12g} to {high:.12g}")
        return kind(text)

    return parse


def _whole(low: int, high: int) -> Callable[[str], int]:
    return _number(int, low, high)


def _seconds(low: float, high: float) -> Callable[[str], float]:
    return _number(float, low, high)


def _one_of(*words: str, expected: str = "") -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in words:
            raise ValueError(expected or f"one of {', '.join(words)}")
        return text

    return parse


def _rate(text: str) -> Rate:
    count, _, per_s = text.partition("/")
    if text == "0":
        return Rate(0, 60.0)
    try:
        return Rate(_whole(0, 1_000_000)(count), _seconds(0.001, 86_400)(per_s))
    except ValueError:
        raise ValueError("count/seconds such as 60/60, or 0 for no limit") from None


def _line(text: str) -> str:
    if not text.isprintable() or len(text) > 256:
        raise ValueError("at most 256 printable characters")
    return text


def _listed(text: str) -> list[str]:
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
    if not known or not found.get(known[0]) or not found.keys() <= set(known):
        raise ValueError("endpoints such as tcp:5000 or unix:/run/chordme.sock")
    if not all(re.fullmatch("[0-9]{1,5}", found.get(name, "0")) for name in ("port", "backlog")):
        raise ValueError("whole numbers as port and backlog")
    if int(found.get("port", "0")) > 65_535:
        raise ValueError("a port from 0 to 65535")
    return found


def _endpoints(text: str) -> tuple[str, ...]:
    for one in text.split() or [""]:
        endpoint(one)
    return tuple(text.split())


def _endpoint_or_none(text: str) -> str:
    if len(_endpoints(text or "tcp:0")) > 1:
        raise ValueError("one endpoint, or nothing for none")
    return text


def _origins(text: str) -> tuple[str, ...]:
    origins = _listed(text.lower())
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


def _algorithms(text: str) -> tuple[str, ...]:
    if not text or not {"HS256", "HS384", "HS512"}.issuperset(_listed(text)):
        raise ValueError("one or several of HS256, HS384, HS512")
    return tuple(_listed(text))


def _networks(text: str) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
    try:
        return tuple(ipaddress.ip_network(one) for one in _listed(text))
    except ValueError:
        raise ValueError("addresses or networks such as 127.0.0.1 or 10.0.0.0/8") from None


def _store(text: str) -> str:
    if text != "memory:" and not re.fullmatch("sqlite:[^\0]{1,1024}", text):
        raise ValueError("sqlite:PATH, or memory:")
    return text


def store_path(url: str, environ: Mapping[str, str]) -> str:
    """The path of the journal: that of a file, absolute, or SQLite's name for its memory."""
    if url == "memory:":
        return ":memory:"
    # systemd gives its services a directory of their own; of several the first is meant.
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0] or Path.cwd()
    return str(Path(directory, url.removeprefix("sqlite:")))


def _secret(text: str) -> bytes:
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


def _row(default: str, parse: Callable[[str], object], sentence: str, hidden: bool = False) -> Any:
    """One row of the table; what is hidden is never shown."""
    row = {"default": default, "parse": parse, "sentence": sentence}
    return attrs.field(repr=not hidden, metadata=row)


_rooms = _whole(1, 100_000)
_wait = _seconds(0.1, 3600)


@attrs.frozen
class Server:
    """Where it listens, and to whom."""

    listen: tuple[str, ...] = _row(
        "tcp:5000", _endpoints, "Where clients connect: Twisted endpoints, separated by spaces."
    )
    admin: str = _row(
        "tcp:5001:interface=127.0.0.1",
        _endpoint_or_none,
        "The endpoint of the separate health and metrics site; empty for none.",
    )
    origins: tuple[str, ...] = _row(
        "",
        _origins,
        "Origins whose pages may connect, such as https://chordme.example; empty for the server's "
        "own only, * for any.",
    )
    max_connections: int = _row("10000", _whole(1, 1_000_000), "The most clients at one time.")


@attrs.frozen
class Heartbeat:
    """How long silence may last."""

    ping_interval_s: float = _row("25", _wait, "Seconds from one ping to the next.")
    ping_timeout_s: float = _row("60", _wait, "Seconds that a client has to answer a ping.")
    connect_timeout_s: float = _row(
        "10", _wait, "Seconds that a new client has to connect to a namespace."
    )
    upgrade_timeout_s: float = _row(
        "10", _wait, "Seconds that the change from polling to WebSocket may take."
    )


@attrs.frozen
class Auth:
    """Whose tokens are good, and for what."""

    secret: bytes = _row(
        "",
        _secret,
        "The key that tokens are signed with, as ChordMe has it: at least 32 random bytes. "
        f"(Make one: {HOW_TO_MAKE_ONE})",
        hidden=True,
    )
    secret_file: str = _row(
        "", _line, "A file that holds the secret, instead of it; one newline at its end is ignored."
    )
    previous_secret: bytes = _row(
        "", _secret, "The secret before, whose tokens are still good; empty for none.", hidden=True
    )
    algorithms: tuple[str, ...] = _row(
        "HS256", _algorithms, "How tokens may be signed: one or several of HS256, HS384, HS512."
    )
    issuer: str = _row("", _line, "The iss that a token must have; empty for any.")
    audience: str = _row("", _line, "The aud that a token must have; empty for none.")
    leeway_s: float = _row("5", _seconds(0, 300), "Seconds that the signer's clock may be off.")
    default_permission: str = _row(
        "edit",
        _one_of("none", "read", "edit", "admin"),
        "What a user whose token has no rooms claim may do in any room: none, read, edit, admin.",
    )
    authenticate_within_s: float = _row(
        "30", _wait, "Seconds that a connection may stay without a valid token."
    )


@attrs.frozen
class Limits:
    """How much a client may ask for."""

    connections: Rate = _row(
        "10/60", _rate, "New connections of one IP address: count/seconds, 0 for no limit."
    )
    messages: Rate = _row("60/60", _rate, "Messages of one user: count/seconds, 0 for no limit.")
    operations: Rate = _row(
        "60/60", _rate, "Operations of one user: count/seconds, 0 for no limit."
    )
    cursors: Rate = _row(
        "60/60", _rate, "Cursor updates of one user: count/seconds, 0 for no limit."
    )
    joins: Rate = _row("60/60", _rate, "Joins of one user: count/seconds, 0 for no limit.")
    event_bytes: int = _row(
        "10240", _whole(256, 1 << 24), "The most bytes of one event, as UTF-8 in its packet."
    )
    message_bytes: int = _row(
        "65536",
        _whole(256, 1 << 24),
        "The most bytes of one WebSocket message or POST body, announced as maxPayload.",
    )
    rooms_per_connection: int = _row("16", _rooms, "The most rooms that one connection is in.")
    rooms_per_user: int = _row("64", _rooms, "The most rooms that one user is in.")
    members_per_room: int = _row("50", _rooms, "The most users in one room.")
    send_buffer_bytes: int = _row(
        "1048576", _whole(65_536, 1 << 30), "Unsent bytes at which a slow client is disconnected."
    )


@attrs.frozen
class Store:
    """Where songs are kept."""

    url: str = _row(
        "sqlite:chordme.sqlite3",
        _store,
        "Where songs are kept: sqlite:PATH, a file (a relative PATH is in $STATE_DIRECTORY, else "
        "in the working directory), or memory:, as long as the daemon runs.",
        hidden=True,
    )
    synchronous: str = _row(
        "full",
        _one_of("full", "normal"),
        "What an acknowledged edit survives: full, every crash and power cut; normal, every crash "
        "of the daemon, but a power cut may take the last moments. Normal is easier on the disk.",
    )


@attrs.frozen
class Cluster:
    """What joins several instances."""

    redis_url: str = _row(
        "",
        _one_of("", expected="nothing: this version runs as one instance, without Redis"),
        "Leave empty: this version runs as one instance, without Redis.",
        hidden=True,
    )


@attrs.frozen
class Proxy:
    """Who may speak for others."""

    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = _row(
        "", _networks, "Addresses and networks of the proxies whose X-Forwarded-For is believed."
    )


@attrs.frozen
class Log:
    """What is logged, and how."""

    level: str = _row(
        "info",
        _one_of("debug", "info", "warn", "error"),
        "The least that is logged: debug, info, warn or error.",
    )
    format: str = _row(
        "text", _one_of("text", "json"), "One event a line: text for people, json for machines."
    )


@attrs.frozen
class Config:
    """Every setting, checked."""

    server: Server
    heartbeat: Heartbeat
    auth: Auth
    limits: Limits
    store: Store
    cluster: Cluster
    proxy: Proxy
    log: Log
    demo: bool
