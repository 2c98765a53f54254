"""Which pages may speak to the endpoint: the catalogue's rows E08, W24 and H15."""

import pytest
from twisted.internet.task import Clock

from chordme_daemon.engineio.door import Door
from tests.engineio.conftest import OPENING, House, build_house

POLLING = "EIO=4&transport=polling"
WEBSOCKET = "EIO=4&transport=websocket"
GOOD = "https://good"

# The Host of every request is a.b.
FOREIGN = [
    pytest.param(["https://evil"], 403, id="W24-evil"),
    pytest.param(["null"], 403, id="W24-null"),
    pytest.param(["file://"], 403, id="W24-file"),
    pytest.param(["https://good.evil"], 403, id="W24-suffix"),
    pytest.param(["https://evil.good"], 403, id="W24-prefix"),
    pytest.param(["https://good:444"], 403, id="W24-port"),
    pytest.param(["http://good"], 403, id="W24-scheme"),
    pytest.param(["https://good/"], 403, id="W24-slash"),
    pytest.param(["https://good@evil"], 403, id="W24-userinfo"),
    pytest.param([""], 403, id="W24-empty"),
    pytest.param(["*"], 403, id="W24-star"),
    pytest.param(["https://a.b:444"], 403, id="own-host-other-port"),
    pytest.param(["http://a.b:443"], 403, id="own-host-port-of-the-other-scheme"),
    pytest.param([GOOD, GOOD], 400, id="W24-twice"),
    pytest.param(["https://good\x01"], 400, id="control-character"),
    pytest.param(["https://gööd"], 400, id="not-ASCII"),
]
ALLOWED = [
    pytest.param([], id="W24-absent"),
    pytest.param([GOOD], id="listed"),
    pytest.param(["HTTPS://Good"], id="letter-case"),
    pytest.param(["http://a.b"], id="own-host"),
    pytest.param(["https://a.b"], id="own-host-behind-TLS"),
    pytest.param(["https://a.b:443"], id="own-host-and-port"),
]


@pytest.fixture
def house(clock: Clock) -> House:
    return build_house(clock, Door(origins=[GOOD]))


def lines(origins: list[str]) -> list[str]:
    return [f"Origin: {origin}" for origin in origins]


@pytest.mark.parametrize(("origins", "status"), FOREIGN)
@pytest.mark.parametrize("way", ["polling", "websocket", "preflight", "known-session"])
def test_a_foreign_page_is_refused_on_every_way_in(
    house: House, origins: list[str], status: int, way: str
) -> None:
    match way:
        case "polling":
            answer = house.ask("GET", POLLING, None, *lines(origins))
        case "websocket":
            answer = house.ask("GET", WEBSOCKET, None, *OPENING, *lines(origins))
        case "preflight":
            answer = house.ask("OPTIONS", POLLING, None, *lines(origins))
        case _:
            sid = house.open_polling()
            answer = house.post(sid, b"4a", *lines(origins))
            assert house.messages(sid) == []
            house.server.stop()
    assert answer.status == status
    assert answer.code == {403: 4, 400: 3}[status]
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert house.server.sockets == {}


@pytest.mark.parametrize("origins", ALLOWED)
def test_an_allowed_page_is_served(house: House, origins: list[str]) -> None:
    answer = house.ask("GET", POLLING, None, *lines(origins))
    assert answer.status == 200
    listed = origins and "good" in origins[0].lower()
    expected = (origins[0], "true", "Origin") if listed else (None, None, None)
    assert (
        answer.headers.get("access-control-allow-origin"),
        answer.headers.get("access-control-allow-credentials"),
        answer.headers.get("vary"),
    ) == expected
    client = house.connect()
    client.request("GET", WEBSOCKET, None, *OPENING, *lines(origins))
    assert client.wire.value().startswith(b"HTTP/1.1 101 ")


def test_a_page_that_came_without_tls_is_foreign_to_who_speaks_tls(clock: Clock) -> None:
    house = build_house(clock, Door(is_secure=lambda _: True))
    assert house.ask("GET", POLLING, None, *lines(["http://a.b"])).status == 403
    assert house.ask("GET", POLLING, None, *lines(["https://a.b"])).status == 200


def test_e08_a_preflight_of_an_allowed_page_is_answered_and_makes_no_session(
    house: House,
) -> None:
    for query in (POLLING, f"{POLLING}&sid=AAAA", ""):
        answer = house.ask("OPTIONS", query, None, *lines([GOOD]))
        assert (answer.status, answer.body) == (204, b"")
        assert answer.headers["access-control-allow-origin"] == GOOD
        assert answer.headers["access-control-allow-methods"] == "GET, POST"
        assert "content-type" in answer.headers["access-control-allow-headers"]
    assert house.server.sockets == {}


def test_e08_options_without_an_origin_tell_nothing(house: House) -> None:
    answer = house.ask("OPTIONS", POLLING)
    assert answer.status == 204
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("origin", ["https://anything", "null", "http://a.b"], ids=str)
def test_h15_when_any_page_is_allowed_none_gets_credentials(clock: Clock, origin: str) -> None:
    house = build_house(clock, Door(origins=["*"]))
    answer = house.ask("GET", POLLING, None, *lines([origin]))
    assert answer.status == 200
    assert answer.headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize(
    ("method", "query", "status", "code"),
    [
        pytest.param("GET", "EIO=4", 400, 0, id="no-transport"),
        pytest.param("GET", "EIO=4&transport=foo", 400, 0, id="unknown-transport"),
        pytest.param("GET", f"{POLLING}&sid=AAAA", 400, 1, id="unknown-session"),
        pytest.param("POST", POLLING, 400, 2, id="POST-without-sid"),
        pytest.param("GET", WEBSOCKET, 400, 3, id="no-upgrade"),
        pytest.param("GET", "EIO=3&transport=polling", 400, 5, id="version"),
        pytest.param("PUT", "EIO=4", 405, 2, id="method-without-transport"),
        pytest.param("PUT", f"{POLLING}&sid=AAAA", 405, 2, id="method"),
    ],
)
def test_an_allowed_page_can_read_why_it_was_refused(
    house: House, method: str, query: str, status: int, code: int
) -> None:
    answer = house.ask(method, query, None, *lines([GOOD]))
    assert (answer.status, answer.code) == (status, code)
    assert answer.headers["access-control-allow-origin"] == GOOD
    assert answer.headers["access-control-allow-credentials"] == "true"
    foreign = house.ask(method, query, None, *lines(["https://evil"]))
    assert (foreign.status, foreign.code) == (403, 4)
