"""What `doctor` sees of secrets and keys: whose they are, and who else may read them."""

import shlex
import ssl
import stat
import time
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from chordme_daemon.app.auth import Verifier
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.keyring import key_set
from chordme_daemon.commands.finding import Finding, error, warning, well
from chordme_daemon.commands.visit import ask
from chordme_daemon.parsers import endpoint
from chordme_daemon.settings import Auth, Config
from chordme_daemon.sources import SETTINGS, from_ini
from chordme_daemon.values import verifier

NAME: Final = "secret"
# Of these only what stands in front of an @ is a secret.
URLS: Final = ("store.url", "cluster.redis_url")
SEE: Final = "see also algorithms, issuer, audience and user_claim."


def secret(auth: Auth, token: str | None) -> Finding:
    """Whether tokens are taken that were signed elsewhere; a weak secret is not read at all."""
    believes = verifier(auth)
    what, remedy = "strong", f"Set [auth] secret to ChordMe's JWT_SECRET_KEY; {SEE}"
    if auth.key_files:
        what, remedy = f"{len(auth.key_files)} public keys", f"Correct [auth] key_files; {SEE}"
    elif auth.jwks_url:
        try:
            keys = key_set(_fetched(auth))
        except (OSError, HTTPException, ValueError) as problem:
            return error(
                NAME,
                f"no keys at {auth.jwks_url}: {str(problem) or type(problem).__name__}",
                "Check [auth] jwks_url and jwks_ca, and that this machine reaches it.",
            )
        believes.use(keys)
        what = f"{len(keys)} public keys are at {auth.jwks_url}"
        remedy = f"Correct [auth] jwks_url; {SEE}"
    if token is None:
        return well(NAME, f"{what}; --token says whether it is ChordMe's")
    return _tried(believes, token, remedy)


def _fetched(auth: Auth) -> bytes:
    parts = urlsplit(auth.jwks_url)
    context = ssl.create_default_context(cafile=auth.jwks_ca or None)
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    answer = ask(auth.jwks_url, path, context=context)
    if answer.status != 200:
        raise ValueError(f"it answers {answer.status}")
    return answer.body


def _tried(believes: Verifier, token: str, remedy: str) -> Finding:
    try:
        identity = believes.verify(token, time.time())
    except Refused as refused:
        if refused.code is Code.TOKEN_EXPIRED:
            return warning(NAME, "the token is ChordMe's, but has expired", "Try a fresh one.")
        return error(NAME, "the token was not signed with it, or is not for us", remedy)
    return well(NAME, f"the token is good, for the user {identity.user_id!r}")


def files(config: Config, ini: Path | None) -> Iterator[Finding]:
    """Whether anybody on this machine may read, or write, the files with secrets."""
    for path in _secret_files(config, ini):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # what it is needed for says so
        if mode & stat.S_IRWXO:
            may = "read" if mode & stat.S_IROTH else "write"
            yield warning(
                f"file {path}",
                f"everybody on this machine may {may} it",
                f"chmod o= {shlex.quote(str(path))}; and if others work here, make new secrets.",
            )


def _secret_files(config: Config, ini: Path | None) -> Iterator[Path]:
    yield from map(Path, filter(None, (config.auth.secret_file, config.admin.key_file)))
    for text in (*config.server.listen, config.server.admin):
        parameters = endpoint(text) if text else {}
        if text.startswith("ssl:"):
            yield Path(parameters.get("privateKey", "server.pem"))
        elif text.startswith("tls:"):
            yield from sorted(Path(parameters["path"]).glob("*.pem"))
    if ini is not None and any(
        _is_secret(name, given.text) for name, given in from_ini(ini).items()
    ):
        yield ini


def _is_secret(name: str, text: str) -> bool:
    return bool(text) and not SETTINGS[name].repr and (name not in URLS or "@" in text)
