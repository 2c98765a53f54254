"""`check-config`, `default-config` and `token`: what a configuration says, and what it signs."""

import argparse
import os
import sys
import time
from typing import Any, Final

import orjson

from chordme_daemon.app.auth import mint
from chordme_daemon.app.events import is_room_id
from chordme_daemon.commands.command import Commands, Problem, configurable, configured, read
from chordme_daemon.config import default_ini, effective
from chordme_daemon.settings import Config
from chordme_daemon.sources import SECTIONS

LEVELS: Final = ("read", "edit", "admin")
DAY_S: Final = 24 * 3600


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    check = commands.add_parser(
        "check-config", help="check the configuration, and print what is in effect"
    )
    check.add_argument("--changed", action="store_true", help="print no defaults")
    configurable(check)
    check.set_defaults(do=_check)
    default = commands.add_parser("default-config", help="print every setting with its default")
    default.set_defaults(do=lambda _: sys.stdout.write(default_ini()) and 0)
    token = commands.add_parser("token", help="make a token for a user, to try the daemon with")
    token.add_argument("user", metavar="USER", help="a whole number is one, as ChordMe has them")
    token.add_argument("--name", help="how the others see the user")
    token.add_argument(
        "--for",
        dest="good_for_s",
        metavar="SECONDS",
        type=int,
        default=DAY_S,
        help="how long it is good (86400: a day)",
    )
    token.add_argument(
        "--room",
        metavar="ROOM=LEVEL",
        action="append",
        type=_room,
        default=[],
        help="may read, edit or admin this room, and those that are named besides; else what the "
        "configuration says, in any",
    )
    configured(token, _token)


def _room(text: str) -> tuple[str, str]:
    room, _, level = text.partition("=")
    if not is_room_id(room) or level not in LEVELS:
        raise argparse.ArgumentTypeError("not ROOM=LEVEL, such as song-1=read")
    return room, level


def _check(options: argparse.Namespace) -> int:
    read(options, secret_needed=True)
    found = effective(ini=options.config, environ=os.environ, overrides=options.set)
    for section in SECTIONS:
        rows = [
            f"{name.partition('.')[2]} = {text}".rstrip() + f"  # {source}"
            for name, (text, source) in found.items()
            if name.startswith(f"{section}.") and not (options.changed and source == "default")
        ]
        if rows:
            sys.stdout.write("\n".join([f"[{section}]", *rows, "", ""]))
    return 0


def _token(config: Config, options: argparse.Namespace) -> int:
    if not config.auth.secret:
        raise Problem("auth.secret is not set: there is nothing to sign a token with")
    now_s = int(time.time())
    claims: dict[str, Any] = {
        "user_id": int(options.user) if options.user.isdecimal() else options.user,
        "iat": now_s,
        "exp": now_s + options.good_for_s,
    }
    further = {
        "name": options.name,
        "iss": config.auth.issuer,
        "aud": config.auth.audience,
        "rooms": dict(options.room),
    }
    claims |= {claim: value for claim, value in further.items() if value}
    sys.stderr.write(f"{orjson.dumps(claims).decode()}\n")
    sys.stdout.write(f"{mint(claims, config.auth.secret)}\n")
    return 0
