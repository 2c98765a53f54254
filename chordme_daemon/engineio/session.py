"""One client as a state machine: packets and instants in, events out.

The rules (Engine.IO v4):

- The server pings, the client answers. The deadline for an answer is counted from the handshake
  or the last pong: interval + timeout later the session is over, whatever else was received.
- A session begins on polling or on WebSocket. Only the first may move to the second, once:
  the candidate sends `2probe`, is answered `3probe`, sends `5`, and then is the transport.
  A candidate that does anything else is dropped, and the session stays where it was.
- What waits to be sent waits here and nowhere else, in order, through any change of transport. It
  is bounded, and one large message may wait beside: a client that keeps up can be sent any.
- Pings are answered in order, so a pong also tells how far the client has got in what it was sent:
  a ping that is queued for that carries a mark. Any answer shows that the client is there.
- Once closed, nothing comes in and nothing more is queued.
"""

from collections import deque
from enum import Enum, auto
from typing import Final

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Answered, Closed, Event, Mark, Upgraded
from chordme_daemon.engineio.packet import Packet, PacketType, encode
from chordme_daemon.engineio.settings import Heartbeat

PING: Final = encode(Packet(PacketType.PING))
PROBE_ANSWER: Final = encode(Packet(PacketType.PONG, "probe"))

# Unsent bytes from which a slow client is sent only the newest of what can be conflated.
CONFLATE_FROM_BYTES: Final = 64 * 1024
# The most that a transport is handed at once; what it cannot pass on, it buffers.
DRAIN_BYTES: Final = 64 * 1024
UNLIMITED: Final = 1 << 62
# Packets that say nothing, from one pong to the next; a client that sends more means harm.
MAX_IDLE_PACKETS: Final = 10_000


class Probe(Enum):
    """What a WebSocket that wants to take over a polling session is to be told."""

    ANSWER = auto()
    TAKE_OVER = auto()
    REFUSE = auto()


