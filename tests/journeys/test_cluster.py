"""Two instances are one daemon to their clients: who is there, who comes back, and how often."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import socketio

from tests.journeys.conftest import StartDaemons
from tests.journeys.daemon import Daemon, http_request, token, wait_until
from tests.journeys.redis_server import RedisServer

pytestmark = pytest.mark.journey


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def two(start_daemons: StartDaemons, redis: RedisServer, **settings: object) -> list[Daemon]:
    joined = {"store.url": None, "cluster.redis_url": redis.url}
    joined |= {name.replace("__", "."): value for name, value in settings.items()}
    return start_daemons(joined, joined)


class Tab:
    """A current client, and what it heard."""

    def __init__(self, stack: ExitStack, daemon: Daemon, user: str, tab: str = "tab") -> None:
        self.heard: list[tuple[Any, ...]] = []
        self.client = socketio.Client(reconnection=False)
        self.client.on("*", lambda *event: self.heard.append(event))
        auth = {"token": token(user), "client_id": f"{tab}-of-{user}"}
        self.client.connect(daemon.url, auth=auth, transports=["websocket"])
        # It leaves its socket open when that is reset.
        stack.callback(self.client.eio.ws.shutdown)
        stack.callback(self.client.disconnect)
        wait_until(lambda: self.told("authenticated"), "the token")

    def told(self, event: str) -> list[Any]:
        return [payload for name, *rest in self.heard if name == event for payload in rest]

    def ask(self, event: str, **payload: object) -> Any:
        return self.client.call(event, payload)

    def lose(self) -> None:
        """Be gone without a goodbye."""
        self.client.eio.ws.sock.shutdown(2)


def test_who_comes_back_to_another_instance_has_never_left(
    stack: ExitStack, redis: RedisServer, start_daemons: StartDaemons
) -> None:
    one, other = two(start_daemons, redis)
    ada, bob = Tab(stack, one, "ada"), Tab(stack, other, "bob")
    for tab in (ada, bob):
        assert tab.ask("join_room", room_id="song")["ok"]
    bob.heard.clear()
    ada.lose()
    operation = {"type": "insert", "position": 0, "content": "la"}
    assert bob.ask(
        "collaboration_operation", room_id="song", operation=operation, revision=0, seq=1
    )
    assert bob.ask("broadcast_message", room_id="song", message="hi")["ok"]
    again = Tab(stack, other, "ada")
    [hello] = again.told("authenticated")
    assert [(room["room_id"], room["revision"]) for room in hello["resumed"]] == [("song", 1)]
    joined = again.ask("join_room", room_id="song", revision=0, last_message_id=0)
    assert [update["revision"] for update in joined["operations"]] == [1]
    assert [message["message"] for message in joined["messages"]] == ["hi"]
    assert joined["participant_count"] == 2
    assert bob.told("user_left") == bob.told("user_joined") == []


def test_a_copy_of_a_tab_on_another_instance_takes_its_place(
    stack: ExitStack, redis: RedisServer, start_daemons: StartDaemons
) -> None:
    one, other = two(start_daemons, redis)
    first = Tab(stack, one, "ada")
    assert first.ask("join_room", room_id="song")["ok"]
    second = Tab(stack, other, "ada")
    assert second.ask("join_room", room_id="song")["participant_count"] == 1
    wait_until(lambda: not first.client.connected, "the end of the first")
    assert second.ask("ping")["ok"]
    assert second.told("user_left") == []


def test_rates_are_those_of_all_instances(
    stack: ExitStack, redis: RedisServer, start_daemons: StartDaemons
) -> None:
    # So slow that nothing comes back while the test runs.
    rate = {"limits__connections": "10/3600", "limits__messages": "20/3600"}
    daemons = two(start_daemons, redis, **rate)
    tabs = [Tab(stack, daemon, "ada", f"tab-{port}") for port, daemon in enumerate(daemons)]
    statuses = [
        http_request(f"{daemons[turn % 2].url}/socket.io/?EIO=4&transport=polling").status
        for turn in range(12)
    ]
    assert statuses.count(200) == 10 - len(tabs)
    assert set(statuses) == {200, 429}
    for tab in tabs:
        assert tab.ask("join_room", room_id="song")["ok"]
    sent = [
        tabs[turn % 2].ask("broadcast_message", room_id="song", message=turn) for turn in range(25)
    ]
    assert [answer["ok"] for answer in sent] == [True] * 20 + [False] * 5
    assert sent[-1]["code"] == "rate_limited"


def test_an_instance_that_stops_leaves_its_clients_to_the_others(
    stack: ExitStack, redis: RedisServer, start_daemons: StartDaemons
) -> None:
    one, other = two(start_daemons, redis)
    ada, bob = Tab(stack, one, "ada"), Tab(stack, other, "bob")
    for tab in (ada, bob):
        assert tab.ask("join_room", room_id="song")["ok"]
    bob.heard.clear()
    one.stop()
    again = Tab(stack, other, "ada")
    assert again.ask("join_room", room_id="song")["participant_count"] == 2
    time.sleep(1.5)  # longer than the others need to bury who is not known any more
    assert bob.told("user_left") == []


def test_an_instance_whose_redis_hangs_stops_in_time(
    stack: ExitStack, redis: RedisServer, start_daemons: StartDaemons
) -> None:
    one, other = two(start_daemons, redis)
    ada = Tab(stack, one, "ada")
    assert ada.ask("join_room", room_id="song")["ok"]
    redis.suspend()
    try:
        for daemon in (one, other):
            daemon.stop()  # else it is the kernel's alarm that ends it, which is no clean end
    finally:
        redis.resume()
