"""What a client that sends no revisions has in its editor, as far as the server can know.

Such a client applies its own edits and what it is told, as they come, and transforms nothing.

    its text --residue--> --bridge[0]--> ... --bridge[-1]--> the head, with its pending operation

- The bridge is what it lacks. The first steps are under way, each in the form in which it was sent.
  The residue makes up for what these do to a text for which they were not meant.
- Its operations are transformed past residue and bridge, and these past them. At the head one is
  pending until it is in the log, or refused; it and what is committed meanwhile pass each other.
  A refused one is undone: its inverse becomes the bridge's last step.
- In the clean state there is no residue, and the bridge begins with what is under way, word for
  word: the rest may be sent at once. Else it waits until all that is under way has been seen. Then
  the residue becomes the first step, a repair told like anybody's edit, and the state is clean.

Why the texts become one: `head == bridge(residue(its text))` at all times. A commit is added to
both sides; both ways around a square of `transform` end in one text; what is seen goes from the
bridge to its text, and the residue makes up the difference. After the last edit, what is under way
is seen, and what follows is sent in the clean state: it applies the bridge itself. What is sent at
once in that state follows on the very text for which it is meant, so it changes nothing in this.
All rests on `seen` being told neither too early nor too late.

No text is held until it edits while it lacks something: it is the head's, with the bridge undone.

A step is an operation of many parts, as it was committed, until it is sent: then it becomes as many
steps as it is told in. What it is transformed past, and how, is the same.
"""

import re
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.app.chordpro import Conflict, resolve
from chordme_daemon.cluster.interface import Draft
from chordme_daemon.ot import Operation, compose, transform

# With so many parts in between, people can hardly be said to have worked at the same place.
MOST_COMPARED: Final = 200
_ALL: Final = 1 << 30
# To undo something in a text of so many units takes as long as to transform a part.
_UNITS_OF_A_PART: Final = 40_000
# The author of repairs: what they put back goes left of everybody's text.
_SERVER: Final = ""
_PAIR: Final = re.compile("[\ud800-\udbff][\udc00-\udfff]")
_HALF: Final = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]")


@attrs.define(eq=False)
class _Step:
    """An operation of the bridge, how it was `sent`, and its inverse while no text is held.

    `origin` is what the caller said that it comes from; nothing if it is a repair.
    """

    author: str
    operation: Operation
    inverse: Operation = ()
    sent: Operation = ()
    number: int = 0
    origin: Draft | None = None


