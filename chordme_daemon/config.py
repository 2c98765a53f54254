"""The configuration: read once, checked once, frozen. Only `service` and `cli` import it.

- What may be configured is the table in `settings`; names, errors and `default_ini` come from it.
- Defaults < ini file < environment < command line; a CHORDME_ name beats a legacy name. An empty
  variable counts as not set; a file and the command line may set a setting to nothing.
- What is wrong is one line that names the source, the key, the value and what is expected.
  A secret, or a URL that may carry one, is never in that line, nor in a repr.
"""

import configparser
import difflib
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs

from chordme_daemon.app.keyring import WITH_A_PUBLIC_KEY, WITH_A_SECRET
from chordme_daemon.parsers import (
    HOW_TO_MAKE_ONE,
    MIN_SECRET_BYTES,
    endpoint,
    secret_in,
    strong,
)
from chordme_daemon.settings import (
    Admin,
    Auth,
    Backend,
    Cluster,
    Config,
    Heartbeat,
    Limits,
    Log,
    Metrics,
    Proxy,
    Server,
    Store,
)

ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - this is to refuse it
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class ConfigError(Exception):
    """What is wrong with the configuration, in one line."""

    def __init__(self, source: str, problem: str) -> None:
        line = f"{source}: {problem}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


def _flask_endpoint(host: str, port: str) -> str:
    quoted = host.replace("\\", "\\\\").replace(":", "\\:")
    return f"tcp:{port or 5000}" + (f":interface={quoted}" if host else "")


def _flask_level(debug: str) -> str:
    return "" if debug.lower() in {"0", "false", "no", "off"} else "debug"


@attrs.frozen
class _Given:
    """What one source says; of two, the one of the higher rank counts."""

    rank: int
    source: str
    text: str


def _key(row: "attrs.Attribute[Any]") -> str:
    """A file has no unit in its keys."""
    return row.name.removesuffix("_s")


SECTIONS = {
    cls.__name__.lower(): cls
    for cls in (
        Server,
        Heartbeat,
        Auth,
        Limits,
        Store,
        Cluster,
        Backend,
        Proxy,
        Admin,
        Log,
        Metrics,
    )
}
SETTINGS: dict[str, "attrs.Attribute[Any]"] = {
    f"{section}.{_key(row)}": row for section, cls in SECTIONS.items() for row in attrs.fields(cls)
}
VARIABLES = {f"CHORDME_{name.replace('.', '_').upper()}": name for name in SETTINGS}
# What ChordMe deployments set already, the later before the earlier.
LEGACY: tuple[tuple[tuple[str, ...], str, Callable[..., str]], ...] = (
    (("FLASK_HOST", "FLASK_PORT"), "server.listen", _flask_endpoint),
    (("FLASK_DEBUG",), "log.level", _flask_level),
    (("WEBSOCKET_PING_INTERVAL",), "heartbeat.ping_interval", str),
    (("WEBSOCKET_PING_TIMEOUT",), "heartbeat.ping_timeout", str),
    (("JWT_SECRET_KEY",), "auth.secret", str),
    (("REDISCLOUD_URL",), "cluster.redis_url", str),
    (("REDIS_URL",), "cluster.redis_url", str),
)
# What Kubernetes and Docker add to the environment beside a service that is named chordme.
SERVICE_LINK = re.compile(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(?:TCP|UDP)\w*)")
INTRODUCTION = """\
The settings of twistd chordme. Each is shown with its default and commented out: take the # away
to change it. A value that goes on over several lines is indented. Each is also an environment
variable, CHORDME_<SECTION>_<KEY>, which goes before this file: CHORDME_SERVER_LISTEN is listen in
[server]. An empty variable counts as not set. The command line goes before both."""
# The secrets that may be in files.
FILED = (("auth.secret", "auth.secret_file"), ("admin.key", "admin.key_file"))
IN_DEMO = {
    "auth.secret": "",
    "auth.secret_file": "",
    "auth.previous_secret": "",
    "auth.key_files": "",
    "auth.jwks_url": "",
    "auth.algorithms": "HS256",
    "auth.user_claim": "user_id",
    "limits.connections": "0",
    "cluster.redis_url": "",
    "cluster.peer_listen": "",
    "cluster.emitters": "",
    "backend.url": "",
}


