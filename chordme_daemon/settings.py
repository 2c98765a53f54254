"""The settings: one table of what may be configured, and the values that come of it.

A field of a section class is a setting, with its default as a file has it, its parser and its
sentence for the operator.
"""

# ruff: noqa: RUF009 - what looks like a call in a default makes an attrs field.

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import attrs

from chordme_daemon import parsers
from chordme_daemon.app.keyring import Key
from chordme_daemon.app.limits import Rate
from chordme_daemon.cluster.address import RedisAddress
from chordme_daemon.operating import Admin, Demo, Log, Metrics, Proxy
from chordme_daemon.setting import setting

DEFAULT_STORE: Final = "sqlite:chordme.sqlite3"


def store_path(url: str, environ: Mapping[str, str]) -> str:
    """The path of the journal: that of a file, absolute, or SQLite's name for its memory."""
    if url == "memory:":
        return ":memory:"
    # systemd gives its services a directory of their own; of several the first is meant.
    directory = environ.get("STATE_DIRECTORY", "").split(":")[0] or Path.cwd()
    return str(Path(directory, url.removeprefix("sqlite:")))


def place_of_songs(config: "Config", environ: Mapping[str, str]) -> str:
    """Where songs are, so that two daemons that have other songs tell other places."""
    cluster = config.cluster
    if cluster.redis_url is not None:
        return f"{cluster.redis_url} {cluster.prefix}"
    path = store_path(config.store_url, environ)
    return path if path == ":memory:" else str(Path(path).resolve())


_rooms = parsers.whole(1, 100_000)
_wait = parsers.seconds(0.1, 3600)


@attrs.frozen
class Server:
    """Where it listens, and to whom."""

    listen: tuple[str, ...] = setting(
        "tcp:5000",
        parsers.endpoints,
        "Where clients connect: Twisted endpoints, separated by spaces.",
    )
    admin: str = setting(
        "tcp:5001:interface=127.0.0.1",
        parsers.endpoint_or_none,
        "The endpoint of the separate health and metrics site; empty for none.",
    )
    origins: tuple[str, ...] = setting(
        "",
        parsers.origins,
        "Origins whose pages may connect, such as https://chordme.example; empty for the server's "
        "own only, * for any.",
    )
    max_connections: int = setting(
        "10000",
        parsers.whole(1, 1_000_000),
        "The most clients at one time; fewer, where the system permits fewer open files.",
    )
    workers: int = setting(
        "1",
        parsers.whole(1, 256),
        "How many processes share these ports, each a daemon of its own, joined by the Redis of "
        "[cluster]. Worker N, from 0, has its admin site on a port that is N higher.",
    )
    drain_within_s: float = setting(
        "2",
        parsers.seconds(0, 600),
        "Seconds over which clients are sent away when the daemon stops, so that they do not all "
        "come back at once.",
    )


@attrs.frozen
class Heartbeat:
    """How long silence may last."""

    ping_interval_s: float = setting("25", _wait, "Seconds from one ping to the next.")
    ping_timeout_s: float = setting("60", _wait, "Seconds that a client has to answer a ping.")
    connect_timeout_s: float = setting(
        "10", _wait, "Seconds that a new client has to connect to a namespace."
    )
    upgrade_timeout_s: float = setting(
        "10", _wait, "Seconds that the change from polling to WebSocket may take."
    )


