"""One client as a state machine, in told time."""

import pytest

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Closed, Event, Upgraded
from chordme_daemon.engineio.packet import Packet, PacketType
from chordme_daemon.engineio.session import PING, Probe
from chordme_daemon.engineio.settings import Heartbeat
from tests.engineio.memory import HEARTBEAT, START, new_session

PONG = Packet(PacketType.PONG)

# Heartbeat


@pytest.mark.parametrize(
    "heartbeat",
    [HEARTBEAT, Heartbeat(0.25, 0.125), Heartbeat(0.5, 60.0)],
    ids=["seconds", "sub-second", "long-timeout"],
)
def test_a_ping_is_due_exactly_one_interval_after_the_handshake(heartbeat: Heartbeat) -> None:
    session = new_session(heartbeat=heartbeat)
    due = START + heartbeat.interval_s
    assert session.tick(due - 0.001) is None
    assert session.drain() == []
    assert session.tick(due) is None
    assert session.drain() == [PING]


@pytest.mark.parametrize(
    "heartbeat", [HEARTBEAT, Heartbeat(0.25, 0.125)], ids=["seconds", "sub-second"]
)
@pytest.mark.parametrize("pinged_late_s", [0.0, 0.0625], ids=["on-time", "late-tick"])
def test_silence_closes_the_session_exactly_interval_and_timeout_after_the_handshake(
    heartbeat: Heartbeat, pinged_late_s: float
) -> None:
    session = new_session(heartbeat=heartbeat)
    session.tick(START + heartbeat.interval_s + pinged_late_s)
    deadline = START + heartbeat.interval_s + heartbeat.timeout_s
    assert session.tick(deadline - 0.001) is None
    assert session.tick(deadline) == Closed("ping timeout")
    assert session.closed


def test_a_session_that_nobody_looked_at_closes_without_a_ping() -> None:
    session = new_session()
    assert session.tick(START + 45.0) == Closed("ping timeout")
    assert session.drain() == []


def test_one_ping_is_queued_for_each_pong_however_often_time_is_told() -> None:
    session = new_session()
    for now in (25.0, 26.0, 30.0, 44.9):
        assert session.tick(START + now) is None
    assert session.drain() == [PING]


def test_the_deadline_is_counted_from_the_last_pong() -> None:
    session = new_session()
    session.tick(START + 25.0)
    assert session.receive(PONG, START + 31.0) is None
    session.drain()
    session.tick(START + 55.9)
    assert session.drain() == []
    session.tick(START + 56.0)
    assert session.drain() == [PING]
    assert session.tick(START + 75.9) is None
    assert session.tick(START + 76.0) == Closed("ping timeout")


def test_a_late_pong_closes_the_session() -> None:
    session = new_session()
    session.tick(START + 25.0)
    assert session.tick(START + 45.0) == Closed("ping timeout")
    assert session.receive(PONG, START + 45.0) is None
    assert session.tick(START + 46.0) is None
    assert session.drain() == [PING]


def test_e25_a_flood_of_unsolicited_pongs_moves_no_deadline() -> None:
    session = new_session()
    for count in range(10_000):
        assert session.receive(PONG, START + count / 500) is None
    session.tick(START + 25.0)
    assert session.drain() == [PING]
    session.receive(PONG, START + 26.0)
    for count in range(10_000):
        assert session.receive(PONG, START + 26.0 + count / 500) is None
    session.tick(START + 51.0)
    assert session.drain() == [PING]
    assert session.tick(START + 71.0) == Closed("ping timeout")


def test_e25_a_client_that_goes_on_saying_nothing_is_closed() -> None:
    session = new_session()
    for _ in range(10_000):
        assert session.receive(PONG, START) is None
    assert session.receive(Packet(PacketType.NOOP), START) == Closed("transport error")


def test_e26_data_is_no_answer_to_a_ping() -> None:
    session = new_session()
    for now in range(1, 45):
        session.tick(START + now)
        assert session.receive(Packet(PacketType.MESSAGE, "x"), START + now) == "x"
    assert session.tick(START + 45.0) == Closed("ping timeout")


# What comes in

