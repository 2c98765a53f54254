"""What an operator sees of a song, and restores."""

from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, ensureDeferred
from twisted.python.failure import Failure

from chordme_daemon import ot
from chordme_daemon.app.events import Refused
from chordme_daemon.app.records import Records, difference
from chordme_daemon.cluster.interface import ClusterUnavailable
from tests.app.clusters import DistantCluster
from tests.app.conftest import Client, House

GUITAR = "\U0001f3b8"


def done(answering: Coroutine[Deferred[Any], Any, Any]) -> Any:
    results: list[Any] = []
    ensureDeferred(answering).addBoth(results.append)
    if isinstance(results[0], Failure):
        results[0].raiseException()
    return results[0]


def records(house: House) -> Records:
    return Records(house.cluster, house.rooms, house.documents, house.now_ms)


def insert(client: Client, content: str, revision: int) -> None:
    operation = {"type": "insert", "position": 0, "content": content}
    request = {"room_id": "song", "operation": operation, "revision": revision, "seq": revision + 1}
    assert client.ask("collaboration_operation", request)["ok"]


def test_where_there_is_nothing_nothing_is_seen(house: House) -> None:
    assert done(records(house).describe("song")) is None
    assert done(records(house).history("song", 0)) is None
    house.member("ada")
    assert done(records(house).describe("song"))["text"] == ""


def test_a_song_is_seen_while_it_is_edited_and_afterwards(house: House) -> None:
    ada = house.member("ada", client_id="tab-1", name="Ada")
    house.member("ada"), house.member(5)
    insert(ada, f"la {GUITAR}", 0)
    seen = done(records(house).describe("song"))
    assert seen == {
        "room_id": "song",
        "revision": 1,
        "text": f"la {GUITAR}",
        "participants": [
            {"user_id": "ada", "name": "Ada", "connections": 2},
            {"user_id": 5, "connections": 1},
        ],
    }
    for client in list(house.app.clients.values()):
        client.connection.disconnect(close=True)
    assert len(house.rooms) == 0
    assert done(records(house).describe("song")) == {**seen, "participants": []}


def test_the_history_is_who_changed_what(house: House) -> None:
    ada = house.member("ada", client_id="tab-1")
    for revision, content in enumerate("abc"):
        insert(ada, content, revision)
    history = done(records(house).history("song", 1))
    assert (history["from"], history["revision"]) == (1, 3)
    assert [(one["revision"], one["user_id"]) for one in history["entries"]] == [
        (2, "ada"),
        (3, "ada"),
    ]
    assert history["entries"][0]["operations"] == [
        {"type": "insert", "position": 0, "content": "b"}
    ]


def test_a_text_that_is_put_back_is_an_edit_that_everybody_sees(house: House) -> None:
    ada, old = house.member("ada", client_id="tab-1"), house.member("old")
    insert(ada, "one two three", 0)
    for client in (ada, old):
        client.heard()
    assert done(records(house).replace("song", f"one {GUITAR} three")) == 2
    [(_, update)] = ada.heard()
    assert update["user_id"] == "server"
    assert ot.apply("one two three", ot.from_wire(update["operations"])) == ot.to_units(
        f"one {GUITAR} three"
    )
    assert [payload["operation"]["type"] for _, payload in old.heard()] == ["insert", "delete"]
    # What is the song already is no edit.
    assert done(records(house).replace("song", f"one {GUITAR} three")) == 2
    assert done(records(house).replace("song", "")) == 3


def test_a_song_that_nobody_edits_is_put_back_as_well(house: House) -> None:
    assert done(records(house).replace("song", "la")) == 1
    assert len(house.rooms) == 0
    assert done(records(house).describe("song"))["text"] == "la"
    assert house.client("ada").join()["revision"] == 1


def test_a_song_has_a_most(house: House) -> None:
    with pytest.raises(Refused):
        done(records(house).replace("song", GUITAR * 100_001))
    assert done(records(house).replace("song", GUITAR * 100_000)) == 1


def test_where_the_cluster_is_away_nothing_is_left_behind(
    far_house: House, cluster: DistantCluster
) -> None:
    cluster.slow = True
    answering = ensureDeferred(records(far_house).replace("song", "la"))
    failures: list[Failure] = []
    answering.addErrback(failures.append)
    cluster.fail()
    assert failures[0].check(ClusterUnavailable)
    assert len(far_house.rooms) == 0


texts = st.text("ab😀😁\n", max_size=12)


@given(texts, texts)
def test_a_difference_makes_one_text_of_the_other_and_cuts_no_character(old: str, new: str) -> None:
    operation = difference(old, new)
    text = ot.Text(old)
    text.apply(operation)
    assert str(text) == new
    assert len(ot.to_wire(operation)) <= 2
    assert (operation == ()) is (old == new)
