"""What the backend tells the daemon: signed, over its admin site or over Redis.

Nothing here raises when the daemon is away: it finds out by itself a little later. Each call says
whether it was told.
"""

import hmac
import json
import logging
import secrets
import time
import urllib.request
from typing import Any

WITHIN_S = 2.0

log = logging.getLogger(__name__)


class Realtime:
    """The daemon, as the backend sees it.

    `key` is `[backend] key` of the daemon. `url` is its admin site, such as
    `http://127.0.0.1:5001`; `redis_url` and `prefix` are those of its cluster. One of them is
    enough: over Redis, all instances hear at once.
    """

    def __init__(
        self,
        key: str,
        *,
        url: str | None = None,
        redis_url: str | None = None,
        prefix: str = "chordme:",
    ) -> None:
        if not key or not (url or redis_url):
            raise ValueError("a key, and a url or a redis_url")
        self._key = key.encode()
        self._url = url.rstrip("/") + "/backend" if url else None
        self._channel = f"{prefix}notices"
        self._redis: Any = None
        if redis_url:
            import redis  # noqa: PLC0415 - needed by those alone who use it

            self._redis = redis.Redis.from_url(
                redis_url, socket_timeout=WITHIN_S, socket_connect_timeout=WITHIN_S
            )

    def notify_permission_changed(self, song_id: int) -> bool:
        """Somebody may do something else with a song, or it was deleted: the daemon asks anew."""
        return self._tell(do="permission_changed", song_id=song_id)

    def notify_song_changed(self, song_id: int) -> bool:
        """A song was edited here, or an earlier version restored: the daemon merges it."""
        return self._tell(do="song_changed", song_id=song_id)

    def disconnect_user(self, user_id: int) -> bool:
        """A user is to go: all connections end, and do not come back by themselves."""
        return self._tell(do="disconnect_user", user_id=user_id)

    def emit_to_room(self, song_id: int, event: str, payload: dict) -> bool:
        """Send an event to all who are in a song; not one of the daemon's own."""
        return self._tell(do="emit_to_room", song_id=song_id, event=event, payload=payload)

    def _tell(self, **fields: Any) -> bool:
        fields |= {"id": secrets.token_hex(16), "at": time.time()}
        body = json.dumps(fields, separators=(",", ":")).encode()
        signature = hmac.digest(self._key, body, "sha256").hex()
        message = f"v1 {signature} ".encode() + body
        try:
            if self._redis is not None:
                return bool(self._redis.publish(self._channel, message))
            return self._post(message)
        except Exception as error:  # a request must not fail because of it, whatever it is
            log.warning("The real-time daemon could not be told: %s", error)
            return False

    def _post(self, message: bytes) -> bool:
        request = urllib.request.Request(  # noqa: S310 - the URL is the owner's own
            self._url or "", data=message, headers={"Content-Type": "text/plain"}
        )
        with urllib.request.urlopen(request, timeout=WITHIN_S) as response:  # noqa: S310
            return bool(response.status == 200)
