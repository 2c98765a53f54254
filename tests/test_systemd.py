"""What systemd is told, and in which words; journeys hear it from a daemon."""

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
from twisted.logger import capturedLogs

from chordme_daemon.systemd import STATUS_EVERY_S, Notifier


class Heard:
    """What a notifier has sent."""

    def __init__(self, watchdog_s: float | None = None) -> None:
        self.messages: list[str] = []
        self.notifier = Notifier(lambda data: self.messages.append(data.decode()), watchdog_s)


def test_each_state_is_told_as_sd_notify_has_it() -> None:
    heard = Heard()
    heard.notifier.ready("all is well")
    heard.notifier.reloading()
    heard.notifier.stopping("bye", 9.5)
    ready, reloading, stopping = heard.messages
    assert ready == "READY=1\nSTATUS=all is well"
    assert reloading.startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert stopping == "STOPPING=1\nEXTEND_TIMEOUT_USEC=9500000\nSTATUS=bye"


def test_the_watchdog_hears_twice_in_its_time_and_not_at_each_turn() -> None:
    heard = Heard(watchdog_s=10.0)
    assert heard.notifier.alive_every_s == 5.0
    for turn in range(1000):
        heard.notifier.alive(turn / 10, lambda: "as ever")
    told = [message for message in heard.messages if message.startswith("WATCHDOG=1")]
    assert 20 <= len(told) <= 24


def test_how_it_goes_is_told_once_in_a_while_and_when_it_has_changed() -> None:
    heard, states = Heard(watchdog_s=1.0), iter(range(1000))
    for turn in range(100):
        heard.notifier.alive(float(turn), lambda: f"{next(states)} clients")
    statuses = [message for message in heard.messages if "STATUS" in message]
    # The first was told when it was ready.
    assert len(statuses) == 100 // STATUS_EVERY_S - 1
    heard = Heard(watchdog_s=1.0)
    for turn in range(100):
        heard.notifier.alive(float(turn), lambda: "the same")
    assert sum("STATUS" in message for message in heard.messages) == 1


def test_who_cannot_be_told_is_no_trouble() -> None:
    def fail(_: bytes) -> None:
        raise BlockingIOError("full")

    with capturedLogs() as logged:
        Notifier(fail).ready("x")
        Notifier().ready("x")
        Notifier().alive(0.0, lambda: "x")
    assert [event["what"] for event in logged] == ["READY=1"]


@pytest.mark.parametrize(
    ("environ", "watchdog_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_that_of_this_process(
    tmp_path: Path, environ: dict[str, str], watchdog_s: float | None
) -> None:
    environ = {"NOTIFY_SOCKET": str(tmp_path / "notify"), **environ}
    with closing(Notifier.of(environ)) as notifier:
        assert notifier.watchdog_s == watchdog_s


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_an_address_of_another_kind_is_nobody(address: str) -> None:
    with capturedLogs() as logged:
        Notifier.of({"NOTIFY_SOCKET": address}).ready("x")
    assert logged == []


def test_a_worker_speaks_through_a_pipe_and_does_not_wait_for_who_does_not_read() -> None:
    ours, theirs = os.pipe()
    try:
        worker = Notifier.of({"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "2000000"}, theirs)
        assert worker.watchdog_s == 2.0
        worker.ready("x")
        assert os.read(ours, 100) == b"READY=1\nSTATUS=x\n"
        with capturedLogs():
            for _ in range(10_000):
                worker.ready("x" * 100)
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_socket_hears_it(tmp_path: Path) -> None:
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(path)
        with closing(Notifier.of({"NOTIFY_SOCKET": path})) as notifier:
            notifier.ready("x")
        assert systemd.recv(100) == b"READY=1\nSTATUS=x"
