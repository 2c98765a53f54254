"""Editors in a Node program, who type into one song at random; see editors.js."""

import subprocess
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import attrs
import orjson

from tests.journeys.clients import HERE


@attrs.frozen
class Report:
    """What one editor has in the end.

    A legacy one has neither `client_id` nor `revision`, but a `user_id` of its own. Its operations
    have ids; it tells the codes of those `refused`, how many updates were `repairs`, and how often
    its text was `replaced`.
    """

    client_id: str | None
    text: str
    revision: int | None
    acknowledged: list[Any]
    problems: list[Any]
    refused: list[str] = attrs.field(factory=list)
    user_id: int | None = None
    repairs: int = 0
    replaced: int = 0


class Editors:
    """One Node process with several editors in it."""

    def __init__(
        self,
        node: str,
        url: str,
        room: str,
        tokens: Sequence[str],
        legacy_tokens: Sequence[str] = (),
    ) -> None:
        self._process = subprocess.Popen(
            [node, "editors.js"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        who = {"tokens": list(tokens), "legacyTokens": list(legacy_tokens)}
        self._tell({"do": "open", "url": url, "room": room, **who})

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
            stream.close()

    def type(self, every_ms: int) -> None:
        """Begin to type: so often one of them makes an edit."""
        self._tell({"do": "type", "everyMs": every_ms})

    def pause(self) -> None:
        """Stop typing for a while."""
        self._tell({"do": "pause"})

    def cut(self) -> None:
        """Cut the WebSocket of about every second current one."""
        self._tell({"do": "cut"})

    def rest(self) -> list[Report]:
        """Stop typing, and wait until everybody has heard everything: the current ones first."""
        self._tell({"do": "rest"})
        assert self._process.stdout is not None
        return [Report(**one) for one in orjson.loads(self._process.stdout.readline())]

    def _tell(self, command: dict[str, object]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(command) + b"\n")
        self._process.stdin.flush()
