"""A backend whose owner has installed what is in integrations/flask."""

import sys
from pathlib import Path
from typing import Any

from flask import Flask, request

from tests.backend.app import answer_of, user_of
from tests.backend.store import Store
from tests.journeys.daemon import SECRET

sys.path.insert(0, str(Path(__file__).parents[2] / "integrations/flask"))

from chordme_realtime import Realtime, realtime_blueprint

__all__ = ["Realtime", "extend", "realtime_blueprint"]


def extend(app: Flask, store: Store) -> None:
    """Give a backend the endpoints."""

    def permission(user_id: int, song_id: int) -> Any:
        song = store.songs.get(song_id)
        if song is None:
            return None
        return "deleted" if song.is_deleted else song.level(user_id)

    def read(song_id: int) -> str:
        return store.songs[song_id].content

    def write(song_id: int, text: str, user_id: int) -> None:
        store.songs[song_id].write(text)

    blueprint = realtime_blueprint(
        user_id=lambda: user_of(SECRET), permission=permission, read=read, write=write
    )

    @blueprint.before_request
    def meet() -> Any:
        store.called(request.method, request.full_path, user_of(SECRET))
        fault = store.faults.get((request.endpoint or "").rpartition(".")[2])
        return answer_of(store, fault) if fault else None

    app.register_blueprint(blueprint)
