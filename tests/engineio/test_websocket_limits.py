"""The WebSocket transport's deadlines, its defence against floods, and back-pressure."""

import pytest
from twisted.internet.task import Clock

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Closed, Event
from chordme_daemon.engineio.factory import MESSAGE_WITHIN_S
from chordme_daemon.engineio.server import Server, Socket
from chordme_daemon.engineio.settings import Settings
from chordme_daemon.engineio.shortcut import MAX_MESSAGES_PER_S
from chordme_daemon.engineio.websocket import (
    CLOSE_WITHIN_S,
    MAX_CONTROL_FRAMES_PER_S,
    MAX_FRAGMENTS,
)
from tests.engineio.conftest import MAX_MESSAGE_BYTES, Peer, peer_of
from tests.engineio.frames import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    close,
    code_of,
    frame,
    text,
)

FIRST, MIDDLE = 0x01, 0x00
# More than the short path takes.
LONG = frame(TEXT, b"x" * 5000)


def seconds_alive(peer: Peer, most: int, each: bytes | None = None) -> int:
    """How many whole seconds the connection lives, ticked and sent `each` once a second."""
    for second in range(most):
        if not peer.wire.connected:
            return second
        if each is not None:
            peer.send(each)
        peer.clock.advance(1)
        peer.factory.tick()
        peer.clock.advance(0)
    return most


# Every way of closing has a deadline


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(close(1000), id="W13-zombie"),
        pytest.param(frame(CLOSE, b"\x03"), id="W11"),
        pytest.param(frame(3, b"x"), id="W03"),
        pytest.param(frame(3, b"x") * 2, id="W03-twice"),
        pytest.param(frame(TEXT, b"\xff"), id="W10"),
        pytest.param(frame(TEXT, b"x" * (MAX_MESSAGE_BYTES + 1)), id="W09"),
    ],
)
def test_a_peer_that_never_reads_the_end_is_gone_in_two_seconds(clock: Clock, data: bytes) -> None:
    peer = peer_of(clock, stuck=True)
    peer.send(data)
    clock.advance(CLOSE_WITHIN_S - 0.001)
    assert peer.wire.connected
    clock.advance(0.001)
    assert peer.gone
    assert peer.wire.aborted
    assert not clock.getDelayedCalls()


@pytest.mark.parametrize("stuck", [False, True], ids=["reading", "stuck"])
def test_a_peer_that_does_not_answer_our_close_is_gone_in_two_seconds(
    clock: Clock, stuck: bool
) -> None:
    peer = peer_of(clock, stuck=stuck)
    peer.transport.close([], by_client=False)
    assert peer.answers == [(CLOSE, b"")]
    peer.send(text("I stay") * 50)
    clock.advance(CLOSE_WITHIN_S)
    assert peer.gone
    assert peer.wire.aborted
    assert (peer.ears.heard, peer.ears.reasons) == ([], [])


def test_a_peer_that_answers_our_close_is_not_aborted(peer: Peer) -> None:
    peer.transport.close([Encoded(b"4bye")], by_client=False)
    assert peer.answers == [(TEXT, b"4bye"), (CLOSE, b"")]
    peer.send(frame(CLOSE))
    assert peer.gone
    assert not peer.wire.aborted
    assert not peer.clock.getDelayedCalls()


def test_closing_twice_says_goodbye_once(peer: Peer) -> None:
    peer.transport.close([], by_client=False)
    peer.transport.close([], by_client=False)
    assert peer.answers == [(CLOSE, b"")]
    peer.transport.abort()
    assert peer.gone
    peer.transport.close([], by_client=False)
    peer.transport.abort()


def test_w27_a_lost_connection_is_told_once_and_leaves_nothing(peer: Peer) -> None:
    peer.send(text("a")[:4])
    assert peer.factory.partial
    peer.wire.hang_up()
    assert peer.ears.reasons == ["transport close"]
    assert peer.gone
    assert not peer.clock.getDelayedCalls()
    peer.factory.tick()


def test_a_connection_lost_while_closing_leaves_no_timer(peer: Peer) -> None:
    peer.transport.close([], by_client=False)
    peer.wire.hang_up()
    assert peer.gone
    assert not peer.clock.getDelayedCalls()