def load(
    *,
    ini: Path | None,
    environ: Mapping[str, str],
    overrides: Sequence[str],
    demo: bool,
    demo_secret: bytes = b"",
    secret_needed: bool = True,
) -> Config:
    """The configuration of all its sources, or ConfigError.

    In demo mode it has `demo_secret` and no other, listens on loopback only, counts no
    connections, and keeps songs in memory. Without a daemon to start, no secret is needed.
    """
    given = _gather(ini, environ, overrides, demo=demo)
    values = {name: _parsed(name, given) for name in SETTINGS}
    if demo:
        _check_loopback(given)
        values["auth.secret"] = _parsed("auth.secret", given, lambda _: strong(demo_secret))
    for name, file in FILED:
        if given[file].text:
            values[name] = _parsed(file, given, secret_in)
    keys = _check_keys(given, values)
    if secret_needed and not values["auth.secret"] and not keys:
        secret = given["auth.secret"]
        source = secret.source if secret.rank else "configuration"
        problem = f"auth.secret is not set: expected at least {MIN_SECRET_BYTES} random bytes"
        raise ConfigError(source, f"{problem}; make one: {HOW_TO_MAKE_ONE}")
    _check_sizes(given, values)
    _check_cluster(given, values)
    _check_workers(given, values)
    return _frozen(values, demo)


