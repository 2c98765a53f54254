"""What a request is answered."""

from collections.abc import Callable, Sequence

import attrs

from chordme_daemon.app.events import Fields
from chordme_daemon.socketio.server import Emission


@attrs.define
class Answer:
    """The event that answers a request, if it has one: all that an acknowledgement carries.

    Without an acknowledgement the client hears the events `before` it as well. `prepared` is the
    event with its payload, where that is always the same. `then` is called when all that is sent.
    """

    event: str | None = None
    payload: Fields = attrs.field(factory=dict)
    before: Sequence[tuple[str, Fields]] = ()
    prepared: Emission | None = None
    then: Callable[[], None] | None = None