# A message has to end


@pytest.mark.parametrize(
    ("begin", "each"),
    [
        pytest.param(text("x" * 200)[:1], text("x" * 200)[4:5], id="W16-short-frame"),
        pytest.param(frame(BINARY, b"x" * 9000)[:8], b"x", id="W16-long-frame"),
        pytest.param(frame(TEXT, b"x", first=FIRST), frame(0, b"x", first=MIDDLE), id="W16-parts"),
        pytest.param(frame(TEXT, b"x", first=FIRST), frame(PING), id="W16-pings-between-fragments"),
        pytest.param(b"\x89", None, id="W16-control-frame"),
        pytest.param(b"\x81", None, id="W16-one-byte"),
    ],
)
def test_a_message_that_never_ends_is_given_up(
    clock: Clock, begin: bytes, each: bytes | None
) -> None:
    peer = peer_of(clock, stuck=True)
    peer.send(begin)
    lived = seconds_alive(peer, 20, each)
    assert MESSAGE_WITHIN_S <= lived <= MESSAGE_WITHIN_S + CLOSE_WITHIN_S
    closed = [code_of(payload) for opcode, payload in peer.answers if opcode == CLOSE]
    assert closed == [1008]
    assert peer.ears.reasons == ["transport error"]
    assert peer.gone


def test_w16_a_message_that_ends_in_time_begins_the_count_anew(peer: Peer) -> None:
    data = text("x" * 300)
    for _ in range(8):
        for part in (data[:100], data[100:200], data[200:]):
            assert seconds_alive(peer, 3, None) == 3
            peer.send(part)
    assert len(peer.ears.heard) == 8


def test_w16_a_burst_that_always_ends_in_the_middle_of_a_frame_is_no_endless_message(
    peer: Peer,
) -> None:
    data = text("x" * 50)
    peer.send(data[:20])
    for _ in range(30):
        assert seconds_alive(peer, 1, data[20:] + data[:20]) == 1
    assert len(peer.ears.heard) == 30


# Floods


