"""Rooms by themselves: what they tell whom, what they count, and what the cluster is asked."""

import json
from collections.abc import Coroutine
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from chordme_daemon.app.document import Proposal, name_of
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.app.room import Room, Submission
from chordme_daemon.app.rooms import Capacity, Rooms
from chordme_daemon.app.seats import Seat
from chordme_daemon.cluster.interface import (
    ClusterUnavailable,
    Draft,
    Entry,
    Member,
    Note,
    Record,
)
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from chordme_daemon.socketio.packet import EVENT, Packet, encode_messages
from chordme_daemon.socketio.server import Emission
from tests.app.clusters import DistantCluster, local_cluster
from tests.app.conftest import STARTED_S


class Ear:
    """A connection that only keeps what it is sent."""

    queued_bytes = 0

    def __init__(self) -> None:
        self.sent: list[Emission] = []

    def send(self, emission: Emission) -> None:
        self.sent.append(emission)


def prepare(event: str, payload: dict[str, Any], *, conflate: object = None) -> Emission:
    return Emission(encode_messages(Packet(EVENT, "/", [event, payload]), conflate))


def told(emission: Emission) -> Any:
    """The event of an emission, and its payload."""
    [packet] = emission.packets
    return json.loads(packet.body[2:])


def seat(key: str, user: str = "ada") -> Any:
    """A seat whose connection only listens, and whose client has been told that it is in."""
    listener: Any = Ear()
    return Seat(
        listener,
        Member(key, user, user),
        key,
        Permission.EDIT,
        shadow=None,
        in_turn=lambda call: call(),
        hears=True,
    )


def nothing_is_lost(*_: object) -> None:
    raise AssertionError("a local cluster loses nothing")


def heard(place: Any) -> list[str]:
    return [told(emission)[0] for emission in place.connection.sent]


def rooms(cluster: Any = None, **capacity: int) -> Rooms:
    return Rooms(
        cluster or local_cluster(Clock()),
        prepare,
        Capacity(**capacity),
        lambda: STARTED_S,
        nothing_is_lost,
        clock=Clock(),
    )


