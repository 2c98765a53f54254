"""Where settings come from: a file, the environment, the command line; and what is wrong there.

Names are checked here, values in `config`. What is wrong is one line that names the source, the key
and what is expected; never a secret, nor a line of a file, which may hold one.
"""

import configparser
import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from chordme_daemon.settings import Config


class ConfigError(Exception):
    """What is wrong with the configuration, in one line."""

    def __init__(self, source: str, problem: str) -> None:
        line = f"{source}: {problem}"
        super().__init__("".join(c if c.isprintable() else repr(c)[1:-1] for c in line))


def flask_endpoint(host: str, port: str) -> str:
    """Where Flask would listen, as an endpoint."""
    quoted = host.replace("\\", "\\\\").replace(":", "\\:")
    return f"tcp:{port or 5000}" + (f":interface={quoted}" if host else "")


def _flask_level(debug: str) -> str:
    return "" if debug.lower() in {"0", "false", "no", "off"} else "debug"


@attrs.frozen
class Given:
    """What one source says; of two, the one of the higher rank counts."""

    rank: int
    source: str
    text: str


def key_of(row: "attrs.Attribute[Any]") -> str:
    """A file has no unit in its keys."""
    return row.name.removesuffix("_s")


SECTIONS: dict[str, Any] = {row.name: row.type for row in attrs.fields(Config)}
SETTINGS: dict[str, "attrs.Attribute[Any]"] = {
    f"{section}.{key_of(row)}": row
    for section, cls in SECTIONS.items()
    for row in attrs.fields(cls)
}
VARIABLES = {f"CHORDME_{name.replace('.', '_').upper()}": name for name in SETTINGS}
LEGACY_RANK = 2
# What ChordMe deployments set already, the later before the earlier.
LEGACY: tuple[tuple[tuple[str, ...], str, Callable[..., str]], ...] = (
    (("FLASK_HOST", "FLASK_PORT"), "server.listen", flask_endpoint),
    (("FLASK_DEBUG",), "log.level", _flask_level),
    (("WEBSOCKET_PING_INTERVAL",), "heartbeat.ping_interval", str),
    (("WEBSOCKET_PING_TIMEOUT",), "heartbeat.ping_timeout", str),
    (("JWT_SECRET_KEY",), "auth.secret", str),
    (("REDISCLOUD_URL",), "cluster.redis_url", str),
    (("REDIS_URL",), "cluster.redis_url", str),
)
# What Kubernetes and Docker add to the environment beside a service that is named chordme.
SERVICE_LINK = re.compile(r"(?:\w+_)?(?:SERVICE_HOST|SERVICE_PORT\w*|PORT_\d+_(?:TCP|UDP)\w*)")


def from_ini(path: Path) -> dict[str, Given]:
    """What a file says."""
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
        f"{section}.{key}": Given(1, source, text)
        for section in parser.sections()
        for key, text in parser.items(section)
    }


def from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    """What the environment says; of two names of one setting, ours counts."""
    given = {}
    for names, setting, read in LEGACY:
        found = [name for name in names if environ.get(name)]
        text = read(*(environ.get(name, "") for name in names)) if found else ""
        if text:
            source = f"environment variable{'s' * (len(found) > 1)} {' and '.join(found)}"
            given[setting] = Given(LEGACY_RANK, source, text)
    for name, text in environ.items():
        if name in VARIABLES:
            if text:
                given[VARIABLES[name]] = Given(3, f"environment variable {name}", text)
        elif name.startswith("CHORDME_") and not _is_service_link(name, text):
            raise _unknown("environment", f"variable {name}", name, VARIABLES)
    return given


def _is_service_link(name: str, text: str) -> bool:
    return bool(SERVICE_LINK.fullmatch(name)) or (name.endswith("_PORT") and "://" in text)


def from_command_line(overrides: Iterable[str]) -> dict[str, Given]:
    """What `--set` says, each once."""
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
        given[name] = Given(4, "command line", text)
    return given


def wrong(name: str, given: Given, expected: str) -> ConfigError:
    """What is said of a wrong value, with the value if it is no secret."""
    shown = repr(given.text if len(given.text) <= 80 else f"{given.text[:77]}...")
    shown = shown if SETTINGS[name].repr else "***"
    return ConfigError(given.source, f"{name} = {shown}: expected {expected}")


def _unknown(source: str, what: str, name: str, known: Iterable[str]) -> ConfigError:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"{near[0]}, perhaps" if near else "one that etc/chordme.ini shows"
    return ConfigError(source, f"unknown {what[:80]}: expected {hint}")
