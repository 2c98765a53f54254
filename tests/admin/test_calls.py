"""What an operator sees of a daemon, and may do."""

from typing import Any

import pytest
from twisted.internet.defer import Deferred, fail
from twisted.logger import capturedLogs

from chordme_daemon.admin.openapi import describe
from chordme_daemon.app.events import Permission
from chordme_daemon.cluster.interface import ClusterUnavailable
from tests.admin.conftest import HERE, HERE_TOO, KEY, SOCKET, THERE, Operator
from tests.app.clusters import DistantCluster
from tests.app.conftest import House


def unavailable(*_: object) -> Deferred[Any]:
    return fail(ClusterUnavailable())


# What is seen


def test_the_rooms_are_listed_in_pages(house: House, operator: Operator) -> None:
    for room_id in "cab":
        house.member("ada", room_id)
    house.member("ada", "a")
    house.member("bob", "a")
    first = operator.get("/rooms?limit=2")
    assert first == {
        "rooms": [
            {"room_id": "a", "revision": 0, "users": 2, "connections": 3},
            {"room_id": "b", "revision": 0, "users": 1, "connections": 1},
        ],
        "next": "b",
    }
    second = operator.get("/rooms?after=b")
    assert ([room["room_id"] for room in second["rooms"]], second["next"]) == (["c"], None)


def test_the_connections_are_listed_in_pages(house: House, operator: Operator) -> None:
    house.stranger()
    house.member("ada", client_id="tab-1", name="Ada")
    found: list[Any] = []
    after = ""
    while after is not None:
        page = operator.get(f"/connections?limit=1&after={after}")
        found, after = [*found, *page["connections"]], page["next"]
    assert {one.pop("id") for one in found} == house.app.clients.keys()
    found.sort(key=lambda one: one["name"] or "")
    assert found == [
        {
            "address": "127.0.0.1",
            "user_id": None,
            "name": None,
            "client_id": None,
            "expires_at": None,
            "rooms": {},
        },
        {
            "address": "127.0.0.1",
            "user_id": "ada",
            "name": "Ada",
            "client_id": "tab-1",
            "expires_at": int((house.wall_s() + 86_400) * 1000),
            "rooms": {"song": "edit"},
        },
    ]


def test_a_song_is_shown_with_who_is_there_and_its_history(
    house: House, operator: Operator
) -> None:
    ada = house.member(5)
    insert = {"type": "insert", "position": 0, "content": "la"}
    ada.ask("collaboration_operation", {"room_id": "song", "operation": insert})
    shown = operator.get("/rooms/song")
    assert (shown["text"], shown["revision"]) == ("la", 1)
    assert shown["participants"] == [{"user_id": 5, "connections": 1}]
    assert operator.get("/rooms/song/history")["entries"][0]["operations"] == [insert]
    assert operator.get("/rooms/song/history?since=1")["entries"] == []


def test_while_the_others_cannot_be_asked_those_who_are_here_are_shown(
    far_house: House, cluster: DistantCluster
) -> None:
    far_house.member("ada")
    cluster.participants = unavailable  # type: ignore[method-assign] # as Redis is when it is away
    song = Operator(far_house).get("/rooms/song")
    assert song["participants"] == [{"user_id": "ada", "connections": 1}]
    assert song["degraded"] is True


def test_head_is_get_without_the_body(house: House, operator: Operator) -> None:
    house.member()
    answer, full = operator.send("HEAD", "/rooms"), operator.send("GET", "/rooms")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.headers["content-length"] == str(len(full.body))


# What is ordered


def test_a_permission_is_changed_and_told(house: House, operator: Operator) -> None:
    ada = house.member("ada")
    ada.heard()
    done = operator.post("/rooms/song/permissions", user_id="ada", permission="read")
    assert done == {"room_id": "song", "user_id": "ada", "permission": "read"}
    assert ada.heard() == [("permission_changed", {"room_id": "song", "permission": "read"})]
    operator.post("/rooms/song/permissions", user_id="ada", permission=None)
    assert ada.heard()[0][1]["permission"] == "edit"
    operator.post(
        "/rooms/song/permissions", user_id="ada", permission="none", reason="deleted", until=2e9
    )
    assert ada.heard() == [("room_left", {"room_id": "song", "reason": "deleted"})]
    assert house.access.rulings.find("room song s:ada").until_ms == 2_000_000_000_000  # type: ignore[union-attr]


def test_a_user_is_denied_listed_and_allowed_again(house: House, operator: Operator) -> None:
    ada = house.member("ada")
    ada.heard()
    assert operator.post("/deny", user_id="ada") == {"user_id": "ada"}
    assert ada.names() == ["error", "DISCONNECT"]
    operator.post("/deny", user_id=5, until=house.wall_s() + 60)
    operator.post("/deny", jti="i:5", until=2e9)
    assert operator.get("/deny")["denied"] == [
        {"jti": "i:5", "until": 2e9},
        {"user_id": 5, "until": house.wall_s() + 60},
        {"user_id": "ada", "until": house.wall_s() + 7 * 86_400},
    ]
    assert operator.post("/allow", user_id="ada") == {"user_id": "ada"}
    assert house.client("ada").ask("join_room", {"room_id": "song"})["ok"]


