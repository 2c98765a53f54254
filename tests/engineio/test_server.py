"""The open sockets and the pump, on a transport in memory."""

from functools import partial

import orjson
import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent
from zope.interface.verify import verifyClass, verifyObject

from chordme_daemon.engineio.events import Closed, Event, Upgraded
from chordme_daemon.engineio.packet import Packet, PacketType
from chordme_daemon.engineio.polling import PollingTransport
from chordme_daemon.engineio.server import IReceiver, ITransport, Receive, Server, Socket
from chordme_daemon.engineio.settings import Settings
from chordme_daemon.engineio.traffic import Traffic
from tests.engineio.conftest import peer_of
from tests.engineio.frames import frames
from tests.engineio.memory import SETTINGS, Application, Memory, message, opened


def test_the_interfaces_are_provided(server: Server, clock: Clock) -> None:
    socket, transport = opened(server)
    assert verifyObject(ITransport, transport)
    assert verifyObject(IReceiver, socket)
    assert verifyClass(ITransport, PollingTransport)
    assert verifyObject(ITransport, PollingTransport(Traffic()))
    assert verifyObject(ITransport, peer_of(clock).transport)


@pytest.mark.parametrize(
    ("name", "upgrades"), [("polling", ["websocket"]), ("websocket", [])], ids=str
)
def test_the_handshake_has_exactly_the_keys_of_the_protocol(
    server: Server, clock: Clock, name: str, upgrades: list[str]
) -> None:
    transport = Memory(name)
    socket = server.open(transport, "192.0.2.1")
    clock.advance(0)
    ((body,),) = transport.writes
    assert body[:1] == b"0"
    assert orjson.loads(body[1:]) == {
        "sid": socket.sid,
        "upgrades": upgrades,
        "pingInterval": 25_000,
        "pingTimeout": 20_000,
        "maxPayload": 1000,
    }
    assert socket.address == "192.0.2.1"
    assert server.find(socket.sid) is socket


def test_session_ids_are_20_characters_and_never_the_same(server: Server) -> None:
    sids = {opened(server)[0].sid for _ in range(500)}
    assert len(sids) == 500
    assert {len(sid) for sid in sids} == {20}


# The pump


def test_all_that_one_turn_sends_to_a_socket_leaves_in_one_write(
    server: Server, clock: Clock
) -> None:
    pairs = [opened(server) for _ in range(3)]
    for body in "abc":
        for socket, _ in pairs:
            socket.send(message(body))
    assert [transport.writes for _, transport in pairs] == [[], [], []]
    clock.advance(0)
    assert [transport.writes for _, transport in pairs] == [[[b"4a", b"4b", b"4c"]]] * 3
    assert not clock.getDelayedCalls()


def test_the_handshake_and_what_the_application_says_at_once_are_one_write(clock: Clock) -> None:
    def accept(socket: Socket) -> Receive:
        socket.send(message("hello"))
        return lambda _: None

    transport = Memory()
    Server(clock, accept, SETTINGS).open(transport, "")
    clock.advance(0)
    ((handshake, hello),) = transport.writes
    assert (handshake[:1], hello) == (b"0", b"4hello")


def test_what_is_sent_while_flushing_leaves_in_the_next_turn(
    server: Server, clock: Clock, application: Application
) -> None:
    socket, transport = opened(server)
    socket.send(message("a"))
    clock.advance(0)
    socket.send(message("b"))
    clock.advance(0)
    assert transport.writes == [[b"4a"], [b"4b"]]


def test_a_transport_that_is_not_writable_is_handed_nothing_until_it_is(
    server: Server, clock: Clock
) -> None:
    socket, transport = opened(server)
    transport.writable = False
    for body in "abc":
        socket.send(message(body))
        clock.advance(0)
    assert transport.writes == []
    assert socket.queued_bytes > 0
    transport.writable = True
    socket.flush({})
    assert transport.writes == [[b"4a", b"4b", b"4c"]]
    assert socket.queued_bytes == 0


def test_a_broadcast_is_joined_once_and_shared(clock: Clock, application: Application) -> None:
    server = Server(clock, application.accept, SETTINGS)
    peers = [peer_of(clock) for _ in range(20)]
    for peer in peers:
        peer.transport.carry(server.open(Memory("polling", writable=False), ""))
    clock.advance(0)
    for peer in peers:
        peer.wire.writes.clear()
    for body in (message("a"), message("b")):
        for socket in application.sockets:
            socket.send(body)
    application.sockets[3].send(message("only for one"))
    clock.advance(0)
    written = [peer.wire.writes for peer in peers]
    assert [len(writes) for writes in written] == [1] * 20
    assert len({id(data) for (data,) in written}) == 2
    assert frames(written[0][0]) == [(1, b"4a"), (1, b"4b")]


