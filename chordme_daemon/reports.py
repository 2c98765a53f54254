"""What the daemon tells of its figures unasked: to who embeds it, and to StatsD."""

from collections.abc import Callable
from typing import Any, Final

from twisted.logger import Logger

from chordme_daemon.metrics import Figures
from chordme_daemon.statsd import StatsD

EVERY_S: Final = 10.0


class Reports:
    """Whoever is told, every ten seconds; `tick` it every second."""

    log = Logger()

    def __init__(self, clock: Any, figures: Figures, statsd: StatsD | None = None) -> None:
        self._clock = clock
        self._figures = figures
        self._statsd = statsd
        self._heard: list[Callable[[dict[str, object]], object]] = []
        self._due_at = clock.seconds()

    def tell(self, callback: Callable[[dict[str, object]], object]) -> None:
        """Have something called with the figures of `/metrics.json`."""
        self._heard.append(callback)

    def tick(self) -> None:
        """Tell all, if it is time."""
        now = self._clock.seconds()
        if now < self._due_at:
            return
        self._due_at = now + EVERY_S
        if self._statsd is not None:
            self._statsd.tell()
        if not self._heard:
            return
        figures = self._figures.as_chordme()
        for callback in self._heard:
            try:
                callback(figures)
            except Exception:  # what others do with it is not to stop the heartbeat
                self.log.failure("Metrics could not be told")

    def stop(self) -> None:
        """Tell nothing more."""
        if self._statsd is not None:
            self._statsd.stop()
