"""The endpoints, in a Flask application of their own."""

from hashlib import sha256
from typing import Any

import pytest
from flask import Flask, request

from tests.backend.extended import realtime_blueprint

TEXT = "R&B <b> \U0001f3b8\r\n\n\n"
PERMISSIONS = {(1, 7): "admin", (2, 7): "read", (1, 8): "deleted", (3, 7): "nonsense"}


@pytest.fixture
def texts() -> dict[int, str]:
    return {7: TEXT}


@pytest.fixture
def client(texts: dict[int, str]) -> Any:
    def user_id() -> Any:
        name = request.headers.get("Authorization", "").removeprefix("Bearer ")
        return int(name) if name else None

    app = Flask(__name__)
    app.register_blueprint(
        realtime_blueprint(
            user_id=user_id,
            permission=lambda user, song: PERMISSIONS.get((user, song)),
            read=lambda song: texts[song],
            write=lambda song, text, _: texts.update({song: text}),
        )
    )
    return app.test_client()


def as_user(user_id: int, **headers: str) -> dict[str, Any]:
    return {"headers": {"Authorization": f"Bearer {user_id}", **headers}}


def digest(text: str) -> str:
    return f'"{sha256(text.encode()).hexdigest()}"'


def test_they_say_that_they_are_there(client: Any) -> None:
    answer = client.get("/api/v1/realtime")
    assert answer.json == {"status": "success", "data": {"version": 1}}
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("user", "song", "status"), [(1, 7, 200), (2, 7, 200), (3, 7, 404), (4, 7, 404), (1, 8, 410)]
)
def test_each_user_has_a_permission_of_their_own(
    client: Any, user: int, song: int, status: int
) -> None:
    answer = client.get(f"/api/v1/realtime/songs/{song}/permission", **as_user(user))
    assert answer.status_code == status
    assert answer.headers["Cache-Control"] == "no-store"
    if status == 200:
        assert answer.json["data"] == {"permission": PERMISSIONS[user, song]}
    assert client.get("/api/v1/realtime/songs/7/permission").status_code == 401


def test_a_text_comes_and_goes_as_it_is(client: Any, texts: dict[int, str]) -> None:
    path = "/api/v1/realtime/songs/7/text"
    answer = client.get(path, **as_user(2))
    assert (answer.data.decode(), answer.headers["ETag"]) == (TEXT, digest(TEXT))
    new = TEXT * 2
    match = {"If-Match": digest(TEXT)}
    assert client.put(path, data=new.encode(), **as_user(2, **match)).status_code == 403
    assert client.put(path, data=new.encode(), **as_user(1)).status_code == 412
    assert client.put(path, data=b"\xff", **as_user(1, **match)).status_code == 400
    assert client.put(path, data=b"x" * 800_001, **as_user(1, **match)).status_code == 413
    assert texts[7] == TEXT
    assert client.put(path, data=new.encode(), **as_user(1, **match)).status_code == 200
    assert texts[7] == new
    assert client.put(path, data=b"late", **as_user(1, **match)).status_code == 412
    assert texts[7] == new
