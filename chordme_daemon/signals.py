"""Signals that a daemon listens to while it runs."""

import signal
from collections.abc import Callable, Mapping
from typing import Any


def listen(reactor: Any, calls: Mapping[signal.Signals, Callable[[], object]]) -> None:
    """Have these called, in the reactor, whenever their signal comes."""

    def hear(number: int, _: object) -> None:
        reactor.callFromThread(calls[signal.Signals(number)])

    for one in calls:
        signal.signal(one, hear)
