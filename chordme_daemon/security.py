"""Who was refused what, for operators and their tools: lines under a name of their own.

- The name is `chordme_daemon.security`. Each line has an `address`, an `event` that says what kind
  it is, and what else is known as fields: `user_id`, `room`, `code`, `request`, `origin`.
- The same of the same is said at once, and again after ten seconds, with how often it was held
  back meanwhile. Very many that differ are one.
- What is said never holds a token, nor anything of a song.
"""

from typing import Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from chordme_daemon.throttle import Throttle

NAMESPACE: Final = "chordme_daemon.security"
AGAIN_AFTER_S: Final = 10.0
# Of no class, whose name it would have otherwise.
_log: Final = Logger(NAMESPACE)


class SecurityLog:
    """Says what was refused."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._throttle = Throttle(AGAIN_AFTER_S)

    def note(self, event: str, text: str, *, address: str, **fields: object) -> None:
        """Somebody at an address was refused something; `text` names the fields."""
        who = fields.get("user_id", address)
        what = [fields.get(name, "") for name in ("request", "code", "room", "origin")]
        key = " ".join(map(str, (event, who, *what)))
        held_back = self._throttle.admit(key, self._clock.seconds())
        if held_back is None:
            return
        if held_back:
            fields["held_back"] = held_back
        _log.warn(text, event=event, address=address, **fields)
