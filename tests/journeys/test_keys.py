"""A daemon whose tokens are signed with public keys: from files, or from where they are published.

The second is set as for Firebase: its claims, its names, its rotation.
"""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import orjson
import pytest

from chordme_daemon.keys import LOOK_EVERY_S
from tests.journeys.clients import POLLING, WEBSOCKET, Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import SECRET, Daemon, token, wait_until
from tests.key_pairs import ec_pair, public_pem, published, rsa_pair
from tests.key_pairs import token as signed

pytestmark = pytest.mark.journey

PROJECT = "chordme-songs"
ISSUER = f"https://securetoken.google.com/{PROJECT}"


class Publisher(ThreadingHTTPServer):
    """Where keys are published; it may hang, and it counts how often it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.keys: list[object] = []
        self.asked = 0
        self.hangs = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_address[1]}/keys"
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()


class _Answer(BaseHTTPRequestHandler):
    server: Publisher

    def do_GET(self) -> None:
        self.server.asked += 1
        if self.server.hangs.is_set():
            time.sleep(20)
            return
        body = orjson.dumps({"keys": self.server.keys})
        self.send_response(200)
        self.send_header("Cache-Control", "public, max-age=60")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@pytest.fixture
def publisher() -> Iterator[Publisher]:
    publisher = Publisher()
    publisher.keys = [published(rsa_pair(), "first")]
    yield publisher
    publisher.shutdown()
    publisher.server_close()


def firebase(pair: Any, key_id: str, user: str = "Zk3", **claims: object) -> str:
    """An ID token, as Firebase makes them."""
    now_s = int(time.time())
    body = {
        "iss": ISSUER,
        "aud": PROJECT,
        "sub": user,
        "user_id": user,
        "auth_time": now_s,
        "iat": now_s,
        "exp": now_s + 3600,
        "email": "ada@chordme.example",
        "firebase": {"identities": {}, "sign_in_provider": "password"},
        **claims,
    }
    return signed(pair, body, key_id)


def started(start_daemon: StartDaemon, publisher: Publisher) -> Daemon:
    settings: dict[str, object] = {
        "auth.jwks_url": publisher.url,
        "auth.issuer": ISSUER,
        "auth.audience": PROJECT,
        "auth.user_claim": "sub",
    }
    return start_daemon(settings, CHORDME_AUTH_SECRET="")


def connected(clients: ClientProgram, daemon: Daemon, token: str, **options: object) -> Client:
    return clients.open(daemon.url, auth={"token": token}, **{**WEBSOCKET, **options})


def test_firebase_tokens_are_good_and_no_others(
    start_daemon: StartDaemon, publisher: Publisher, clients: ClientProgram
) -> None:
    daemon = started(start_daemon, publisher)
    for options in (WEBSOCKET, POLLING):
        client = connected(clients, daemon, firebase(rsa_pair(), "first"), **options)
        assert client.event("authenticated")["user_id"] == "Zk3"
        client.join("song")
    others = [
        firebase(rsa_pair(), "first", aud="another-project"),
        firebase(rsa_pair(), "first", iss="https://securetoken.google.com/another-project"),
        firebase(rsa_pair(1), "first"),
        firebase(rsa_pair(), "first", sub=""),
        token("Zk3"),
        token("Zk3", secret=public_pem(rsa_pair()).decode().replace("PUBLIC", "PUB")),
    ]
    for other in others:
        refused = connected(clients, daemon, other).event("auth_error")
        assert refused == {"message": "Invalid or expired token", "code": "invalid_token"}
    assert SECRET not in daemon.log


def test_a_key_that_is_new_is_found_and_nobody_is_dropped(
    start_daemon: StartDaemon, publisher: Publisher, clients: ClientProgram
) -> None:
    daemon = started(start_daemon, publisher)
    before = connected(clients, daemon, firebase(rsa_pair(), "first"))
    before.event("authenticated")
    before.join("song")
    publisher.keys.append(published(rsa_pair(1), "second"))
    # Not before it may look again.
    time.sleep(LOOK_EVERY_S + 0.5)
    after = connected(clients, daemon, firebase(rsa_pair(1), "second", "bob"))
    after.event("authenticated")
    after.join("song")
    assert before.event("user_joined")["user_id"] == "Zk3"
    assert before.event("user_joined")["user_id"] == "bob"
    assert publisher.asked == 2
    # Tokens with keys that nobody has do not make it ask again and again.
    for number in range(20):
        stranger = connected(clients, daemon, firebase(rsa_pair(1), f"guess-{number}"))
        assert stranger.event("auth_error")["code"] == "invalid_token"
    assert publisher.asked <= 3


def test_while_the_publisher_hangs_those_with_known_keys_come_in(
    start_daemon: StartDaemon, publisher: Publisher, clients: ClientProgram
) -> None:
    publisher.hangs.set()
    daemon = started(start_daemon, publisher)
    early = connected(clients, daemon, firebase(rsa_pair(), "first"))
    # Nobody is called a liar by who cannot know.
    assert early.event("auth_error")["code"] == "unavailable"
    publisher.hangs.clear()
    wait_until(lambda: "1 public keys from" in daemon.log, "the keys", 20)
    early.emit("authenticate", {"token": firebase(rsa_pair(), "first")})
    early.event("authenticated")
    publisher.hangs.set()
    connected(clients, daemon, firebase(rsa_pair(), "first", "bob")).event("authenticated")
    assert daemon.log.count("No public keys from") == 1


def test_keys_from_files_are_good_by_their_names(
    start_daemon: StartDaemon, clients: ClientProgram, tmp_path: Path
) -> None:
    one, other = tmp_path / "one.pem", tmp_path / "other.pem"
    one.write_bytes(public_pem(rsa_pair()))
    other.write_bytes(public_pem(ec_pair()))
    files = f"{one} two:{other}"
    daemon = start_daemon({"auth.key_files": files}, CHORDME_AUTH_SECRET="")
    claims = {"user_id": 5, "exp": time.time() + 60}
    for good in (signed(rsa_pair(), claims, "one"), signed(ec_pair(), claims, "two")):
        assert connected(clients, daemon, good).event("authenticated")["user_id"] == 5
    bad = signed(ec_pair(), claims, "other")
    assert connected(clients, daemon, bad).event("auth_error")["code"] == "invalid_token"


def test_the_previous_secret_is_good_until_its_time_is_over(
    start_daemon: StartDaemon, clients: ClientProgram
) -> None:
    old = "Zt3mWq8LxR5vKcJ1nYbH7uFgD0sPaE4iTzXoB9rVhN2"
    until_s = time.time() + 8
    daemon = start_daemon({"auth.previous_secret": old, "auth.previous_until": f"{until_s:.0f}"})
    held = clients.open(daemon.url, auth={"token": token("ada", secret=old)}, **WEBSOCKET)
    held.event("authenticated")
    time.sleep(max(0.0, until_s + 1 - time.time()))
    late = clients.open(daemon.url, auth={"token": token("ada", secret=old)}, **WEBSOCKET)
    assert late.event("auth_error")["code"] == "invalid_token"
    # Who is here already has said who it is, and stays.
    held.join("song")
    clients.connect(daemon.url, "ada", **WEBSOCKET)
