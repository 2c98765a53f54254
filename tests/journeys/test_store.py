"""The file that keeps the songs: where it is, who has it, its backup, and a disk that is full."""

import resource
import shutil
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import (
    ROOT,
    SECRET,
    Daemon,
    command_line,
    environment,
    free_port,
    http_request,
    token,
)
from tests.journeys.operators import operate

pytestmark = pytest.mark.journey


def join(clients: ClientProgram, daemon: Daemon, name: str, room: str = "song-1") -> Client:
    """A current client in a room."""
    auth = {"token": token(name), "client_id": f"tab-{name}"}
    client = clients.connect(daemon.url, name, auth=auth, **WEBSOCKET)
    assert client.ask("join_room", {"room_id": room})["ok"] is True
    return client


def insert(client: Client, content: str, revision: int, seq: int) -> Any:
    part = {"type": "insert", "position": 0, "content": content}
    request = {"room_id": "song-1", "operation": part, "revision": revision, "seq": seq}
    return client.ask("collaboration_operation", request)


def song(daemon: Daemon, room: str = "song-1") -> tuple[int, str]:
    """A song's revision and text."""
    told = http_request(f"{daemon.admin_url}/rooms/{room}").json()
    return told["revision"], told["text"]


def store_of(daemon: Daemon) -> Path:
    return Path(str(daemon.settings["store.url"]).removeprefix("sqlite:"))


def refused_start(settings: dict[str, object]) -> str:
    """Run a daemon that must not start: the line in which it says why."""
    listen = {
        "server.listen": f"tcp:{free_port()}:interface=127.0.0.1",
        "server.admin": f"tcp:{free_port()}:interface=127.0.0.1",
    }
    ended = subprocess.run(
        command_line({**listen, **settings}),
        cwd=ROOT,
        env=environment(CHORDME_AUTH_SECRET=SECRET),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=20,
        check=False,
    )
    assert ended.returncode not in (0, None)
    assert "Traceback" not in ended.stdout
    [line] = [line for line in ended.stdout.splitlines() if "Cannot keep songs" in line]
    return line


def test_a_second_daemon_on_the_same_file_does_not_start(
    daemon: Daemon, clients: ClientProgram
) -> None:
    ada = join(clients, daemon, "ada")
    assert insert(ada, "x", revision=0, seq=1)["ok"] is True
    url = daemon.settings["store.url"]
    assert refused_start({"store.url": url}).endswith(
        f"Cannot keep songs: {store_of(daemon)} is in use by another daemon"
    )
    # The first has not noticed, and leaves the file to the next one.
    assert insert(ada, "y", revision=1, seq=2)["ok"] is True