def test_a_single_packet_is_written_as_the_bytes_that_were_encoded(clock: Clock) -> None:
    packet, peers = message("a"), [peer_of(clock) for _ in range(3)]
    for peer in peers:
        peer.transport.write([packet], {})
        assert peer.wire.writes[-1] is packet.frame


def test_a_transport_that_fails_costs_only_its_client(
    server: Server, clock: Clock, application: Application, errors: list[LogEvent]
) -> None:
    (good, first), (bad, broken), (last, third) = (opened(server) for _ in range(3))
    broken.fails = True
    for socket in (good, bad, last):
        socket.send(message("a"))
    clock.advance(0)
    assert [first.writes, third.writes] == [[[b"4a"]], [[b"4a"]]]
    assert application.events == [Closed("transport error")]
    assert bad.sid not in server.sockets
    assert broken.aborted, "or the connection of a session that is over stays open"
    assert len(errors) == 1
    errors.clear()


def test_a_transport_is_given_no_more_packets_than_it_takes(server: Server, clock: Clock) -> None:
    socket, transport = opened(server)
    transport.max_packets = 16
    clock.advance(0)
    transport.writes.clear()
    for number in range(20):
        socket.send(message(str(number)))
    clock.advance(0)
    assert [len(write) for write in transport.writes] == [16, 4]
    assert [body for write in transport.writes for body in write] == [
        b"4%d" % number for number in range(20)
    ]


def test_a_poll_is_answered_with_no_more_than_clients_take() -> None:
    assert PollingTransport.max_packets == 16


def test_nobody_is_let_in_once_the_end_has_begun(server: Server) -> None:
    assert not server.full
    server.stop()
    assert server.full


def test_c12_too_much_for_a_slow_client_aborts_its_transport(
    server: Server, clock: Clock, application: Application
) -> None:
    socket, transport = opened(server)
    transport.writable = False
    for _ in range(20):
        socket.send(message("x" * 1000))
    assert transport.aborted
    assert socket.queued_bytes == 0
    assert application.events == [], "a broadcast may be under way"
    clock.advance(0)
    assert application.events == [Closed("transport error")]
    assert server.sockets == {}


# What comes in


@pytest.mark.parametrize(
    ("texts", "events"),
    [
        pytest.param(["4a", "bAQI=", "4"], ["a", b"\1\2", ""], id="4"),
        pytest.param(["6", "0{}", "5", "3"], [], id="E22-E23-E34-nothing"),
        pytest.param(["1", "4a"], [Closed("transport close")], id="E27"),
        pytest.param(["2", "4a"], [Closed("transport error")], id="E24"),
        pytest.param(["", "4a"], [Closed("parse error")], id="E19"),
        pytest.param(["b@@@", "4a"], [Closed("parse error")], id="E20"),
        pytest.param(["7", "4a"], [Closed("parse error")], id="E22"),
    ],
)
def test_a_text_frame_means_these_events(
    server: Server, application: Application, texts: list[str], events: list[Event]
) -> None:
    socket, transport = opened(server)
    for frame in texts:
        socket.receive_text(frame)
    assert application.events == events
    ended = bool(events) and isinstance(events[-1], Closed)
    assert (transport.goodbye is not None) == ended
    assert (server.find(socket.sid) is None) == ended


def test_e21_a_binary_frame_is_a_binary_message(server: Server, application: Application) -> None:
    socket, _ = opened(server)
    socket.receive_binary(b"\x01\x02")
    assert application.events == [b"\x01\x02"]


@pytest.mark.parametrize("spoken", ["accept", "message", "upgraded"])
def test_an_application_that_raises_costs_only_that_client(
    server: Server, clock: Clock, application: Application, errors: list[LogEvent], spoken: str
) -> None:
    def fail(_: object) -> None:
        raise LookupError("a bug of the application")

    other, healthy = opened(server)
    if spoken == "accept":
        failing = Server(clock, fail, SETTINGS)  # type: ignore[arg-type] # it returns nothing
        failing.sockets = server.sockets
        transport = Memory()
        failing.open(transport, "")
        clock.advance(0)
    else:
        socket, transport = opened(server)
        application.on_event = fail
        if spoken == "message":
            socket.receive_text("4a")
        else:
            socket.upgrade(transport)
        application.on_event = lambda _: None
    assert transport.goodbye is not None
    assert server.sockets == {other.sid: other}
    assert errors
    errors.clear()
    other.send(message("still here"))
    clock.advance(0)
    assert healthy.writes == [[b"4still here"]]


