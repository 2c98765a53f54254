"""The demo's page, as a newcomer sees it: two people in a real Chromium, and what it weighs."""

import re
import subprocess

import orjson
import pytest

from chordme_daemon import pages
from tests.journeys.clients import HERE
from tests.journeys.conftest import StartDaemon, _missing
from tests.journeys.daemon import ROOT, http_request

pytestmark = pytest.mark.journey

# What has to come before a song is seen: by requests and bytes, as time depends on the machine.
MOST_REQUESTS = 12
MOST_BYTES = 450_000


@pytest.fixture
def page() -> None:
    """The page has to have been built."""
    if not pages.is_built():
        _missing("the demo's page", "make page")


def test_two_people_write_a_song_on_the_page(
    page: None, start_daemon: StartDaemon, node: str, chromium: str
) -> None:
    daemon = start_daemon(demo=True)
    order = orjson.dumps({"chromium": chromium, "url": f"{daemon.url}/"}).decode()
    ended = subprocess.run(
        [node, "demo.js", order], cwd=HERE, stdout=subprocess.PIPE, timeout=240, check=True
    )
    came = orjson.loads(ended.stdout)
    # Nothing was refused by the page's own policy, and nothing else went wrong.
    assert came["troubles"] == []
    assert came["title"] == "Leave the Kettle On – ChordMe"
    files = [one for one in came["asked"] if not one["path"].startswith("/socket.io/")]
    assert len(files) <= MOST_REQUESTS, files
    assert sum(one["bytes"] for one in files) <= MOST_BYTES, files
    # What it had, it has.
    again = {one["path"] for one in came["askedAgain"] if one["bytes"] > 0}
    assert not {path for path in again if path.startswith("/demo/assets/")}


def test_the_page_and_all_that_it_names_are_there(page: None, start_daemon: StartDaemon) -> None:
    daemon = start_daemon(demo=True)
    shown = http_request(f"{daemon.url}/")
    assert shown.status == 200
    assert "script-src 'self';" in shown.headers["content-security-policy"]
    named = re.findall(r'(?:src|href)="(/[^"]+)"', shown.body.decode())
    assert named
    for path in named:
        answer = http_request(f"{daemon.url}{path}", headers={"Accept-Encoding": "br"})
        assert (answer.status, answer.headers["content-encoding"]) == (200, "br"), path
        tag = {"Accept-Encoding": "br", "If-None-Match": answer.headers["etag"]}
        assert http_request(f"{daemon.url}{path}", headers=tag).status == 304
    assert http_request(f"{daemon.url}/demo/assets/..%2findex.html").status == 404


def test_there_is_no_page_where_it_is_no_demo(start_daemon: StartDaemon) -> None:
    daemon = start_daemon()
    names = [name for name in pages.read() if name != pages.PAGE]
    for path in ("/", "/demo", "/demo/token?user=ada", *(f"/demo/{name}" for name in names)):
        assert http_request(f"{daemon.url}{path}").status == 404, path


def test_a_setting_makes_it_a_demo(start_daemon: StartDaemon) -> None:
    daemon = start_daemon({"demo.enabled": "yes"})
    assert http_request(f"{daemon.url}/demo/token?user=ada").status == 200
    assert http_request(f"{daemon.url}/").status == 200


def test_the_page_is_no_part_of_the_repository() -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "chordme_daemon/page"], cwd=ROOT, stdout=subprocess.PIPE, check=True
    )
    assert tracked.stdout == b""