@pytest.mark.parametrize(
    ("first", "flood"),
    [
        pytest.param(b"", frame(0, b"", first=MIDDLE), id="W14-empty-fragments"),
        pytest.param(b"x", frame(0, b"x", first=MIDDLE), id="W15-tiny-fragments"),
    ],
)
@pytest.mark.parametrize("reads", [1, 10_240], ids=["one-read", "one-read-each"])
def test_a_message_of_too_many_fragments_is_refused(
    clock: Clock, first: bytes, flood: bytes, reads: int
) -> None:
    peer = peer_of(clock, stuck=True)
    peer.send(frame(TEXT, first, first=FIRST) + flood * (MAX_FRAGMENTS - 1))
    assert peer.answers == []
    for _ in range(reads):
        peer.send(flood * (10_240 // reads))
    ((opcode, payload),) = peer.answers
    assert (opcode, code_of(payload)) == (CLOSE, 1008)
    assert peer.wire.aborted, "2000 frames in a second are too many, also while closing"
    assert peer.ears.reasons == ["transport error"]
    assert peer.gone


def test_a_message_of_as_many_fragments_as_there_may_be_is_heard(peer: Peer) -> None:
    for _ in range(3):
        peer.send(
            frame(TEXT, b"x", first=FIRST)
            + frame(0, b"x", first=MIDDLE) * (MAX_FRAGMENTS - 2)
            + frame(0, b"x")
        )
    assert peer.ears.heard == ["x" * MAX_FRAGMENTS] * 3


@pytest.mark.parametrize(
    "control",
    [
        pytest.param(frame(PING, b"x" * 125), id="W17-pings"),
        pytest.param(frame(PONG, b"x" * 125), id="W18-pongs"),
        pytest.param(frame(PONG), id="W18-empty-pongs"),
    ],
)
@pytest.mark.parametrize("stuck", [False, True], ids=["reading", "not-reading"])
def test_a_flood_of_control_frames_ends_the_connection(
    clock: Clock, control: bytes, stuck: bool
) -> None:
    peer = peer_of(clock, stuck=stuck)
    peer.send(control * 10_000)
    assert peer.wire.aborted
    assert peer.gone
    assert peer.ears.reasons == ["transport error"]
    assert len(peer.answers) <= MAX_CONTROL_FRAMES_PER_S


def test_as_many_pings_as_there_may_be_are_answered_each_second(peer: Peer) -> None:
    for second in range(5):
        peer.clock.advance(1)
        for count in range(MAX_CONTROL_FRAMES_PER_S):
            payload = f"{second} {count}".encode()
            peer.send(frame(PING, payload))
            assert peer.answers == [(PONG, payload)]
    assert not peer.gone


def test_w17_a_client_that_does_not_read_gets_no_pongs_piled_up(peer: Peer) -> None:
    peer.transport.pauseProducing()
    for _ in range(100):
        peer.clock.advance(1)
        peer.send(frame(PING, b"x" * 125))
    assert peer.answers == []
    peer.transport.resumeProducing()
    peer.send(frame(PING, b"?"))
    assert peer.answers == [(PONG, b"?")]


@pytest.mark.parametrize("kind", [TEXT, BINARY], ids=["text", "binary"])
def test_w18_a_flood_of_empty_frames_ends_the_connection(peer: Peer, kind: int) -> None:
    peer.send(frame(kind) * (MAX_MESSAGES_PER_S + 1))
    assert peer.wire.aborted
    assert len(peer.ears.heard) == MAX_MESSAGES_PER_S


def test_w15_a_flood_of_messages_in_two_fragments_ends_the_connection(peer: Peer) -> None:
    halves = frame(TEXT, b"x", first=FIRST) + frame(0, b"y")
    peer.send(halves * (MAX_MESSAGES_PER_S // 2) + text("z"))
    assert peer.ears.heard == ["xy"] * (MAX_MESSAGES_PER_S // 2) + ["z"]
    peer.send(halves)
    assert peer.wire.aborted


def test_who_talks_on_without_end_while_closing_is_cut_off(peer: Peer) -> None:
    peer.transport.close([], by_client=False)
    peer.send(text("I stay") * MAX_MESSAGES_PER_S)
    assert not peer.wire.aborted
    peer.send(text("I stay"))
    assert peer.wire.aborted
    assert peer.ears.heard == []


# Back-pressure


def test_a_paused_transport_is_not_writable_until_it_is_resumed(peer: Peer) -> None:
    assert peer.wire.producer is peer.transport
    assert peer.transport.writable
    for _ in range(3):
        peer.transport.pauseProducing()
        assert not peer.transport.writable
    peer.transport.resumeProducing()
    assert peer.transport.writable
    assert peer.ears.flushed == 1


def test_a_closing_transport_does_not_become_writable_again(peer: Peer) -> None:
    peer.transport.pauseProducing()
    peer.transport.close([], by_client=False)
    peer.transport.resumeProducing()
    assert not peer.transport.writable
    assert peer.ears.flushed == 0


def test_c10_a_client_that_stops_reading_is_given_up_and_its_bytes_are_bounded(
    clock: Clock,
) -> None:
    events: list[Event] = []
    server = Server(clock, lambda _: events.append, Settings(max_queued_bytes=100_000))
    peer = peer_of(clock, stuck=True)
    socket: Socket = server.open(peer.transport, "")
    peer.transport.carry(socket)
    clock.advance(0)
    events.clear()
    peer.transport.pauseProducing()
    packet, sent = Encoded(b"4" + b"x" * 1000), 0
    while not events:
        socket.send(packet)
        clock.advance(0)
        sent += len(packet.body)
    assert sent <= 101_000
    assert events == [Closed("transport error")]
    assert peer.wire.aborted
    assert len(peer.wire.take()) < 300
    assert peer.gone


# More messages than a second may have


def test_w18_who_talks_without_end_is_read_on_in_the_next_second(peer: Peer) -> None:
    peer.clock.advance(1)
    peer.send(b"".join(text(str(number)) for number in range(2 * MAX_MESSAGES_PER_S + 10)))
    assert len(peer.ears.heard) == MAX_MESSAGES_PER_S
    assert peer.wire.producerState == "paused"
    peer.clock.advance(1)
    assert len(peer.ears.heard) == 2 * MAX_MESSAGES_PER_S
    peer.clock.advance(1)
    assert peer.ears.heard == [str(number) for number in range(2 * MAX_MESSAGES_PER_S + 10)]
    assert peer.wire.producerState == "producing"


@pytest.mark.parametrize("waited_s", [0.0, 0.3, 0.999, 1.0])
def test_w18_no_moment_is_good_for_two_seconds_at_once(peer: Peer, waited_s: float) -> None:
    peer.clock.advance(1)
    peer.send(text("x"))
    peer.clock.advance(waited_s)
    peer.send(text("x") * (MAX_MESSAGES_PER_S - 1))
    peer.clock.advance(0.01)
    peer.send(text("x") * MAX_MESSAGES_PER_S)
    assert len(peer.ears.heard) <= 1.02 * MAX_MESSAGES_PER_S
    peer.clock.advance(1)
    assert len(peer.ears.heard) == 2 * MAX_MESSAGES_PER_S


def test_w18_what_comes_while_one_is_held_back_keeps_its_order(peer: Peer) -> None:
    peer.send(text("x") * MAX_MESSAGES_PER_S + text("1"), text("2"), frame(PING, b"") + text("3"))
    peer.clock.advance(1)
    assert peer.ears.heard[MAX_MESSAGES_PER_S:] == ["1", "2", "3"]


@pytest.mark.parametrize(
    ("before", "front", "kind"),
    [
        pytest.param(b"", LONG, TEXT, id="behind-a-long-one"),
        pytest.param(LONG[:100], LONG[100:], TEXT, id="behind-the-rest-of-a-long-one"),
        pytest.param(frame(TEXT, b"x", first=FIRST), frame(0, b"y"), TEXT, id="behind-fragments"),
        pytest.param(b"", frame(PING), TEXT, id="behind-a-ping"),
        pytest.param(b"", b"", BINARY, id="binary"),
    ],
)
def test_w18_of_many_whole_messages_none_is_lost_on_any_path(
    peer: Peer, before: bytes, front: bytes, kind: int
) -> None:
    peer.clock.advance(1)
    peer.send(before)
    payloads = [b"%d" % number for number in range(5000)]
    peer.send(front + b"".join(frame(kind, payload) for payload in payloads))
    for second in (1, 2):
        assert len(peer.ears.heard) <= second * MAX_MESSAGES_PER_S + 1
        assert peer.wire.producerState == "paused"
        peer.clock.advance(1)
    assert not peer.wire.aborted
    assert peer.wire.producerState == "producing"
    heard = [data.encode() if isinstance(data, str) else data for data in peer.ears.heard]
    assert heard[-5000:] == payloads


def test_w18_a_ping_behind_as_many_messages_as_there_may_be_is_answered_later(peer: Peer) -> None:
    peer.send(frame(BINARY, b"x") * MAX_MESSAGES_PER_S + frame(PING, b"?") + text("y"))
    assert peer.answers == []
    peer.clock.advance(1)
    assert peer.answers == [(PONG, b"?")]
    assert peer.ears.heard[MAX_MESSAGES_PER_S:] == ["y"]


def test_nothing_is_heard_behind_a_long_message_that_was_answered_with_a_close(peer: Peer) -> None:
    def close_it(_: str) -> None:
        peer.transport.close([], by_client=False)

    peer.ears.on_text = close_it
    peer.send(LONG + text("y") + frame(CLOSE))
    assert peer.ears.heard == ["x" * 5000]
    assert peer.answers == [(CLOSE, b"")]
    assert peer.gone
    assert not peer.wire.aborted


def test_nothing_is_left_of_one_that_leaves_while_it_is_held_back(peer: Peer) -> None:
    peer.send(text("x") * (MAX_MESSAGES_PER_S + 1))
    peer.wire.hang_up()
    assert peer.gone
    assert peer.clock.getDelayedCalls() == []
