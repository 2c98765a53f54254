"""The taking over of a polling session by a WebSocket: the catalogue's rows E32 to E39."""

import random
from functools import partial

import attrs
import pytest
from twisted.internet.task import Clock

from chordme_daemon.engineio.events import Upgraded
from chordme_daemon.engineio.packet import PacketType, decode_payload
from tests.engineio.conftest import OPENING, Client, House, build_house
from tests.engineio.frames import BINARY, CLOSE, PING, PONG, TEXT, code_of, frame, frames, text

QUERY = "EIO=4&transport=websocket"


# Taking over a session


def candidate(house: House, sid: str) -> Client:
    """A WebSocket that wants to take over."""
    return house.open_websocket(f"{QUERY}&sid={sid}")


def taken(client: Client) -> list[tuple[int, bytes]]:
    return frames(client.wire.take())


def still_polls(house: House, sid: str) -> bool:
    """Whether the session takes and gives messages by polling."""
    house.say(sid, "?")
    poll = house.poll(sid)
    return house.post(sid, b"4!").body == b"ok" and poll.answer().body == b"4?"


def gone(house: House, client: Client) -> bool:
    """Whether the server ended a WebSocket, with a close frame."""
    closed = [code_of(payload) for opcode, payload in taken(client) if opcode == CLOSE]
    client.send(frame(CLOSE))
    house.clock.advance(0)
    return closed == [None] and not client.wire.connected


@pytest.mark.parametrize("polled", [True, False], ids=["polled-before", "queued-before"])
def test_a_barrier_is_answered_across_an_upgrade(house: House, polled: bool) -> None:
    sid = house.open_polling()
    socket, reached = house.server.sockets[sid], list[int]()
    socket.barrier(partial(reached.append, 1))
    house.say(sid, "a")
    if polled:
        assert house.poll(sid).answer().body == b"2\x1e4a"
    websocket = candidate(house, sid)
    websocket.send(text("2probe") + text("5"))
    socket.barrier(partial(reached.append, 2))
    house.say(sid, "b")
    house.clock.advance(0)
    before = [] if polled else [(TEXT, b"2"), (TEXT, b"4a")]
    assert taken(websocket) == [(TEXT, b"3probe"), *before, (TEXT, b"2"), (TEXT, b"4b")]
    for count in (1, 2):
        websocket.send(text("3"))
        assert reached == [1, 2][:count]


@pytest.mark.parametrize("sid", ["AAAA", "__proto__", "x" * 8000])
def test_e32_a_websocket_for_an_unknown_session_is_refused(house: House, sid: str) -> None:
    answer = house.ask("GET", f"{QUERY}&sid={sid}", None, *OPENING)
    assert (answer.status, answer.code) == (400, 1)
    assert answer.headers["connection"] == "close"


def test_e33_a_websocket_for_a_closed_session_is_refused(house: House) -> None:
    sid = house.open_polling()
    house.server.sockets[sid].close()
    assert house.ask("GET", f"{QUERY}&sid={sid}", None, *OPENING).code == 1


@pytest.mark.parametrize("state", ["upgrading", "upgraded", "born-on-websocket"])
def test_e33_a_second_websocket_is_answered_and_closed_and_the_first_goes_on(
    house: House, state: str
) -> None:
    if state == "born-on-websocket":
        first = house.open_websocket()
        (sid,) = house.server.sockets
    else:
        sid = house.open_polling()
        first = candidate(house, sid)
        first.send(text("2probe"))
        if state == "upgraded":
            first.send(text("5"))
    taken(first)
    second = candidate(house, sid)
    assert gone(house, second)
    if state == "upgrading":
        first.send(text("5"))
    first.send(text("4still here"))
    assert house.messages(sid) == ["still here"]
    assert list(house.server.sockets) == [sid]


def test_e34_the_steps_of_an_upgrade(house: House) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    client.send(text("2probe"))
    assert taken(client) == [(TEXT, b"3probe")]
    client.send(text("5"))
    assert house.events[sid] == [Upgraded()]
    client.send(text("5") + text("5") + text("4hello"))
    assert house.events[sid] == [Upgraded(), "hello"]
    house.tick(5)
    assert taken(client) == [], "nothing follows `5`, no noop either"


@pytest.mark.parametrize("probed", [False, True], ids=["at-once", "probed"])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(text("4a"), id="E35-message"),
        pytest.param(frame(BINARY, b"a"), id="E35-binary"),
        pytest.param(text("2prob"), id="E37-prob"),
        pytest.param(text("2probeX"), id="E37-probeX"),
        pytest.param(text("2probe") * 100, id="E37-100-times"),
        pytest.param(text("1"), id="close"),
        pytest.param(text("x"), id="garbage"),
        pytest.param(text(""), id="empty"),
        pytest.param(frame(TEXT, b"\xff"), id="W10"),
        pytest.param(frame(PING) * 100, id="W17"),
        pytest.param(frame(CLOSE), id="closes"),
    ],
)
def test_a_candidate_that_errs_is_dropped_and_polling_goes_on(
    house: House, probed: bool, data: bytes
) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    if probed:
        client.send(text("2probe"))
    client.send(data)
    answers = [(opcode, payload) for opcode, payload in taken(client) if opcode != PONG]
    assert answers.count((TEXT, b"3probe")) <= 1
    house.clock.advance(2)
    assert not client.wire.connected
    assert still_polls(house, sid)
    assert house.messages(sid) == ["!"]
    again = candidate(house, sid)
    again.send(text("2probe") + text("5") + text("4b"))
    assert house.messages(sid) == ["!", "b"]


