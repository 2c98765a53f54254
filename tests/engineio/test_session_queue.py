"""What waits for one client: its bounds, its order, and the pings that tell how far it got."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.engineio.encoded import PACKET_OVERHEAD_BYTES, Encoded
from chordme_daemon.engineio.events import Answered, Closed
from chordme_daemon.engineio.packet import Packet, PacketType
from chordme_daemon.engineio.session import CONFLATE_FROM_BYTES, DRAIN_BYTES, PING, Session
from tests.engineio.memory import START, new_session

PONG = Packet(PacketType.PONG)


def message(size: int = 0, conflate: object = None) -> Encoded:
    return Encoded(b"4" * size, conflate=conflate)


def bodies(packets: Sequence[Encoded]) -> list[bytes]:
    return [packet.body for packet in packets]


# The queue


@given(st.lists(st.integers(0, 3000), max_size=60), st.integers(1, 20_000))
def test_whatever_is_drained_at_once_everything_leaves_once_and_in_order(
    sizes: list[int], max_bytes: int
) -> None:
    session = new_session()
    packets = [message(size) for size in sizes]
    for packet in packets:
        assert session.send(packet) is None
    assert session.queued_bytes == sum(sizes) + len(sizes) * PACKET_OVERHEAD_BYTES
    taken: list[Encoded] = []
    while session.queued_bytes:
        part = session.drain(max_bytes)
        assert part
        assert sum(len(p.body) + PACKET_OVERHEAD_BYTES for p in part[:-1]) < max_bytes
        taken += part
    assert taken == packets
    assert session.drain() == []


def test_a_transport_is_handed_no_more_than_it_should_be_at_once() -> None:
    session = new_session()
    for _ in range(200):
        session.send(message(1000))
    assert sum(len(body) for body in bodies(session.drain())) <= DRAIN_BYTES


def test_c12_too_much_for_a_slow_client_closes_its_session_and_frees_the_queue() -> None:
    session = new_session(max_queued_bytes=1000)
    for _ in range(2):
        assert session.send(message(500 - PACKET_OVERHEAD_BYTES)) is None
    assert session.queued_bytes == 1000
    assert session.send(message()) == Closed("transport error")
    assert session.closed
    assert session.queued_bytes == 0
    assert session.drain() == []


def test_c12_a_million_empty_packets_are_not_nothing() -> None:
    session = new_session(max_queued_bytes=1 << 20)
    count = 0
    while session.send(message()) is None:
        count += 1
    assert count == (1 << 20) // PACKET_OVERHEAD_BYTES


def test_c12_one_message_may_be_larger_than_all_that_may_wait() -> None:
    session = new_session(max_queued_bytes=1000)
    before, song, after = message(100), message(50_000), message(100)
    # As a join is answered: with something before it, and something behind it.
    for packet in (before, song, after):
        assert session.send(packet) is None
    assert session.drain(1 << 30) == [before, song, after]
    for _ in range(3):
        assert session.send(song) is None
        assert session.drain(1 << 30) == [song]


@given(st.lists(st.integers(0, 5000), max_size=100), st.integers(100, 1000))
def test_c12_what_waits_is_never_more_than_the_bound_and_one_message(
    sizes: list[int], max_bytes: int
) -> None:
    session = new_session(max_queued_bytes=max_bytes)
    for at, size in enumerate(sizes, 1):
        ended = session.send(message(size))
        assert session.queued_bytes <= max_bytes + max(sizes[:at]) + PACKET_OVERHEAD_BYTES
        if ended is not None:
            return
        assert session.queued_bytes >= size


@pytest.mark.parametrize("size", [400, 600, 900, 1000, 5000])
def test_c12_no_message_is_too_large_where_little_waits(size: int) -> None:
    session = new_session(max_queued_bytes=1000)
    session.send(message(200))
    assert session.send(message(size)) is None


def test_c12_a_large_message_that_has_left_makes_no_room_for_others() -> None:
    session = new_session(max_queued_bytes=1000)
    assert session.send(message(50_000)) is None
    session.drain()
    ended = None
    for _ in range(30):
        ended = ended or session.send(message(36))
    assert ended == Closed("transport error")


def fill(session: Session) -> None:
    session.send(message(CONFLATE_FROM_BYTES))
    assert session.queued_bytes >= CONFLATE_FROM_BYTES


def test_a_client_that_keeps_up_is_sent_every_state() -> None:
    session = new_session()
    states = [message(size, conflate="cursor") for size in (1, 2, 3)]
    for state in states:
        session.send(state)
    assert session.drain() == states


def test_a_slow_client_is_sent_only_the_newest_state_of_each_name() -> None:
    session = new_session()
    fill(session)
    for size in range(100):
        session.send(message(size, conflate="ada"))
        session.send(message(size, conflate="bob"))
    event = message(7)
    session.send(event)
    assert bodies(session.drain(1 << 30))[1:] == [b"4" * 99, b"4" * 99, event.body]


def test_conflation_counts_the_bytes_that_really_wait() -> None:
    session = new_session()
    fill(session)
    before = session.queued_bytes
    for size in (500, 10, 300):
        session.send(message(size, conflate="ada"))
    assert session.queued_bytes == before + 300 + PACKET_OVERHEAD_BYTES
    session.drain(1 << 30)
    assert session.queued_bytes == 0


def test_what_was_drained_is_never_replaced() -> None:
    session = new_session()
    fill(session)
    fill(session)
    old, new = message(1, conflate="ada"), message(2, conflate="ada")
    session.send(old)
    session.drain(1)
    assert session.queued_bytes >= CONFLATE_FROM_BYTES
    session.send(new)
    assert session.drain(1 << 30)[1:] == [old, new]


# Pings that tell how far the client got


def test_the_answer_to_a_ping_carries_its_mark_in_their_order() -> None:
    session = new_session()
    session.ping("one")
    session.send(Encoded(b"4a"))
    session.ping("two")
    assert [packet.body for packet in session.drain()] == [b"2", b"4a", b"2"]
    assert session.receive(PONG, START) == Answered("one")
    assert session.receive(PONG, START) == Answered("two")
    assert session.receive(PONG, START) is None


def test_the_heartbeat_keeps_its_place_among_them() -> None:
    session = new_session()
    session.tick(START + 25)
    session.ping("behind the heartbeat")
    assert session.receive(PONG, START + 25) is None
    session.tick(START + 50)
    session.ping("behind the next")
    answers = [session.receive(PONG, START + 51) for _ in range(3)]
    assert answers == [Answered("behind the heartbeat"), None, Answered("behind the next")]
    # Each of them has shown that the client is there.
    assert session.tick(START + 51 + 44) is None
    assert session.tick(START + 51 + 45) == Closed("ping timeout")


def test_nobody_is_asked_after_the_end() -> None:
    session = new_session()
    session.ping("one")
    session.close("transport close")
    session.drain()
    session.ping("two")
    assert session.drain() == []
    assert session.receive(PONG, START) is None


def test_a_ping_goes_together_with_what_follows_it() -> None:
    session = new_session()
    for body in (b"4a", b"4b"):
        session.send(Encoded(body))
    session.ping("one")
    session.send(Encoded(b"4c"))
    bodies = [[packet.body for packet in session.drain(max_packets=3)] for _ in range(2)]
    assert bodies == [[b"4a", b"4b"], [b"2", b"4c"]]
    assert session.queued_bytes == 0
    session.ping("two")
    session.ping("three")
    assert len(session.drain(max_packets=1)) == 1
    assert len(session.drain(max_packets=1)) == 1


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 16), st.integers(1, 1000))
def test_whatever_is_drained_at_once_no_ping_is_parted_from_what_follows_it(
    are_pings: list[bool], max_packets: int, max_bytes: int
) -> None:
    session = new_session()
    for is_ping in are_pings:
        session.ping("mark") if is_ping else session.send(message(10))
    taken: list[Encoded] = []
    while session.queued_bytes:
        part = session.drain(max_bytes, max_packets)
        assert 0 < len(part) <= max_packets
        assert len(part) == 1 or part[-1] is not PING or not session.queued_bytes
        taken += part
    assert [packet is PING for packet in taken] == are_pings


def test_a_pong_that_answers_no_ping_moves_no_deadline() -> None:
    session = new_session()
    session.ping("one")
    assert session.receive(PONG, START + 10) == Answered("one")
    assert session.receive(PONG, START + 20) is None
    assert session.tick(START + 10 + 45) == Closed("ping timeout")


def test_who_answers_no_ping_is_closed_however_many_there_are() -> None:
    session = new_session()
    for second in range(45):
        session.ping(second)
        assert session.tick(START + second) is None
    assert session.tick(START + 45) == Closed("ping timeout")
