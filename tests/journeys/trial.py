"""People who type into the songs of a cluster in a fault; and what must be true after it.

Checked is, once the fault is over and everybody is at rest:

- nobody waits for anything, and nobody saw a hole in the order of a song;
- all texts of a song are one, which every instance tells, and which its log leads to;
- each operation that an editor was told is in the song is in its log exactly once, at the revision
  that was told, and `(client_id, seq)` is there only once;
- every instance, and every editor, knows exactly those who are there.
"""

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial, reduce
from typing import Any

import attrs

from chordme_daemon import ot
from tests.journeys.cluster import Cluster
from tests.journeys.crowd import Acknowledged, Crowd, Editor, Report
from tests.journeys.daemon import http_request, token, wait_until
from tests.journeys.faults import Fault

JOINED_WITHIN_S = 15.0
READY_WITHIN_S = 30.0
REST_WITHIN_S = 30.0
# How much of what is wrong is shown.
MAX_SHOWN = 3000
# What is in every operation, and in no other.
TOKEN = re.compile("‹[^›]*›")
# What an editor may be answered in a fault: it asks again.
HARMLESS = {"unavailable", "rate_limited", "stale_revision", "not_in_room"}
# And when what it was told is lost, and made good.
AFTER_LOSS = {"lost", "invalid_operation"}
TRANSPORTS = (["websocket"], ["polling", "websocket"], ["websocket"], ["polling"])


@attrs.frozen
class Load:
    """How many type, in how many songs, and how often one of them makes an edit."""

    editors: int
    rooms: int
    every_ms: int


@attrs.frozen
class Outcome:
    """What happened, in numbers; as text, a line of the table that `header` begins."""

    fault: str
    instances: int
    seed: int
    reports: Sequence[Report]
    lost: int
    rest_s: float
    presence_s: float

    def __str__(self) -> str:
        told = sum(len(one.acknowledged) for one in self.reports)
        totals = [sum(getattr(one, name) for one in self.reports) for name in TOTALS]
        refused = sum((Counter(one.refused) for one in self.reports), Counter[str]())
        values = [self.instances, self.seed, told, *totals, self.lost]
        values += [f"{self.rest_s:.1f}", f"{self.presence_s:.1f}"]
        columns = zip(values, COLUMNS, strict=True)
        numbers = "".join(f"{value:>{len(name) + 2}}" for value, name in columns)
        codes = ", ".join(f"{code} {count}" for code, count in sorted(refused.items()))
        return f"{self.fault:<28}{numbers}  {codes}"


TOTALS = ("resends", "states", "rewinds", "connects")
COLUMNS = ("instances", "seed", "acknowledged", *TOTALS, "lost", "rest_s", "presence_s")


def header() -> str:
    """The names of the columns: the seconds are those from the end of the fault."""
    return f"{'fault':<28}{''.join(f'  {name}' for name in COLUMNS)}  refused"


def run(cluster: Cluster, node: str, fault: Fault, load: Load, seed: int) -> Outcome:
    """Have people type into new songs while something goes wrong, and check what comes of it."""
    dice = random.Random(seed)
    title = f"{fault.name}-{seed}"
    editors = [_editor(cluster, load, title, number) for number in range(load.editors)]
    users = {one.client_id: _user(load, number) for number, one in enumerate(editors)}
    # In every song one comes and one goes in the middle of it.
    late, leaving = editors[: load.rooms], editors[load.rooms : 2 * load.rooms]
    with Crowd(node, seed) as crowd:
        crowd.open(editors[load.rooms :])
        assert crowd.joined(JOINED_WITHIN_S), f"before the fault: {_pending(crowd.reports())}"
        crowd.type(load.every_ms)
        time.sleep(dice.uniform(0.8, 1.2))
        began_ms = _now_ms()
        heal = fault.begin(cluster, crowd, dice)
        try:
            time.sleep(fault.lasts_s / 2)
            crowd.leave(leaving)
            crowd.open(late)
            time.sleep(fault.lasts_s / 2)
        finally:
            heal()
        healed_ms = _now_ms()
        wait_until(cluster.is_ready, "all instances are ready again", READY_WITHIN_S)
        time.sleep(dice.uniform(0.3, 0.7))
        crowd.type(0)
        crowd.rest(REST_WITHIN_S)
        rest_s = (_now_ms() - healed_ms) / 1000
        reports = crowd.reports()
        check_editors(fault, reports)
        differences = _settle(partial(_differences, cluster, crowd, users), REST_WITHIN_S)
        _none(differences, "all know the songs, and who is there")
        presence_s = (_now_ms() - healed_ms) / 1000
        _none(cluster.alarms(), "nothing alarming in the logs")
        crowd.close()
    lost_from_ms = healed_ms if fault.may_lose_s is None else began_ms - fault.may_lose_s * 1000
    lost = [
        one for room in _rooms(reports) for one in check_song(cluster, room, _in(room, reports))
    ]
    too_much = [one for one in lost if not lost_from_ms <= one.at_ms < healed_ms]
    _none(too_much, f"what was acknowledged is kept (the fault was from {began_ms}, {healed_ms})")
    outcome = (len(lost), rest_s, presence_s)
    return Outcome(fault.name, len(cluster.instances), seed, reports, *outcome)