def test_a_daemon_does_not_start_without_a_place_for_songs(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere" / "songs.sqlite3"
    said = refused_start({"store.url": f"sqlite:{nowhere}"})
    assert said.endswith(f"{nowhere}: No such file or directory")
    junk = tmp_path / "junk.sqlite3"
    junk.write_bytes(b"no database " * 1000)
    assert refused_start({"store.url": f"sqlite:{junk}"}).endswith("file is not a database")
    newer = tmp_path / "newer.sqlite3"
    with closing(sqlite3.connect(newer)) as database:
        database.execute("PRAGMA application_id = 0x43684D65")
        database.execute("PRAGMA user_version = 99")
    assert "newer chordme-daemon (schema 99" in refused_start({"store.url": f"sqlite:{newer}"})


def test_songs_are_in_the_state_directory_unless_told_otherwise(
    start_daemon: StartDaemon, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    state.mkdir()
    # As systemd gives it, where there are several.
    variables = {"STATE_DIRECTORY": f"{state}:{tmp_path / 'other'}"}
    daemon = start_daemon({"store.url": None}, **variables)
    put = http_request(f"{daemon.admin_url}/rooms/song-1", "PUT", b"la")
    assert put.status == 200
    assert (state / "chordme.sqlite3").exists()
    daemon.stop()
    # Closed in good order, it is one file; and the operator's command finds it, too.
    assert {file.name for file in state.iterdir()} == {"chordme.sqlite3", "chordme.sqlite3.lock"}
    said = operate(daemon.settings, "export", "song-1", **variables)
    assert (said.status, said.output) == (0, b"la")


def back_up(file: Path, copy: Path) -> None:
    """As `sqlite3 FILE ".backup COPY"` does."""
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)


def test_a_backup_that_was_made_while_people_edit_is_a_store_that_works(
    start_daemon: StartDaemon, clients: ClientProgram, tmp_path: Path
) -> None:
    daemon = start_daemon({"limits.operations": 0})
    copy = tmp_path / "copy.sqlite3"
    ada = join(clients, daemon, "ada")
    for seq in range(1, 101):
        assert insert(ada, f"[{seq}]", revision=seq - 1, seq=seq)["ok"] is True
        if seq == 50:
            back_up(store_of(daemon), copy)
    text = "".join(f"[{seq}]" for seq in range(100, 0, -1))
    assert song(daemon) == (100, text)
    daemon.stop()
    ada.close()

    daemon = start_daemon({"store.url": f"sqlite:{copy}"})
    text = "".join(f"[{seq}]" for seq in range(50, 0, -1))
    assert song(daemon) == (50, text)
    ben = join(clients, daemon, "ben")
    assert insert(ben, "on ", revision=50, seq=1)["revision"] == 51
    # What was answered is known there as well.
    ada = join(clients, daemon, "ada")
    assert insert(ada, "[50]", revision=49, seq=50)["revision"] == 50
    assert song(daemon) == (51, "on " + text)


def test_the_way_back_from_a_backup_is_the_one_of_the_readme(
    start_daemon: StartDaemon, clients: ClientProgram, tmp_path: Path
) -> None:
    daemon = start_daemon()
    file, copy = store_of(daemon), tmp_path / "copy.sqlite3"
    ada = join(clients, daemon, "ada")
    assert insert(ada, "kept ", revision=0, seq=1)["ok"] is True
    with closing(sqlite3.connect(file)) as database:
        database.execute(f"VACUUM INTO '{copy}'")
    for seq in range(2, 10):
        assert insert(ada, "gone ", revision=seq - 1, seq=seq)["ok"] is True
    daemon.kill()
    beside = [Path(f"{file}-wal"), Path(f"{file}-shm")]
    assert all(one.exists() for one in beside)

    for one in beside:
        one.unlink()
    shutil.copyfile(copy, file)
    listen = str(daemon.settings["server.listen"])
    daemon = start_daemon({"store.url": f"sqlite:{file}", "server.listen": listen})
    assert song(daemon) == (1, "kept ")
    # It comes back by itself, and asks for what came after a revision that is none any more.
    place = {"room_id": "song-1", "permission": "edit", "revision": 1}
    assert ada.event("authenticated")["resumed"] == [place]
    joined = ada.ask("join_room", {"room_id": "song-1", "revision": 9})
    assert (joined["revision"], joined["resync"], joined["last_seq"]) == (1, True, 1)
    assert ada.event("document_state")["text"] == "kept "
    assert insert(ada, "on ", revision=1, seq=2)["revision"] == 2
    assert song(daemon) == (2, "on kept ")


def test_a_daemon_starts_though_rows_of_its_file_cannot_be_read(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    daemon = start_daemon()
    file = store_of(daemon)
    ada = join(clients, daemon, "ada")
    for room in ("song-1", "song-2"):
        assert http_request(f"{daemon.admin_url}/rooms/{room}", "PUT", b"la").status == 200
    daemon.kill()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE members SET member = json_remove(member, '$.user')")
        database.execute("UPDATE rooms SET head = 7 WHERE room = 'song-1'")
    daemon = start_daemon({"store.url": f"sqlite:{file}"})
    daemon.expect(f"The song song-1 in {file} cannot be read")
    assert "A member of song-1 is forgotten" in daemon.log
    ada = clients.connect(daemon.url, "ada", **WEBSOCKET)
    for _ in range(3):
        assert ada.ask("join_room", {"room_id": "song-1"})["code"] == "unavailable"
    assert daemon.log.count("The song song-1 in") == 1
    assert ada.ask("join_room", {"room_id": "song-2"})["revision"] == 1


@pytest.mark.parametrize("transport", [POLLING, WEBSOCKET], ids=["polling", "websocket"])
def test_a_song_can_be_joined_however_long_it_becomes_on_its_way(
    daemon: Daemon, clients: ClientProgram, transport: dict[str, object]
) -> None:
    # In JSON six bytes each: more than may wait for a slow client.
    text = "\x01" * 190_000
    put = http_request(f"{daemon.admin_url}/rooms/song-1", "PUT", text.encode())
    assert put.status == 200
    auth = {"token": token("ada"), "client_id": "tab-ada"}
    ada = clients.connect(daemon.url, "ada", auth=auth, **transport)
    joined = ada.ask("join_room", {"room_id": "song-1", "document": True})
    assert joined["document"] == {"text": text}
    old = clients.connect(daemon.url, 7, **transport)
    old.join("song-1")
    assert old.event("document_state")["text"] == text
    assert insert(ada, "la", revision=1, seq=1)["ok"] is True
    assert old.event("collaboration_update")["operation"]["content"] == "la"
    for client in (ada, old):
        assert client.ask("ping", {})["ok"] is True
        assert client.count("connected") == 1


# A full disk


class Quota:
    """No file of a daemon may grow beyond what its log for new edits has now."""

    well = "healthy"

    def __init__(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        self.daemon = start_daemon({"store.url": f"sqlite:{tmp_path / 'songs.sqlite3'}"})

    def fill(self) -> None:
        log = store_of(self.daemon).with_name("songs.sqlite3-wal")
        self._allow(log.stat().st_size)

    def free(self) -> None:
        self._allow(resource.RLIM_INFINITY)

    def _allow(self, size_bytes: int) -> None:
        # Python ignores the signal that comes with it.
        limits = (size_bytes, resource.RLIM_INFINITY)
        resource.prlimit(self.daemon.process.pid, resource.RLIMIT_FSIZE, limits)


class SmallDisk:
    """A file system of a megabyte, which nobody but the daemon sees mounted."""

    well = "degraded"  # there is little room from the beginning

    def __init__(self, start_daemon: StartDaemon, tmp_path: Path) -> None:
        disk = tmp_path / "disk"
        disk.mkdir()
        mount = f'mount -t tmpfs -o size=1m none {disk} && exec "$@"'
        self.daemon = start_daemon(
            {"store.url": f"sqlite:{disk}/songs.sqlite3"},
            within=("unshare", "--mount", "--map-root-user", "sh", "-c", mount, "sh"),
        )
        self._ballast = Path(f"/proc/{self.daemon.process.pid}/root{disk}/ballast")

    def fill(self) -> None:
        with self._ballast.open("wb", buffering=0) as ballast, suppress(OSError):
            while True:
                ballast.write(bytes(4096))

    def free(self) -> None:
        self._ballast.unlink()


Disk = Quota | SmallDisk


@pytest.fixture(params=[Quota, SmallDisk])
def disk(request: pytest.FixtureRequest, start_daemon: StartDaemon, tmp_path: Path) -> Disk:
    """A daemon whose disk can be filled. The quota is there everywhere, so it is never skipped."""
    kind: Callable[..., Disk] = request.param
    if kind is SmallDisk:
        mount = ["unshare", "--mount", "--map-root-user", "mount", "-t", "tmpfs", "none", tmp_path]
        if not shutil.which("unshare") or subprocess.run(mount, check=False).returncode:
            pytest.skip("!! nothing can be mounted here: the quota has to do")
    return kind(start_daemon, tmp_path)


def health(daemon: Daemon) -> tuple[int, str]:
    answer = http_request(f"{daemon.admin_url}/health/detailed")
    return answer.status, answer.json()["checks"]["journal"]["status"]


def test_a_full_disk_refuses_edits_and_nothing_else(disk: Disk, clients: ClientProgram) -> None:
    daemon = disk.daemon
    daemon.expect("Songs cannot be kept, edits are refused")
    ada, ben = (join(clients, daemon, name) for name in ("ada", "ben"))
    old = clients.connect(daemon.url, 7, **WEBSOCKET)
    old.join("song-1")
    assert insert(ada, "kept ", revision=0, seq=1)["ok"] is True
    assert health(daemon) == (200, disk.well)

    disk.fill()
    refused = insert(ada, "lost ", revision=1, seq=2)
    assert (refused["ok"], refused["code"]) == (False, "unavailable")
    assert (refused["seq"], refused["retry_after_ms"]) == (2, 1000)
    assert health(daemon) == (503, "unhealthy")
    operation = {"id": "op-1", "type": "insert", "position": 0, "content": "lost "}
    old.event("collaboration_update")
    old.emit("collaboration_operation", {"room_id": "song-1", "operation": operation})
    assert old.event("error")["code"] == "unavailable"
    undone = old.event("collaboration_update")
    assert undone["user_id"] == "server"
    assert undone["operation"] == {"type": "delete", "position": 0, "length": 5}
    put = http_request(f"{daemon.admin_url}/rooms/song-1", "PUT", b"lost, too")
    assert put.status == 503
    said = operate(daemon.settings, "import", "song-1", "-", given=b"lost, too")
    assert said.problem == "Temporarily unavailable"

    # All else goes on: talking, pointing, coming, going, and reading.
    assert ada.ask("broadcast_message", {"room_id": "song-1", "message": "full?"})["ok"] is True
    assert ben.event("room_message")["message"] == "full?"
    ada.emit("cursor_update", {"room_id": "song-1", "position": {"line": 0, "column": 1}})
    assert ben.event("cursor_moved")["user_id"] == "ada"
    eve = join(clients, daemon, "eve")
    assert eve.join("song-1", document=True)["document"] == {"text": "kept "}
    assert join(clients, daemon, "kim", room="song-2").ask("ping", {})["ok"] is True
    ben.close()
    while ada.event("user_left")["user_id"] != "ben":
        pass
    assert song(daemon) == (1, "kept ")
    assert health(daemon) == (503, "unhealthy")
    assert http_request(f"{daemon.admin_url}/health/ready").status == 200

    disk.free()
    # What was refused may be sent again as it was.
    kept = insert(ada, "more ", revision=1, seq=2)
    assert (kept["ok"], kept["revision"]) == (True, 2)
    assert health(daemon) == (200, disk.well)
    assert eve.event("collaboration_update")["revision"] == 2
    assert song(daemon) == (2, "more kept ")
    told = [line for line in daemon.log.splitlines() if "kept" in line]
    assert len([line for line in told if "Songs cannot be kept" in line]) == 1
    assert len([line for line in told if "Songs can be kept again" in line]) == 1
