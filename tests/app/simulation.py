"""Two kinds of clients as state machines, for simulations; all texts are in units form.

They know no transport: a test carries what they say to a server, and what that says to them. `Desk`
is for one legacy client whose messages go where and when the test wants.
"""

from collections import deque
from collections.abc import Sequence
from functools import reduce
from random import Random

import attrs

from chordme_daemon import ot
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.ot import Operation

PIECES = ("a", "b", "xyz", "[Am]", "\n", "é", "♭", "😀", "😁", "🎸x")


@attrs.frozen
class Outgoing:
    """An operation as a current client sends it: made on the text of `revision`."""

    seq: int
    revision: int
    operation: Operation


@attrs.define
class CurrentClient:
    """One operation on its way, everything since then in one buffer; texts in units form.

    What it sends is what `edit`, `confirm` and `refuse` return, when they return something. An
    operation that was sent stays as it is: edits go into the buffer. When the connection was lost,
    `outgoing` is to be sent again after all that was missed has been heard.
    """

    client_id: str
    text: str = ""
    revision: int = 0
    seq: int = 0
    # The text of the revision, without what nobody else has heard of.
    synced: str = attrs.field(init=False)
    sent: Operation | None = attrs.field(default=None, init=False)
    buffer: Operation | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.synced = self.text

    @property
    def outgoing(self) -> Outgoing | None:
        """What is on its way, as it is to be sent now."""
        return None if self.sent is None else Outgoing(self.seq, self.revision, self.sent)

    def edit(self, operation: Operation) -> Outgoing | None:
        """Somebody types."""
        self.text = ot.apply(self.text, operation)
        if self.sent is not None:
            self.buffer = ot.compose(self.buffer or (), operation)
            return None
        return self._send(operation)

    def hear(self, operation: Operation, client_id: str) -> None:
        """The next revision is another's."""
        self._advance(operation)
        left = self.client_id < client_id
        if self.sent is not None:
            self.sent, operation = _cross(self.sent, operation, left)
        if self.buffer is not None:
            self.buffer, operation = _cross(self.buffer, operation, left)
        self.text = ot.apply(self.text, operation)

    def confirm(self) -> Outgoing | None:
        """The next revision is the operation on its way."""
        assert self.sent is not None
        self._advance(self.sent)
        return self._send_buffer()

    def refuse(self) -> Outgoing | None:
        """The operation on its way will not be in the log: take it back, keep what came after."""
        assert self.sent is not None
        undo = ot.invert(self.sent, self.synced)
        if self.buffer is not None:
            self.buffer, undo = _cross(self.buffer, undo, False)
        self.text = ot.apply(self.text, undo)
        self.seq -= 1
        return self._send_buffer()

    def _advance(self, operation: Operation) -> None:
        self.synced = ot.apply(self.synced, operation)
        self.revision += 1

    def _send_buffer(self) -> Outgoing | None:
        self.sent, buffer, self.buffer = None, self.buffer, None
        return None if buffer is None else self._send(buffer)

    def _send(self, operation: Operation) -> Outgoing | None:
        self.sent = operation
        self.seq += 1
        return self.outgoing


@attrs.define
class LegacyClient:
    """Applies its own edits and what it is told, as they come, and transforms nothing."""

    client_id: str
    text: str = ""
    # The last delivery that it has applied.
    seen: int = 0

    def edit(self, parts: Sequence[Operation]) -> None:
        """Somebody types; each part is in the text made by those before."""
        self.text = reduce(_clamped, parts, self.text)

    def hear(self, number: int, operation: Operation) -> None:
        """A `collaboration_update`."""
        self.text = _clamped(self.text, operation)
        self.seen = number

    def load(self, number: int, text: str) -> None:
        """A `document_state`: the whole text, whatever was there."""
        self.text = text
        self.seen = number


class Desk:
    """A legacy client with an id of "~me", its shadow, and the head, which others edit too."""

    def __init__(self, text: str = "abcdef", client_id: str = "~me") -> None:
        self.head = ot.to_units(text)
        self.client = LegacyClient(client_id, self.head)
        self.shadow = Shadow(client_id)
        self.number = 0
        self.under_way: deque[tuple[int, Operation]] = deque()

    def commit(self, operation: Operation, client_id: str = "other") -> None:
        """Somebody else's operation is in the log."""
        self.shadow.hear(operation, client_id, lambda: self.head)
        self.head = ot.apply(self.head, operation)

    def edit(self, *parts: Operation) -> Operation:
        """The client's editor changes, and the server hears of it at once."""
        self.client.edit(parts)
        operation, was_cut = self.shadow.submit(parts, len(self.head), lambda: self.head)
        assert not was_cut
        return operation

    def confirm(self) -> None:
        assert self.shadow.pending is not None
        self.head = ot.apply(self.head, self.shadow.pending)
        self.shadow.confirm()

    def refuse(self) -> None:
        self.shadow.refuse(lambda: self.head)

    def send(self) -> list[Operation]:
        """What the server sends now."""
        due = self.shadow.due()
        for operation in due:
            self.number += 1
            self.shadow.deliver(self.number)
            self.under_way.append((self.number, operation))
        return due

    def arrive(self, count: int = 1) -> None:
        """The client applies what is under way, and the server knows at once."""
        for _ in range(count):
            number, operation = self.under_way.popleft()
            self.client.hear(number, operation)
            self.shadow.seen(number)

    def settle(self) -> None:
        """Until there is nothing more to say."""
        for _ in range(5):
            self.send()
            self.arrive(len(self.under_way))
        assert self.shadow.in_step
        assert self.client.text == self.head


def _cross(mine: Operation, theirs: Operation, left: bool) -> tuple[Operation, Operation]:
    return ot.transform(mine, theirs, left), ot.transform(theirs, mine, not left)


def _clamped(text: str, operation: Operation) -> str:
    return ot.apply(text, ot.clamp(operation, len(text)))


def random_edit(dice: Random, text: str, *, careless: bool = False) -> list[Operation]:
    """One to three insertions and deletions, each in the text made by those before.

    They keep whole code points whole, unless they are careless.
    """
    parts: list[Operation] = []
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        places = [i for i in range(len(text) + 1) if careless or not _cuts_a_pair(text, i)]
        start = dice.choice(places)
        end = dice.choice([place for place in places if start <= place <= start + 4])
        if start == end:
            part = ot.insertion(start, ot.to_units(dice.choice(PIECES)))
        else:
            part = ot.deletion(start, end - start)
        parts.append(part)
        text = ot.apply(text, part)
    return parts


def _cuts_a_pair(text: str, index: int) -> bool:
    before, after = text[max(index - 1, 0) : index], text[index : index + 1]
    return "\ud800" <= before <= "\udbff" and "\udc00" <= after <= "\udfff"