def check_editors(fault: Fault, reports: Sequence[Report]) -> None:
    """Every editor was treated well: it knows what became of all that it sent."""
    _none([(one.client_id, one.problems) for one in reports if one.problems], "no problems")
    _none(_pending(reports), "nothing is pending")
    excused = HARMLESS | (AFTER_LOSS if fault.may_lose_s is not None else set())
    refused = [(one.client_id, set(one.refused) - excused) for one in reports]
    _none([one for one in refused if one[1]], "nobody was refused but for a while")
    assert sum(len(one.acknowledged) for one in reports) > len(reports), "nothing was edited"


def check_song(cluster: Cluster, room: str, reports: Sequence[Report]) -> list[Acknowledged]:
    """The song's log leads to its text, on every instance; what was acknowledged and is not there.

    What is there, is there once, and as it was told.
    """
    (revision, text), *others = {(one.revision, one.text) for one in reports if not one.gone}
    _none(others, f"one text in {room}")
    logs = [_ask(instance.admin_url, f"{room}/history?since=0") for instance in cluster.instances]
    bases = [log["from"] for log in logs]
    assert not any(bases), f"{room}: the instances' logs begin at {bases}"
    entries: list[dict[str, Any]] = logs[0]["entries"]
    assert all(log["entries"] == entries for log in logs[1:]), f"{room}: the logs differ"
    told = [entry["revision"] for entry in entries]
    assert told == list(range(1, (revision or 0) + 1)), f"{room}: {told}, but {revision}"
    operations = [ot.from_wire(entry["operations"]) for entry in entries]
    replayed = ot.from_units(reduce(ot.apply, operations, ""))
    assert replayed == text, f"{room}: the log leads to {replayed!r}, but it is {text!r}"
    names = Counter((entry["client_id"], entry["seq"]) for entry in entries)
    _none([name for name, count in names.items() if count > 1], f"one of each in {room}")
    places: dict[str, list[tuple[object, ...]]] = {}
    for entry in entries:
        for found in TOKEN.findall("".join(_inserted(entry))):
            place = (entry["client_id"], entry["seq"], entry["revision"])
            places.setdefault(found, []).append(place)
    lost = []
    for report in reports:
        for one in report.acknowledged:
            is_at = places.get(one.token, [])
            if not is_at:
                lost.append(one)
                continue
            told_at = (report.client_id, one.seq, one.revision or is_at[0][2])
            assert is_at == [told_at], f"{room}: {one.token} was told at {told_at}, is at {is_at}"
    return lost


def _differences(
    cluster: Cluster, crowd: Crowd, users: Mapping[str, str]
) -> list[tuple[object, ...]]:
    """What instances and editors have that is not so, or not yet."""
    found: list[tuple[object, ...]] = []
    reports = crowd.reports()
    for room in _rooms(reports):
        there = [one for one in _in(room, reports) if not one.gone]
        revisions = {one.revision for one in there}
        texts = {one.text for one in there}
        if len(revisions) > 1 or len(texts) > 1:
            found.append((room, "editors", revisions, texts))
        present = Counter(users[one.client_id] for one in there)
        for number, instance in enumerate(cluster.instances):
            song = _ask(instance.admin_url, room)
            who = {one["user_id"]: one["connections"] for one in song["participants"]}
            if who != present:
                found.append((room, f"instance {number}: participants", who, dict(present)))
            if {song["revision"]} != revisions or {song["text"]} != texts:
                told = (song["revision"], song["text"])
                found.append((room, f"instance {number}: song", told, revisions, texts))
        found += [
            (room, f"{one.client_id} was told", one.presence, sorted(present))
            for one in there
            if one.present != sorted(present) or one.counted != len(present)
        ]
    return found


def _settle(differences: Callable[[], list[Any]], within_s: float) -> list[Any]:
    """Wait until there are none; those that stay."""
    until = time.monotonic() + within_s
    while (found := differences()) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _user(load: Load, number: int) -> str:
    """Everybody is one, but that the third and the fourth in a room are the same."""
    rank = number // load.rooms
    return f"user-{number - load.rooms if rank == 3 else number}"


def _none(found: Collection[object], what: str) -> None:
    """There is nothing that speaks against it."""
    assert not found, f"{what}, but {len(found)}: {str(found)[:MAX_SHOWN]}"


def _editor(cluster: Cluster, load: Load, title: str, number: int) -> Editor:
    room, rank = number % load.rooms, number // load.rooms
    first = (room + rank) % len(cluster.urls)
    return Editor(
        urls=[*cluster.urls[first:], *cluster.urls[:first]],
        room=f"{title}-{room}",
        token=token(_user(load, number)),
        # Who goes left where two write at one place is not who came first.
        client_id=f"{'zam'[number % 3]}-{title}-{number}",
        transports=TRANSPORTS[rank % len(TRANSPORTS)],
    )


def _rooms(reports: Sequence[Report]) -> list[str]:
    return sorted({one.room for one in reports})


def _in(room: str, reports: Sequence[Report]) -> list[Report]:
    return [one for one in reports if one.room == room]


def _pending(reports: Sequence[Report]) -> dict[str, object]:
    return {one.client_id: one.pending for one in reports if one.pending is not None}


def _inserted(entry: dict[str, Any]) -> list[str]:
    return [part["content"] for part in entry["operations"] if part["type"] == "insert"]


def _ask(admin_url: str, path: str) -> Any:
    answer = http_request(f"{admin_url}/rooms/{path}")
    assert answer.status == 200, answer.body
    return answer.json()


def _now_ms() -> int:
    return int(time.time() * 1000)