INCOMING = [
    pytest.param(Packet(PacketType.OPEN, '{"sid":"x"}'), None, None, id="E23-open"),
    pytest.param(
        Packet(PacketType.CLOSE), Closed("transport close"), Closed("transport close"), id="close"
    ),
    pytest.param(
        Packet(PacketType.PING), Closed("transport error"), Closed("transport error"), id="E24"
    ),
    pytest.param(
        Packet(PacketType.PING, "probe"),
        Closed("transport error"),
        Closed("transport error"),
        id="E24-probe",
    ),
    pytest.param(PONG, None, None, id="E25-pong"),
    pytest.param(Packet(PacketType.MESSAGE, "a"), "a", "a", id="text"),
    pytest.param(Packet(PacketType.MESSAGE, ""), "", "", id="E19-empty-text"),
    pytest.param(Packet(PacketType.MESSAGE, b"a"), b"a", b"a", id="E21-binary"),
    pytest.param(Packet(PacketType.UPGRADE), Closed("parse error"), None, id="E22-E34-upgrade"),
    pytest.param(Packet(PacketType.NOOP), None, None, id="E22-noop"),
]


@pytest.mark.parametrize(("packet", "on_polling", "on_websocket"), INCOMING)
def test_a_packet_means_this_event(
    packet: Packet, on_polling: Event | None, on_websocket: Event | None
) -> None:
    for websocket, expected in ((False, on_polling), (True, on_websocket)):
        session = new_session(websocket=websocket)
        assert session.receive(packet, START) == expected
        assert session.closed == isinstance(expected, Closed)
        assert session.sid == "sid"


@pytest.mark.parametrize(("packet", "on_polling", "on_websocket"), INCOMING)
def test_e27_nothing_comes_in_and_nothing_is_queued_after_the_end(
    packet: Packet, on_polling: Event | None, on_websocket: Event | None
) -> None:
    session = new_session()
    assert session.close("forced close") == Closed("forced close")
    assert session.receive(packet, START) is None
    assert session.receive_probe(packet) is Probe.REFUSE
    assert session.send(Encoded(b"4a")) is None
    assert session.tick(START + 1e6) is None
    assert session.close("again") is None
    assert session.drain() == []
    assert session.queued_bytes == 0


def test_what_waited_at_the_end_can_still_be_taken() -> None:
    session = new_session()
    session.send(Encoded(b"4a"))
    session.close("forced close")
    assert len(session.drain()) == 1


# The upgrade

PROBE = Packet(PacketType.PING, "probe")
UPGRADE = Packet(PacketType.UPGRADE)


@pytest.mark.parametrize(
    ("steps", "answers"),
    [
        pytest.param([PROBE, UPGRADE], [Probe.ANSWER, Probe.TAKE_OVER], id="E34"),
        pytest.param([UPGRADE], [Probe.TAKE_OVER], id="without-a-probe"),
        pytest.param([PROBE, PROBE], [Probe.ANSWER, Probe.REFUSE], id="E37-twice"),
        pytest.param([Packet(PacketType.PING, "prob")], [Probe.REFUSE], id="E37-prob"),
        pytest.param([Packet(PacketType.PING, "probeX")], [Probe.REFUSE], id="E37-probeX"),
        pytest.param([Packet(PacketType.PING)], [Probe.REFUSE], id="E37-bare"),
        pytest.param([Packet(PacketType.MESSAGE, "a")], [Probe.REFUSE], id="E35"),
        pytest.param([Packet(PacketType.UPGRADE, "x")], [Probe.REFUSE], id="5x"),
        pytest.param([Packet(PacketType.CLOSE)], [Probe.REFUSE], id="close"),
    ],
)
def test_the_steps_of_a_probe(steps: list[Packet], answers: list[Probe]) -> None:
    session = new_session()
    assert [session.receive_probe(step) for step in steps] == answers
    assert not session.upgraded
    assert not session.closed


def test_another_candidate_may_come_when_one_is_gone() -> None:
    session = new_session()
    assert session.receive_probe(PROBE) is Probe.ANSWER
    session.end_probe()
    assert session.receive_probe(PROBE) is Probe.ANSWER


@pytest.mark.parametrize("born", [True, False], ids=["born-on-websocket", "E33-upgraded"])
def test_a_session_on_a_websocket_is_taken_over_by_nobody(born: bool) -> None:
    session = new_session(websocket=born)
    if not born:
        assert session.upgrade() == Upgraded()
    assert session.upgraded
    assert session.receive_probe(PROBE) is Probe.REFUSE
    assert session.receive_probe(UPGRADE) is Probe.REFUSE


def test_what_waits_stays_in_order_through_an_upgrade() -> None:
    session = new_session()
    packets = [Encoded(b"4%d" % count) for count in range(6)]
    for packet in packets[:3]:
        session.send(packet)
    session.upgrade()
    for packet in packets[3:]:
        session.send(packet)
    assert session.drain() == packets
