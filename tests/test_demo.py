"""What a demo has at its front door: tokens for whoever one says that one is."""

import jwt
import pytest

from chordme_daemon import demo, pages
from chordme_daemon.app.auth import Permission, Verifier, permission
from chordme_daemon.app.keyring import secret_key
from chordme_daemon.web import Folder
from tests.configuration import SECRET
from tests.test_web import Answer, request

NOW_S = 1_800_000_000


def token(query: str) -> Answer:
    leaf = demo.tokens(SECRET.encode(), lambda: NOW_S + 0.5)
    return request(Folder({"token": leaf}), "/token" + query)


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("ada", "ada"),
        ("Ada%20Lovelace", "Ada Lovelace"),
        ("%20ada+", "ada"),
        ("%C3%A9va", "éva"),
        ("x" * 80, "x" * 80),
        ("ada&other=1", "ada"),
    ],
)
def test_a_token_is_for_whoever_one_says_that_one_is(query: str, name: str) -> None:
    answer = token(f"?user={query}")
    assert answer.status == 200
    assert (answer.json["user_id"], answer.json["name"]) == (name, name)


@pytest.mark.parametrize(
    "query",
    [
        *("", "?", "?user", "?user=", "?user=%20", "?user=a&user=b", "?name=ada"),
        *("?user=a%0Ab", "?user=a%00", "?user=%E2%80%AEa", "?user=" + "x" * 81),
        *("?user=a&name=", "?user=a&name=%00", "?user=a&name=b&name=c", "?user=a&name=" + "x" * 81),
        *("?user=a&permission=admin", "?user=a&permission=", "?user=a&permission=none"),
    ],
)
def test_a_token_for_nobody_is_refused_with_advice(query: str) -> None:
    answer = token(query)
    assert answer.status == 400
    assert "/demo/token?user=NAME" in answer.json["error"]["message"]


def test_a_name_that_is_not_utf_8_is_taken_as_far_as_it_can_be_read() -> None:
    assert token("?user=%FFa").json["user_id"] == "\ufffda"


@pytest.mark.parametrize(
    ("query", "may"),
    [
        ("", Permission.EDIT),
        ("&permission=edit", Permission.EDIT),
        ("&permission=read", Permission.READ),
    ],
)
def test_a_token_is_good_for_a_day_and_says_what_one_may(query: str, may: Permission) -> None:
    told = token(f"?user=ada-1&name=Ada{query}").json
    claims = jwt.decode(told.pop("token"), options={"verify_signature": False})
    assert claims == told
    assert claims["exp"] - claims["iat"] == 24 * 3600
    verifier = Verifier([secret_key(SECRET.encode(), ("HS256",))], leeway_s=0)
    identity = verifier.verify(jwt.encode(claims, SECRET), NOW_S)
    assert (identity.user_id, identity.name) == ("ada-1", "Ada")
    assert permission(identity, "song-1", Permission.NONE) is may


def test_what_to_try_is_said_with_the_port() -> None:
    said = demo.greeting(5050, anywhere=False)
    assert "on this machine only" in said
    assert "for whoever reaches it" in demo.greeting(5050, anywhere=True)
    assert "curl 'http://localhost:5050/demo/token?user=ada'" in said
    there_is_one = "Open http://localhost:5050 in two windows" in said
    assert there_is_one == pages.is_built() == ("no page to open" not in said)
