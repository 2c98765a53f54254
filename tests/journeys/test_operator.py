"""What an operator does with songs: over the admin site, and with `chordme-daemon`."""

import socket
import sqlite3
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.journeys.clients import WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Answer, Daemon, free_port, http_request, token, wait_until
from tests.journeys.operators import operate

pytestmark = pytest.mark.journey

SONG = "{title: Été}\r\n[Am]la 🎸 la"
# The most that a song may have, in UTF-16 units.
MAX_TEXT = 200_000

Settings = Mapping[str, object]


@pytest.fixture(params=["with a daemon", "without a daemon"])
def settings(request: pytest.FixtureRequest, start_daemon: StartDaemon) -> Settings:
    """Those of a daemon that runs, or of one that has run."""
    daemon = start_daemon()
    if request.param == "without a daemon":
        daemon.stop()
    return daemon.settings


def current(clients: ClientProgram, daemon: Daemon, name: str) -> Client:
    auth = {"token": token(name), "client_id": f"tab-{name}"}
    client = clients.connect(daemon.url, name, auth=auth, **WEBSOCKET)
    client.join("song-1", document=True)
    return client


def songs(daemon: Daemon, path: str) -> Answer:
    return http_request(f"{daemon.admin_url}/rooms/{path}")


def put(daemon: Daemon, room: str, text: bytes, host: str | None = None) -> Answer:
    headers = {"Host": host} if host else {}
    return http_request(f"{daemon.admin_url}/rooms/{room}", "PUT", text, headers)