def test_nothing_is_lost_or_sent_twice_when_the_transport_changes(
    server: Server, clock: Clock, application: Application
) -> None:
    socket, polling = opened(server, name="polling")
    socket.send(message("a"))
    websocket = Memory()
    socket.upgrade(websocket)
    socket.send(message("b"))
    clock.advance(0)
    assert polling.writes == []
    assert websocket.writes == [[b"4a"], [b"4b"]]
    assert application.events == [Upgraded()]


# Time


def test_a_tick_pings_what_is_due_and_ends_what_is_overdue(
    server: Server, clock: Clock, application: Application
) -> None:
    _, silent_transport = opened(server)
    lively, transport = opened(server)
    clock.advance(25.0)
    server.tick()
    clock.advance(0)
    assert silent_transport.writes == transport.writes == [[b"2"]]
    lively.receive(Packet(PacketType.PONG))
    clock.advance(20.0)
    server.tick()
    assert application.events == [Closed("ping timeout")]
    assert list(server.sockets) == [lively.sid]


def test_a_session_is_looked_up_with_its_deadline_checked_to_the_instant(
    server: Server, clock: Clock
) -> None:
    socket, _ = opened(server)
    clock.advance(44.999)
    assert server.find(socket.sid) is socket
    clock.advance(0.001)
    assert server.find(socket.sid) is None


def test_one_bad_session_does_not_stop_the_heartbeat_of_the_rest(
    server: Server, clock: Clock, errors: list[LogEvent]
) -> None:
    clients = [opened(server) for _ in range(3)]
    clock.advance(25.0)
    server.tick()
    clock.advance(0)
    clients[1][1].fails = True  # it does not answer, and is to be closed
    for socket, _ in clients[::2]:
        socket.receive_text("3")
    clock.advance(25.0)
    server.tick()
    clock.advance(0)
    assert [transport.writes for _, transport in clients[::2]] == [[[b"2"], [b"2"]]] * 2
    assert len(errors) == 1
    errors.clear()


def test_a_server_is_full_with_as_many_sockets_as_there_may_be(
    clock: Clock, application: Application
) -> None:
    server = Server(clock, application.accept, Settings(max_sockets=2))
    one, _ = opened(server)
    assert not server.full
    opened(server)
    assert server.full
    one.close()
    assert not server.full


def test_a_wire_is_written_once_for_each_connection_and_turn(
    server: Server, clock: Clock, application: Application
) -> None:
    peer = peer_of(clock)
    peer.transport.carry(server.open(Memory("polling", writable=False), ""))
    clock.advance(0)
    peer.wire.writes.clear()
    for body in "abcdef":
        application.sockets[0].send(message(body))
    clock.advance(0)
    assert len(peer.wire.writes) == 1


# Barriers


def test_a_barrier_is_answered_when_the_client_has_got_so_far(server: Server, clock: Clock) -> None:
    socket, transport = opened(server)
    answered: list[int] = []
    for number in (1, 2):
        socket.barrier(partial(answered.append, number))
        socket.send(message(f"{number}"))
    clock.advance(0)
    assert transport.writes == [[b"2", b"41", b"2", b"42"]]
    socket.receive_text("3")
    assert answered == [1]
    socket.receive_text("3")
    assert answered == [1, 2]


def test_what_fails_behind_a_barrier_costs_only_that_client(
    server: Server, errors: list[LogEvent]
) -> None:
    def fail() -> None:
        raise LookupError("a bug of the application")

    other, _ = opened(server)
    socket, transport = opened(server)
    socket.barrier(fail)
    socket.receive_text("3")
    assert transport.goodbye is not None
    assert server.sockets == {other.sid: other}
    assert isinstance(errors.pop()["log_failure"].value, LookupError)


def test_after_the_end_nobody_is_told_of_a_barrier(server: Server) -> None:
    socket, _ = opened(server)
    answered: list[int] = []
    socket.barrier(partial(answered.append, 1))
    socket.close()
    socket.receive_text("3")
    assert answered == []
