"""What of a configuration can be changed while a daemon runs, and what cannot."""

from collections.abc import Iterator
from typing import Any, Final

import attrs

from chordme_daemon.settings import Config
from chordme_daemon.sources import SECTIONS, SETTINGS

# With keys that are published at a URL, these are as they were: the two never go together.
KEYS: Final = frozenset(
    {
        "auth.secret",
        "auth.secret_file",
        "auth.previous_secret",
        "auth.previous_until",
        "auth.key_files",
        "auth.algorithms",
    }
)
LIVE: Final = frozenset(
    {
        *KEYS,
        "server.origins",
        "server.max_connections",
        "server.drain_within",
        "auth.user_claim",
        "auth.issuer",
        "auth.audience",
        "auth.leeway",
        "auth.default_permission",
        "auth.authenticate_within",
        "proxy.trusted",
        *(name for name in SETTINGS if name.startswith(("limits.", "admin.key", "log."))),
    }
)
# What is said of changes that were made, and of those that cannot be.
RELOADED: Final = "The configuration is reloaded; changed: {names}"
COUNTS_LATER: Final = "These have changed, and count from the next start on: {names}"


def changed(old: Config, new: Config) -> Iterator[str]:
    """The names of the settings that are not the same."""
    for name in SETTINGS:
        if _value(old, name) != _value(new, name):
            yield name


def merged(old: Config, new: Config) -> tuple[Config, list[str], list[str]]:
    """What a running daemon goes by when it is told so; which changes it makes, and which not."""
    names = list(changed(old, new))
    fixed = [name for name in names if name not in LIVE]
    if "auth.jwks_url" in fixed:
        fixed += [name for name in names if name in KEYS]
    kept: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for name in fixed:
        kept[name.partition(".")[0]][SETTINGS[name].name] = _value(old, name)
    sections = {
        section: attrs.evolve(getattr(new, section), **values) for section, values in kept.items()
    }
    made = [name for name in names if name not in fixed]
    return attrs.evolve(new, **sections), made, fixed


def _value(config: Config, name: str) -> Any:
    return getattr(getattr(config, name.partition(".")[0]), SETTINGS[name].name)
