"""What a request is answered."""

from collections.abc import Callable, Sequence

from chordme_daemon.app.events import Fields
from chordme_daemon.socketio.server import Emission


class Answer:
    """The event that answers a request, if it has one: all that an acknowledgement carries.

    Without an acknowledgement the client hears the events `before` it as well. `prepared` is the
    event with its payload, where that is always the same. `then` is called when all that is sent.
    """

    __slots__ = ("before", "event", "payload", "prepared", "then")

    def __init__(
        self,
        event: str | None = None,
        payload: Fields | None = None,
        *,
        before: Sequence[tuple[str, Fields]] = (),
        prepared: Emission | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        self.event = event
        self.payload: Fields = {} if payload is None else payload
        self.before = before
        self.prepared = prepared
        self.then = then