def test_a_user_is_disconnected_and_a_connection_closed(house: House, operator: Operator) -> None:
    ada, bob = house.member("ada"), house.member("bob")
    ada.heard()
    assert operator.post("/disconnect", user_id="ada") == {"user_id": "ada"}
    assert ada.heard()[-1] == ("DISCONNECT", None)
    [sid] = house.app.clients
    assert operator.send("DELETE", f"/connections/{sid}").json == {"id": sid}
    assert bob.closed
    gone = operator.send("DELETE", f"/connections/{sid}")
    assert (gone.status, gone.why) == (404, "There is no such connection on this instance")


def test_a_message_is_sent_to_a_room(house: House, operator: Operator) -> None:
    ada = house.member("ada")
    ada.heard()
    assert operator.post("/rooms/song/messages", message=[1, None]) == {"room_id": "song"}
    [(name, payload)] = ada.heard()
    assert (name, payload["user_id"], payload["message"]) == ("room_message", "server", [1, None])
    too_large = operator.send("POST", "/rooms/song/messages", {"message": "x" * 10_240})
    assert too_large.status == 413


def test_a_text_becomes_the_song(house: House, operator: Operator) -> None:
    ada = house.member("ada")
    ada.heard()
    answer = operator.send("PUT", "/rooms/song", "é".encode(), kind="text/plain")
    assert answer.json == {"room_id": "song", "revision": 1}
    assert ada.names() == ["collaboration_update"]


def test_what_cannot_be_done_now_is_said_and_not_done(
    far_house: House, cluster: DistantCluster
) -> None:
    operator = Operator(far_house)
    cluster.rule = unavailable  # type: ignore[method-assign] # as Redis is when it is away
    answer = operator.send("POST", "/deny", {"user_id": "ada"})
    assert (answer.status, answer.why) == (503, "Temporarily unavailable")
    assert far_house.client("ada").ask("join_room", {"room_id": "song"})["ok"]


# What is refused

USER = "user_id is one as tokens have it"
TOO_MANY = "The body has only"


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/deny", {}, "The body needs user_id or jti, not both"),
        ("/deny", {"user_id": "a", "jti": "b"}, "The body needs user_id or jti, not both"),
        ("/deny", {"user_id": 0}, USER),
        ("/deny", {"user_id": True}, USER),
        ("/deny", {"user_id": ""}, USER),
        ("/deny", {"user_id": None}, USER),
        ("/deny", {"user_id": "x" * 129}, USER),
        ("/deny", {"user_id": 2**53}, "The body is to be a JSON object"),
        ("/deny", {"jti": 5}, "jti is one as tokens have it"),
        (
            "/deny",
            {"user_id": 5, "until": 1},
            "until is a time to come, in seconds since the epoch",
        ),
        ("/deny", {"user_id": 5, "until": True}, "until is a time to come"),
        ("/deny", {"user_id": 5, "until": "2030-01-01"}, "until is a time to come"),
        ("/deny", {"user_id": 5, "until": 1e300}, "until is a time to come"),
        ("/deny", {"user_id": 5, "more": 1}, TOO_MANY),
        ("/deny", [], "The body is to be a JSON object"),
        ("/deny", b"", "The body is to be a JSON object"),
        ("/deny", b"{", "The body is to be a JSON object"),
        ("/deny", b"\xff", "The body is to be a JSON object"),
        ("/deny", b'{"user_id":' + b"[" * 5000, "The body is to be a JSON object"),
        ("/disconnect", {}, "The body needs user_id"),
        ("/rooms/song/messages", {}, "The body needs message"),
        ("/rooms/song/permissions", {"user_id": 5}, "The body needs permission"),
        (
            "/rooms/song/permissions",
            {"user_id": 5, "permission": "write"},
            "permission is none, read, edit, admin or null",
        ),
        (
            "/rooms/song/permissions",
            {"user_id": 5, "permission": "read", "reason": "because"},
            "reason is one of revoked, deleted",
        ),
    ],
)
def test_a_body_that_cannot_be_meant_so_is_refused(
    operator: Operator, path: str, body: object, why: str
) -> None:
    answer = operator.send("POST", path, body)
    assert answer.status == 400
    assert answer.why.startswith(why)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ("limit=0", "limit is a whole number from 1 to 1000"),
        ("limit=1001", "limit is a whole number from 1 to 1000"),
        ("limit=%C2%B2", "limit is a whole number from 1 to 1000"),
        ("limit=1&limit=2", "The query has only after and limit, once"),
        ("page=2", "The query has only after and limit, once"),
        ("after=%FF", "The query is to be UTF-8"),
        ("after=" + "x" * 200, "after is the next of the page before"),
    ],
)
def test_a_query_that_cannot_be_meant_so_is_refused(
    operator: Operator, query: str, why: str
) -> None:
    answer = operator.send("GET", f"/connections?{query}")
    assert (answer.status, answer.why) == (400, why)


