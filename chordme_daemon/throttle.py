"""Lets through once in a while what is said again and again."""

from math import inf


class Throttle:
    """Lets a repeated line through once in `every_s` seconds, with the count of those held back.

    It remembers `max_keys` keys; more are one key together, until old ones can be forgotten.
    """

    def __init__(self, every_s: float, max_keys: int = 256) -> None:
        self._every_s = every_s
        self._max_keys = max_keys
        # When each was last let through, and how many were held back since; oldest first.
        self._seen: dict[str, tuple[float, int]] = {}

    def admit(self, key: str, now: float) -> int | None:
        """How many were held back since the last one let through, or None: hold this one back."""
        if key not in self._seen and len(self._seen) >= self._max_keys:
            self._forget(now)
            if len(self._seen) >= self._max_keys:
                key = ""
        at, held_back = self._seen.get(key, (-inf, 0))
        if now - at < self._every_s:
            self._seen[key] = (at, held_back + 1)
            return None
        self._seen.pop(key, None)
        self._seen[key] = (now, 0)
        return held_back

    def _forget(self, now: float) -> None:
        for key, (at, _) in list(self._seen.items()):
            if now - at < self._every_s:
                return
            del self._seen[key]
