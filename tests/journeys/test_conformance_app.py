"""What ChordMe has no use for, with a real client on the floors below: binary, recovery."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from tests.journeys.clients import POLLING, WEBSOCKET, ClientProgram
from tests.journeys.daemon import ROOT, environment

pytestmark = pytest.mark.journey

# As Node writes a Buffer.
PICTURE = {"type": "Buffer", "data": [0, 1, 127, 128, 255]}
SOUND = {"type": "Buffer", "data": [7] * 5000}
Serve = Callable[..., str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts the conformance application; its URL."""
    running: list[subprocess.Popen[str]] = []

    def start(*options: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.conformance", "--port=0", *options],
            cwd=ROOT,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        return f"http://127.0.0.1:{int(process.stdout.readline().split()[-1])}"

    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=10)


@pytest.mark.parametrize("options", [POLLING, WEBSOCKET, {}], ids=["polling", "websocket", "both"])
class TestEveryTransport:
    def test_binary_comes_back_as_it_went(
        self, serve: Serve, clients: ClientProgram, options: dict[str, object]
    ) -> None:
        client = clients.open(serve(), auth={"token": "any"}, **options)
        assert client.event("auth") == {"token": "any"}
        nested = {"of": [PICTURE, {"deep": SOUND}], "text": "beside it"}
        client.emit("message", PICTURE, nested, 1.5)
        client.event("message-back")
        assert client.story[-1].args == [PICTURE, nested, 1.5]

    def test_acknowledgements_carry_anything_in_both_directions(
        self, serve: Serve, clients: ClientProgram, options: dict[str, object]
    ) -> None:
        client = clients.open(serve(), **options)
        client.event("auth")
        for args in ([1, "2", {"3": [True]}], [PICTURE, {"b": SOUND}], []):
            client.ask("message-with-ack", *args)
            assert client.story[-1].args == args
        client.emit("call-back", PICTURE, {"and": "text"})
        assert client.event("question") == PICTURE
        client.event("answered")
        assert client.story[-1].args == [PICTURE, {"and": "text"}]

    def test_a_namespace_that_is_not_there_is_refused(
        self, serve: Serve, clients: ClientProgram, options: dict[str, object]
    ) -> None:
        url = serve()
        client = clients.open(f"{url}/nowhere", **options)
        assert client.state("connect_error")["message"] == "Invalid namespace"
        other = clients.open(f"{url}/custom", auth={"a": 1}, **options)
        assert other.event("auth") == {"a": 1}


def test_who_comes_back_is_told_what_was_missed(serve: Serve, clients: ClientProgram) -> None:
    url = serve("--recovery")
    client, other = (clients.open(url, **WEBSOCKET) for _ in range(2))
    first = client.state("connect")
    assert first["recovered"] is False
    client.event("auth")
    client.emit("message", "seen")
    assert client.event("message-back") == "seen"
    client.tell("deafen")
    for number in range(20):
        client.emit("message", number)
    client.tell("flush")
    client.state("flushed")
    other.ask("message-with-ack")  # so that the answers are on their way
    client.tell("drop")
    assert client.state("disconnect")["reason"] == "transport close"

    assert client.state("connect") == {"id": first["id"], "recovered": True}
    assert client.events("message-back", 20) == list(range(20))
    assert client.ask("message-with-ack", "as before") == "as before"
    assert client.count("message-back") == 21


def test_who_says_goodbye_is_not_recovered(serve: Serve, clients: ClientProgram) -> None:
    client = clients.open(serve("--recovery"), **WEBSOCKET)
    client.event("auth")
    client.emit("leave")
    gone = client.state("disconnect")
    assert gone == {"reason": "io server disconnect", "active": False}
