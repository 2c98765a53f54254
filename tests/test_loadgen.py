"""The benchmarks' load generator counts what a server drops, doubles, swaps and misroutes.

The server here is a false one, on the loopback: it tears its frames into pieces of a few bytes,
parts every other message with a ping in between, and does to the first room what it is told to.
"""

import asyncio
import base64
import hashlib
import json
import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from benchmarks import loadgen
from benchmarks.servers import PeerError

TEXT, CLOSE, PING, PONG, CONTINUED = 1, 8, 9, 10, 0
TOKEN = "of-alice"
HEARD = {
    "broadcast_message": ("room_message", "message"),
    "cursor_update": ("cursor_moved", "position"),
    "collaboration_operation": ("collaboration_update", "operation"),
}
Sample = dict[str, Any]
Writer = asyncio.StreamWriter


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cc") is None:
        message = "!! cc is missing: apt-get install gcc libc6-dev"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return loadgen.build(tmp_path_factory.mktemp("loadgen") / "loadgen")


def frame(opcode: int, payload: bytes, *, final: bool = True) -> bytes:
    length = len(payload)
    if length < 126:
        head = bytes([length])
    else:
        head = b"\x7e" + length.to_bytes(2) if length < 65536 else b"\x7f" + length.to_bytes(8)
    return bytes([final << 7 | opcode]) + head + payload


def parted(payload: bytes) -> bytes:
    """A message in three parts, with a ping between two of them."""
    first, second, rest = payload[:20], payload[20:50], payload[50:]
    parts = (
        frame(TEXT, first, final=False),
        frame(PING, b"hi"),
        frame(CONTINUED, second, final=False),
    )
    return b"".join(parts) + frame(CONTINUED, rest)


