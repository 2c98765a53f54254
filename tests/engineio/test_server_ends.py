"""How sockets end: once, with a goodbye, and with last words for who polls."""

from functools import partial

import attrs
import pytest
from twisted.internet.task import Clock
from twisted.logger import LogEvent

from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.events import Closed
from chordme_daemon.engineio.server import CLOSE, LINGER_S, Server, Socket
from tests.engineio.memory import Application, Memory, message, opened


def test_the_end_is_told_once_however_it_comes(server: Server, application: Application) -> None:
    socket, _ = opened(server)
    counted: list[str] = []
    socket.at_end = partial(counted.append, "over")
    socket.receive_text("4")
    assert counted == []
    socket.lost("transport close")
    socket.close()
    socket.lost("transport error")
    socket.receive_text("4a")
    socket.receive_text("")
    socket.send(message("a"))
    assert application.events == ["", Closed("transport close")]
    assert counted == ["over"]


def test_what_was_queued_is_the_last_that_a_closed_client_hears(
    server: Server, clock: Clock
) -> None:
    socket, transport = opened(server)
    socket.send(message("bye"))
    socket.close()
    assert transport.goodbye == ([b"4bye"], False)
    clock.advance(0)
    assert transport.writes == []


def test_an_end_that_raises_is_logged_and_still_the_end(
    server: Server, application: Application, errors: list[LogEvent]
) -> None:
    def fail(_: object) -> None:
        raise LookupError("a bug of the application")

    socket, _ = opened(server)
    application.on_event = fail
    socket.close()
    assert server.sockets == {}
    assert len(errors) == 1
    errors.clear()


def test_stop_closes_every_socket(server: Server, clock: Clock, application: Application) -> None:
    pairs = [opened(server) for _ in range(3)]
    pairs[1][0].send(message("last"))
    server.stop()
    assert [transport.goodbye for _, transport in pairs] == [
        ([], False),
        ([b"4last"], False),
        ([], False),
    ]
    assert application.events == [Closed("server shutting down")] * 3
    assert server.sockets == {}
    clock.advance(0)


@pytest.mark.parametrize("reason", ["forced close", "server shutting down"])
def test_the_last_words_of_a_polling_client_wait_for_its_next_poll(
    server: Server, clock: Clock, reason: str
) -> None:
    socket, _ = opened(server, name="polling", writable=False, hears=False)
    handshake = socket.session.drain()
    assert len(handshake) == 1
    last = message("last")
    socket.send(last)
    socket.close(reason)
    clock.advance(LINGER_S - 0.1)
    server.tick()
    assert server.last_words(socket.sid) == [last, CLOSE]
    assert server.last_words(socket.sid) is None


def test_last_words_are_forgotten_in_time(server: Server, clock: Clock) -> None:
    socket, _ = opened(server, name="polling", hears=False)
    socket.close()
    clock.advance(LINGER_S)
    server.tick()
    assert server.last_words(socket.sid) is None


@pytest.mark.parametrize("reason", ["ping timeout", "parse error", "transport error"])
def test_a_client_that_knows_why_it_is_over_is_told_nothing_more(
    server: Server, reason: str
) -> None:
    socket, _ = opened(server, name="polling", hears=False)
    socket.close(reason)
    assert server.last_words(socket.sid) is None


def test_a_candidate_is_told_when_the_session_ends(server: Server) -> None:
    @attrs.define
    class Candidate:
        closed: int = 0

        def close(self) -> None:
            self.closed += 1

    socket, _ = opened(server, name="polling")
    candidate = Candidate()
    socket.candidate = candidate  # type: ignore[assignment] # a zope interface
    socket.close()
    assert candidate.closed == 1
    assert socket.candidate is None


def test_a_session_that_is_being_closed_cannot_be_found(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Saying goodbye may bring the next request of the same connection, at once."""
    found: list[Socket | None] = []
    socket, _ = opened(server)

    def goodbye(transport: Memory, packets: list[Encoded], *, by_client: bool) -> bool:
        found.append(server.find(socket.sid))
        return True

    monkeypatch.setattr(Memory, "close", goodbye)
    socket.close()
    assert found == [None]