@pytest.mark.parametrize("probed", [False, True], ids=["at-once", "E36-probed"])
def test_e36_a_candidate_that_says_nothing_is_closed_at_the_upgrade_timeout(
    house: House, probed: bool
) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    if probed:
        client.send(text("2probe"))
        taken(client)
    house.tick(9.999)
    assert client.wire.connected
    house.tick(0.001)
    assert gone(house, client)
    assert still_polls(house, sid)


def test_a_candidate_that_is_lost_leaves_no_timer_and_polling_goes_on(house: House) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    client.send(text("2probe"))
    before = len(house.clock.getDelayedCalls())
    client.wire.hang_up()
    assert len(house.clock.getDelayedCalls()) == before - 2
    assert still_polls(house, sid)


def test_a_candidate_ends_with_its_session(house: House) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    client.send(text("2probe"))
    taken(client)
    house.server.sockets[sid].close()
    assert gone(house, client)
    house.tick(20)
    assert not house.websockets.open


def test_the_poll_of_an_upgrading_session_is_released_every_tenth_of_a_second(
    house: House,
) -> None:
    sid = house.open_polling()
    client = candidate(house, sid)
    poll = house.poll(sid)
    client.send(text("2probe"))
    house.clock.advance(0.099)
    assert poll.answers() == []
    house.clock.advance(0.001)
    assert poll.answer().body == b"6"
    poll = house.poll(sid)
    house.clock.advance(0.1)
    assert poll.answer().body == b"6"


def test_e38_what_is_queued_at_the_last_step_arrives_once_and_in_order(house: House) -> None:
    sid = house.open_polling()
    poll, client = house.poll(sid), candidate(house, sid)
    client.send(text("2probe"))
    taken(client)
    house.say(sid, "a", "b", "c")
    client.send(text("5"))
    assert poll.answer().body == b"6"
    assert taken(client) == [(TEXT, b"4a"), (TEXT, b"4b"), (TEXT, b"4c")]
    house.clock.advance(1)
    assert taken(client) == []


def test_a_poll_pipelined_behind_the_one_that_is_released_is_refused(house: House) -> None:
    sid = house.open_polling()
    poll, client = house.poll(sid), candidate(house, sid)
    poll.request("GET", f"EIO=4&transport=polling&sid={sid}")
    client.send(text("2probe") + text("5"))
    first, second = poll.answers()
    assert (first.status, first.body) == (200, b"6")
    assert (second.status, second.code) == (400, 3)
    poll.wire.hang_up()
    client.send(text("4still here"))
    assert house.messages(sid) == ["still here"]


@pytest.mark.parametrize(("method", "body"), [("GET", None), ("POST", b"4a")])
def test_e39_polling_after_the_upgrade_is_refused(
    house: House, method: str, body: bytes | None
) -> None:
    sid = house.open_polling()
    candidate(house, sid).send(text("5"))
    answer = house.ask(method, f"EIO=4&transport=polling&sid={sid}", body)
    assert (answer.status, answer.code) == (400, 3)
    assert house.messages(sid) == []
    assert sid in house.server.sockets


@attrs.define
class Upgrading:
    """A client that upgrades while both sides speak, at random moments."""

    house: House
    sid: str
    dice: random.Random
    polls: bool = True
    step: int = 0
    poll: Client | None = None
    websocket: Client | None = None
    heard: list[str | bytes] = attrs.field(factory=list)
    said: int = 0

    def act(self) -> None:
        """Do one thing that a client may do now."""
        self.dice.choice([self.listen, self.listen, self.speak, self.upgrade])()

    def listen(self) -> None:
        if self.poll is not None:
            for answer in self.poll.answers():
                self.poll = None
                self.heard += [
                    packet.data
                    for packet in decode_payload(answer.body)
                    if packet.type is PacketType.MESSAGE
                ]
        if self.poll is None and self.polls:
            self.poll = self.house.poll(self.sid)
        if self.step == 3 and self.poll is None:
            assert self.websocket is not None
            for _, payload in taken(self.websocket):
                assert payload[:1] == b"4"
                self.heard.append(payload[1:].decode())

    def speak(self) -> None:
        self.said += 1
        if self.step == 3:
            assert self.websocket is not None
            self.websocket.send(text(f"4{self.said}"))
        else:
            assert self.house.post(self.sid, b"4%d" % self.said).body == b"ok"

    def upgrade(self) -> None:
        match self.step:
            case 0:
                self.websocket = candidate(self.house, self.sid)
            case 1:
                assert self.websocket is not None
                self.websocket.send(text("2probe"))
                assert taken(self.websocket) == [(TEXT, b"3probe")]
                self.polls = False
            case 2:
                # Half of the clients wait for their poll to end, like the official one.
                if self.poll is not None and self.dice.random() < 0.5:
                    return
                assert self.websocket is not None
                self.websocket.send(text("5"))
            case _:
                return
        self.step += 1


@pytest.mark.parametrize("seed", range(200))
def test_e38_nothing_is_lost_or_doubled_by_an_upgrade_at_any_moment(seed: int) -> None:
    dice = random.Random(seed)
    house = build_house(Clock())
    sid = house.open_polling()
    client = Upgrading(house, sid, dice)
    sent = 0
    for _ in range(60):
        client.act()
        if dice.random() < 0.5:
            sent += 1
            house.say(sid, str(sent))
        house.clock.advance(dice.choice([0, 0, 0.03, 0.1]))
    for _ in range(12):
        client.upgrade()
        house.clock.advance(0.1)
        client.listen()
    client.listen()
    assert client.step == 3
    assert client.heard == [str(count + 1) for count in range(sent)]
    assert house.messages(sid) == [str(count + 1) for count in range(client.said)]
