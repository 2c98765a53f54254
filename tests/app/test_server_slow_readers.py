"""Members that read too slowly: they are dropped, and nobody else notices more than that."""

from twisted.logger import capturedLogs

from tests.app.conftest import House

SONG = {"room_id": "song"}
OPERATION = {"room_id": "song", "operation": {"type": "insert", "position": 0, "content": "[G]"}}


def test_a_member_that_reads_too_slowly_is_dropped_and_the_rest_hear_everything() -> None:
    house = House(max_queued_bytes=20_000)
    members = [house.member(number) for number in range(1, 6)]
    for member in members:
        member.heard()
    author, slow, *others = members
    slow.wire.writable = False
    with capturedLogs() as logged:
        for _ in range(3):
            author.emit("broadcast_message", {**SONG, "message": "x" * 9000})
            author.emit("collaboration_operation", OPERATION)
            house.clock.advance(0)
    assert logged == []
    assert slow.closed
    # It leaves when all have heard what it was too slow for.
    assert author.names() == [*["message_sent", "operation_confirmed"] * 3, "user_left"]
    for other in others:
        names = other.names()
        assert names.count("room_message") == 3
        assert names.count("collaboration_update") == 3
        assert names.count("user_left") == 1


def test_members_that_drop_because_another_leaves_are_told_of_and_forgotten() -> None:
    house = House(max_queued_bytes=1000)
    members = [house.member(number) for number in range(1, 21)]
    for member in members:
        member.heard()
    for member in members:
        member.wire.writable = False
    with capturedLogs() as logged:
        for number in range(20):
            members[0].emit("broadcast_message", {**SONG, "message": "x" * 50})
            members[number].hang_up()
            house.clock.advance(0)
    assert logged == []
    assert len(house.rooms) == 0
    assert house.app.clients == {}
