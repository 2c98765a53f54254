"""`export` and `import`: songs, asked of the daemon that runs, or of where they are kept.

A daemon is asked over its admin site, if it has the songs that are meant. When none runs, they are
read from and written to where they are kept, under the same lock that keeps two daemons apart.
"""

import argparse
import os
import sys
import time
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

import orjson
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.logger import globalLogBeginner
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.admin import calls, site
from chordme_daemon.app.document import MAX_TEXT
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.events import Refused, is_room_id
from chordme_daemon.app.records import Records
from chordme_daemon.app.rooms import Capacity, Rooms
from chordme_daemon.cluster.interface import ClusterUnavailable
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from chordme_daemon.commands.command import Commands, Problem, configured
from chordme_daemon.parsers import endpoint
from chordme_daemon.settings import Config, place_of_songs, store_path

ANSWER_WITHIN_S: Final = 30.0


def add(commands: Commands) -> None:
    """Add the commands to the command line."""
    export = commands.add_parser("export", help="print a song, as it is now")
    export.add_argument("--history", action="store_true", help="print its edits instead, as JSON")
    replace = commands.add_parser("import", help="make a text the song, as one edit")
    for command, do in ((export, _export), (replace, _import)):
        command.add_argument("room", metavar="ROOM", type=_room_id, help="the song")
        configured(command, do)
    replace.add_argument("file", metavar="FILE", help="a file of UTF-8 text; - is the input")
    replace.add_argument("--create", action="store_true", help="make the store if there is none")


def _room_id(text: str) -> str:
    if not is_room_id(text):
        raise argparse.ArgumentTypeError("not a room: 1 to 50 of A-Z a-z 0-9 _ -")
    return text


def _export(config: Config, options: argparse.Namespace) -> None:
    path = f"/rooms/{options.room}" + ("/history" if options.history else "")
    answer = _ask(config, "GET", path)
    if answer is None:
        raise Problem(f"there is no song {options.room}")
    text = orjson.dumps(answer) + b"\n" if options.history else answer["text"].encode()
    sys.stdout.buffer.write(text)
    sys.stdout.buffer.flush()


def _import(config: Config, options: argparse.Namespace) -> None:
    try:
        source = Path("/dev/stdin" if options.file == "-" else options.file)
        text = source.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise Problem(f"{options.file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise Problem(f"{options.file}: not UTF-8") from None
    if len(ot.to_units(text)) > MAX_TEXT:
        # Of a body that is far too large, a daemon reads nothing, and cannot say why.
        raise Problem(f"{options.file}: too large, a song has at most {MAX_TEXT} UTF-16 units")
    answer = _ask(config, "PUT", f"/rooms/{options.room}", text, create=options.create)
    sys.stdout.write(f"{options.room} is at revision {(answer or {})['revision']} now\n")


def _ask(
    config: Config, method: str, path: str, text: str = "", *, create: bool = False
) -> dict[str, Any] | None:
    """What the daemon answers, or would; None where there is nothing."""
    where = endpoint(config.server.admin) if config.server.admin else {}
    host = where.get("interface", "").replace("\\", "") or "127.0.0.1"
    if not where.get("port"):
        return _ask_journal(config, method, path, text, create=create)
    key = {"Authorization": b"Bearer " + config.admin.key} if config.admin.key else {}
    connection = HTTPConnection(host, int(where["port"]), timeout=ANSWER_WITHIN_S)
    try:
        connection.request("GET", "/rooms/", headers=key)
        response = connection.getresponse()
        response.read()
        _check_place(config, response.getheader(site.STORE))
        body = text.encode() if method == "PUT" else None
        connection.request(method, quote(path), body, key)
        response = connection.getresponse()
        status, body = response.status, orjson.loads(response.read())
    except ConnectionRefusedError:
        return _ask_journal(config, method, path, text, create=create)
    except (OSError, HTTPException, ValueError) as error:
        what = str(error).strip()
        raise Problem(f"{config.server.admin} does not answer as a daemon would: {what}") from None
    finally:
        connection.close()
    match status, body:
        case 200, {"revision": int()}:
            answer: dict[str, Any] = body
            return answer
        case 404, {"error": {"message": calls.NO_SONG}}:
            return None
        case _, {"error": {"message": str(message)}}:
            raise Problem(message)
    raise Problem(f"{config.server.admin} does not answer as a daemon would: {status}")


def _check_place(config: Config, header: str | None) -> None:
    """See that the daemon has the songs that are meant, if it is said which."""
    url = config.store.url
    if header is None or not (url or config.cluster.redis_url):
        return
    theirs, ours = unquote(header, errors="surrogateescape"), place_of_songs(config, os.environ)
    if theirs == ours:
        return
    # A relative path is in a directory that the daemon knows.
    path = Path(url.removeprefix("sqlite:")).parts
    if config.cluster.redis_url or Path(theirs).parts[-len(path) :] != path:
        raise Problem(f"the daemon on {config.server.admin} has its songs in {theirs}, not {ours}")


def _ask_journal(
    config: Config, method: str, path: str, text: str, *, create: bool
) -> dict[str, Any] | None:
    """Do it without a daemon."""
    if config.cluster.redis_url:
        raise Problem("the songs are in Redis, and no daemon answers")
    if config.store_url == "memory:":
        raise Problem("the songs are in the memory of a daemon, and none answers")
    file = store_path(config.store_url, os.environ)
    if not create and not Path(file).exists():
        # Nor is it made by looking, or because one looked in the wrong place.
        hint = " (--create makes it)" if method == "PUT" else ""
        raise Problem(f"no daemon answers, and {file} does not exist{hint}")
    # What is wrong is told in one line, not logged.
    globalLogBeginner.beginLoggingTo([], redirectStandardIO=False)
    journal = Journal(file, reactor=None)
    journal.open()
    try:
        clock = Clock()
        cluster = LocalCluster(journal, clock, time.time)
        documents = Documents(cluster, clock)
        rooms = Rooms(
            cluster, _nobody_hears, Capacity(), time.time, documents.bring_back, clock=clock
        )
        records = Records(cluster, rooms, documents, lambda: int(time.time() * 1000))
        room_id, *rest = path.removeprefix("/rooms/").split("/")
        if method == "PUT":
            return {"revision": _result(ensureDeferred(records.replace(room_id, text)))}
        asked = records.history(room_id, 0) if rest else records.describe(room_id)
        found: dict[str, Any] | None = _result(ensureDeferred(asked))
        return found
    except (ClusterUnavailable, ot.OperationError) as error:
        why = f": {error}" if str(error) else ""
        raise Problem(f"{file} is damaged, or cannot be written{why}") from None
    finally:
        _result(journal.close())


def _result(deferred: Deferred[Any]) -> Any:
    """The result of what a journal without a reactor has done at once."""
    results: list[Any] = []
    deferred.addBoth(results.append)
    if isinstance(results[0], Failure):
        if isinstance(results[0].value, Refused):
            raise Problem(results[0].value.message)
        results[0].raiseException()
    return results[0]


def _nobody_hears(*_: object, **__: object) -> Any:
    raise AssertionError("somebody is in a room without a daemon")