@attrs.frozen
class Auth:
    """Whose tokens are good, and for what."""

    secret: bytes = setting(
        "",
        parsers.secret,
        "The key that tokens are signed with, as ChordMe has it: at least 32 random bytes. "
        f"(Make one: {parsers.HOW_TO_MAKE_ONE})",
        hidden=True,
    )
    secret_file: str = setting(
        "",
        parsers.line,
        "A file that holds the secret, instead of it; one newline at its end is ignored.",
    )
    previous_secret: bytes = setting(
        "",
        parsers.secret,
        "The secret before, whose tokens are still good; empty for none.",
        hidden=True,
    )
    previous_until_s: float | None = setting(
        "",
        parsers.instant,
        "The time from which on they are refused, such as 2026-12-31T18:00:00Z (in UTC, if it does "
        "not say), or in seconds since the epoch; empty for none.",
    )
    key_files: tuple[Key, ...] = setting(
        "",
        parsers.public_keys,
        "PEM files of public keys that tokens are signed with, instead of a secret, separated by "
        "spaces. Each is for tokens whose kid is the file's name without its ending; KID:PATH "
        "names another.",
    )
    jwks_url: str = setting(
        "",
        parsers.url,
        "Where such keys are published as a JSON Web Key Set, instead of a secret or files: "
        "https://, with a certificate that is verified.",
    )
    jwks_ca: str = setting(
        "",
        parsers.authorities,
        "A PEM file of the authorities that may vouch for that server; empty for those that the "
        "system trusts.",
    )
    algorithms: tuple[str, ...] = setting(
        "HS256",
        parsers.algorithms,
        "How tokens may be signed: with a secret, one or several of HS256, HS384, HS512; with "
        "public keys, RS256 and ES256, which are both allowed then if nothing is set.",
    )
    user_claim: str = setting(
        "user_id", parsers.claim, "The claim that says whose a token is: user_id, or sub."
    )
    issuer: str = setting("", parsers.line, "The iss that a token must have; empty for any.")
    audience: str = setting("", parsers.line, "The aud that a token must have; empty for none.")
    leeway_s: float = setting(
        "5", parsers.seconds(0, 300), "Seconds that the signer's clock may be off."
    )
    default_permission: str = setting(
        "edit",
        parsers.one_of("none", "read", "edit", "admin"),
        "What a user whose token has no rooms claim may do in any room: none, read, edit, admin.",
    )
    authenticate_within_s: float = setting(
        "30", _wait, "Seconds that a connection may stay without a valid token."
    )


@attrs.frozen
class Limits:
    """How much a client may ask for."""

    connections: Rate = setting(
        "10/60", parsers.rate, "New connections of one IP address: count/seconds, 0 for no limit."
    )
    messages: Rate = setting(
        "60/60", parsers.rate, "Messages of one user: count/seconds, 0 for no limit."
    )
    operations: Rate = setting(
        "60/60", parsers.rate, "Operations of one user: count/seconds, 0 for no limit."
    )
    cursors: Rate = setting(
        "60/60", parsers.rate, "Cursor updates of one user: count/seconds, 0 for no limit."
    )
    joins: Rate = setting(
        "60/60", parsers.rate, "Joins of one user: count/seconds, 0 for no limit."
    )
    refund_authenticated: bool = setting(
        "no",
        parsers.flag,
        "Whether a connection that says who it is (by a valid token) does not count against its IP "
        "address any more: for venues where many share one. yes or no.",
    )
    connections_per_address: int = setting(
        "0",
        parsers.whole(0, 1_000_000),
        "The most connections of one IP address (IPv6: of one /64) at one time, on this instance; "
        "0 for no limit.",
    )
    connections_per_user: int = setting(
        "0",
        parsers.whole(0, 100_000),
        "The most connections of one user at one time, on this instance; 0 for no limit.",
    )
    event_bytes: int = setting(
        "10240", parsers.whole(256, 1 << 24), "The most bytes of one event, as UTF-8 in its packet."
    )
    message_bytes: int = setting(
        "65536",
        parsers.whole(256, 1 << 24),
        "The most bytes of one WebSocket message or POST body, announced as maxPayload.",
    )
    rooms_per_connection: int = setting("16", _rooms, "The most rooms that one connection is in.")
    rooms_per_user: int = setting("64", _rooms, "The most rooms that one user is in.")
    members_per_room: int = setting("50", _rooms, "The most users in one room.")
    send_buffer_bytes: int = setting(
        "1048576",
        parsers.whole(65_536, 1 << 30),
        "Unsent bytes at which a slow client is disconnected.",
    )