def effective(
    *, ini: Path | None, environ: Mapping[str, str], overrides: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """The text of each setting, and where it comes from; what is secret is `***`."""
    given = _gather(ini, environ, overrides, demo=False)
    return {
        name: (one.text if SETTINGS[name].repr or not one.text else "***", one.source)
        for name, one in given.items()
    }


def _gather(
    ini: Path | None, environ: Mapping[str, str], overrides: Sequence[str], *, demo: bool
) -> dict[str, _Given]:
    """What the strongest source says of each setting."""
    if demo and (environ.get("FLASK_PORT") or environ.get("FLASK_HOST")):
        # A ChordMe developer's shell may have it elsewhere, for Flask.
        environ = {**environ, "FLASK_HOST": LOOPBACK[0]}
    given = {name: _Given(0, "default", row.metadata["default"]) for name, row in SETTINGS.items()}
    if demo:
        listen = f"tcp:5000:interface={LOOPBACK[0]}"
        given["server.listen"] = _Given(0, "demo mode", listen)
        given["store.url"] = _Given(0, "demo mode", "memory:")
    given |= _from_ini(ini) if ini is not None else {}
    given |= _from_environment(environ)
    given |= _from_command_line(overrides)
    given |= {name: _Given(5, "demo mode", text) for name, text in IN_DEMO.items() if demo}
    for name, file in FILED:
        _choose(given, name, file)
    return given


def _frozen(values: Mapping[str, Any], demo: bool) -> Config:
    sections: dict[str, Any] = {
        section: cls(**{row.name: values[f"{section}.{_key(row)}"] for row in attrs.fields(cls)})
        for section, cls in SECTIONS.items()
    }
    return Config(**sections, demo=demo)


def _from_ini(path: Path) -> dict[str, _Given]:
    parser = configparser.RawConfigParser(
        delimiters=("=",), default_section="", empty_lines_in_values=False
    )
    source = str(path)
    try:
        parser.read_string(path.read_bytes().decode("utf-8-sig"))
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not UTF-8"
        raise ConfigError(source, f"expected a readable file of UTF-8 text: {reason}") from None
    except (configparser.DuplicateSectionError, configparser.DuplicateOptionError) as error:
        name = f"{error.section}.{getattr(error, 'option', '*')}"
        raise ConfigError(source, f"line {error.lineno}: {name}: expected only once") from None
    except configparser.ParsingError as error:
        # Never the line itself: it may hold a secret.
        line = getattr(error, "lineno", None) or error.errors[0][0]
        problem = f"line {line}: expected [section], key = value or # comment"
        raise ConfigError(source, problem) from None
    for section in parser.sections():
        if section not in SECTIONS:
            raise _unknown(source, f"section [{section}]", section, SECTIONS)
        for key in parser[section]:
            if f"{section}.{key}" not in SETTINGS:
                raise _unknown(source, f"key {section}.{key}", f"{section}.{key}", SETTINGS)
    return {
        f"{section}.{key}": _Given(1, source, text)
        for section in parser.sections()
        for key, text in parser.items(section)
    }


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    given = {}
    for names, setting, read in LEGACY:
        found = [name for name in names if environ.get(name)]
        text = read(*(environ.get(name, "") for name in names)) if found else ""
        if text:
            source = f"environment variable{'s' * (len(found) > 1)} {' and '.join(found)}"
            given[setting] = _Given(2, source, text)
    for name, text in environ.items():
        if name in VARIABLES:
            if text:
                given[VARIABLES[name]] = _Given(3, f"environment variable {name}", text)
        elif name.startswith("CHORDME_") and not _is_service_link(name, text):
            raise _unknown("environment", f"variable {name}", name, VARIABLES)
    return given


def _is_service_link(name: str, text: str) -> bool:
    return bool(SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in text)


def _from_command_line(overrides: Iterable[str]) -> dict[str, _Given]:
    given = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals:
            # Only its beginning: it may hold a secret.
            shown = re.match(r"[\w.]*", override)
            raise ConfigError(
                "command line", f"{shown[0] if shown else ''}: expected section.key=value"
            )
        if name not in SETTINGS:
            raise _unknown("command line", f"key {name}", name, SETTINGS)
        if name in given:
            raise ConfigError("command line", f"{name}: expected only once")
        given[name] = _Given(4, "command line", text)
    return given


def _parsed(
    name: str, given: Mapping[str, _Given], parse: Callable[[str], Any] | None = None
) -> Any:
    row, text = SETTINGS[name], given[name].text
    try:
        return (parse or row.metadata["parse"])(text.strip() if row.repr else text)
    except ValueError as error:
        raise _wrong(name, given[name], str(error)) from None


def _wrong(name: str, given: _Given, expected: str) -> ConfigError:
    shown = repr(given.text if len(given.text) <= 80 else f"{given.text[:77]}...")
    shown = shown if SETTINGS[name].repr else "***"
    return ConfigError(given.source, f"{name} = {shown}: expected {expected}")


def _unknown(source: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"{near[0]}, perhaps" if near else "one that etc/chordme.ini shows"
    return ConfigError(source, f"unknown {what[:80]}: expected {hint}")


def _choose(given: dict[str, _Given], name: str, in_file: str) -> None:
    """Leave a secret or its file, whichever the stronger source has."""
    secret, file = given[name], given[in_file]
    if secret.text and file.text:
        if secret.rank == file.rank:
            raise _wrong(in_file, file, f"nothing, as {secret.source} has {name} too")
        loser = name if secret.rank < file.rank else in_file
        given[loser] = _Given(0, "default", "")


def _check_loopback(given: Mapping[str, _Given]) -> None:
    for name in ("server.listen", "server.admin"):
        for one in given[name].text.split():
            if endpoint(one).get("interface", "").replace("\\", "") not in LOOPBACK:
                expected = f"only loopback in demo mode, such as tcp:5000:interface={LOOPBACK[0]}"
                raise _wrong(name, given[name], expected)


def _check_keys(given: Mapping[str, _Given], values: dict[str, Any]) -> bool:
    """Whether tokens are signed with public keys; then nothing is with a secret."""
    sources = [name for name in ("auth.key_files", "auth.jwks_url") if values[name]]
    if len(sources) > 1:
        raise _wrong(sources[1], given[sources[1]], f"nothing, as {sources[0]} is set")
    algorithms = given["auth.algorithms"]
    if sources:
        for name in ("auth.secret", "auth.secret_file", "auth.previous_secret"):
            if values[name]:
                expected = "nothing, as a secret is set: public keys and a secret never go together"
                raise _wrong(sources[0], given[sources[0]], expected)
        if not algorithms.rank:
            values["auth.algorithms"] = WITH_A_PUBLIC_KEY
    if set(values["auth.algorithms"]).issubset(WITH_A_SECRET) == bool(sources):
        expected = ", ".join(WITH_A_PUBLIC_KEY if sources else WITH_A_SECRET)
        raise _wrong("auth.algorithms", algorithms, f"some of {expected}")
    if values["auth.previous_until"] is not None and not values["auth.previous_secret"]:
        name = "auth.previous_until"
        raise _wrong(name, given[name], "nothing, as there is no auth.previous_secret")
    if values["auth.jwks_ca"] and not values["auth.jwks_url"]:
        raise _wrong("auth.jwks_ca", given["auth.jwks_ca"], "nothing without auth.jwks_url")
    return bool(sources)


def _check_sizes(given: Mapping[str, _Given], values: Mapping[str, Any]) -> None:
    sizes = ("limits.event_bytes", "limits.message_bytes", "limits.send_buffer_bytes")
    for small, big in pairwise(sizes):
        if values[small] > values[big]:
            if given[big].rank:
                raise _wrong(big, given[big], f"at least {small} ({values[small]})")
            raise _wrong(small, given[small], f"at most {big} ({values[big]})")


def _check_cluster(given: Mapping[str, _Given], values: Mapping[str, Any]) -> None:
    for name in ("cluster.peer_listen", "cluster.emitters"):
        if values[name] and not values["cluster.redis_url"]:
            raise _wrong(name, given[name], "nothing, as cluster.redis_url is not set")
    listens = values["cluster.peer_listen"]
    if listens and not values["cluster.peer_address"]:
        where = endpoint(listens)
        if where.get("interface", "").replace("\\", "") in ANYWHERE:
            raise _wrong(
                "cluster.peer_listen",
                given["cluster.peer_listen"],
                "an interface, such as tcp:5002:interface=10.0.0.1, or cluster.peer_address",
            )


def _check_workers(given: Mapping[str, _Given], values: Mapping[str, Any]) -> None:
    if values["server.workers"] == 1:
        return
    if not values["cluster.redis_url"]:
        raise _wrong(
            "server.workers", given["server.workers"], "1, as cluster.redis_url is not set"
        )
    for name in ("server.listen", "server.admin"):
        for one in given[name].text.split():
            if not one.startswith(("tcp:", "tcp6:")):
                raise _wrong(name, given[name], "only tcp: endpoints, as there are several workers")


def default_ini() -> str:
    """The text of etc/chordme.ini: every setting with its sentence and its default."""
    lines = [f"# {line}" for line in INTRODUCTION.splitlines()]
    for section, cls in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for row in attrs.fields(cls):
            sentence = f"{row.metadata['sentence']}{_also(f'{section}.{_key(row)}')}"
            lines += ["", *_comment(sentence)]
            lines += [f"#{_key(row)} = {row.metadata['default']}".rstrip()]
    return "\n".join(lines) + "\n"


def _comment(sentence: str) -> list[str]:
    return textwrap.wrap(
        sentence, 98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _also(name: str) -> str:
    legacy = [" and ".join(names) for names, setting, _ in LEGACY if setting == name]
    return f" Also set by {', then '.join(reversed(legacy))}." if legacy else ""
