"""What each floor is told of the configuration: plain values, in its own words."""

import math

from twisted.internet.ssl import Certificate

from chordme_daemon import settings
from chordme_daemon.app.auth import Verifier
from chordme_daemon.app.keyring import Key, secret_key
from chordme_daemon.app.limits import Limits
from chordme_daemon.app.rooms import Capacity
from chordme_daemon.engineio.settings import Heartbeat, Settings
from chordme_daemon.settings import Auth, Config


def verifier(auth: Auth) -> Verifier:
    """Who tells good tokens from bad ones; where keys are published, it is given them later."""
    keys: list[Key] | None = list(auth.key_files)
    if auth.jwks_url:
        keys = None
    elif auth.secret:
        keys = [secret_key(auth.secret, auth.algorithms)]
        if auth.previous_secret:
            until_s = math.inf if auth.previous_until_s is None else auth.previous_until_s
            keys.append(secret_key(auth.previous_secret, auth.algorithms, until_s))
    return Verifier(
        keys,
        issuer=auth.issuer or None,
        audience=auth.audience or None,
        leeway_s=auth.leeway_s,
        user_claim=auth.user_claim,
    )


def authorities(path: str) -> list[Certificate]:
    if not path:
        return []
    with open(path, "rb") as file:
        blocks = file.read().split(b"-----BEGIN CERTIFICATE-----")[1:]
    return [Certificate.loadPEM(b"-----BEGIN CERTIFICATE-----" + block) for block in blocks]


def engine_settings(config: Config, most_connections: int) -> Settings:
    heartbeat, limits = config.heartbeat, config.limits
    return Settings(
        heartbeat=Heartbeat(heartbeat.ping_interval_s, heartbeat.ping_timeout_s),
        upgrade_timeout_s=heartbeat.upgrade_timeout_s,
        max_message_bytes=limits.message_bytes,
        max_queued_bytes=limits.send_buffer_bytes,
        max_sockets=min(config.server.max_connections, most_connections),
    )


def capacity(limits: settings.Limits) -> Capacity:
    return Capacity(limits.rooms_per_connection, limits.rooms_per_user, limits.members_per_room)


def limits(config: Config) -> Limits:
    limits = config.limits
    announced: dict[str, object] = {
        name: {"count": rate.count, "seconds": rate.per_s}
        for name in ("connections", "messages", "operations", "cursors", "joins")
        if (rate := getattr(limits, name)).count
    }
    for name in ("event_bytes", "message_bytes", "rooms_per_connection", "members_per_room"):
        announced[name] = getattr(limits, name)
    for name in ("connections_per_address", "connections_per_user"):
        if most := getattr(limits, name):
            announced[name] = most
    return Limits(
        messages=limits.messages,
        operations=limits.operations,
        cursors=limits.cursors,
        joins=limits.joins,
        event_bytes=limits.event_bytes,
        rooms_per_connection=limits.rooms_per_connection,
        announced=announced,
    )
