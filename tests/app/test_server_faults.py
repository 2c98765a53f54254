"""What goes wrong inside of the application: one client reads of it, and no other is harmed."""

from typing import Any

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from chordme_daemon.cluster.interface import Note
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from tests.app.conftest import House

ASKED: dict[str, dict[str, Any]] = {
    "broadcast_message": {"room_id": "song", "message": "hello"},
    "collaboration_operation": {
        "room_id": "song",
        "operation": {"type": "insert", "position": 0, "content": "[G]"},
    },
}


class BrokenCluster(LocalCluster):
    """A cluster with a fault."""

    def __init__(self) -> None:
        journal = Journal(":memory:")
        journal.open()
        super().__init__(journal, Clock(), lambda: 0.0)

    def publish(self, room: str, note: Note) -> None:
        raise RuntimeError("a fault")

    def commit(self, *_: object) -> Any:
        raise RuntimeError("a fault")


@pytest.mark.parametrize("event", ASKED)
def test_an_exception_is_an_internal_error_logged_once_and_the_connection_kept(event: str) -> None:
    client = House(BrokenCluster()).member()
    for ask in (False, True):
        with capturedLogs() as logged:
            if ask:
                error = client.ask(event, ASKED[event])
                assert error.pop("ok") is False
            else:
                # What an edit did on a legacy screen is undone behind it.
                (name, error), *_ = client.tell(event, ASKED[event])
                assert name == "error"
        assert error["code"] == "internal"
        assert error["message"] == "Internal error"
        [line] = logged
        assert isinstance(line["log_failure"].value, RuntimeError)
        assert not client.closed
    assert client.tell("ping")[0][0] == "pong"


def test_a_client_that_cannot_be_looked_after_does_not_stop_the_care_of_the_rest(
    house: House,
) -> None:
    broken, stranger = house.stranger(), house.stranger()
    first = next(iter(house.app.clients.values()))
    first.identity = "nobody"  # type: ignore[assignment] # broken it shall be
    with capturedLogs() as logged:
        house.advance(30)
    assert {type(line["log_failure"].value) for line in logged} == {AttributeError}
    assert stranger.closed
    assert not broken.closed
