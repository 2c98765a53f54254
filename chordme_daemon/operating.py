"""The settings of who operates it: who may look in, who is told what, whether it is a demo.

The rest of the table is in `settings`.
"""

import ipaddress

import attrs

from chordme_daemon import parsers
from chordme_daemon.setting import setting


@attrs.frozen
class Proxy:
    """Who may speak for others."""

    trusted: tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...] = setting(
        "",
        parsers.networks,
        "Addresses and networks of the proxies whose X-Forwarded-For is believed.",
    )


@attrs.frozen
class Admin:
    """Who may call the admin site, beyond its health and metrics."""

    key: bytes = setting(
        "",
        parsers.secret,
        "The key that calls need, as Authorization: Bearer KEY: at least 32 random characters. "
        "Empty: calls are only answered on this machine, and need none.",
        hidden=True,
    )
    key_file: str = setting(
        "",
        parsers.line,
        "A file that holds the key, instead of it; one newline at its end is ignored.",
    )


@attrs.frozen
class Log:
    """What is logged, and how."""

    level: str = setting(
        "info",
        parsers.one_of("debug", "info", "warn", "error"),
        "The least that is logged: debug, info, warn or error.",
    )
    format: str = setting(
        "text",
        parsers.one_of("text", "json"),
        "One event a line: text for people, json for machines.",
    )


@attrs.frozen
class Metrics:
    """Who is told of figures, beside those who ask the admin site."""

    statsd: str = setting(
        "",
        parsers.host_and_port,
        "HOST:PORT of a StatsD server that is told of them every ten seconds, by UDP; empty for "
        "none.",
    )
    flavour: str = setting(
        "statsd",
        parsers.one_of("statsd", "dogstatsd"),
        "How it wants them: statsd, with labels as parts of names; dogstatsd, with tags.",
    )
    prefix: str = setting(
        "chordme.", parsers.metric_prefix, "What the names of figures begin with there."
    )


@attrs.frozen
class Demo:
    """Whether it is only tried out."""

    enabled: bool = setting(
        "no",
        parsers.flag,
        "Whether it is only tried out, as with --demo: a page to write on, tokens for whoever one "
        "says one is, songs in memory; [auth], [cluster] and [backend] are left out. yes or no.",
    )
    anywhere: bool = setting(
        "no",
        parsers.flag,
        "Whether a demo may listen elsewhere than on this machine alone: whoever reaches it may "
        "read and edit all of its songs. yes or no.",
    )
