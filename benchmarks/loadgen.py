"""One run of the load generator: its command line, and what it prints."""

import json
import subprocess
from pathlib import Path
from typing import Any, Final

import attrs

from benchmarks.servers import Server, on_core

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