def why(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.json()["error"]["message"]


# chordme-daemon


def test_a_song_that_is_exported_is_what_was_imported(settings: Settings, tmp_path: Path) -> None:
    file = tmp_path / "song.cho"
    file.write_bytes(SONG.encode("utf-8-sig"))
    said = operate(settings, "import", "song-1", str(file))
    assert (said.status, said.output) == (0, b"song-1 is at revision 1 now\n")
    said = operate(settings, "export", "song-1")
    assert (said.status, said.output, said.errors) == (0, SONG.encode(), "")
    # Once more is no edit.
    said = operate(settings, "import", "song-1", "-", given=SONG.encode())
    assert said.output == b"song-1 is at revision 1 now\n"
    said = operate(settings, "import", "song-1", "-", given=SONG.replace("🎸", "🎹").encode())
    assert said.output == b"song-1 is at revision 2 now\n"
    assert operate(settings, "export", "song-1").output.decode() == SONG.replace("🎸", "🎹")

    history = orjson.loads(operate(settings, "export", "--history", "song-1").output)
    assert (history["from"], history["revision"]) == (0, 2)
    at = len(SONG.partition("🎸")[0])
    # In whole characters.
    assert [entry["operations"] for entry in history["entries"]] == [
        [{"type": "insert", "position": 0, "content": SONG}],
        [
            {"type": "insert", "position": at, "content": "🎹"},
            {"type": "delete", "position": at + 2, "length": 2},
        ],
    ]
    assert {entry["user_id"] for entry in history["entries"]} == {"server"}


def test_what_cannot_be_done_is_said_in_one_line(settings: Settings, tmp_path: Path) -> None:
    assert operate(settings, "export", "song-1").problem == "there is no song song-1"
    said = operate(settings, "export", "--history", "song-1")
    assert said.problem == "there is no song song-1"
    said = operate(settings, "import", "song-1", "-", given=b"caf\xe9")
    assert said.problem == "-: not UTF-8"
    missing = tmp_path / "missing.cho"
    said = operate(settings, "import", "song-1", str(missing))
    assert said.problem == f"{missing}: No such file or directory"
    for length in (MAX_TEXT + 1, 10 * MAX_TEXT):
        said = operate(settings, "import", "song-1", "-", given=b"x" * length)
        assert "too large" in said.problem
    # Nothing of all this has made a song.
    assert operate(settings, "export", "song-1").problem == "there is no song song-1"
    said = operate(settings, "import", "song-1", "-", given="é".encode() * MAX_TEXT)
    assert said.status == 0


def test_a_room_that_cannot_be_and_a_wrong_setting_are_said(tmp_path: Path) -> None:
    said = operate({}, "export", "no such room!")
    assert (said.status, said.output) == (2, b"")
    assert "not a room" in said.errors
    assert "Traceback" not in said.errors
    said = operate({"store.url": "postgres:"}, "export", "song-1")
    assert "store.url" in said.problem


def test_an_export_without_a_store_makes_none(tmp_path: Path) -> None:
    nobody = f"tcp:{free_port()}:interface=127.0.0.1"
    file = tmp_path / "songs.sqlite3"
    said = operate({"server.admin": nobody, "store.url": f"sqlite:{file}"}, "export", "song-1")
    assert said.problem == f"no daemon answers, and {file} does not exist"
    assert list(tmp_path.iterdir()) == []
    said = operate({"server.admin": nobody, "store.url": "memory:"}, "export", "song-1")
    assert "none answers" in said.problem


def test_an_import_makes_a_store_only_if_it_is_told_to(tmp_path: Path) -> None:
    nobody = f"tcp:{free_port()}:interface=127.0.0.1"
    file = tmp_path / "songs.sqlite3"
    settings = {"server.admin": nobody, "store.url": f"sqlite:{file}"}
    said = operate(settings, "import", "song-1", "-", given=b"la")
    assert said.problem == f"no daemon answers, and {file} does not exist (--create makes it)"
    assert list(tmp_path.iterdir()) == []
    said = operate(settings, "import", "--create", "song-1", "-", given=b"la")
    assert said.output == b"song-1 is at revision 1 now\n"
    assert operate(settings, "export", "song-1").output == b"la"


def test_a_daemon_that_has_other_songs_is_not_taken_for_the_one_that_is_meant(
    daemon: Daemon, start_daemon: StartDaemon, tmp_path: Path
) -> None:
    assert put(daemon, "song-1", b"la").status == 200
    admin, url = (str(daemon.settings[name]) for name in ("server.admin", "store.url"))
    file, other = Path(url.removeprefix("sqlite:")), tmp_path / "öther%20.sqlite3"
    settings = {"server.admin": admin, "store.url": f"sqlite:{other}"}
    for command in (["export", "song-1"], ["import", "song-1", "-"]):
        said = operate(settings, *command, given=b"di")
        assert said.problem == f"the daemon on {admin} has its songs in {file}, not {other}"
    redis = {"server.admin": admin, "cluster.redis_url": "redis://secret:word@127.0.0.1:1/2"}
    options = [f"--set={name}={value}" for name, value in redis.items()]
    said = operate({}, "export", *options, "song-1")
    there = f"{file}, not redis://127.0.0.1:1/2 chordme:"
    assert said.problem == f"the daemon on {admin} has its songs in {there}"
    assert not other.exists()
    # By another name, by its own alone, or if nothing is said, it is that one.
    link = tmp_path / "link.sqlite3"
    link.symlink_to(file)
    for name in (url, f"sqlite:{link}", f"sqlite:{file.name}", f"sqlite:./{file.name}", ""):
        said = operate({"server.admin": admin, "store.url": name}, "export", "song-1")
        assert (said.output, said.errors) == (b"la", ""), name

    with_it = start_daemon({"store.url": f"sqlite:{other}"})
    assert operate(with_it.settings, "import", "song-1", "-", given=b"di").status == 0
    assert operate(with_it.settings, "export", "song-1").output == b"di"


def test_something_else_on_the_admin_port_is_not_taken_for_a_daemon(daemon: Daemon) -> None:
    # The daemon's own front door: it answers, but not about songs.
    front_door = {"server.admin": f"tcp:{daemon.port}:interface=127.0.0.1"}
    settings = {**daemon.settings, **front_door}
    said = operate(settings, "import", "song-1", "-", given=b"x")
    assert said.problem == "Method not allowed"
    assert operate(settings, "export", "song-1").problem == "Not found"

    def greet(server: socket.socket) -> None:
        with server.accept()[0] as peer:
            peer.sendall(b"SSH-2.0-something\r\n")

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor(1) as pool:
        settings["server.admin"] = f"tcp:{server.getsockname()[1]}:interface=127.0.0.1"
        pool.submit(greet, server)
        said = operate(settings, "export", "song-1")
    assert "does not answer as a daemon would" in said.problem


def test_an_import_is_an_edit_that_everybody_in_the_room_sees(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = current(clients, daemon, "ada")
    old = clients.connect(daemon.url, 7, **WEBSOCKET)
    old.join("song-1")
    part = {"type": "insert", "position": 0, "content": "la la la"}
    request = {"room_id": "song-1", "operation": part, "revision": 0, "seq": 1}
    assert ada.ask("collaboration_operation", request)["ok"] is True
    assert old.event("collaboration_update")["operation"] == part
    said = operate(daemon.settings, "import", "song-1", "-", given=b"la di la")
    assert said.output == b"song-1 is at revision 2 now\n"

    changes = [
        {"type": "insert", "position": 3, "content": "di"},
        {"type": "delete", "position": 5, "length": 2},
    ]
    update = ada.event("collaboration_update")
    assert (update["revision"], update["user_id"]) == (2, "server")
    assert update["operations"] == changes
    told = old.events("collaboration_update", 2)
    assert [one["operation"] for one in told] == changes
    # And it is one that others may follow.
    part = {"type": "insert", "position": 8, "content": "!"}
    request = {"room_id": "song-1", "operation": part, "revision": 2, "seq": 2}
    assert ada.ask("collaboration_operation", request)["revision"] == 3
    assert operate(daemon.settings, "export", "song-1").output == b"la di la!"


def test_a_store_that_another_daemon_has_is_not_touched(daemon: Daemon) -> None:
    settings = {**daemon.settings, "server.admin": f"tcp:{free_port()}:interface=127.0.0.1"}
    file = str(daemon.settings["store.url"]).removeprefix("sqlite:")
    for command in (["export", "song-1"], ["import", "song-1", "-"]):
        said = operate(settings, *command, given=b"x")
        assert said.problem == f"{file} is in use by another daemon"


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 99")


def no_database(file: Path) -> None:
    file.write_bytes(b"This is a song, and not a database. " * 200)


def of_something_else(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as database:
        database.execute("CREATE TABLE songs (title TEXT)")


def cut_off(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.truncate(file.stat().st_size // 2)


def overwritten(file: Path) -> None:
    """All but the first page, with which it says what it is."""
    size = file.stat().st_size
    with file.open("r+b") as opened:
        opened.seek(8192)
        opened.write(b"\xff" * (size - 8192))


def execute(file: Path, statement: str) -> None:
    """Change something as `sqlite3 FILE STATEMENT` does, also beside a daemon."""
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(statement)


def is_saved(file: Path) -> bool:
    with closing(sqlite3.connect(file)) as database:
        found = database.execute("SELECT revision FROM rooms").fetchall()
    return found == [(1,)]


def with_a_hole(file: Path) -> None:
    execute(file, "UPDATE rooms SET head = head + 1")


def with_half_a_row(file: Path) -> None:
    execute(file, "UPDATE entries SET draft = json_remove(draft, '$.author')")


def beyond_the_end(file: Path) -> None:
    execute(file, "UPDATE rooms SET revision = 0, text = ''")
    execute(file, "UPDATE entries SET draft = json_set(draft, '$.operation', json('[9, \"x\"]'))")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (with_a_hole, "is damaged"),
        (with_half_a_row, "is damaged"),
        (beyond_the_end, "is damaged"),
        (newer, "was written by a newer chordme-daemon"),
        (no_database, "not a database"),
        (of_something_else, "is a database of something else"),
        (cut_off, "malformed"),
        (overwritten, "is damaged"),
    ],
)
def test_a_file_that_is_no_good_is_said_in_one_line(daemon: Daemon, harm: Any, said: str) -> None:
    assert put(daemon, "song-1", SONG.encode()).status == 200
    daemon.stop()
    file = Path(str(daemon.settings["store.url"]).removeprefix("sqlite:"))
    harm(file)
    for command in (
        ["export", "song-1"],
        ["export", "--history", "song-1"],
        ["import", "song-1", "-"],
    ):
        problem = operate(daemon.settings, *command, given=b"x").problem
        assert said in problem
        assert str(file) in problem


@pytest.mark.parametrize("harm", [with_a_hole, with_half_a_row, beyond_the_end])
def test_a_song_that_is_damaged_is_answered_and_can_be_made_anew(
    daemon: Daemon, clients: ClientProgram, harm: Any
) -> None:
    for words in ("cannot be read", "is damaged", "Traceback"):
        daemon.expect(words)
    assert put(daemon, "song-1", b"la").status == 200
    file = Path(str(daemon.settings["store.url"]).removeprefix("sqlite:"))
    wait_until(lambda: is_saved(file), "the room is closed, and its text saved")
    harm(file)
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    for _ in range(2):
        assert ada.ask("join_room", {"room_id": "song-1"})["code"] == "unavailable"
        assert ada.ask("ping", {})["ok"] is True
    assert songs(daemon, "song-1").status == 503
    assert put(daemon, "song-1", b"la").status == 503
    assert operate(daemon.settings, "export", "song-1").status == 1
    ada.join("song-2")
    # As the README says; the daemon runs.
    for table in ("rooms", "entries", "messages"):
        execute(file, f"DELETE FROM {table} WHERE room = 'song-1'")
    said = operate(daemon.settings, "import", "song-1", "-", given=b"la la")
    assert said.output == b"song-1 is at revision 1 now\n"
    ada.join("song-1")
    assert operate(daemon.settings, "export", "song-1").output == b"la la"


# The admin site


def test_a_song_is_seen_with_who_edits_it(daemon: Daemon, clients: ClientProgram) -> None:
    assert why(songs(daemon, "song-1")) == (404, "There is no such song")
    ada = current(clients, daemon, "ada")
    empty = {"room_id": "song-1", "revision": 0, "text": ""}
    participants = [{"user_id": "ada", "connections": 1}]
    assert songs(daemon, "song-1").json() == {**empty, "participants": participants}
    for seq, content in enumerate(("🎸", "la ", "di "), 1):
        part = {"type": "insert", "position": 0, "content": content}
        request = {"room_id": "song-1", "operation": part, "revision": seq - 1, "seq": seq}
        assert ada.ask("collaboration_operation", request)["revision"] == seq
    told = songs(daemon, "song-1")
    assert told.headers["content-type"] == "application/json"
    assert told.headers["cache-control"] == "no-store"
    full = {"room_id": "song-1", "revision": 3, "text": "di la 🎸"}
    assert told.json() == {**full, "participants": participants}
    ada.close()
    assert songs(daemon, "song-1").json() == {**full, "participants": []}

    history = songs(daemon, "song-1/history?since=1").json()
    assert (history["from"], history["revision"]) == (1, 3)
    assert [(one["revision"], one["seq"], one["user_id"]) for one in history["entries"]] == [
        (2, 2, "ada"),
        (3, 3, "ada"),
    ]
    assert len(songs(daemon, "song-1/history").json()["entries"]) == 3
    assert songs(daemon, "song-1/history?since=3").json()["entries"] == []
    # From the future there is nothing.
    late = songs(daemon, "song-1/history?since=1000").json()
    assert (late["from"], late["entries"]) == (3, [])
    for since in ("-1", "x", "1.5", "", "9" * 30):
        assert songs(daemon, f"song-1/history?since={since}").status == 400, since
    for path in ("song-2", "song-2/history", "song-1/edits", "no%20song", "song-1/history/x", ""):
        assert songs(daemon, path).status == 404, path


def test_only_who_asks_an_address_of_this_machine_is_answered(daemon: Daemon) -> None:
    refused = (403, "Only by the address of this machine")
    for host in ("evil.example", f"evil.example:{daemon.admin_port}", "127.0.0.1.evil.example"):
        assert why(put(daemon, "song-1", b"x", host)) == refused
        for path in ("song-1", "song-1/history", "song-2", ""):
            told = http_request(f"{daemon.admin_url}/rooms/{path}", headers={"Host": host})
            assert why(told) == refused
            # Nor is it told what is where.
            assert "chordme-store" not in told.headers
    assert songs(daemon, "song-1").status == 404
    for revision, host in enumerate((None, "localhost:5001", "127.0.0.1", "[::1]:5001"), 1):
        answer = put(daemon, "song-1", b"x" * revision, host)
        assert answer.json() == {"room_id": "song-1", "revision": revision}


def test_what_may_not_be_put_is_refused(daemon: Daemon) -> None:
    assert why(put(daemon, "song-1", b"caf\xe9")) == (400, "The text is not UTF-8")
    too_large = "🎸".encode() * (MAX_TEXT // 2 + 1)
    assert why(put(daemon, "song-1", too_large)) == (413, "The document is too large")
    # Refused by what it announces, before it is read.
    with closing(HTTPConnection("127.0.0.1", daemon.admin_port, timeout=10)) as connection:
        connection.putrequest("PUT", "/rooms/song-1")
        connection.putheader("Content-Length", str(4 * MAX_TEXT + 1))
        connection.endheaders()
        assert connection.getresponse().status == 413
    assert put(daemon, "no%20song", b"x").status == 404
    assert put(daemon, "song-1/history", b"x").status == 405
    posted = http_request(f"{daemon.admin_url}/rooms/song-1", "POST", b"x")
    assert posted.status == 405
    # Nor is there anything at the front door.
    assert http_request(f"{daemon.url}/rooms/song-1").status == 404
    assert songs(daemon, "song-1").status == 404