def test_a_body_of_another_type_is_refused_as_a_page_could_send_it(
    house: House, operator: Operator
) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded"):
        answer = operator.send("POST", "/deny", {"user_id": "ada"}, kind=kind)
        assert answer.status == 415
    assert len(house.access.rulings) == 0
    charset = "application/json; charset=utf-8"
    assert operator.send("POST", "/deny", {"user_id": "ada"}, kind=charset).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/rooms", "GET, HEAD"),
        ("DELETE", "/rooms/song", "GET, HEAD, PUT"),
        ("PUT", "/deny", "GET, HEAD, POST"),
        ("GET", "/disconnect", "POST"),
        ("OPTIONS", "/deny", "GET, HEAD, POST"),
        ("TRACE", "/rooms", "GET, HEAD"),
    ],
)
def test_another_method_is_refused_with_those_that_are_there(
    operator: Operator, method: str, path: str, allowed: str
) -> None:
    answer = operator.send(method, path)
    assert (answer.status, answer.headers["allow"]) == (405, allowed.lower())


@pytest.mark.parametrize(
    "path",
    [
        "/rooms/",
        "/rooms//history",
        "/rooms/no%20room",
        "/rooms/song/more",
        "/deny/ada",
        "/rooms/%FF",
    ],
)
def test_what_is_not_there_is_not_found(operator: Operator, path: str) -> None:
    assert operator.send("GET", path).status == 404


# Who may call


@pytest.mark.parametrize("peer", [HERE, HERE_TOO, SOCKET])
def test_without_a_key_this_machine_may_call(operator: Operator, peer: Any) -> None:
    answer = operator.send("GET", "/rooms", peer=peer)
    assert answer.status == 200
    assert answer.headers["chordme-store"] == "sqlite%3a%c3%a9"


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"peer": THERE}, "Only from this machine, as there is no [admin] key"),
        ({"host": "rebound.example"}, "Only by the address of this machine"),
        ({"headers": (b"X-Forwarded-For: 127.0.0.1",)}, "Only from this machine, as there is no"),
        ({"headers": (b"Forwarded: for=127.0.0.1",)}, "Only from this machine, as there is no"),
    ],
)
def test_without_a_key_nobody_else_may(
    house: House, operator: Operator, options: Any, why: str
) -> None:
    for method, path, body in (("GET", "/rooms", None), ("POST", "/deny", {"user_id": "ada"})):
        answer = operator.send(method, path, body, **options)
        assert answer.status == 403
        assert answer.why.startswith(why)
        assert "chordme-store" not in answer.headers
    assert len(house.access.rulings) == 0


def test_with_a_key_who_has_it_may_call_from_anywhere(house: House) -> None:
    operator = Operator(house, KEY)
    for header in (b"Authorization: Bearer " + KEY, b"authorization: bearer  " + KEY):
        answer = operator.send(
            "GET", "/rooms", peer=THERE, host="daemon.example", headers=(header,)
        )
        assert answer.status == 200
        # Where the songs are is for this machine alone.
        assert "chordme-store" not in answer.headers


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (b"Authorization: Bearer",),
        (b"Authorization: Bearer " + KEY[:-1],),
        (b"Authorization: Bearer " + KEY + b"x",),
        (b"Authorization: Basic " + KEY,),
        (b"Authorization: Bearer \xff\xfe",),
        (b"Authorization: Bearer x", b"Authorization: Bearer " + KEY),
    ],
)
def test_with_a_key_nobody_else_may_not_even_from_this_machine(
    house: House, headers: tuple[bytes, ...]
) -> None:
    operator = Operator(house, KEY)
    answer = operator.send("POST", "/deny", {"user_id": "ada"}, headers=headers)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'bearer realm="chordme"'
    assert len(house.access.rulings) == 0


def test_a_key_that_is_replaced_counts_at_once(house: House) -> None:
    operator = Operator(house, KEY)
    operator.key = b"another key, of thirty-two bytes"
    old, new = (b"Authorization: Bearer " + key for key in (KEY, operator.key))
    assert operator.send("GET", "/rooms", headers=(old,)).status == 401
    assert operator.send("GET", "/rooms", headers=(new,)).status == 200


def test_refusals_are_logged_but_not_each_of_very_many(house: House) -> None:
    operator = Operator(house, KEY)
    with capturedLogs() as logged:
        for _ in range(1000):
            operator.send("GET", "/rooms", peer=THERE, headers=(b"Authorization: Bearer guess",))
    ours = [line for line in logged if "why" in line]
    assert len(ours) == 1
    assert {line["log_namespace"] for line in ours} == {"chordme_daemon.security"}
    assert {line["address"] for line in ours} == {"192.0.2.7"}
    assert "guess" not in str(ours)


# What it says of itself


def test_every_call_is_described_and_nothing_else(operator: Operator) -> None:
    described: Any = describe("1.2.3")["paths"]
    found = {
        (method.upper(), path)
        for path, methods in described.items()
        for method in methods
        if not path.startswith("/health")
    }
    assert found == {(route.method, route.path) for route in operator.routes}


def test_every_permission_is_described() -> None:
    assert f"'{Permission.ADMIN.wire}'" in str(describe("1.2.3"))
