"""The load generator: how it is built, its command line, and what it prints."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.servers import HERE, PeerError, Server, on_core

SOURCE: Final = HERE / "generator"
PROGRAM: Final = HERE / "results" / "loadgen"
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


def build(program: Path = PROGRAM) -> Path:
    """Build the load generator, unless it is newer than its source; where it is."""
    sources = sorted(SOURCE.glob("*.[ch]"))
    newest = max(source.stat().st_mtime_ns for source in sources)
    if program.is_file() and program.stat().st_mtime_ns > newest:
        return program
    program.parent.mkdir(exist_ok=True)
    written = [str(source) for source in sources if source.suffix == ".c"]
    command = ["cc", "-std=c11", "-O2", "-Wall", "-Wextra", "-o", str(program), *written]
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise PeerError("there is no C compiler, cc: apt-get install gcc libc6-dev") from None
    except subprocess.CalledProcessError as error:
        raise PeerError(f"the load generator was not built:\n{error.stderr}") from None
    return program


def run(
    program: Path, core: int | None, scenario: Scenario, server: Server, token: str
) -> list[Sample]:
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
