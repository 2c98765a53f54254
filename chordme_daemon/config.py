"""The configuration: read and checked as a whole, frozen. `service` and `commands` import it.

- What may be configured is the table in `settings`; names, errors and `default_ini` come from it.
- Defaults < ini file < environment < command line; a CHORDME_ name beats a legacy name. An empty
  variable counts as not set; a file and the command line may set a setting to nothing.
- What is wrong is one line that names the source, the key, the value and what is expected.
  A secret, or a URL that may carry one, is never in that line, nor in a repr.
"""

import textwrap
from collections.abc import Callable, Mapping, Sequence
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
from chordme_daemon.settings import Config
from chordme_daemon.sources import (
    LEGACY,
    LEGACY_RANK,
    SECTIONS,
    SETTINGS,
    ConfigError,
    Given,
    flask_endpoint,
    from_command_line,
    from_environment,
    from_ini,
    key_of,
    wrong,
)

ANYWHERE = ("", "0.0.0.0", "::")  # noqa: S104 - this is to refuse it
# The endpoints that several workers can have together.
SHARED = {"server.listen": ("tcp", "tcp6", "systemd"), "server.admin": ("tcp", "tcp6")}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
INTRODUCTION = """\
The settings of twistd chordme. Each is shown with its default and commented out: take the # away
to change it. A value that goes on over several lines is indented. Each is also an environment
variable, CHORDME_<SECTION>_<KEY>, which goes before this file: CHORDME_SERVER_LISTEN is listen in
[server]. An empty variable counts as not set. The command line goes before both."""
# The secrets that may be in files.
FILED = (("auth.secret", "auth.secret_file"), ("admin.key", "admin.key_file"))
# What a demo has for itself, whatever is said elsewhere.
IN_DEMO = {
    "auth.secret": "",
    "auth.secret_file": "",
    "auth.previous_secret": "",
    "auth.key_files": "",
    "auth.jwks_url": "",
    "auth.algorithms": "HS256",
    "auth.user_claim": "user_id",
    "cluster.redis_url": "",
    "cluster.peer_listen": "",
    "cluster.emitters": "",
    "backend.url": "",
}
# All who try it on one machine have one address.
ON_LOOPBACK = {"limits.connections": "0"}


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

    A demo, by `demo` or by `[demo] enabled`, has `demo_secret` and no other, keeps songs in memory,
    and, but with `[demo] anywhere`, listens on loopback only and counts no connections. Without a
    daemon to start, no secret is needed.
    """
    given = _gather(ini, environ, overrides, demo=demo)
    values = {name: _parsed(name, given) for name in SETTINGS}
    if values["demo.enabled"]:
        _check_loopback(given, values["demo.anywhere"])
        if secret_needed:
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
    return _frozen(values)


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
) -> dict[str, Given]:
    """What the strongest source says of each setting."""
    said = from_ini(ini) if ini is not None else {}
    said |= from_environment(environ)
    said |= from_command_line(overrides)
    if demo:
        said["demo.enabled"] = Given(4, "command line", "yes")
    given = {name: Given(0, "default", row.metadata["default"]) for name, row in SETTINGS.items()}
    if _parsed("demo.enabled", given | said):
        given |= _of_demo(given | said, said, environ)
    else:
        given |= said
    for name, file in FILED:
        _choose(given, name, file)
    return given


def _of_demo(
    given: Mapping[str, Given], said: Mapping[str, Given], environ: Mapping[str, str]
) -> dict[str, Given]:
    """What a demo makes of what is said."""
    listen = f"tcp:5000:interface={LOOPBACK[0]}"
    told = {
        "server.listen": Given(0, "demo mode", listen),
        "store.url": Given(0, "demo mode", "memory:"),
        **said,
        **{name: Given(5, "demo mode", text) for name, text in IN_DEMO.items()},
    }
    if not _parsed("demo.anywhere", given):
        told |= {name: Given(5, "demo mode", text) for name, text in ON_LOOPBACK.items()}
        flask = told["server.listen"]
        if flask.rank == LEGACY_RANK:
            # A ChordMe developer's shell may have it elsewhere, for Flask.
            text = flask_endpoint(LOOPBACK[0], environ.get("FLASK_PORT", ""))
            told["server.listen"] = attrs.evolve(flask, text=text)
    return told


def _frozen(values: Mapping[str, Any]) -> Config:
    return Config(
        **{
            section: cls(
                **{row.name: values[f"{section}.{key_of(row)}"] for row in attrs.fields(cls)}
            )
            for section, cls in SECTIONS.items()
        }
    )


def _parsed(
    name: str, given: Mapping[str, Given], parse: Callable[[str], Any] | None = None
) -> Any:
    row, text = SETTINGS[name], given[name].text
    try:
        return (parse or row.metadata["parse"])(text.strip() if row.repr else text)
    except ValueError as error:
        raise wrong(name, given[name], str(error)) from None


def _choose(given: dict[str, Given], name: str, in_file: str) -> None:
    """Leave a secret or its file, whichever the stronger source has."""
    secret, file = given[name], given[in_file]
    if secret.text and file.text:
        if secret.rank == file.rank:
            raise wrong(in_file, file, f"nothing, as {secret.source} has {name} too")
        loser = name if secret.rank < file.rank else in_file
        given[loser] = Given(0, "default", "")


def _check_loopback(given: Mapping[str, Given], anywhere: bool) -> None:
    for name in ("server.admin",) if anywhere else ("server.listen", "server.admin"):
        for one in given[name].text.split():
            if endpoint(one).get("interface", "").replace("\\", "") not in LOOPBACK:
                expected = f"only loopback in demo mode, such as tcp:5000:interface={LOOPBACK[0]}"
                raise wrong(name, given[name], expected)


def _check_keys(given: Mapping[str, Given], values: dict[str, Any]) -> bool:
    """Whether tokens are signed with public keys; then nothing is with a secret."""
    sources = [name for name in ("auth.key_files", "auth.jwks_url") if values[name]]
    if len(sources) > 1:
        raise wrong(sources[1], given[sources[1]], f"nothing, as {sources[0]} is set")
    algorithms = given["auth.algorithms"]
    if sources:
        for name in ("auth.secret", "auth.secret_file", "auth.previous_secret"):
            if values[name]:
                expected = "nothing, as a secret is set: public keys and a secret never go together"
                raise wrong(sources[0], given[sources[0]], expected)
        if not algorithms.rank:
            values["auth.algorithms"] = WITH_A_PUBLIC_KEY
    if set(values["auth.algorithms"]).issubset(WITH_A_SECRET) == bool(sources):
        expected = ", ".join(WITH_A_PUBLIC_KEY if sources else WITH_A_SECRET)
        raise wrong("auth.algorithms", algorithms, f"some of {expected}")
    if values["auth.previous_until"] is not None and not values["auth.previous_secret"]:
        name = "auth.previous_until"
        raise wrong(name, given[name], "nothing, as there is no auth.previous_secret")
    if values["auth.jwks_ca"] and not values["auth.jwks_url"]:
        raise wrong("auth.jwks_ca", given["auth.jwks_ca"], "nothing without auth.jwks_url")
    return bool(sources)


def _check_sizes(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    sizes = ("limits.event_bytes", "limits.message_bytes", "limits.send_buffer_bytes")
    for small, big in pairwise(sizes):
        if values[small] > values[big]:
            if given[big].rank:
                raise wrong(big, given[big], f"at least {small} ({values[small]})")
            raise wrong(small, given[small], f"at most {big} ({values[big]})")


def _check_cluster(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    for name in ("cluster.peer_listen", "cluster.emitters"):
        if values[name] and not values["cluster.redis_url"]:
            raise wrong(name, given[name], "nothing, as cluster.redis_url is not set")
    listens = values["cluster.peer_listen"]
    if listens and not values["cluster.peer_address"]:
        where = endpoint(listens)
        if where.get("interface", "").replace("\\", "") in ANYWHERE:
            raise wrong(
                "cluster.peer_listen",
                given["cluster.peer_listen"],
                "an interface, such as tcp:5002:interface=10.0.0.1, or cluster.peer_address",
            )


def _check_workers(given: Mapping[str, Given], values: Mapping[str, Any]) -> None:
    if values["server.workers"] == 1:
        return
    if not values["cluster.redis_url"]:
        raise wrong("server.workers", given["server.workers"], "1, as cluster.redis_url is not set")
    for name, kinds in SHARED.items():
        for one in given[name].text.split():
            if not one.startswith(tuple(f"{kind}:" for kind in kinds)):
                expected = f"only endpoints of {', '.join(kinds)}, as there are several workers"
                raise wrong(name, given[name], expected)


def default_ini() -> str:
    """The text of etc/chordme.ini: every setting with its sentence and its default."""
    lines = [f"# {line}" for line in INTRODUCTION.splitlines()]
    for section, cls in SECTIONS.items():
        lines += ["", f"[{section}]"]
        for row in attrs.fields(cls):
            sentence = f"{row.metadata['sentence']}{_also(f'{section}.{key_of(row)}')}"
            lines += ["", *_comment(sentence)]
            lines += [f"#{key_of(row)} = {row.metadata['default']}".rstrip()]
    return "\n".join(lines) + "\n"


def _comment(sentence: str) -> list[str]:
    return textwrap.wrap(
        sentence, 98, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False
    )


def _also(name: str) -> str:
    legacy = [" and ".join(names) for names, setting, _ in LEGACY if setting == name]
    return f" Also set by {', then '.join(reversed(legacy))}." if legacy else ""
