"""The servers that are compared: how each is started, what it is made of, how it is stopped."""

import json
import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import attrs

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent
START_WITHIN_S: Final = 20.0
STOP_WITHIN_S: Final = 12.0
# What is told of them, where it is installed.
PACKAGES: Final = (
    *("twisted", "autobahn", "orjson", "attrs", "pyjwt", "python-socketio", "uvicorn", "uvloop"),
    *("websockets", "flask-socketio", "gevent", "simple-websocket"),
)
MODULES: Final = ("socket.io", "engine.io", "ws", "uWebSockets.js", "@socket.io/bun-engine")
# Counted for every request, and never reached.
GENEROUS: Final = "1000000/1"

# The daemon with its hot modules compiled, and as it is written.
CHORDME: Final = "chordme"
PURE: Final = "chordme-pure"
NODE: Final = "node-ws"
TREES: Final = {CHORDME: ROOT / "build" / "compiled", PURE: ROOT}
NODE_MODULES: Final = HERE / "node_modules"


class PeerError(Exception):
    """A server that cannot be started."""


@attrs.frozen
class Peer:
    """A server to be measured: how it is started, and what it needs.

    `packages` are of Python, `modules` of Node, `built` is a file.
    """

    title: str
    command: tuple[str, ...]
    packages: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()
    built: Path | None = None
    # One that collapses under such a load keeps the others from being measured.
    collapses: bool = False

    def missing(self) -> str:
        """What is not installed; empty when it can be started."""
        absent = [name for name in self.packages if find_spec(name) is None]
        absent += [name for name in self.modules if not (NODE_MODULES / name).is_dir()]
        if self.built is not None and not self.built.exists():
            absent.append(f"{self.built.relative_to(ROOT).parent} (make compiled)")
        program = self.command[0] if self.command else ""
        if program and shutil.which(program) is None:
            absent.append(program)
        return ", ".join(absent)


def _python(*arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", *arguments)


def _script(program: str, name: str) -> tuple[str, ...]:
    return (program, str(HERE / "peers" / name))


BUN: Final = str(NODE_MODULES / ".bin" / "bun")
PEERS: Final = {
    CHORDME: Peer("chordme-daemon, compiled", (), built=TREES[CHORDME] / ".built"),
    PURE: Peer("chordme-daemon, plain Python", ()),
    NODE: Peer("Node socket.io, ws", _script("node", "node_ws.js"), (), ("socket.io",)),
    "node-uws": Peer(
        "Node socket.io, uWebSockets.js",
        _script("node", "node_uws.js"),
        (),
        ("socket.io", "uWebSockets.js"),
    ),
    "bun": Peer(
        "Bun, bun-engine",
        _script(BUN, "bun_engine.js"),
        (),
        ("socket.io", "@socket.io/bun-engine"),
    ),
    "python-asgi": Peer(
        "python-socketio, uvicorn",
        _python("benchmarks.peers.python_asgi"),
        ("socketio", "uvicorn", "uvloop", "httptools", "websockets"),
    ),
    "flask-gevent": Peer(
        "Flask-SocketIO, gevent",
        _python("benchmarks.peers.flask_socketio", "gevent"),
        ("flask_socketio", "gevent", "simple_websocket"),
    ),
    "flask-threads": Peer(
        "Flask-SocketIO, threads",
        _python("benchmarks.peers.flask_socketio", "threading"),
        ("flask_socketio", "simple_websocket"),
        collapses=True,
    ),
}


@attrs.frozen
class Server:
    """A running server."""

    peer: str
    port: int
    process: subprocess.Popen[bytes]

    def cpu_s(self) -> float:
        """The CPU time that it and its workers have used so far."""
        own = Path(f"/proc/{self.process.pid}")
        workers = (own / f"task/{self.process.pid}/children").read_text().split()
        ticks = 0
        for pid in (self.process.pid, *workers):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def settle(self) -> None:
        """Wait until it has nothing left to do, at most five seconds."""
        before = self.cpu_s()
        for _ in range(20):
            time.sleep(0.25)
            after = self.cpu_s()
            if after - before <= 0.01:
                return
            before = after

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def on_core(core: int | None) -> Iterator[None]:
    """Run on one core, or on any; what is started meanwhile stays there, with all its threads."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, before if core is None else {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def start(
    peer: str, core: int | None, secret: str, ping_ms: int, log: Path, *settings: str
) -> Server:
    """Start a peer on one core, and wait until it listens; what it prints goes to `log`.

    `settings` are further ones of the daemon, or others in the place of those that it is given.
    """
    port = _free_port()
    if missing := PEERS[peer].missing():
        raise PeerError(f"{peer} cannot be started, for want of {missing}")
    tree = TREES.get(peer, ROOT)
    if peer in TREES:
        command, environment = _chordme(port, secret, ping_ms, settings)
    else:
        command, environment = list(PEERS[peer].command), _environment(port, secret, ping_ms)
    with log.open("ab") as output, on_core(core):
        process = subprocess.Popen(
            command,
            cwd=tree,
            env={**os.environ, **environment, "PYTHONPATH": str(tree)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    server = Server(peer, port, process)
    try:
        _await_listening(server, log)
    except PeerError:
        server.stop()
        raise
    return server


def _chordme(
    port: int, secret: str, ping_ms: int, further: Sequence[str]
) -> tuple[list[str], dict[str, str]]:
    twistd = str(Path(sys.executable).with_name("twistd"))
    command = [twistd, "--nodaemon", "--pidfile=", "chordme"]
    settings = (
        f"server.listen=tcp:{port}:interface=127.0.0.1",
        "server.admin=",
        "limits.connections=0",
        *(f"limits.{name}={GENEROUS}" for name in ("messages", "operations", "cursors", "joins")),
        "limits.members_per_room=10000",
        "limits.rooms_per_user=10000",
        "store.url=memory:",
        *further,
    )
    last = dict(setting.split("=", 1) for setting in settings)
    for name, value in last.items():
        command += ["--set", f"{name}={value}"]
    environment = {
        "CHORDME_AUTH_SECRET": secret,
        "CHORDME_HEARTBEAT_PING_INTERVAL": f"{ping_ms / 1000:g}",
    }
    return command, environment


def _environment(port: int, secret: str, ping_ms: int) -> dict[str, str]:
    return {
        "PORT": str(port),
        "SECRET": secret,
        "PING_MS": str(ping_ms),
        "NODE_ENV": "production",
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port


def _await_listening(server: Server, log: Path) -> None:
    until = time.monotonic() + START_WITHIN_S
    while time.monotonic() < until and server.process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", server.port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise PeerError(f"{server.peer} does not listen; it said:\n{log.read_text()[-2000:]}")


def versions() -> dict[str, str]:
    """What the peers are made of."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    for name, program in (("node", "node"), ("bun", BUN)):
        if shutil.which(program) is not None:
            told = subprocess.run(
                [program, "--version"], capture_output=True, text=True, check=True
            )
            found[name] = told.stdout.strip().removeprefix("v")
    for name in MODULES:
        path = NODE_MODULES / name / "package.json"
        if path.exists():
            found[name] = json.loads(path.read_text())["version"]
    return found


def machine() -> dict[str, object]:
    """Where it was measured."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "load_1_min": round(os.getloadavg()[0], 2),
    }
