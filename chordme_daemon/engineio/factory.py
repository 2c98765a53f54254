"""The Autobahn factory of all WebSocket transports, and what they have in common."""

from typing import Final

from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.interfaces import IReactorTime

from chordme_daemon.engineio.poller import Poller
from chordme_daemon.engineio.traffic import Traffic
from chordme_daemon.engineio.websocket import Opened, WebSocketTransport

MESSAGE_WITHIN_S: Final = 10.0
SHORT_FRAME_BYTES: Final = 4096


class WebSocketFactory(WebSocketServerFactory):
    """Makes them; to be ticked every second."""

    noisy = False

    def __init__(
        self, clock: IReactorTime, *, max_message_bytes: int, upgrade_timeout_s: float
    ) -> None:
        super().__init__(reactor=clock)
        self.clock = clock
        self.upgrade_timeout_s = upgrade_timeout_s
        self.limit(max_message_bytes)
        self.poller = Poller(clock) if Poller.suits(clock) else None
        self.open: set[WebSocketTransport] = set()
        self.traffic = Traffic()
        # The connections in the middle of a message, and since when.
        self.partial: dict[WebSocketTransport, float] = {}

    def limit(self, max_message_bytes: int) -> None:
        """Take no longer messages, on connections that are yet to come."""
        self.maxMessagePayloadSize = self.maxFramePayloadSize = max_message_bytes
        self.short_frame_bytes = min(SHORT_FRAME_BYTES, max_message_bytes)

    def build(self, opening: bytes, opened: Opened) -> WebSocketTransport:
        """A protocol that answers `opening`; `opened(it)` then says who receives its frames."""
        protocol = WebSocketTransport(opening, opened)
        protocol.factory = self
        return protocol

    def tick(self) -> None:
        """Close the connections whose message never ends."""
        now = self.clock.seconds()
        for protocol, since in list(self.partial.items()):
            if now - since >= MESSAGE_WITHIN_S:
                del self.partial[protocol]
                protocol.expire()
