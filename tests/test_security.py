"""What is said of refusals: with fields, under a name of its own, and not again and again."""

from collections.abc import Iterator
from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent

from chordme_daemon.security import AGAIN_AFTER_S, NAMESPACE, SecurityLog

TEXT = "User {user_id} at {address} may not"


@pytest.fixture
def logged() -> Iterator[Any]:
    with capturedLogs() as events:
        yield events


def note(log: SecurityLog, user_id: object = 7, address: str = "192.0.2.1", **more: object) -> None:
    log.note("forbidden", TEXT, address=address, user_id=user_id, **more)


def test_a_line_has_its_fields_and_a_name_of_its_own(logged: Any) -> None:
    note(SecurityLog(Clock()), code="forbidden")
    [event] = logged
    assert formatEvent(event) == "User 7 at 192.0.2.1 may not"
    assert (event["log_namespace"], event["log_level"]) == (NAMESPACE, LogLevel.warn)
    fields = {name: value for name, value in event.items() if not name.startswith("log_")}
    assert fields == {
        "event": "forbidden",
        "address": "192.0.2.1",
        "user_id": 7,
        "code": "forbidden",
    }


def test_the_same_is_said_again_after_a_while_with_how_often_it_was_held_back(logged: Any) -> None:
    clock = Clock()
    log = SecurityLog(clock)
    for _ in range(5):
        note(log, code="a")
    note(log, address="192.0.2.2", code="a")
    assert len(logged) == 1
    clock.advance(AGAIN_AFTER_S)
    note(log, code="a")
    note(log, code="a")
    assert [event.get("held_back") for event in logged] == [None, 5]


def test_what_differs_is_told_apart(logged: Any) -> None:
    log = SecurityLog(Clock())
    note(log, 7, code="a")
    note(log, 8, code="a")
    note(log, 7, code="b")
    note(log, 7, code="a", room="song-1")
    log.note("token", "{address}", address="192.0.2.1")
    log.note("token", "{address}", address="192.0.2.2")
    assert len(logged) == 6


def test_very_many_that_differ_are_few_lines(logged: Any) -> None:
    log = SecurityLog(Clock())
    for number in range(10_000):
        log.note("token", "{address}", address=f"192.0.2.{number}")
    assert len(logged) < 300
