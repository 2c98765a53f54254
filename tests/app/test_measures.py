"""What is counted of requests."""

import pytest

from chordme_daemon.app.measures import OTHER, SLOT_S, SLOTS, Durations
from chordme_daemon.app.parsing import NAMES
from tests.app.conftest import House

SONG = {"room_id": "song"}


def test_the_last_five_minutes_are_told_and_what_was_before_is_not() -> None:
    durations = Durations(100.0)
    for took_s, failed in ((0.05, False), (0.25, False), (0.03, True)):
        durations.note(took_s, 7.0, failed=failed)
    assert durations.recent(7.0 + SLOT_S * (SLOTS - 1)) == {
        "average_duration_ms": 110.0,
        "max_duration_ms": 250.0,
        "success_rate": pytest.approx(2 / 3),
        "total_operations": 3,
        "threshold_ms": 100.0,
        "within_threshold": False,
        "threshold_violations": 1,
    }
    late_s = 7.0 + SLOT_S * SLOTS
    nothing = {"total_operations": 0, "average_duration_ms": 0.0, "success_rate": 1.0}
    assert durations.recent(late_s).items() >= nothing.items()
    durations.note(0.01, late_s, failed=False)
    assert durations.recent(late_s)["total_operations"] == 1


def test_however_long_it_goes_on_few_slots_are_kept() -> None:
    durations = Durations(100.0)
    for minute in range(1000):
        durations.note(0.01, minute * 60.0, failed=False)
    assert len(durations._slots) == SLOTS


def test_requests_are_counted_by_what_was_asked_and_why_they_were_refused(house: House) -> None:
    ada = house.member("ada")
    ada.ask("broadcast_message", {**SONG, "message": "hi"})
    ada.ask("broadcast_message", {**SONG})
    ada.ask("leave_room", {"room_id": "?"})
    measures = house.app.measures
    assert measures.asked["broadcast_message"] == 2
    assert measures.refused == {"bad_request": 1, "invalid_room": 1}
    told = measures.recent(house.clock.seconds())["broadcast"]
    assert isinstance(told, dict)
    assert told["total_operations"] == 2
    assert told["success_rate"] == 0.5


def test_names_that_we_do_not_know_are_one(house: House) -> None:
    ada = house.member("ada")
    for name in ("sing", "dance", 7, "__proto__"):
        ada.emit(name, {})
    assert house.app.measures.asked[OTHER] == 4
    assert set(house.app.measures.asked) <= NAMES | {OTHER}
