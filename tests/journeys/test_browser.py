"""A page in Chromium, from another origin than the daemon's: what CORS is for."""

import functools
import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from tests.journeys.clients import HERE, POLLING, WEBSOCKET, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import token

pytestmark = pytest.mark.journey

Browse = Callable[..., list[dict[str, Any]]]


class _Pages(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def origin() -> Iterator[str]:
    """The origin of a web server that has the page."""
    serve = functools.partial(_Pages, directory=str(HERE))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def browse(node: str, chromium: str, origin: str) -> Browse:
    """Has the page make visits; what came of each."""

    def visit(*visits: dict[str, object]) -> list[dict[str, Any]]:
        order = {"chromium": chromium, "page": f"{origin}/page.html", "visits": visits}
        ended = subprocess.run(
            [node, "browser.js", orjson.dumps(order).decode()],
            cwd=HERE,
            stdout=subprocess.PIPE,
            timeout=90,
            check=True,
        )
        results: list[dict[str, Any]] = orjson.loads(ended.stdout)
        return results

    return visit


def test_a_page_of_an_allowed_origin_works_over_every_transport(
    start_daemon: StartDaemon, origin: str, browse: Browse, clients: ClientProgram
) -> None:
    daemon = start_daemon({"server.origins": f"https://chordme.example {origin}"})
    ben = clients.connect(daemon.url, "ben")
    ben.join("song-1")
    visit = {"url": daemon.url, "token": token("ada")}
    results = browse(
        {**visit, "until": "upgrade"},
        {**visit, "options": POLLING},
        {**visit, "options": WEBSOCKET},
    )
    assert results == [
        {"joined": True, "sent": True, "transport": transport}
        for transport in ("websocket", "polling", "websocket")
    ]
    said = [message["message"] for message in ben.events("room_message", 3)]
    assert said == [f"from {origin}"] * 3


def test_a_page_behind_a_proxy_without_websocket_works_by_polling(
    start_daemon: StartDaemon,
    origin: str,
    browse: Browse,
    without_websocket: Callable[[str], str],
) -> None:
    daemon = start_daemon({"server.origins": origin})
    visit = {"url": without_websocket(daemon.url), "token": token("ada")}
    results = browse(
        {**visit, "until": "upgradeError"},
        {**visit, "options": {"transports": ["websocket", "polling"], "tryAllTransports": True}},
    )
    assert results == [{"joined": True, "sent": True, "transport": "polling"}] * 2


def test_a_foreign_page_gets_nowhere(
    start_daemon: StartDaemon, browse: Browse, origin: str
) -> None:
    daemon = start_daemon({"server.origins": "https://chordme.example"})
    visit = {"url": daemon.url, "token": token("ada")}
    results = browse(visit, {**visit, "options": POLLING}, {**visit, "options": WEBSOCKET})
    errors = ["xhr poll error", "xhr poll error", "websocket error"]
    assert results == [{"error": error} for error in errors]
    assert daemon.connections == 0
