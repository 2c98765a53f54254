"""What sockets and transports know of each other."""

from zope.interface import Attribute, Interface

from chordme_daemon.engineio.encoded import Encoded


class ITransport(Interface):
    """What carries a session's packets at the moment."""

    writable: bool = Attribute("Whether `write` would pass packets on now.")
    name: str = Attribute("`polling` or `websocket`.")
    max_packets: int = Attribute("The most packets that one write takes.")

    def write(packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Send packets at once; `joined` shares work among all writes of one turn."""

    def close(packets: list[Encoded], *, by_client: bool) -> bool:
        """Send the last packets and say goodbye; False if nobody was there to hear it."""

    def abort() -> None:
        """Be gone, without a goodbye."""


class IReceiver(Interface):
    """Who hears a WebSocket: a socket, or a candidate for one."""

    def receive_text(text: str) -> None:
        """Take a text frame."""

    def receive_binary(data: bytes) -> None:
        """Take a binary frame."""

    def flush(joined: dict[tuple[Encoded, ...], bytes]) -> None:
        """Write what waits: there is room again."""

    def lost(reason: str) -> None:
        """Hear that the connection is gone."""


class ICandidate(Interface):
    """A WebSocket that wants to take over a polling session."""

    def close() -> None:
        """Give up: the session has ended, or another came first."""
