"""Several instances behind the packaged nginx and HAProxy: any of them serves any client."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import orjson
import pytest

from chordme_daemon.config import load
from tests.journeys.balancers import (
    HAPROXY,
    NGINX,
    Balancer,
    Dying,
    Program,
    checked,
    packaged,
    with_tls,
    write,
)
from tests.journeys.clients import POLLING, Client, ClientProgram
from tests.journeys.conftest import StartDaemon, StartDaemons, _missing
from tests.journeys.daemon import ROOT, SECRET, Daemon, free_port, http_request, wait_until
from tests.journeys.redis_server import RedisServer
from tests.journeys.test_goodbye import certificate

pytestmark = pytest.mark.journey

ROOM = "song-1"
HEARD_WITHIN_S = 60.0
UNIT = ROOT / "etc/systemd/chordme@.service"
INI = ROOT / "etc/chordme.ini"


@pytest.fixture(params=[NGINX, HAPROXY], ids=lambda program: program.name)
def program(request: pytest.FixtureRequest) -> Program:
    """One of the load balancers."""
    found: Program = request.param
    if found.path is None:
        _missing(found.name, f"apt-get install {found.package}")
    return found


@pytest.fixture
def instances(start_daemons: StartDaemons, redis: RedisServer) -> list[Daemon]:
    """Three, who believe a proxy on this machine."""
    settings: list[dict[str, object]] = [
        {
            "store.url": None,
            "cluster.redis_url": redis.url,
            "cluster.peer_listen": f"tcp:{free_port()}:interface=127.0.0.1",
            "proxy.trusted": "127.0.0.1",
            "limits.members_per_room": 200,
            "limits.messages": 0,
        }
        for _ in range(3)
    ]
    return start_daemons(*settings)


@pytest.fixture
def balancer(program: Program, tmp_path: Path, instances: list[Daemon]) -> Iterator[Balancer]:
    """What stands before them."""
    with Balancer(program, tmp_path, instances) as balancer:
        yield balancer


def states(client: Client, name: str) -> list[object]:
    """All that the client said of itself under that name."""
    return [heard.args for heard in client.story if (heard.kind, heard.name) == ("state", name)]


def messages(client: Client) -> list[str]:
    """What it heard in the room, in order."""
    return [
        heard.args[0]["message"]
        for heard in client.story
        if (heard.kind, heard.name) == ("event", "room_message")
    ]


def open_all(
    clients: ClientProgram, balancer: Balancer, names: list[str], **options: object
) -> list[Client]:
    """All of them begin at once, and are in the room in the end."""
    opened = [clients.open(balancer.url, name, **options) for name in names]
    for client in opened:
        client.event("authenticated", HEARD_WITHIN_S)
    for client in opened:
        client.emit("join_room", {"room_id": ROOM})
    for client in opened:
        client.event("room_joined", HEARD_WITHIN_S)
    return opened


def all_speak(all_: list[Client], what: str) -> None:
    """Each says one thing, and everybody hears all the others, once."""
    words = [f"{what} {number}" for number in range(len(all_))]
    before = [client.count("room_message") for client in all_]
    for client, message in zip(all_, words, strict=True):
        client.emit("broadcast_message", {"room_id": ROOM, "message": message})
    for client in all_:
        client.event("message_sent", HEARD_WITHIN_S)
    wait_until(
        lambda: all(
            client.count("room_message") >= count + len(all_) - 1
            for client, count in zip(all_, before, strict=True)
        ),
        "everything heard",
        HEARD_WITHIN_S,
    )
    for client, count, own in zip(all_, before, words, strict=True):
        assert sorted([*messages(client)[count:], own]) == sorted(words)


def open_sessions(instances: list[Daemon]) -> list[int]:
    """How many clients each of the instances has."""
    return [instance.connections for instance in instances]


def know_each_other(redis: RedisServer, since_ms: float) -> bool:
    """Whether each instance has been told since then where the others are."""
    nodes = redis.command("ZRANGEBYSCORE", "chordme:nodes", since_ms, "+inf")
    return isinstance(nodes, list) and len(nodes) == 3


def test_a_hundred_ordinary_clients_notice_nothing_of_the_balancer(
    clients: ClientProgram, balancer: Balancer, instances: list[Daemon]
) -> None:
    # As they come: long-polling first, then WebSocket; without cookies, from one address.
    all_ = open_all(clients, balancer, [f"user-{number}" for number in range(100)])
    wait_until(
        lambda: all(states(client, "upgrade") for client in all_), "all upgraded", HEARD_WITHIN_S
    )
    all_speak(all_, "hello")
    for client in all_:
        assert states(client, "open") == [["polling"]]
        assert states(client, "upgrade") == [["websocket"]]
        assert len(states(client, "connect")) == 1
        assert not states(client, "connect_error")
        assert not states(client, "disconnect")
    assert sum(open_sessions(instances)) == 100
    assert min(open_sessions(instances)) > 20


def test_long_polling_goes_through_any_instance(
    clients: ClientProgram, balancer: Balancer, instances: list[Daemon]
) -> None:
    all_ = open_all(clients, balancer, [f"user-{number}" for number in range(20)], **POLLING)
    all_speak(all_, "one")
    all_speak(all_, "two")
    for client in all_:
        assert states(client, "open") == [["polling"]]
        assert not states(client, "connect_error")
        assert not states(client, "disconnect")
    assert min(open_sessions(instances)) > 0


def test_who_was_on_a_killed_instance_goes_on_elsewhere(
    clients: ClientProgram, balancer: Balancer, instances: list[Daemon]
) -> None:
    names = [f"user-{number}" for number in range(40)]
    all_ = open_all(clients, balancer, names[:20])
    all_ += open_all(clients, balancer, names[20:], **POLLING)
    wait_until(lambda: all(states(client, "upgrade") for client in all_[:20]), "all upgraded")
    all_speak(all_, "before")
    lost, *left = instances
    count = lost.connections
    assert count > 0
    lost.kill()

    # Sessions that were there, and WebSockets that went through it.
    wait_until(lambda: sum(bool(states(client, "disconnect")) for client in all_) >= count, "lost")
    wait_until(lambda: sum(open_sessions(left)) >= len(all_), "all are back", HEARD_WITHIN_S)
    for client in all_:
        for _ in states(client, "disconnect"):
            client.event("authenticated", HEARD_WITHIN_S)
            client.join(ROOM)
    all_speak(all_, "after")
    for client in all_:
        assert not states(client, "connect_error")
        assert len(states(client, "disconnect")) <= 1


def test_a_client_cannot_choose_its_address_nor_how_it_came(
    program: Program, tmp_path: Path, redis: RedisServer, start_daemon: StartDaemon
) -> None:
    settings = {
        "store.url": None,
        "cluster.redis_url": redis.url,
        "proxy.trusted": "127.0.0.1",
        "limits.connections": "3/60",
    }
    instances = [start_daemon(settings) for _ in range(3)]

    pem = certificate(tmp_path / "certificate.pem")
    context = ssl.create_default_context(cafile=pem)
    context.check_hostname = False

    def handshake(comes_from: str, *, tls: bool, **headers: str) -> int:
        source = (comes_from, 0)
        connection = HTTPConnection("127.0.0.1", between.port, timeout=10, source_address=source)
        if tls:
            port = between.tls_port
            connection = HTTPSConnection(
                "127.0.0.1", port, timeout=10, source_address=source, context=context
            )
        with closing(connection):
            claims = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request("GET", "/socket.io/?EIO=4&transport=polling", headers=claims)
            return connection.getresponse().status

    def claiming(number: int, comes_from: str, *, tls: bool) -> int:
        return handshake(comes_from, tls=tls, X_Forwarded_For=f"203.0.113.{number}")

    with Balancer(program, tmp_path, instances, pem) as between:
        statuses = [claiming(number, "127.0.0.1", tls=number % 2 == 0) for number in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        for tls in (False, True):
            assert claiming(9, "127.0.0.2", tls=tls) == 200
        page = {"Host": "chordme.example", "X_Forwarded_Proto": "http"}
        for origin, status in (("http://chordme.example", 403), ("https://chordme.example", 200)):
            assert handshake("127.0.0.3", tls=True, Origin=origin, **page) == status
            assert handshake("127.0.0.4", tls=False, Origin=origin, **page) == 200


def test_a_hostile_client_makes_no_instance_be_passed_over(balancer: Balancer) -> None:
    # A request that an instance refuses, and hangs up on, before it has read the body.
    url = f"{balancer.url}/socket.io/?EIO=4&transport=polling"
    for _ in range(60):
        with suppress(OSError):
            http_request(f"{url}{'&x' * 100}", "POST", b"4" * 60_000)
        assert http_request(url).status == 200


def test_a_body_that_is_too_large_is_refused(balancer: Balancer) -> None:
    url = f"{balancer.url}/socket.io/?EIO=4&transport=polling"
    sid = orjson.loads(http_request(url).body[1:])["sid"]
    assert http_request(f"{url}&sid={sid}", "POST", b"4" * 65_537).status == 413


def test_what_may_have_been_done_is_not_sent_again(program: Program, tmp_path: Path) -> None:
    with ExitStack() as stack:
        dying = [stack.enter_context(Dying()) for _ in range(3)]
        balancer = stack.enter_context(Balancer(program, tmp_path, dying))
        url = f"{balancer.url}/socket.io/?EIO=4&transport=polling"
        assert http_request(url).status == 502
        assert all(one.methods for one in dying)
        # In one segment: what a balancer has wholly in its memory, it could send again.
        with socket.create_connection(("127.0.0.1", balancer.port), timeout=10) as connection:
            head = "POST /socket.io/?EIO=4 HTTP/1.1\r\nHost: chordme.example\r\n"
            connection.sendall(f"{head}Content-Length: 2\r\n\r\n40".encode())
            assert connection.recv(1000).startswith(b"HTTP/1.1 502 ")
        assert [method for one in dying for method in one.methods].count("POST") == 1


def test_instances_without_their_redis_serve_who_comes(
    clients: ClientProgram, balancer: Balancer, instances: list[Daemon], redis: RedisServer
) -> None:
    def all_say(status: int) -> bool:
        urls = [f"{instance.admin_url}/health/ready" for instance in instances]
        return all(http_request(url).status == status for url in urls)

    since_ms = time.time() * 1000
    early = open_all(clients, balancer, [f"user-{number}" for number in range(12)])
    wait_until(lambda: all(states(client, "upgrade") for client in early), "all upgraded")
    wait_until(lambda: know_each_other(redis, since_ms), "the instances know each other")
    redis.kill()
    wait_until(lambda: all_say(503), "nobody is ready")
    if balancer.asks_whether_ready:
        wait_until(lambda: "backend chordme has no server available" in balancer.log, "it knows")
    late = [clients.connect(balancer.url, f"late-{number}") for number in range(6)]
    redis.start()
    wait_until(lambda: all_say(200), "everybody is ready")
    for client in late:
        client.join(ROOM)
    all_speak([*early, *late], "back")
    for client in [*early, *late]:
        assert not states(client, "connect_error")
        assert not states(client, "disconnect")


def test_a_log_of_requests_has_no_session_in_it(clients: ClientProgram, balancer: Balancer) -> None:
    open_all(clients, balancer, ["ada"], **POLLING)
    wait_until(lambda: " /socket.io/ 200 " in balancer.log.replace('"', ""), "the log")
    assert "sid=" not in balancer.log


# The files


@pytest.mark.parametrize("tls", [False, True], ids=["", "with TLS"])
def test_the_packaged_file_is_right(program: Program, tmp_path: Path, tls: bool) -> None:
    text = packaged(program, tmp_path, free_port())
    if tls:
        text = with_tls(text, certificate(tmp_path / "certificate.pem"), free_port())
    status, said = checked(program, write(program, tmp_path, text))
    assert status == 0, said
    assert "warn" not in said.lower()


def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        _missing("systemd-analyze", "apt-get install systemd")
    unit = tmp_path / "chordme@5010.service"
    unit.write_text(UNIT.read_text().replace("/opt/chordme/bin/twistd", "/bin/true"))
    command = [str(analyze), "verify", str(unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_an_instance_listens_where_its_name_says() -> None:
    lines = re.findall(r"^Environment=(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE)
    environ = {name: text.replace("%i", "5010") for name, text in lines}
    secrets = {"JWT_SECRET_KEY": SECRET, "REDIS_URL": "redis://chordme:secret@127.0.0.1:6379/0"}
    config = load(ini=INI, environ=environ | secrets, overrides=[], demo=False)
    assert config.server.listen == ("tcp:5010:interface=127.0.0.1",)
    assert config.server.admin == "tcp:15010:interface=127.0.0.1"
    assert config.cluster.peer_listen == "tcp:25010:interface=127.0.0.1"
    assert config.cluster.redis_url is not None
    assert config.store_url == ""
