"""Requests that take their time, and clients that do not wait for them.

Rows: R (rooms) and S (Socket.IO) of hostile input.
"""

import gc

import pytest
from twisted.logger import LogLevel, capturedLogs

from chordme_daemon.app.rooms import Capacity
from tests.app.clusters import DistantCluster
from tests.app.conftest import Client, House

SONG = {"room_id": "song"}
INSERT = {"type": "insert", "position": 0, "content": "[G]", "id": "op-1"}
OPERATION = {"room_id": "song", "operation": INSERT}
UNAVAILABLE = {
    "message": "Temporarily unavailable",
    "code": "unavailable",
    "room_id": "song",
    "retry_after_ms": 1000,
}


def assert_empty(house: House, cluster: DistantCluster) -> None:
    """Nobody is in any room, here or in the cluster."""
    assert len(house.rooms) == 0
    assert house.rooms.participants() == 0
    assert cluster.calls.count("open") == cluster.calls.count("close")
    assert [value for value in vars(house.rooms).values() if isinstance(value, dict)] == [{}, {}]


# One at a time


def test_s32_requests_wait_for_the_one_before_and_keep_their_order(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.client()
    cluster.slow = True
    client.emit("join_room", SONG, ack=1)
    for number in range(2, 200):
        client.emit("ping", {"sent_at": number}, ack=number)
    client.emit("broadcast_message", {**SONG, "message": 1}, ack=200)
    assert client.heard() == []
    cluster.arrive()
    heard = client.heard()
    assert [number for number, _ in heard] == list(range(1, 201))
    assert all(answer["ok"] for _, answer in heard)


def test_s32_requests_that_are_answered_at_once_may_all_have_waited(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.member("ada")
    cluster.slow = True
    client.emit("join_room", {"room_id": "other"}, ack=0)
    for number in range(1, 257):
        client.emit("collaboration_operation", {**OPERATION, "room_id": "nowhere"}, ack=number)
    cluster.slow = False
    with capturedLogs() as logged:
        cluster.arrive()
    heard = client.heard()
    assert [number for number, _ in heard] == list(range(200 + 1))
    assert [answer.get("code") for _, answer in heard] == [None] + ["not_in_room"] * 200
    # The 201st refusal in a moment was one too many.
    assert client.closed
    assert [event["event"] for event in logged] == ["flood"]


def test_s32_256_requests_that_succeed_at_once_may_all_have_waited(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.client(rooms={"*": "edit"})
    cluster.slow = True
    client.emit("join_room", SONG, ack=0)
    for number in range(1, 60):
        client.emit("join_room", SONG, ack=number)
    for number in range(60, 120):
        client.emit("collaboration_operation", OPERATION, ack=number)
    cluster.arrive(1)
    cluster.slow = False
    with capturedLogs() as logged:
        cluster.arrive()
    assert logged == []
    heard = client.heard()
    assert [number for number, _ in heard] == list(range(120))
    assert all(answer["ok"] for _, answer in heard)


def test_s32_the_257th_waiting_request_closes_and_other_clients_go_on(
    far_house: House, cluster: DistantCluster
) -> None:
    client, other = far_house.client("ada"), far_house.client("bob")
    cluster.slow = True
    client.emit("join_room", SONG, ack=1)
    for _ in range(256):
        client.emit("ping", {})
    assert not client.closed
    assert other.names() == []
    other.emit("ping", {})
    assert other.names() == ["pong"]
    client.emit("ping", {})
    assert client.closed
    cluster.arrive()
    assert client.heard() == []
    assert_empty(far_house, cluster)


def test_one_clients_slow_request_does_not_hold_up_its_other_tab(
    far_house: House, cluster: DistantCluster
) -> None:
    first, second = far_house.client("ada"), far_house.client("ada")
    cluster.slow = True
    first.emit("join_room", SONG, ack=1)
    second.emit("ping", {}, ack=2)
    assert [number for number, _ in second.heard()] == [2]


def test_a_leave_that_follows_a_pending_join_leaves(
    far_house: House, cluster: DistantCluster
) -> None:
    other, client = far_house.member("bob"), far_house.client("ada")
    cluster.slow = True
    client.emit("join_room", SONG)
    client.emit("leave_room", SONG)
    cluster.arrive()
    assert client.names() == ["user_joined", "room_joined", "room_left"]
    assert other.names() == ["user_joined", "user_left"]


# Gone meanwhile


def test_r12_a_disconnect_during_a_pending_join_leaves_no_ghost(
    far_house: House, cluster: DistantCluster
) -> None:
    other, client = far_house.member("bob"), far_house.client("ada")
    cluster.slow = True
    client.emit("join_room", SONG)
    client.hang_up()
    with capturedLogs() as logged:
        cluster.arrive()
    # Either both or none, and never the other way round.
    assert other.names() in ([], ["user_joined", "user_left"])
    assert logged == []
    cluster.slow = False
    assert far_house.client("eve").join()["participant_count"] == 2


@pytest.mark.parametrize("arrived", [0, 1, 2])
def test_r12_a_disconnect_at_any_moment_of_the_first_join_frees_the_room(
    far_house: House, cluster: DistantCluster, arrived: int
) -> None:
    client = far_house.client()
    cluster.slow = True
    client.emit("join_room", SONG)
    cluster.arrive(arrived)
    client.hang_up()
    with capturedLogs() as logged:
        cluster.arrive()
    assert logged == []
    assert_empty(far_house, cluster)


def test_r12_a_disconnect_while_joining_again_leaves_no_ghost(
    far_house: House, cluster: DistantCluster
) -> None:
    other, client = far_house.member("bob"), far_house.member("ada")
    other.heard()
    cluster.slow = True
    client.emit("join_room", SONG)
    client.hang_up()
    with capturedLogs() as logged:
        cluster.arrive()
    assert other.names() == ["user_left"]
    assert logged == []
    other.hang_up()
    cluster.arrive()
    assert_empty(far_house, cluster)


def test_a_request_that_fails_when_its_client_is_gone_is_answered_to_nobody(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.client()
    cluster.slow = True
    client.emit("join_room", SONG, ack=1)
    client.hang_up()
    with capturedLogs() as logged:
        cluster.fail()
    assert logged == []
    assert client.heard() == []
    assert_empty(far_house, cluster)


def test_an_expiry_while_joining_again_leaves_no_ghost(
    far_house: House, cluster: DistantCluster
) -> None:
    client, other = far_house.member("ada", good_for_s=100), far_house.member("bob")
    far_house.advance(99.5)
    cluster.slow = True
    client.emit("join_room", SONG)
    far_house.advance(40)
    with capturedLogs() as logged:
        cluster.arrive()
        far_house.advance(1)
        cluster.arrive()
    assert logged == []
    assert client.names()[-1] == "room_left"
    assert other.names() == ["user_left"]
    other.hang_up()
    cluster.arrive()
    assert_empty(far_house, cluster)


def test_an_operation_of_one_who_is_gone_is_still_told(
    far_house: House, cluster: DistantCluster
) -> None:
    other, client = far_house.member("bob"), far_house.member("ada")
    other.heard()
    cluster.slow = True
    client.emit("collaboration_operation", OPERATION)
    client.hang_up()
    cluster.arrive()
    assert other.names() == ["collaboration_update", "user_left"]


# Several who open the same room


def test_a_room_is_opened_once_for_all_who_want_to_join_it(
    far_house: House, cluster: DistantCluster
) -> None:
    clients = [far_house.client(number) for number in range(1, 4)]
    cluster.slow = True
    for client in clients:
        client.emit("join_room", SONG, ack=1)
    cluster.arrive()
    assert cluster.calls == ["open", "join", "join", "join"]
    answers = [dict(client.heard())[1] for client in clients]
    assert [answer["participant_count"] for answer in answers] == [1, 2, 3]


def test_a_room_that_opens_stays_while_somebody_waits_for_it(
    far_house: House, cluster: DistantCluster
) -> None:
    first, second = far_house.client("ada"), far_house.client("bob")
    cluster.slow = True
    first.emit("join_room", SONG)
    second.emit("join_room", SONG)
    first.hang_up()
    cluster.arrive()
    assert second.names().count("room_joined") == 1
    assert len(far_house.rooms) == 1
    second.hang_up()
    cluster.arrive()
    assert_empty(far_house, cluster)


def test_r08_pending_joins_count_for_the_capacity_of_a_room(cluster: DistantCluster) -> None:
    house = House(cluster, capacity=Capacity(members_per_room=2, rooms_per_user=2))
    clients = [house.client(number) for number in range(1, 5)]
    tabs = [house.client(9) for _ in range(3)]
    cluster.slow = True
    for client in clients:
        client.emit("join_room", SONG, ack=1)
    for number, tab in enumerate(tabs):
        tab.emit("join_room", {"room_id": number}, ack=1)
    cluster.arrive()

    def codes(these: list[Client]) -> list[object]:
        return [dict(client.heard())[1].get("code") for client in these]

    assert codes(clients) == [None, None, "room_full", "room_full"]
    assert codes(tabs) == [None, None, "too_many_rooms"]


# A cluster that cannot


def test_a_join_that_the_cluster_cannot_do_is_unavailable_and_leaves_nothing_behind(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.client()
    cluster.slow = True
    for arrived in (0, 1):  # it cannot open the room, or cannot add the member
        client.emit("join_room", SONG)
        cluster.arrive(arrived)
        cluster.fail()
        cluster.arrive()
        assert client.heard() == [("error", {**UNAVAILABLE, "event": "join_room"})]
        assert_empty(far_house, cluster)
    assert client.ask("broadcast_message", {**SONG, "message": 1})["code"] == "not_in_room"
    client.emit("join_room", SONG)
    cluster.arrive()
    assert client.names() == ["user_joined", "room_joined"]


def test_joining_again_when_the_cluster_cannot_changes_nothing(
    far_house: House, cluster: DistantCluster
) -> None:
    client, other = far_house.member("ada"), far_house.member("bob")
    client.heard()
    cluster.slow = True
    client.emit("join_room", SONG)
    cluster.fail()
    assert client.names() == ["error"]
    cluster.slow = False
    other.ask("broadcast_message", {**SONG, "message": 1})
    assert client.names() == ["room_message"]
    client.ask("leave_room", SONG)
    assert other.names() == ["user_left"]


def test_each_who_waits_for_a_room_that_cannot_be_opened_is_told(
    far_house: House, cluster: DistantCluster
) -> None:
    clients = [far_house.client(number) for number in range(1, 4)]
    cluster.slow = True
    for client in clients:
        client.emit("join_room", SONG)
    cluster.fail()
    for client in clients:
        assert client.heard() == [("error", {**UNAVAILABLE, "event": "join_room"})]
    assert_empty(far_house, cluster)


def test_an_operation_that_the_cluster_cannot_take_is_unavailable_with_its_id(
    far_house: House, cluster: DistantCluster
) -> None:
    client, other = far_house.member("ada"), far_house.member("bob")
    client.heard()
    other.heard()
    cluster.slow = True
    client.emit("collaboration_operation", OPERATION)
    cluster.fail()
    error = {**UNAVAILABLE, "event": "collaboration_operation", "id": "op-1"}
    refused, undone = client.heard()
    assert refused == ("error", error)
    assert undone[1]["operation"]["type"] == "delete"
    cluster.slow = False
    assert client.ask("collaboration_operation", OPERATION)["revision"] == 1
    assert other.names() == ["collaboration_update"]


def test_a_fault_of_the_cluster_is_an_internal_error_and_logged_once(
    far_house: House, cluster: DistantCluster
) -> None:
    client = far_house.client()
    cluster.slow = True
    client.emit("join_room", SONG)
    client.emit("ping", {})
    with capturedLogs() as logged:
        cluster.fail(RuntimeError("a fault"))
        gc.collect()
    assert [line["log_level"] for line in logged] == [LogLevel.critical]
    [(name, error), (pong, _)] = client.heard()
    assert (name, error["code"], error["room_id"], pong) == ("error", "internal", "song", "pong")