@attrs.frozen
class Store:
    """Where songs are kept."""

    url: str = setting(
        "",
        parsers.store,
        f"Where songs are kept: sqlite:PATH, a file (a relative PATH is in $STATE_DIRECTORY, else "
        f"in the working directory), or memory:, as long as the daemon runs. Empty for "
        f"{DEFAULT_STORE}; with a Redis, for that alone: then a file is where this instance keeps "
        "copies of the songs that it served, for a Redis that has lost them.",
        hidden=True,
    )
    synchronous: str = setting(
        "full",
        parsers.one_of("full", "normal"),
        "What an acknowledged edit survives: full, every crash and power cut; normal, every crash "
        "of the daemon, but a power cut may take the last moments. Normal is easier on the disk. "
        "(With a Redis, its own appendfsync decides.)",
    )


@attrs.frozen
class Cluster:
    """What joins several instances."""

    redis_url: RedisAddress | None = setting(
        "",
        parsers.redis,
        "The Redis that joins instances, and keeps the songs of all: redis://HOST:PORT/DATABASE, "
        "rediss:// with TLS, user:password@ before the host, or unix:///PATH?db=0. Empty for one "
        "instance alone.",
        hidden=True,
    )
    redis_ca: str = setting(
        "",
        parsers.authorities,
        "A PEM file of the authorities that may vouch for a rediss:// server; empty for those that "
        "the system trusts.",
    )
    prefix: str = setting(
        "chordme:", parsers.prefix, "What the keys and channels in Redis begin with."
    )
    peer_listen: str = setting(
        "",
        parsers.plain_endpoint_or_none,
        "The endpoint for the other instances, in a network of their own, such as "
        "tcp:5002:interface=10.0.0.1: with it, any instance serves any client, and a load balancer "
        "needs no sticky sessions. Empty for none.",
    )
    peer_address: str = setting(
        "",
        parsers.host_and_port,
        "HOST:PORT at which the others reach peer_listen; empty for its interface and port.",
    )
    emitters: tuple[str, ...] = setting(
        "",
        parsers.channels,
        "Channels of Redis in which a Flask-SocketIO or python-socketio backend may speak to "
        "clients: flask-socketio, or socketio, as its message_queue or manager has it.",
    )
    emitters_may: tuple[str, ...] = setting(
        "emit",
        parsers.some_of("emit", "enter_room", "leave_room", "close_room", "disconnect"),
        "What it may do: any of emit, enter_room, leave_room, close_room, disconnect.",
    )


@attrs.frozen
class Backend:
    """Whose songs these are."""

    url: str = setting(
        "",
        parsers.origin_or_none,
        "Where ChordMe's backend is, such as https://chordme.example: it is asked who may do what "
        "with a song, and has the songs. Empty for none: then tokens say what is allowed, and "
        "songs are only here.",
    )
    ca: str = setting(
        "",
        parsers.authorities,
        "A PEM file of the authorities that may vouch for it; empty for those that the system "
        "trusts.",
    )
    free_rooms: tuple[str, ...] = setting(
        "",
        parsers.patterns,
        "Rooms that are no songs of the backend, and in which tokens say what is allowed: names "
        "with * for anything, such as lobby-*. Other rooms are refused.",
    )
    recheck_s: float = setting(
        "60", _wait, "Seconds after which it is asked again what somebody in a room may do."
    )
    service_token: str = setting(
        "",
        parsers.line_or_longer,
        "A token with which songs are saved when nobody who may edit them is here; empty for none.",
        hidden=True,
    )
    saves: Rate = setting(
        "20/300", parsers.rate, "Saves of all songs together: count/seconds, 0 for no limit."
    )
    save_after_s: float = setting(
        "2", _wait, "Seconds without an edit after which a song is saved."
    )
    save_within_s: float = setting(
        "30", _wait, "Seconds after the first unsaved edit when it is saved in any case."
    )
    key: bytes = setting(
        "",
        parsers.secret,
        "The key that the backend's notices are signed with, of at least 32 random bytes; empty: "
        "none are taken.",
        hidden=True,
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
    backend: Backend
    proxy: Proxy
    admin: Admin
    log: Log
    metrics: Metrics
    demo: Demo

    @property
    def store_url(self) -> str:
        """Where songs are kept on this machine; empty for nowhere."""
        return self.store.url or ("" if self.cluster.redis_url else DEFAULT_STORE)
