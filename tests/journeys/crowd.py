"""Editors in a Node program, who type into the songs of a cluster; see crowd.js."""

import subprocess
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import attrs
import orjson

from tests.journeys.clients import HERE


@attrs.frozen
class Acknowledged:
    """An operation that an editor was told is in the song; the revision, unless it was replaced."""

    seq: int
    revision: int | None
    token: str
    at_ms: int


@attrs.frozen
class Report:
    """What one editor has; one that is `gone` said goodbye.

    `pending` is what it still waits for, `present` the users that it was told of, `counted` how
    many it was told that they are, and `presence` all that it was told of that, of late; `refused`
    how often it heard which code, `states` how often its text was replaced, and `rewinds` how often
    by an older one.
    """

    room: str
    client_id: str
    text: str
    revision: int | None
    acknowledged: list[Acknowledged] = attrs.field(
        converter=lambda all_: [Acknowledged(**one) for one in all_]
    )
    problems: list[Any]
    refused: dict[str, int]
    gone: bool
    pending: object
    present: list[str]
    counted: int | None
    presence: list[str]
    resends: int
    states: int
    rewinds: int
    connects: int
    url: str | None


@attrs.frozen
class Editor:
    """Whom to open: who begins at the first of its URLs, and goes round when that is lost."""

    urls: Sequence[str]
    room: str
    token: str
    client_id: str
    transports: Sequence[str]


class Crowd:
    """One Node process with many editors in it; the same seed makes them type the same."""

    def __init__(self, node: str, seed: int) -> None:
        self._process = subprocess.Popen(
            [node, "crowd.js"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        self._ask("open", who=[], seed=seed)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with suppress(BrokenPipeError):  # it has died before
                stream.close()

    def open(self, editors: Sequence[Editor]) -> None:
        """Open more editors."""
        self._ask("open", who=[attrs.asdict(one) for one in editors])

    def joined(self, within_s: float) -> bool:
        """Wait until everybody is in their rooms: whether they are."""
        return bool(self._ask("joined", withinMs=within_s * 1000))

    def type(self, every_ms: int) -> None:
        """Begin to type: so often one of them makes an edit; with 0, stop."""
        self._ask("type", everyMs=every_ms)

    def cut(self) -> None:
        """Cut the WebSocket of about every second one."""
        self._ask("cut")

    def leave(self, editors: Sequence[Editor]) -> None:
        """Some say goodbye."""
        self._ask("leave", client_ids=[one.client_id for one in editors])

    def rest(self, within_s: float) -> bool:
        """Wait until nobody owes anything, and all in a room have come equally far."""
        return bool(self._ask("rest", withinMs=within_s * 1000))

    def reports(self) -> list[Report]:
        """What everybody has now, also those who are gone."""
        return [Report(**one) for one in self._ask("report")]

    def close(self) -> None:
        """All say goodbye, and are forgotten."""
        self._ask("close")

    def _ask(self, command: str, **options: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps({"do": command, **options}) + b"\n")
        self._process.stdin.flush()
        return orjson.loads(self._process.stdout.readline())