async def read_frame(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    opcode, length = await reader.readexactly(2)
    assert length & 128, "what a client sends is masked"
    length &= 127
    if length == 126:
        length = int.from_bytes(await reader.readexactly(2))
    key = await reader.readexactly(4)
    masked = await reader.readexactly(length)
    return opcode & 15, bytes(byte ^ key[at & 3] for at, byte in enumerate(masked))


class FalseServer:
    """Speaks enough Socket.IO for a fan-out; `faulty` mistreats the first room's messages."""

    def __init__(
        self, *, faulty: bool = False, padding: int = 0, piece: int = 61, most: int = 100
    ) -> None:
        self._rooms: dict[str, list[Writer]] = defaultdict(list)
        self._numbers: dict[str, int] = defaultdict(int)
        self._held: list[bytes] = []
        self._faulty, self._padding, self._piece = faulty, padding, piece
        self._most = most  # members of a room
        self.pongs = 0
        self.refused = 0

    async def serve(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            request = await reader.readuntil(b"\r\n\r\n")
            key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            digest = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
            answer = b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: "
            self._send(writer, answer + base64.b64encode(digest) + b"\r\n\r\n")
            self._send(writer, frame(TEXT, b'0{"sid":"x"}'))
            while True:
                opcode, payload = await read_frame(reader)
                if opcode == CLOSE:
                    break
                if opcode == PONG:
                    self.pongs += payload == b"hi"
                else:
                    self._answer(writer, payload)
        writer.close()

    def _answer(self, writer: Writer, payload: bytes) -> None:
        if payload == b"40":
            self._send(writer, frame(TEXT, b'40{"sid":"x"}') + frame(TEXT, b"2"))
            return
        if not payload.startswith(b"42"):
            return
        name, *arguments = json.loads(payload[2:])
        if name == "authenticate":
            assert arguments == [{"token": TOKEN}]
            self._send(writer, frame(TEXT, b'42["authenticated",{}]'))
        elif name == "join_room":
            members = self._rooms[arguments[0]["room_id"]]
            if len(members) == self._most:
                self._send(writer, frame(TEXT, b'42["error",{"code":"room_full"}]'))
                return
            members.append(writer)
            self._send(writer, frame(TEXT, b'42["room_joined",{}]'))
        elif name == "ping":
            self._send(writer, frame(TEXT, b'42["pong",{}]'))
        else:
            self._pass_on(writer, name, arguments[0])

    def _pass_on(self, author: Writer, name: str, said: dict[str, Any]) -> None:
        room = said["room_id"]
        self._numbers[room] += 1
        number = self._numbers[room]
        heard, field = HEARD[name]
        told = {"user_id": 1, field: said[field], "more": "y" * self._padding}
        payload = f"42{json.dumps([heard, told])}".encode()
        whole = parted(payload) if number % 2 else frame(TEXT, payload)
        first, *others = [member for member in self._rooms[room] if member is not author]
        for member in others:
            self._send(member, whole)
        self._send(first, self._mistreated(room, number, whole))
        if self._faulty and room == min(self._rooms) and number == 15:  # the wrong room as well
            self._send(self._rooms[max(self._rooms)][-1], whole)

    def _mistreated(self, room: str, number: int, whole: bytes) -> bytes:
        """What the first of the others gets in the place of a message."""
        if not self._faulty or room != min(self._rooms):
            return whole
        match number:
            case 5:  # dropped
                return b""
            case 9:  # doubled
                return whole + whole
            case 12:  # comes behind the next
                self._held.append(whole)
                return b""
            case 13:
                return whole + self._held.pop()
        return whole

    def _send(self, writer: Writer, data: bytes) -> None:
        # No await in between: the pieces of two frames must not mix.
        for at in range(0, len(data), self._piece):
            writer.write(data[at : at + self._piece])

    async def refuse(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.refused += 1
        writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
        writer.close()


def drive(
    program: Path,
    serve: Callable[[asyncio.StreamReader, Writer], Coroutine[None, None, None]],
    **options: object,
) -> tuple[int, list[Sample]]:
    """The status and the samples of a short run against a server."""

    async def run() -> tuple[int, list[Sample]]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        given = {
            "port": server.sockets[0].getsockname()[1],
            "auth": "emit",
            "token": TOKEN,
            "conns": 6,
            "members": 3,
            "window": 20,
            "secs": 0.3,
            "warmup": 0.1,
            "drain": 60,
            **options,
        }
        command = [word for name, value in given.items() for word in (f"--{name}", str(value))]
        process = await asyncio.create_subprocess_exec(program, *command, stdout=-1)
        printed, _ = await process.communicate()
        server.close()
        await asyncio.sleep(0)
        assert process.returncode is not None
        return process.returncode, [json.loads(line) for line in printed.splitlines()]

    return asyncio.run(run())


def faults(sample: Sample) -> dict[str, int]:
    return {name: sample[name] for name in ("missing", "dup", "out_of_order", "misrouted")}


@pytest.mark.parametrize("event", HEARD)
def test_what_arrives_in_pieces_has_arrived(program: Path, event: str) -> None:
    server = FalseServer()
    status, [sample] = drive(program, server.serve, event=event)
    assert status == 0
    assert set(faults(sample).values()) == {0}
    assert sample["deliveries"] > 0
    assert (sample["dead"], sample["lasterr"]) == (0, "")
    assert server.pongs > 0


@pytest.mark.parametrize("padding", [300, 70_000])
def test_frames_of_every_length_are_read(program: Path, padding: int) -> None:
    server = FalseServer(padding=padding, piece=30_011)
    _, [sample] = drive(program, server.serve, window=2)
    assert set(faults(sample).values()) == {0}
    assert sample["deliveries"] > 0
    assert sample["frame_bytes"] > padding


def test_each_fault_is_counted_once_and_as_what_it_is(program: Path) -> None:
    # The window alone is messages enough. One is doubled while another is missing.
    _, [sample] = drive(program, FalseServer(faulty=True).serve, drain=6)
    assert faults(sample) == {"missing": 1, "dup": 1, "out_of_order": 1, "misrouted": 1}


def test_no_more_is_sent_than_is_due(program: Path) -> None:
    status, samples = drive(
        program, FalseServer().serve, conns=10, members=10, phases="900,sat", warmup=0.2, secs=0.3
    )
    assert (status, [sample["phase"] for sample in samples]) == (0, ["900", "sat"])
    # Nine arrivals of each message: a hundred a second, those of the warm-up perhaps late.
    assert samples[0]["sent"] <= 100 * (samples[0]["secs"] + 0.5)
    assert [set(faults(sample).values()) for sample in samples] == [{0}, {0}]


def test_echoes_and_connections_are_counted(program: Path) -> None:
    _, [echo] = drive(program, FalseServer().serve, scenario="echo", window=2)
    assert 0 < echo["p50_us"] <= echo["max_us"]
    _, [storm] = drive(program, FalseServer().serve, scenario="connect")
    assert (storm["ready"], storm["deliveries"]) == (6, 6)
    pid = os.getpid()
    _, [idle] = drive(program, FalseServer().serve, scenario="idle", **{"server-pid": pid})
    assert idle["alive"] == 6
    assert idle["rss_mb"] > 1


def test_a_server_that_refuses_is_told_by_its_answer(program: Path) -> None:
    server = FalseServer()
    status, [sample] = drive(program, server.refuse)
    assert (status, sample["phase"], sample["dead"]) == (1, "setup-failed", server.refused)
    assert sample["lasterr"] == "HTTP/1.1 403 Forbidden"


def test_a_join_that_is_refused_is_counted_and_not_waited_for(program: Path) -> None:
    _, [storm] = drive(program, FalseServer(most=2).serve, scenario="connect")
    assert (storm["ready"], storm["dead"]) == (4, 2)
    assert storm["lasterr"] == '42["error",{"code":"room_full"}]'


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"host": "192.0.2.1"}, "host: 192.0.2.1 is not this machine's loopback"),
        ({"scenario": "storm"}, "--scenario: expected one of connect,fanout,echo,idle, not storm"),
        ({"window": "0"}, "--window: expected a number from 1 to 1000, not 0"),
        ({"phases": "sat,fast"}, "--phases: expected a number from 1 to 1000000000, not fast"),
        ({"speed": "1"}, "there is no option --speed"),
    ],
)
def test_what_is_not_understood_is_refused(
    program: Path, capfd: pytest.CaptureFixture[str], options: dict[str, str], complaint: str
) -> None:
    status, samples = drive(program, FalseServer().serve, **options)
    assert (status, samples) == (2, [])
    assert capfd.readouterr().err == f"loadgen: {complaint}\n"


def test_it_is_built_again_when_its_source_is_newer(program: Path) -> None:
    built_ns = program.stat().st_mtime_ns
    assert loadgen.build(program).stat().st_mtime_ns == built_ns
    os.utime(program, ns=(0, 0))
    assert loadgen.build(program).stat().st_mtime_ns > built_ns


def test_without_a_compiler_it_is_said_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(PeerError, match="there is no C compiler, cc: apt-get install gcc"):
        loadgen.build(tmp_path / "loadgen")
