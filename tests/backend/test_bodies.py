"""What the backend says, and what it might say instead."""

import pytest

from chordme_daemon.backend import bodies
from chordme_daemon.backend.bodies import BadBody, Right, as_sanitized, damage
from tests.backend.store import sanitized

OWNER = b'{"status":"success","data":{"owner":{"user_id":1,"email":"a@b"},"collaborators":%s}}'


def listed(collaborators: bytes) -> bytes:
    return OWNER % collaborators


@pytest.mark.parametrize(
    ("collaborators", "user_id", "right"),
    [
        (b"[]", 1, Right("admin", is_owner=True)),
        (b"[]", 2, Right("read")),
        (b"[]", "1", Right("read")),
        (b'[{"user_id":2,"permission_level":"edit"}]', 2, Right("edit")),
        (b'[{"user_id":2,"permission_level":"edit"}]', 3, Right("read")),
        (b'[{"user_id":2,"permission_level":"none"}]', 2, Right("read")),
        (b'[{"user_id":2,"permission_level":"admin","email":7}]', 2, Right("admin")),
    ],
)
def test_a_right_is_that_of_the_user(collaborators: bytes, user_id: object, right: Right) -> None:
    assert bodies.right(listed(collaborators), user_id) == right


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<h1>Welcome</h1>",
        b"[]",
        b"null",
        b"[" * 2000,
        b'{"status":"error","error":"No"}',
        b'{"status":"success"}',
        b'{"status":"success","data":[]}',
        b'{"status":"success","data":{}}',
        b'{"status":"success","data":{"owner":1,"collaborators":[]}}',
        listed(b"{}"),
        listed(b"[1]"),
        listed(b'[{"user_id":2}]'),
        listed(b'[{"user_id":"2","permission_level":"edit"}]'),
        listed(b'[{"user_id":2,"permission_level":"god"}]'),
    ],
)
def test_nobody_gets_in_by_what_is_no_answer(body: bytes) -> None:
    for read in (lambda body: bodies.right(body, 5), bodies.permission, bodies.content):
        with pytest.raises(BadBody):
            read(body)


def test_a_permission_is_one_of_the_levels() -> None:
    assert bodies.permission(b'{"status":"success","data":{"permission":"edit"}}') == Right("edit")
    for other in (b'"god"', b"7", b"null"):
        with pytest.raises(BadBody):
            bodies.permission(b'{"status":"success","data":{"permission":%s}}' % other)


def test_a_text_is_that_of_a_song_that_is_there() -> None:
    assert bodies.content(b'{"status":"success","data":{"content":"la"}}') == "la"
    for fields in (b'"content":"la","is_deleted":true', b'"content":null', b'"content":"\\ud800"'):
        with pytest.raises(BadBody):
            bodies.content(b'{"status":"success","data":{%s}}' % fields)


def test_an_error_is_the_applications_own() -> None:
    assert bodies.is_error(b'{"error":"No"}')
    assert not bodies.is_error(b"<h1>Not Found</h1>")
    assert not bodies.is_error(b"[]")


@pytest.mark.parametrize(
    ("sent", "held", "what"),
    [
        ("la", "la", None),
        ("R&B\n", "R&amp;B", "entities"),
        ("a < b", "a &lt; b", "entities"),
        (" la\n", "la", "trimmed"),
        ("x" * 16_000, "x" * 15_000, "cut"),
        ("  " + "x & " * 8000, "x &amp; " * 4000, "cut"),
        ("<b>la</b>", "la", "changed"),
        ("la\r\n", "la", "trimmed"),
        (" ", "what was there", "changed"),
    ],
)
def test_damage_has_a_name(sent: str, held: str, what: str | None) -> None:
    assert damage(sent, held) == what


@pytest.mark.parametrize(
    "text",
    ["R&B", "a &amp; b", "<b>la</b> < la", "la\r\nlo\x00\n\n", "x" * 16_000, "\n[C]la\n", "&#39;"],
)
def test_what_was_sanitized_is_known_again(text: str) -> None:
    assert as_sanitized(text) == sanitized(text)
