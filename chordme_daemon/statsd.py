"""Figures for StatsD, or DogStatsD: told by UDP, and never waited for.

- A counter is told as what it has grown by since it was told last, everything else as it is.
- Of a histogram or summary two counters are told, `count` and `sum`: how many, and all together.
- StatsD has no labels: their values go into the name. DogStatsD has tags.
- Datagrams are as large as fit into a packet of Ethernet, and are sent or lost: nobody is asked.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Any, Final

from prometheus_client.core import Metric
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.protocol import DatagramProtocol
from twisted.internet.udp import Port
from twisted.logger import Logger
from twisted.python.failure import Failure

# What an Ethernet packet holds beside the headers of IPv6 and UDP.
MAX_DATAGRAM_BYTES: Final = 1432
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


class Lines:
    """What is told of figures, as lines; knows what it told of counters the last time."""

    def __init__(self, prefix: str, *, tags: bool) -> None:
        self._prefix = prefix
        self._tags = tags
        self._told: dict[str, float] = {}

    def of(self, families: Iterable[Metric]) -> Iterator[str]:
        """The lines of all figures; a counter that has not grown has none."""
        for family in families:
            for sample in family.samples:
                if sample.name.endswith(("_bucket", "_info")):
                    continue
                if sample.name == family.name:
                    yield self._line(family.name, sample.labels, sample.value, "g")
                    continue
                name = sample.name.removesuffix("_total")
                key = f"{name} {sorted(sample.labels.items())}"
                grown = sample.value - self._told.get(key, 0.0)
                self._told[key] = sample.value
                if grown > 0:
                    yield self._line(name, sample.labels, grown, "c")

    def _line(self, name: str, labels: Mapping[str, str], value: float, kind: str) -> str:
        name = self._prefix + name.removeprefix("chordme_")
        values = [(label, _UNSAFE.sub("_", text)) for label, text in labels.items()]
        number = f"{value:.6f}".rstrip("0").rstrip(".")
        if not self._tags:
            return f"{'.'.join([name, *(text for _, text in values)])}:{number}|{kind}"
        tags = ",".join(f"{label}:{text}" for label, text in values)
        return f"{name}:{number}|{kind}{'|#' if tags else ''}{tags}"


def datagrams(lines: Iterable[str]) -> Iterator[bytes]:
    """Lines together, as many as a datagram holds."""
    together = b""
    for line in lines:
        data = line.encode()
        if together and len(together) + 1 + len(data) > MAX_DATAGRAM_BYTES:
            yield together
            together = b""
        together = together + b"\n" + data if together else data
    if together:
        yield together


class StatsD:
    """Tells a server at HOST:PORT of figures; `collect()` has them."""

    log = Logger()

    def __init__(
        self, reactor: Any, address: str, lines: Lines, collect: Callable[[], Iterable[Metric]]
    ) -> None:
        host, _, port = address.rpartition(":")
        self._host, self._port = host.strip("[]"), int(port)
        self._reactor = reactor
        self._lines = lines
        self._collect = collect
        self._looking_up: Deferred[str] | None = None
        self._complaint = ""
        self._sockets: dict[bool, Port] = {}

    def tell(self) -> None:
        """Tell the figures as they are; what was not told the last time is in these."""
        if self._looking_up is None:
            self._looking_up = self._look_up()
            self._looking_up.addCallback(self._send).addErrback(self._complain)
            self._looking_up.addBoth(self._done)

    def stop(self) -> None:
        """Tell nothing more."""
        if self._looking_up is not None:
            self._looking_up.cancel()
        for port in self._sockets.values():
            port.stopListening()
        self._sockets.clear()

    def _look_up(self) -> Deferred[str]:
        try:
            return succeed(str(ip_address(self._host)))
        except ValueError:
            address: Deferred[str] = self._reactor.resolve(self._host)
            return address

    def _done(self, _: object) -> None:
        self._looking_up = None

    def _send(self, address: str) -> None:
        is_v6 = ":" in address
        if is_v6 not in self._sockets:
            interface = "::" if is_v6 else ""
            self._sockets[is_v6] = self._reactor.listenUDP(0, DatagramProtocol(), interface)
        for data in datagrams(self._lines.of(self._collect())):
            self._sockets[is_v6].write(data, (address, self._port))
        self._complaint = ""

    def _complain(self, failure: Failure) -> None:
        """One line for each trouble, not for each time."""
        why = failure.getErrorMessage()
        if failure.check(CancelledError):
            return
        if why != self._complaint:
            self._complaint = why
            self.log.warn("StatsD at {host} cannot be told: {why}", host=self._host, why=why)