class Session:
    """The state of one client: its heartbeat, its upgrade, and its queue."""

    __slots__ = (
        "_deadline",
        "_heartbeat",
        "_idle_packets",
        "_large_bytes",
        "_largest_bytes",
        "_light_bytes",
        "_max_queued_bytes",
        "_newest",
        "_ping_at",
        "_pings",
        "_probed",
        "_queue",
        "closed",
        "queued_bytes",
        "sid",
        "upgraded",
    )

    def __init__(
        self, sid: str, *, websocket: bool, heartbeat: Heartbeat, max_queued_bytes: int, now: float
    ) -> None:
        self.sid = sid
        self.upgraded = websocket
        self.closed = False
        self._heartbeat = heartbeat
        self._max_queued_bytes = max_queued_bytes
        self._large_bytes = max_queued_bytes // 2
        # As long as no more than this waits, a packet is nothing but queued.
        self._light_bytes = min(CONFLATE_FROM_BYTES, self._large_bytes)
        self._probed = False
        self._queue: list[Encoded] = []
        self.queued_bytes = 0  # how much waits to be sent
        # The largest of the large messages since nothing waited, which is not counted.
        self._largest_bytes = 0
        self._newest: dict[object, int] | None = None
        self._ping_at: float | None = None
        # The marks of unanswered pings, None for one of the heartbeat; None while there is no mark.
        self._pings: deque[Mark | None] | None = None
        self._deadline = 0.0
        self._idle_packets = 0
        self._expect_ping(now)

    def _expect_ping(self, now: float) -> None:
        self._idle_packets = 0
        self._ping_at = now + self._heartbeat.interval_s
        self._deadline = self._ping_at + self._heartbeat.timeout_s

    # What comes in

    def receive(self, packet: Packet, now: float) -> Event | None:
        """Take a packet from the session's own transport."""
        if self.closed:
            return None
        match packet.type:
            case PacketType.MESSAGE:
                return packet.data
            case PacketType.PONG if self._pings is not None:
                self._expect_ping(now)
                return self._answered(self._pings)
            case PacketType.PONG if self._ping_at is None:
                self._expect_ping(now)
            case PacketType.CLOSE:
                return self.close("transport close")
            case PacketType.PING:
                return self.close("transport error")
            case PacketType.UPGRADE if not self.upgraded:
                return self.close("parse error")
            case _:
                # OPEN, NOOP, a second UPGRADE and a pong that nothing asked for say nothing.
                self._idle_packets += 1
                if self._idle_packets > MAX_IDLE_PACKETS:
                    return self.close("transport error")
        return None

    def _answered(self, pings: deque[Mark | None]) -> Answered | None:
        mark = pings.popleft()
        if not pings:
            self._pings = None
        return None if mark is None else Answered(mark)

    def receive_probe(self, packet: Packet) -> Probe:
        """Take a packet from a WebSocket that wants to take over."""
        if self.closed or self.upgraded:
            return Probe.REFUSE
        if packet == Packet(PacketType.PING, "probe") and not self._probed:
            self._probed = True
            return Probe.ANSWER
        if packet == Packet(PacketType.UPGRADE):
            return Probe.TAKE_OVER
        return Probe.REFUSE

    def end_probe(self) -> None:
        """Forget a candidate that is gone, so that another may come."""
        self._probed = False

    def upgrade(self) -> Upgraded:
        """Make the candidate the session's transport."""
        self.upgraded = True
        return Upgraded()

    # What passes

    def tick(self, now: float) -> Closed | None:
        """Queue a ping when one is due; close when an answer is overdue."""
        if self.closed or (self._ping_at is not None and now < self._ping_at):
            return None
        if now >= self._deadline:
            return self.close("ping timeout")
        if self._ping_at is not None:
            self._ping_at = None
            self._append(PING)
            if self._pings is not None:
                self._pings.append(None)
        return None

    def close(self, reason: str) -> Closed | None:
        """Be over; `None` when it already was."""
        if self.closed:
            return None
        self.closed = True
        return Closed(reason)

    # What goes out

    def send(self, packet: Encoded) -> Closed | None:
        """Queue a packet; close when the client is so slow that too much waits for it."""
        queued_bytes = self.queued_bytes + packet.size_bytes
        if self.closed or queued_bytes > self._light_bytes:
            return self._send_to_slow(packet)
        self._queue.append(packet)
        self.queued_bytes = queued_bytes
        return None

    def _send_to_slow(self, packet: Encoded) -> Closed | None:
        if self.closed:
            return None
        if packet.conflate is not None and self.queued_bytes >= CONFLATE_FROM_BYTES:
            self._conflate(packet)
        else:
            self._append(packet)
        if packet.size_bytes > self._large_bytes:
            self._largest_bytes = max(self._largest_bytes, packet.size_bytes)
        if self.queued_bytes > self._max_queued_bytes + self._largest_bytes:
            self._queue.clear()
            self.queued_bytes = 0
            return self.close("transport error")
        return None

    def ping(self, mark: Mark) -> None:
        """Queue a ping whose answer is an event with this mark."""
        if self.closed:
            return
        if self._pings is None:
            self._pings = deque() if self._ping_at is not None else deque([None])
        self._pings.append(mark)
        self._append(PING)

    def drain(self, max_bytes: int = DRAIN_BYTES, max_packets: int = UNLIMITED) -> list[Encoded]:
        """Take what waits, in order: all, or the first packets that make one of the numbers."""
        if self.queued_bytes <= max_bytes and len(self._queue) <= max_packets:
            packets, self._queue = self._queue, []
            self.queued_bytes = self._largest_bytes = 0
            self._newest = None
            return packets
        count = taken = 0
        while taken < max_bytes and count < max_packets:
            taken += self._queue[count].size_bytes
            count += 1
        while count > 1 and self._queue[count - 1] is PING:
            # It says how far the client got; what follows it is to arrive together with it.
            count -= 1
            taken -= PING.size_bytes
        packets = self._queue[:count]
        del self._queue[:count]
        self.queued_bytes -= taken
        self._newest = None
        return packets

    def _append(self, packet: Encoded) -> None:
        self._queue.append(packet)
        self.queued_bytes += packet.size_bytes

    def _conflate(self, packet: Encoded) -> None:
        """Put the packet in the place of the one that it makes obsolete, if one waits."""
        if self._newest is None:
            self._newest = {}
        index = self._newest.get(packet.conflate)
        if index is None:
            self._newest[packet.conflate] = len(self._queue)
            self._append(packet)
        else:
            self.queued_bytes += packet.size_bytes - self._queue[index].size_bytes
            self._queue[index] = packet
