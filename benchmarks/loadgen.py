"""The load generator: how it is built, its command line, and what it prints."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.servers import HERE, PeerError, Server, on_core

# It names a message by a text in whatever it sends. A cursor is whole numbers, an edit has its
# text inside: this has it send them so.
PATCH: Final = HERE / "loadgen.patch"
RUN_WITHIN_S: Final = 180.0

Sample = dict[str, Any]


@attrs.frozen
class Scenario:
    """What the load generator is to do; `name` is the column that it fills."""

    name: str
    kind: str
    connections: int
    members: int = 10
    event: str = "broadcast_message"
    senders: int = 1
    window: int = 1
    phases: tuple[str, ...] = ("sat",)
    seconds: float = 2.0
    warmup_s: float = 0.7


def build(folder: Path) -> Path:
    """Build the `loadgen.c` of a folder, patched, below `results`; the program."""
    built = HERE / "results"
    built.mkdir(exist_ok=True)
    source, program = built / "loadgen.c", built / "loadgen"
    if not (folder / "loadgen.c").is_file():
        raise PeerError(f"there is no load generator: {folder / 'loadgen.c'}")
    shutil.copyfile(folder / "loadgen.c", source)
    for command in (
        ("patch", "--batch", "--no-backup-if-mismatch", str(source), str(PATCH)),
        ("cc", "-O2", "-o", str(program), str(source)),
    ):
        try:
            subprocess.run(command, capture_output=True, text=True, check=True)
        except subprocess.CalledProcessError as error:
            raise PeerError(f"{' '.join(command)} failed:\n{error.stdout}{error.stderr}") from None
        except FileNotFoundError as error:
            raise PeerError(f"{' '.join(command)} failed: {error}") from None
    return program


def run(program: Path, core: int, scenario: Scenario, server: Server, token: str) -> list[Sample]:
    """Drive a server; one sample for each phase, or one without figures when the run failed."""
    options: dict[str, object] = {
        "port": server.port,
        "server-pid": server.process.pid,
        "auth": "emit",
        "token": token,
        "label": server.peer,
        "scenario": scenario.kind,
        "event": scenario.event,
        "conns": scenario.connections,
        "members": scenario.members,
        "senders": scenario.senders,
        "window": scenario.window,
        "phases": ",".join(scenario.phases),
        "secs": scenario.seconds,
        "warmup": scenario.warmup_s,
        "drain": 4,
    }
    command = [str(program)]
    for option, value in options.items():
        command += [f"--{option}", str(value)]
    try:
        with on_core(core):
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=RUN_WITHIN_S, check=False
            )
    except subprocess.TimeoutExpired:
        return [_named(scenario, server, {"phase": "failed", "lasterr": "timeout"})]
    samples = [json.loads(line) for line in done.stdout.splitlines()]
    if not samples:
        samples = [{"phase": "failed", "lasterr": done.stderr.strip()[-300:]}]
    return [_named(scenario, server, sample) for sample in samples]


def _named(scenario: Scenario, server: Server, sample: Sample) -> Sample:
    return {"peer": server.peer, "column": scenario.name, "event": scenario.event, **sample}
