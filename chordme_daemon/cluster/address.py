"""Where a Redis is, as its URL says."""

import re
from urllib.parse import parse_qs, unquote, urlsplit

import attrs

EXPECTED = (
    "a URL such as redis://127.0.0.1:6379/0, rediss://user:password@host:6379/0 "
    "or unix:///run/redis/redis.sock?db=0"
)


@attrs.frozen
class RedisAddress:
    """One Redis: a host and port, with TLS or without, or the path of a socket."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    tls: bool = False
    database: int = 0
    username: str = attrs.field(default="", repr=False)
    password: str = attrs.field(default="", repr=False)

    def __str__(self) -> str:
        """For people: where, without who we are there."""
        if self.path:
            return f"unix://{self.path}?db={self.database}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'rediss' if self.tls else 'redis'}://{host}:{self.port}/{self.database}"


def redis_address(url: str) -> RedisAddress:
    """Read a URL; a ValueError says what is expected, never what it was given."""
    try:
        parts = urlsplit(url)
        port = parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError:
        raise ValueError(EXPECTED) from None
    is_socket = parts.scheme == "unix"
    named = query.pop("db", ["0"])[-1] if is_socket else unquote(parts.path).strip("/") or "0"
    where = bool(parts.path) and not parts.hostname if is_socket else bool(parts.hostname)
    if (
        parts.scheme not in ("redis", "rediss", "unix")
        or not where
        or query
        or parts.fragment
        or not re.fullmatch("[0-9]{1,5}", named)
        or any(not character.isprintable() for character in unquote(url))
    ):
        raise ValueError(EXPECTED)
    return RedisAddress(
        host=parts.hostname or "",
        port=port or 6379,
        path=unquote(parts.path) if is_socket else "",
        tls=parts.scheme == "rediss",
        database=int(named),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
    )