def done(coroutine: Coroutine[Deferred[Any], Any, Any]) -> Any:
    """The result of what needs no waiting."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    [result] = results
    if isinstance(result, Failure):
        result.raiseException()
    return result


def pending(coroutine: Coroutine[Deferred[Any], Any, Any]) -> list[Any]:
    """Where the result will be."""
    results: list[Any] = []
    ensureDeferred(coroutine).addBoth(results.append)
    return results


def test_there_are_as_many_rooms_and_participants_as_have_somebody_in_them() -> None:
    all_rooms = rooms()
    assert (len(all_rooms), all_rooms.participants()) == (0, 0)
    tabs = [seat("1", "ada"), seat("2", "ada"), seat("3", "bob")]
    in_a = [done(all_rooms.join("a", tab))[0] for tab in tabs]
    room_b, _ = done(all_rooms.join("b", seat("4", "ada")))
    assert (len(all_rooms), all_rooms.participants()) == (2, 3)
    assert isinstance(room_b, Room)
    for room, tab in zip(in_a, tabs, strict=True):
        all_rooms.leave(room, tab)
    assert (len(all_rooms), all_rooms.participants()) == (1, 1)


def test_leaving_twice_is_harmless() -> None:
    all_rooms = rooms()
    ada, bob = seat("1", "ada"), seat("2", "bob")
    room, _ = done(all_rooms.join("song", ada))
    done(all_rooms.join("song", bob))
    all_rooms.leave(room, ada)
    all_rooms.leave(room, ada)
    assert heard(bob) == ["user_left"]
    assert all_rooms.participants() == 1


def test_a_note_is_for_all_but_its_author_also_their_other_tab() -> None:
    all_rooms = rooms()
    places = [seat("1", "ada"), seat("2", "ada"), seat("3", "bob")]
    for place in places:
        room, _ = done(all_rooms.join("song", place))
    for place in places:
        place.connection.sent.clear()
    all_rooms.publish(room, "room_message", {}, author="1")
    assert [heard(place) for place in places] == [[], ["room_message"], ["room_message"]]
    assert places[1].connection.sent[0] is places[2].connection.sent[0]


def test_a_note_of_another_daemon_reaches_everybody_here() -> None:
    all_rooms = rooms()
    place = seat("1")
    room, _ = done(all_rooms.join("song", place))
    room.hear(Note("room_message", {}, author="elsewhere"))
    assert heard(place) == ["room_message"]


def test_what_may_be_conflated_is_named_by_room_author_and_event() -> None:
    all_rooms = rooms()
    place = seat("1")
    room, _ = done(all_rooms.join("song", place))
    all_rooms.publish(room, "cursor_moved", {}, author="2", conflate=True)
    all_rooms.publish(room, "room_message", {}, author="2")
    names = [emission.packets[0].conflate for emission in place.connection.sent]
    assert names == [("song", "2", "cursor_moved"), None]


def test_a_kept_note_is_told_with_its_number_and_stays_with_the_room() -> None:
    all_rooms = rooms()
    place = seat("1")
    room, _ = done(all_rooms.join("song", place))
    all_rooms.publish(room, "room_message", {"message": 1}, author="2", kept=True)
    [emission] = place.connection.sent
    [note] = room.messages
    assert told(emission)[1] == {"message": 1, "message_id": note.number}


def test_a_room_that_is_left_by_all_and_joined_again_is_a_new_one() -> None:
    all_rooms = rooms()
    first = seat("1")
    old, _ = done(all_rooms.join("song", first))
    all_rooms.leave(old, first)
    again, _ = done(all_rooms.join("song", first))
    assert again is not old
    assert again.seats == {"1": first}


@pytest.mark.parametrize(
    ("room_id", "user", "code"),
    [("song", "eve", Code.ROOM_FULL), ("third", "ada", Code.TOO_MANY_ROOMS)],
)
def test_a_join_beyond_the_capacity_is_refused_and_leaves_nothing_behind(
    room_id: str, user: str, code: Code
) -> None:
    cluster = DistantCluster()
    all_rooms = rooms(cluster, rooms_per_user=2, members_per_room=2)
    done(all_rooms.join("song", seat("1", "ada")))
    done(all_rooms.join("song", seat("2", "bob")))
    done(all_rooms.join("second", seat("3", "ada")))
    with pytest.raises(Refused) as refused:
        done(all_rooms.join(room_id, seat("4", user)))
    assert (refused.value.code, refused.value.limit) == (code, 2)
    assert (len(all_rooms), all_rooms.participants()) == (2, 3)
    done(all_rooms.join("song", seat("5", "ada")))


def test_entries_that_come_while_the_room_opens_are_not_told_twice() -> None:
    entry = Entry(1, Draft(["x"], "elsewhere", 1, "tab", 1, 0))

    class HastyCluster(LocalCluster):
        """Lets an entry be heard before it says that the room is open."""

        opening: Deferred[Record]

        def open(self, room: str, hear: Any, held: Any) -> Deferred[Record]:
            super().open(room, hear, held)
            hear(entry)
            self.opening = Deferred()
            return self.opening

    journal = Journal(":memory:")
    journal.open()
    cluster = HastyCluster(journal, Clock(), lambda: STARTED_S)
    place = seat("1")
    results = pending(rooms(cluster).join("song", place))
    cluster.opening.callback(Record(entries=[entry]))
    [(room, _)] = results
    assert (room.text.revision, str(room.text.text)) == (1, "x")
    room.hear(entry)
    assert str(room.text.text) == "x"
    assert heard(place) == []


def test_a_song_that_is_damaged_is_unavailable_to_all_who_wait_and_nothing_is_left() -> None:
    class DamagedCluster(LocalCluster):
        opening: Deferred[Record]

        def open(self, room: str, hear: Any, held: Any) -> Deferred[Record]:
            super().open(room, hear, held)
            self.opening = Deferred()
            return self.opening

    journal = Journal(":memory:")
    journal.open()
    cluster = DamagedCluster(journal, Clock(), lambda: STARTED_S)
    all_rooms = rooms(cluster)
    results = [pending(all_rooms.join("song", seat(key, key))) for key in ("1", "2")]
    reaches_too_far = Entry(1, Draft([1_000_000, "x"], "elsewhere", 1, "tab", 1, 0))
    cluster.opening.callback(Record(entries=[reaches_too_far]))
    for [result] in results:
        assert result.check(ClusterUnavailable)
    assert len(all_rooms) == 0
    assert cluster._rooms == {}


def test_hundreds_may_wait_for_the_same_room() -> None:
    cluster = DistantCluster()
    all_rooms = rooms(cluster, members_per_room=1000)
    cluster.slow = True
    results = [
        pending(all_rooms.join("song", seat(f"{number}", f"user-{number}")))
        for number in range(1000)
    ]
    cluster.arrive()
    assert [len(participants) for [(_, participants)] in results] == list(range(1, 1001))
    assert cluster.calls == ["open"] + ["join"] * 1000


def test_a_member_that_the_cluster_cannot_add_is_not_in_the_room() -> None:
    cluster = DistantCluster()
    all_rooms = rooms(cluster)
    bob = seat("1", "bob")
    room, _ = done(all_rooms.join("song", bob))
    cluster.slow = True
    results = pending(all_rooms.join("song", seat("2", "ada")))
    cluster.fail()
    assert isinstance(results[0].value, ClusterUnavailable)
    assert list(room.seats) == ["1"]
    assert all_rooms.participants() == 1
    assert heard(bob) == []


def test_a_join_that_fails_leaves_the_seat_of_its_successor_alone() -> None:
    cluster = DistantCluster()
    all_rooms = rooms(cluster)
    cluster.slow = True
    first, second = seat("1"), seat("1")
    results = [pending(all_rooms.join("song", place)) for place in (first, second)]
    cluster.fail()
    for [result] in results:
        assert isinstance(result.value, ClusterUnavailable)
    assert (len(all_rooms), all_rooms.participants()) == (0, 0)


def test_who_waits_for_what_an_author_sent_waits_for_all_of_it() -> None:
    all_rooms = rooms()
    room, _ = done(all_rooms.join("song", seat("1")))
    proposals = [Proposal((), 0, author, 1, author, 1, 1) for author in ("1", "2", "1")]
    sent = [Submission(attrs.evolve(one, seq=seq)) for seq, one in enumerate(proposals)]
    room.submissions = {name_of(one.proposal): one for one in sent}
    settled = pending(room.settled("1"))
    for one in (sent[2], sent[1], sent[0]):
        assert settled == []
        room.settle([one], 1)
    assert settled == [None]
