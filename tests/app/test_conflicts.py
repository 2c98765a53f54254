"""Chords that a legacy client changes while somebody else does: the daemon mends them."""

from typing import Any

from twisted.logger import capturedLogs

from chordme_daemon import ot
from chordme_daemon.app.chordpro import Conflict
from chordme_daemon.app.shadow import Shadow
from tests.app.clusters import DistantCluster
from tests.app.conftest import Client, House

SONG = "la [Am] la"


def replaced(chord: str) -> list[dict[str, Any]]:
    """What an editor sends when the first chord is typed over."""
    return [
        {"type": "delete", "position": 4, "length": 2},
        {"type": "insert", "position": 4, "content": chord},
    ]


def edit(client: Client, operation: object, **fields: object) -> None:
    client.emit("collaboration_operation", {"room_id": "song", "operation": operation, **fields})


def heard(client: Client, name: str) -> list[dict[str, Any]]:
    return [payload for event, payload in client.heard() if event == name]


def applied(text: str, updates: list[dict[str, Any]]) -> str:
    for update in updates:
        text = ot.apply(text, ot.from_wire([update["operation"]]))
    return text


def test_the_later_edit_of_a_chord_counts_and_all_end_with_it(house: House) -> None:
    writer = house.member("ada", client_id="tab-a")
    edit(writer, {"type": "insert", "position": 0, "content": SONG}, revision=0, seq=1)
    bob, eve = house.member("bob"), house.member("eve")
    bob.heard(), eve.heard(), writer.heard()
    # Both have seen the same; what bob does reaches eve after she has changed the chord herself.
    edit(bob, replaced("Dm"))
    edit(eve, replaced("G7"), seen=0)
    house.advance(1)
    for client in (bob, eve, writer):
        packets = client.heard()
        told = [payload for event, payload in packets if event == "conflict_resolved"]
        assert told == [{"room_id": "song", "revision": 3, "kept": "G7", "dropped": "Dm"}]
        updates = [payload for event, payload in packets if event == "collaboration_update"]
        if client is writer:
            operations = [ot.from_wire(update["operations"]) for update in updates]
            text = ot.apply(ot.apply(SONG, operations[0]), operations[1])
        else:
            own = ot.from_wire(replaced("Dm" if client is bob else "G7"))
            text = applied(ot.apply(SONG, own), updates)
        assert text == "la [G7] la"


def test_where_nobody_else_was_nothing_is_mended(house: House) -> None:
    writer = house.member("ada", client_id="tab-a")
    edit(writer, {"type": "insert", "position": 0, "content": SONG}, revision=0, seq=1)
    bob = house.member("bob")
    bob.heard()
    edit(bob, replaced("hm"))
    edit(bob, [{"type": "insert", "position": 4, "content": "oh"}])
    assert heard(bob, "conflict_resolved") == []
    assert [len(update["operations"]) for update in heard(writer, "collaboration_update")] == [2, 1]


def test_a_correction_is_part_of_the_operation_and_told_to_its_author() -> None:
    shadow = Shadow("~1")
    theirs = ot.canonical((4, "Dm", -2))
    shadow.hear(theirs, "a", lambda: SONG)
    for number, _ in enumerate(shadow.due(), 1):
        shadow.deliver(number)
    head = ot.apply(SONG, theirs)
    mine = ot.canonical((4, "G7", -2))
    operation, was_cut = shadow.submit([mine], len(head), lambda: head)
    assert not was_cut
    assert ot.apply(head, operation) == "la [G7] la"
    assert shadow.conflicts == [Conflict("G7", "Dm")]
    shadow.confirm()
    # On its screen both arrive at what it has typed, and in the end it is mended.
    text = ot.apply(SONG, mine)
    for part in ot.split(theirs):
        text = ot.apply(text, ot.clamp(part, len(text)))
    shadow.seen(2)
    for number, part in enumerate(shadow.due(), 3):
        shadow.deliver(number)
        text = ot.apply(text, part)
        shadow.seen(number)
    assert text == "la [G7] la"
    assert shadow.in_step


def test_with_too_much_in_between_nothing_is_compared() -> None:
    shadow = Shadow("~1")
    text = SONG
    for chord in ["B", "C"] * 40:
        at = text.index("]")
        theirs = ot.canonical((4, chord, 4 - at))
        shadow.hear(theirs, "a", lambda text=text: text)  # type: ignore[misc]
        text = ot.apply(text, theirs)
    shadow.submit([ot.canonical((4, "G7", -2))], len(text), lambda: text)
    assert shadow.conflicts == []


def test_a_chord_that_was_mended_when_all_had_left_is_told_to_nobody(
    far_house: House, cluster: DistantCluster
) -> None:
    bob, eve = far_house.member("bob"), far_house.member("eve")
    edit(bob, {"type": "insert", "position": 0, "content": SONG})
    far_house.advance(1)
    eve.heard()
    eve.wire.receive = lambda _: None
    edit(bob, replaced("Dm"))
    cluster.slow = True
    edit(eve, replaced("G7"), seen=0)
    bob.hang_up()
    eve.hang_up()
    with capturedLogs() as logged:
        cluster.arrive()
    assert [event for event in logged if "log_failure" in event] == []
    assert len(far_house.rooms) == 0
