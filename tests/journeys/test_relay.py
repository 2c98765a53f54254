"""Any instance serves any session: what comes to the wrong one is passed to the right one."""

import http.client
import json
import shutil
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import attrs
import pytest
import websocket

from tests.journeys.cluster import Cluster
from tests.journeys.conftest import _missing
from tests.journeys.daemon import Answer, Daemon, http_request, token, wait_until

pytestmark = pytest.mark.journey

UNKNOWN = (400, {"code": 1, "message": "Session ID unknown"})
# Of frames that a slow reader does not take, so many bytes are offered.
FLOOD_BYTES = 12_000_000


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if shutil.which("redis-server") is None:
        _missing("redis-server", "apt-get install redis-server")
    with Cluster(tmp_path_factory.mktemp("cluster"), 2) as cluster:
        yield cluster


@attrs.frozen
class Session:
    """A session of one instance, used through another."""

    owner: Daemon
    door: Daemon
    sid: str

    @property
    def path(self) -> str:
        return f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"

    def post(self, *packets: str) -> Answer:
        return http_request(self.door.url + self.path, "POST", "\x1e".join(packets).encode())

    def poll(self) -> Answer:
        return http_request(self.door.url + self.path)

    def upgrade(self) -> websocket.WebSocket:
        """A WebSocket that has taken over, through the door."""
        url = self.door.url.replace("http", "ws") + self.path.replace("polling", "websocket")
        link = websocket.create_connection(url, timeout=10)
        with ThreadPoolExecutor() as pool:
            held = pool.submit(self.poll)
            link.send("2probe")
            assert link.recv() == "3probe"
            assert held.result().status == 200
        link.send("5")
        return link

    def connect(self, user: str) -> "Session":
        """Authenticate, and hear of it."""
        assert self.post("40" + json.dumps({"token": token(user)})).body == b"ok"
        wait_until(lambda: b'"authenticated"' in self.poll().body, "the authentication")
        return self


def begin(owner: Daemon, door: Daemon) -> Session:
    answer = http_request(f"{owner.url}/socket.io/?EIO=4&transport=polling")
    sid = json.loads(answer.body[1:])["sid"]
    assert len(sid) == 28
    return Session(owner, door, sid)


@pytest.fixture
def session(cluster: Cluster) -> Session:
    return begin(*cluster.instances)


def told(link: websocket.WebSocket, event: str) -> Any:
    """The payload of the next such event."""
    while True:
        text = link.recv()
        if text == "2":
            link.send("3")
        elif text.startswith(f'42["{event}"'):
            return json.loads(text[2:])[1]


def test_polls_and_posts_are_passed_on(session: Session) -> None:
    session.connect("ada")
    assert session.post('42["join_room",{"room_id":"song"}]').body == b"ok"
    answer = session.poll()
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    assert b'"room_joined"' in answer.body


def test_a_websocket_takes_over_through_another_instance(session: Session) -> None:
    link = session.connect("ada").upgrade()
    message = "é" * 4_000
    link.send('42["join_room",{"room_id":"song"}]')
    assert told(link, "room_joined")["room_id"] == "song"
    for number in range(200):
        link.send(f'42["ping",{{"sent_at":{number}}}]')
    assert [told(link, "pong")["sent_at"] for _ in range(200)] == list(range(200))
    payload = {"room_id": "song", "message": message}
    link.send("42" + json.dumps(["broadcast_message", payload], ensure_ascii=False))
    assert told(link, "message_sent") == {"room_id": "song"}
    link.close()
    wait_until(lambda: session.owner.connections == 0, "the session's end")


def test_a_client_that_is_gone_is_gone_for_the_owner(session: Session) -> None:
    session.connect("ada")
    before = session.owner.connections
    where = urlsplit(session.door.url)
    with socket.create_connection((str(where.hostname), where.port or 0)) as plain:
        head = f"GET {session.path} HTTP/1.1\r\nHost: {where.netloc}\r\n\r\n"
        plain.sendall(head.encode())
        time.sleep(0.2)  # the poll is held; nothing tells a client so
    wait_until(lambda: session.owner.connections == before - 1, "the end of an aborted poll")
    assert (session.poll().status, session.poll().json()) == UNKNOWN


@pytest.mark.parametrize(
    "sid",
    ["x", "x" * 28, "x" * 20 + "........", "x" * 27, "x" * 29, "x" * 20 + "/../../a", ""],
)
def test_a_session_that_nobody_has_is_unknown(cluster: Cluster, sid: str) -> None:
    url = f"{cluster.urls[0]}/socket.io/?EIO=4&transport=polling&sid={sid}"
    answer = http_request(url, "POST", b"3")
    if sid:
        assert (answer.status, answer.json()) == UNKNOWN


def test_another_origin_is_refused_at_the_door(session: Session) -> None:
    headers = {"Origin": "https://evil.example"}
    answer = http_request(session.door.url + session.path, headers=headers)
    assert answer.status == 403


def test_the_internal_listener_is_for_daemons(session: Session) -> None:
    _, port, _ = str(session.owner.settings["cluster.peer_listen"]).split(":")
    for key in ({}, {"X-ChordMe-Peer": "guessed"}, {"X-ChordMe-Peer": ""}):
        for path in (session.path, "/socket.io/?EIO=4&transport=polling", "/", "/health/ready"):
            answer = http_request(f"http://127.0.0.1:{port}{path}", headers=key)
            assert answer.status in (403, 404)
    assert session.connect("ada").owner.connections > 0


def test_who_does_not_read_is_not_read_for(cluster: Cluster, session: Session) -> None:
    """The owner gives a slow client up, and the door keeps no more than the kernel does."""
    slow = session.connect("slow").upgrade()
    slow.send('42["join_room",{"room_id":"flood"}]')
    assert told(slow, "room_joined")
    talker = begin(session.owner, session.owner).connect("talker").upgrade()
    talker.send('42["join_room",{"room_id":"flood"}]')
    assert told(talker, "room_joined")
    before = session.door.rss_bytes
    payload = json.dumps(["broadcast_message", {"room_id": "flood", "message": "x" * 10_000}])
    for _ in range(FLOOD_BYTES // 10_000):
        talker.send("42" + payload)
        told(talker, "message_sent")
    assert session.door.rss_bytes - before < FLOOD_BYTES / 2
    slow.shutdown()
    talker.close()


def test_the_sessions_of_a_dead_instance_are_unknown_at_once(cluster: Cluster) -> None:
    owner, door = cluster.instances
    polling, upgraded = begin(owner, door).connect("ada"), begin(owner, door).connect("bob")
    link = upgraded.upgrade()
    link.settimeout(20)
    with ThreadPoolExecutor() as pool:
        held = pool.submit(polling.poll)
        time.sleep(0.2)  # the poll is held; nothing tells a client so
        owner.kill()
        with suppress(websocket.WebSocketException, OSError):
            while link.recv():
                pass
        with suppress(http.client.HTTPException, OSError):
            assert held.result().status == 502
    assert (polling.post("3").status, polling.post("3").json()) == UNKNOWN
    door.expect("Another daemon failed")
    cluster.restart(0)