@attrs.define(eq=False)
class Shadow:
    """One client's text; all texts are in units form. The smaller id's insert goes left.

    What the client says is taken in the order in which it was said: while an operation waits for
    the pending one, so does each `seen` behind it. After each of the other calls, look what is due.
    """

    _client_id: str
    # The client's operation as it is at the head, until it is in the log or refused.
    pending: Operation | None = attrs.field(default=None, init=False)
    # What it decided of chords and directives that somebody else had changed as well.
    conflicts: list[Conflict] = attrs.field(factory=list, init=False)
    _text: str | None = attrs.field(default=None, init=False)
    _residue: Operation = attrs.field(default=(), init=False)
    _bridge: list[_Step] = attrs.field(factory=list, init=False)
    # How many steps have got their number, all of them under way.
    _numbered: int = attrs.field(default=0, init=False)

    @property
    def in_step(self) -> bool:
        """Whether nothing is under way and nothing is to be sent."""
        return not self._bridge

    @property
    def behind(self) -> int:
        """How many steps the client has not seen; to bound them is the caller's part."""
        return len(self._bridge)

    @property
    def under_way(self) -> int:
        """How many deliveries the client has not seen."""
        return self._numbered

    @property
    def origin(self) -> Draft | None:
        """Where the next step that is to be delivered comes from."""
        return self._bridge[self._numbered].origin

    def effort(self, count: int, length: int) -> int:
        """How many parts are looked at to submit so many, where the head has such a length."""
        steps = len(self._bridge)
        parts = len(self._residue) + sum(len(step.operation) for step in self._bridge)
        undone = steps * (length // _UNITS_OF_A_PART) if self._text is None else 0
        return count * (steps + 1) + parts + undone

    def submit(
        self, parts: Sequence[Operation], length: int, text: Callable[[], str]
    ) -> tuple[Operation, bool]:
        """Take in an operation of the client; it is pending then. Not while another one is.

        Each part follows the one before, cut to the text as the client's editor does. `length` and
        `text()` are the head's. Returns the operation at the head, and whether it had to be cut,
        which proves that the client's text is another one. It may cut surrogate pairs, of the head
        and of what its own parts insert: such an operation is to be refused.
        """
        if self._bridge and self._text is None:
            inverses = [step.inverse for step in reversed(self._bridge)]
            self._text = reduce(ot.apply, inverses, text())
        if self._text is not None:
            length = len(self._text)
        fitting: list[Operation] = []
        was_cut = False
        for part in parts:
            was_cut = was_cut or ot.reach(part) > length
            fitting.append(ot.clamp(part, length))
            length += ot.growth(fitting[-1])
        operation = compose_all(fitting)
        before = self._text
        if before is not None:
            self._text = ot.apply(before, operation)
        self.pending = self._carry(operation, before)
        return self.pending, was_cut

    def _carry(self, operation: Operation, before: str | None) -> Operation:
        """The client's operation at the head, with what it collides with there mended.

        `before` is the client's text without it. The correction is a part of what is committed, and
        for the client the bridge's last step.
        """
        mine = operation
        steps = [step.operation for step in self._bridge]
        are_edits = not self._residue and all(step.author != _SERVER for step in self._bridge)
        self._residue, operation = self._cross(self._residue, _SERVER, operation)
        for step in self._bridge:
            step.operation, operation = self._cross(step.operation, step.author, operation)
        self.conflicts = []
        if before is not None and are_edits and 0 < sum(map(len, steps)) <= MOST_COMPARED:
            found = resolve(before, mine, reduce(compose, steps), operation)
            if found is not None:
                self.conflicts = list(found.conflicts)
                self._bridge.append(_Step(_SERVER, found.operation))
                return compose(operation, found.operation)
        return operation

    def confirm(self) -> None:
        """The pending operation is in the log, exactly as it is now."""
        self.pending = None

    def refuse(self, text: Callable[[], str]) -> None:
        """The pending operation will not be in the log; `text()` is the head's, without it."""
        refused, self.pending = self.pending or (), None
        head = text()
        ahead = ot.apply(head, refused)
        self._append(_SERVER, _mend(ot.invert(refused, head), ahead), lambda: ahead)

    def hear(
        self,
        operation: Operation,
        client_id: str,
        before: Callable[[], str],
        origin: Draft | None = None,
    ) -> None:
        """Another's operation is in the log; `before()` is the head's text before it."""
        pending = self.pending
        if pending is not None:
            operation, self.pending = self._cross(operation, client_id, pending)
        self._append(client_id, operation, lambda: ot.apply(before(), pending or ()), origin)

    def due(self, most: int = _ALL) -> list[Operation]:
        """What is to be sent now, in order: single insertions and deletions, `most` of them.

        They count as under way from here on; `deliver` each of them.
        """
        under_way = [step for step in self._bridge if step.sent]
        if self._residue or any(step.operation != step.sent for step in under_way):
            return []
        due: list[_Step] = []
        waiting = deque(self._bridge[len(under_way) :])
        while waiting and len(due) < most:
            # Going past an edit of the client, one may have become several, or nothing.
            due += _split(waiting.popleft())
        due, later = due[: max(most, 0)], due[max(most, 0) :]
        for step in due:
            # Until it is mended that the client itself cut a pair, a repair may consist of a half.
            step.sent = tuple(
                _HALF.sub("\ufffd", part) if isinstance(part, str) else part
                for part in step.operation
            )
        self._bridge = [*under_way, *due, *later, *waiting]
        if self.in_step:
            self._text = None  # it is the head's
        return [step.sent for step in due]

    def deliver(self, number: int) -> Draft | None:
        """Number the next of what was due, and tell its origin; numbers grow, and may have gaps."""
        step = self._bridge[self._numbered]
        step.number = number
        self._numbered += 1
        return step.origin

    def seen(self, number: int) -> None:
        """The client has applied what has this number and what came before it, and no more.

        Harmless for a number that was never sent, or was seen before.
        """
        while self._numbered and self._bridge[0].number <= number:
            self._numbered -= 1
            self._move(self._bridge.pop(0))
        if not (self._bridge and self._bridge[0].sent):
            self._settle()

    def reset(self) -> None:
        """The client was given the whole text: the head's, with the pending operation in it.

        What it says before it has that was made on another text, and is gone: not to be submitted.
        """
        self._bridge, self._residue, self._text, self._numbered = [], (), None, 0

    def _cross(self, step: Operation, author: str, mine: Operation) -> tuple[Operation, Operation]:
        """Both of two operations on one text, each as it is after the other."""
        left = self._client_id < author
        return transform(step, mine, not left), transform(mine, step, left)

    def _append(
        self,
        author: str,
        operation: Operation,
        before: Callable[[], str],
        origin: Draft | None = None,
    ) -> None:
        inverse: Operation = ()
        if self._text is None:
            deletes = any(isinstance(part, int) and part < 0 for part in operation)
            inverse = ot.invert(operation, before() if deletes else "")
        if operation:
            self._bridge.append(_Step(author, operation, inverse, origin=origin))

    def _move(self, step: _Step) -> None:
        """Apply what was sent of a step to the text, as the client's editor does."""
        if self._text is not None:
            got = ot.clamp(step.sent, len(self._text))
            residue = compose(ot.invert(got, self._text), self._residue)
            self._text = ot.apply(self._text, got)
            self._residue = _mend(compose(residue, step.operation), self._text)

    def _settle(self) -> None:
        """Nothing is under way: a repair will find the text for which it is meant."""
        repair, self._residue = self._residue, ()
        if repair:
            self._bridge.insert(0, _Step(_SERVER, repair))


def compose_all(operations: Sequence[Operation]) -> Operation:
    """One operation that does what many do, one after the other.

    In pairs, and pairs of pairs: one by one, each would be as dear as all before it together.
    """
    made = list(operations) or [()]
    while len(made) > 1:
        last = made[-1:] if len(made) % 2 else []
        made = [compose(*pair) for pair in zip(made[::2], made[1::2], strict=False)] + last
    return made[0]


def _split(step: _Step) -> Iterator[_Step]:
    """Single insertions and deletions, one after the other; with their inverses if it has one."""
    # Both have a deletion and what it took in the same order, however much is between them.
    taken = (part for part in step.inverse if isinstance(part, str))
    position = 0
    for part in step.operation:
        if isinstance(part, str):
            operation, inverse = ot.insertion(position, part), ot.deletion(position, len(part))
            position += len(part)
        elif part < 0:
            operation = ot.deletion(position, -part)
            inverse = ot.insertion(position, next(taken, ""))
        else:
            position += part
            continue
        yield _Step(step.author, operation, inverse, origin=step.origin)


def _mend(operation: Operation, units: str) -> Operation:
    """The same change of a text, less what is replaced by itself, in whole code points."""
    components: list[int | str] = []
    start, done, put = 0, 0, ""
    for component in (*operation, 0):
        if isinstance(component, str):
            put = component
            continue
        taken = units[start : start - min(component, 0)]
        head = _alike(taken, put)
        tail = _alike(taken[head:][::-1], put[head:][::-1])
        if head + tail < max(len(taken), len(put)):
            first, last = start + head, start + len(taken) - tail
            first, last, new = _widen(first, last, put[head : len(put) - tail], units)
            components += (first - done, new, first - last)
            done = last
        start, put = start + abs(component), ""
    return ot.canonical(components)


def _alike(one: str, other: str) -> int:
    """How far two begin with the same."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(one), len(other)))


def _widen(start: int, end: int, new: str, units: str) -> tuple[int, int, str]:
    """A splice that puts no half of a surrogate pair beside its other half."""
    left, right = units[max(start - 1, 0) : start], units[end : end + 1]
    around = left + new + right
    if left and _PAIR.match(around):
        start, new = start - 1, left + new
    if right and _PAIR.match(around[-2:]):
        end, new = end + 1, new + right
    return start, end, new
