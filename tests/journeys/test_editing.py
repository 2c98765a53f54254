"""Real editors in one song, over connections that are cut, on a daemon that is killed."""

import random
import time
from collections import Counter
from functools import reduce
from pathlib import Path
from typing import Any

import pytest

from chordme_daemon import ot
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, http_request, token
from tests.journeys.editors import Editors, Report

pytestmark = pytest.mark.journey

EDITORS = 8
# So many of each kind.
LEGACY = 4
# What of the errors that an editor hears is no problem: the daemon was busy, or not there.
HARMLESS = {"unavailable", "rate_limited"}


def history(daemon: Daemon, room: str) -> dict[str, Any]:
    answer: dict[str, Any] = http_request(f"{daemon.admin_url}/rooms/{room}/history").json()
    return answer


def replay(entries: list[dict[str, Any]]) -> str:
    """The text that the log leads to, from nothing."""
    operations = (ot.from_wire(entry["operations"]) for entry in entries)
    return ot.from_units(reduce(ot.apply, operations, ""))


def check(daemon: Daemon, room: str, reports: list[Report]) -> None:
    """All texts are one, and what was acknowledged is in the log exactly once."""
    song = http_request(f"{daemon.admin_url}/rooms/{room}").json()
    log = history(daemon, room)
    assert [one.problems for one in reports if not harmless(one.problems)] == []
    assert {one.text for one in reports} == {song["text"]}
    assert {one.revision for one in reports} - {None} == {song["revision"]}
    assert [entry["revision"] for entry in log["entries"]] == list(range(1, song["revision"] + 1))
    assert replay(log["entries"]) == song["text"]
    logged = Counter((entry["client_id"], entry["seq"]) for entry in log["entries"])
    assert set(logged.values()) == {1}
    by_id = Counter((entry["user_id"], entry["operation_id"]) for entry in log["entries"])
    for one in reports:
        assert len(one.acknowledged) > 10, "nothing was edited"
        if one.client_id is None:
            kept = Counter({id_: n for (user, id_), n in by_id.items() if user == one.user_id})
            assert kept == Counter(one.acknowledged)
        else:
            assert {(one.client_id, seq) for seq in one.acknowledged} <= set(logged)
            assert sorted(one.acknowledged) == list(range(1, len(one.acknowledged) + 1))


def harmless(problems: list[Any]) -> bool:
    return all(problem.get("code") in HARMLESS for problem in problems)


@pytest.fixture
def store(tmp_path: Path) -> dict[str, object]:
    return {
        "store.url": f"sqlite:{tmp_path / 'songs.sqlite3'}",
        "limits.operations": 0,
        "limits.joins": 0,
    }


def test_eight_editors_whose_connections_are_cut_and_whose_daemon_is_killed(
    start_daemon: StartDaemon, node: str, store: dict[str, object]
) -> None:
    dice = random.Random()
    daemon = start_daemon(store)
    tokens = [token(f"editor-{number}") for number in range(EDITORS)]
    with Editors(node, daemon.url, "song", tokens) as editors:
        editors.type(every_ms=4)
        for kill in (True, True, True, False):
            for _ in range(3):
                time.sleep(dice.uniform(0.1, 0.4))
                editors.cut()
            if kill:
                daemon.kill()
                daemon = start_daemon(store, port=daemon.port)
        check(daemon, "song", editors.rest())


def test_legacy_editors_end_with_the_text_of_the_current_ones(
    start_daemon: StartDaemon, node: str, store: dict[str, object]
) -> None:
    dice = random.Random()
    daemon = start_daemon(store)
    song = "{title: 🎸}\n[Am]la la\n"
    put = http_request(f"{daemon.admin_url}/rooms/song", "PUT", song.encode())
    assert put.status == 200
    tokens = [token(f"editor-{number}") for number in range(LEGACY)]
    legacy_tokens = [token(number + 1) for number in range(LEGACY)]
    with Editors(node, daemon.url, "song", tokens, legacy_tokens) as editors:
        for _ in range(6):
            editors.type(every_ms=5)
            time.sleep(dice.uniform(0.2, 0.6))
            editors.cut()
            editors.pause()
            time.sleep(dice.uniform(0.0, 0.1))
        reports = editors.rest()
        check(daemon, "song", reports)
    legacy = [one for one in reports if one.client_id is None]
    # An edit beside half of a pair, which only an editor that transforms nothing comes to have.
    assert {code for one in legacy for code in one.refused} <= {"invalid_operation"}
    # Nobody's text was thrown away to get there.
    assert [one.replaced for one in legacy] == [0] * LEGACY
