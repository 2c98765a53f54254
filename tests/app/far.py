"""What is behind a daemon, some way off: what it keeps is kept when the test says so."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred

from chordme_daemon import ot
from chordme_daemon.app.document import PASSING
from chordme_daemon.cluster.interface import ClusterUnavailable, Draft, Entry
from chordme_daemon.cluster.journal import Journal


class Far:
    """Something a way off: what is asked of it happens when that arrives there, in order."""

    def __init__(self, target: object, *at_once: str) -> None:
        self.waiting: deque[tuple[str, partial[object], Deferred[Any]]] = deque()
        self._target = target
        self._at_once = at_once

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._target, name)
        return call if name in self._at_once else partial(self._ask, name, call)

    def _ask(self, name: str, call: Callable[..., object], *args: Any, **more: Any) -> Any:
        answer: Deferred[Any] = Deferred()
        self.waiting.append((name, partial(call, *args, **more), answer))
        return answer

    def arrive(self, count: int = 1) -> None:
        for _ in range(min(count, len(self.waiting))):
            _, call, answer = self.waiting.popleft()
            result = call()
            if isinstance(result, Deferred):
                result.chainDeferred(answer)

    def sooner(self, name: str, *args: Any) -> Any:
        """Ask something now, before all that is on its way."""
        return getattr(self._target, name)(*args)

    def next_draft(self, head: int) -> Draft | None:
        """The operation of a current client that is to be committed next, if it is the head's."""
        for name, call, _ in list(self.waiting)[:1]:
            if name == "commit" and call.args[1] == head and call.args[2][0].author[0] != PASSING:
                draft: Draft = call.args[2][0]
                return draft
        return None

    def fail(self, name: str) -> None:
        """Let the next call fail, if it is this one."""
        if self.waiting and self.waiting[0][0] == name:
            self.waiting.popleft()[2].errback(ClusterUnavailable())


class Chronicle(Journal):
    """A journal in memory that also knows what it has forgotten."""

    def __init__(self) -> None:
        super().__init__(":memory:")
        self.entries: list[Entry] = []
        self.text = ot.Text()
        self.open()

    def append(self, room: str, entries: Sequence[Entry]) -> Deferred[None]:
        """Put entries behind the last one."""

        def kept(_: None) -> None:
            for entry in entries:
                assert entry.revision == len(self.entries) + 1
                self.entries.append(entry)
                self.text.apply(ot.from_json(entry.draft.operation))

        return super().append(room, entries).addCallback(kept)
