"""A song that legacy and current clients edit at once, over slow lines, on a server that is slow.

A small server with shadows, everything else random: who edits, which message arrives next, when a
commit is through and whether it is refused. It comes from the seed, so a schedule can be run again.
At rest all texts are equal.
"""

from collections import Counter, deque
from functools import reduce
from random import Random

import attrs
import pytest

from chordme_daemon import ot
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.ot import Operation
from tests.app.simulation import CurrentClient, LegacyClient, Outgoing, random_edit


@attrs.frozen
class Habits:
    """What is usual in one simulated song."""

    legacy: int
    current: int
    edits: int
    # Whether legacy clients say with their operations what they have seen; else it is known from a
    # pong that comes together with it.
    echo: bool
    # How likely it is that an operation is refused, and that a legacy client cuts a pair.
    refusals: float = 0.0
    carelessness: float = 0.0
    # With so many unseen operations a legacy client gets the whole text instead.
    most_behind: int = 1000


@attrs.define(eq=False)
class _Line:
    """What is on its way between a client and the song, in order, and the client."""

    client: CurrentClient | LegacyClient
    down: deque[tuple[object, ...]] = attrs.field(factory=deque)
    up: deque[tuple[object, ...]] = attrs.field(factory=deque)
    # Pongs that are not written yet: they may be late, but never early.
    pongs: deque[int] = attrs.field(factory=deque)


@attrs.define(eq=False)
class _LegacySeat:
    """The song's end of a legacy client's line."""

    shadow: Shadow
    # What came while an operation was pending.
    inbox: deque[tuple[object, ...]] = attrs.field(factory=deque)
    # The number of the whole text that it was given, until it has it.
    loading: int = 0


@attrs.frozen
class _Submission:
    key: int
    revision: int
    operation: Operation


class Song:
    """A server with one text, the clients that edit it, and the slow lines between them."""

    def __init__(self, seed: int, habits: Habits, text: str = "Hello 😀 [C]world\n") -> None:
        self.dice = Random(seed)
        self.habits = habits
        self.head = ot.Text(text)
        self.log: list[tuple[Operation, str]] = []
        self.queue: deque[_Submission] = deque()
        self.lines: list[_Line] = []
        self.seats: dict[int, _LegacySeat] = {}
        self.number = 0
        self.counts: Counter[str] = Counter()
        units = ot.to_units(text)
        for key in range(habits.legacy):
            self.lines.append(_Line(LegacyClient(f"~{key}", units)))
            self.seats[key] = _LegacySeat(Shadow(f"~{key}"))
        # Some of their ids are smaller, some greater than those of the others.
        names = self.dice.sample(["a", "m", "z", "~00", "~~"], habits.current)
        self.lines += [_Line(CurrentClient(name, units)) for name in names]
        # Some only read, but not everybody.
        self.typing = [*self.dice.choices((0, 1, 5), k=len(self.lines) - 1), 1]

    def run(self) -> None:
        """All edits at random moments, then until nothing is on its way any more."""
        edits = self.habits.edits
        actions = (self._edit, self._down, self._up, self._pong, self._commit, self._look)
        slowness = [self.dice.choice((1, 3, 9)) for _ in actions]
        while edits:
            [action] = self.dice.choices(actions, slowness)
            if action == self._edit:
                self._edit(*self.dice.choices(range(len(self.lines)), self.typing))
                edits -= 1
            else:
                action(self.dice.randrange(len(self.lines)))
        for _ in range(2000):
            if self._at_rest():
                return
            for action in actions[1:]:
                for key in range(len(self.lines)):
                    action(key)
        raise AssertionError("It does not come to rest")

    def check(self) -> None:
        """Everybody has the same text, and the song knows it."""
        units = self.head.units()
        assert {line.client.text for line in self.lines} == {units}
        assert all(seat.shadow.in_step for seat in self.seats.values())
        assert all(seat.shadow.pending is None for seat in self.seats.values())

    def _at_rest(self) -> bool:
        lines = any(line.down or line.up or line.pongs for line in self.lines)
        seats = any(seat.inbox or not seat.shadow.in_step for seat in self.seats.values())
        return not (lines or seats or self.queue)

    # What may happen next

    def _edit(self, key: int) -> None:
        line = self.lines[key]
        client = line.client
        if isinstance(client, CurrentClient):
            parts = random_edit(self.dice, client.text)
            _send(line, client.edit(reduce(ot.compose, parts)))
        else:
            careless = self.dice.random() < self.habits.carelessness
            parts = random_edit(self.dice, client.text, careless=careless)
            client.edit(parts)
            line.up.append(("operation", parts, client.seen if self.habits.echo else 0))

    def _down(self, key: int) -> None:
        line = self.lines[key]
        if not line.down:
            return
        match line.client, line.down.popleft():
            case LegacyClient() as client, message:
                _tell(client, message)
                if self.habits.echo:
                    line.pongs.append(client.seen)
                else:
                    line.up.append(("pong", client.seen))
            case CurrentClient() as client, ("update", operation, client_id):
                client.hear(operation, client_id)
            case CurrentClient() as client, ("confirmed",):
                _send(line, client.confirm())
            case CurrentClient() as client, ("refused",):
                _send(line, client.refuse())

    def _pong(self, key: int) -> None:
        line = self.lines[key]
        if line.pongs:
            line.up.append(("pong", line.pongs.popleft()))

    def _up(self, key: int) -> None:
        line = self.lines[key]
        if not line.up:
            return
        message = line.up.popleft()
        if key in self.seats:
            self.seats[key].inbox.append(message)
            self._read(key)
        else:
            self.queue.append(_Submission(key, *message))

    def _commit(self, key: int) -> None:
        """One batch: each carried past the log, then past those that go before it."""
        for _ in range(self.dice.choice((1, 1, 2, 5))):
            if not self.queue:
                return
            submission = self.queue.popleft()
            operation = self._place(submission)
            seat = self.seats.get(submission.key)
            assert seat is None or seat.shadow.pending == operation
            is_fit = self._may_be_applied(operation)
            assert is_fit or self.habits.carelessness > 0
            if is_fit and self.dice.random() >= self.habits.refusals:
                self._append(submission.key, operation)
            else:
                self._refuse(submission.key)

    def _look(self, key: int) -> None:
        """Tell a legacy client what is due; sometimes nobody looks, when its line is full."""
        seat = self.seats.get(key)
        if seat is None:
            return
        down = self.lines[key].down
        if seat.shadow.behind > self.habits.most_behind:
            self.number += 1
            text = ot.apply(self.head.units(), seat.shadow.pending or ())
            down.append(("state", self.number, text))
            seat.shadow.reset()
            seat.loading = self.number
            self.counts["states"] += 1
        due = seat.shadow.due()
        for operation in due:
            self.number += self.dice.choice((1, 1, 7))
            seat.shadow.deliver(self.number)
            assert _is_whole(operation)
            [part] = ot.to_wire(operation)
            down.append(("update", self.number, ot.from_wire([part])))
            self.counts["deliveries"] += 1
        if due:
            self._check_meant(self.lines[key], seat)

    def _check_meant(self, line: _Line, seat: _LegacySeat) -> None:
        """All that is under way leads to the head, or it should have waited."""
        said = [message[0] for message in (*line.up, *seat.inbox)]
        if "operation" not in said:
            client = attrs.evolve(line.client)
            for message in line.down:
                _tell(client, message)
            assert client.text == ot.apply(self.head.units(), seat.shadow.pending or ())

    # The song's part

    def _read(self, key: int) -> None:
        """Take what a legacy client says in the order in which it was said."""
        seat = self.seats[key]
        while seat.inbox and (seat.inbox[0][0] == "pong" or seat.shadow.pending is None):
            match seat.inbox.popleft():
                case ("pong", int(number)):
                    self._see(seat, number)
                case ("operation", list(parts), int(seen)):
                    self._see(seat, seen)
                    if not seat.loading:
                        self._submit(key, parts)
        self._look_soon(key)

    def _see(self, seat: _LegacySeat, number: int) -> None:
        seat.shadow.seen(number)
        if number >= seat.loading:
            seat.loading = 0

    def _submit(self, key: int, parts: list[Operation]) -> None:
        shadow = self.seats[key].shadow
        operation, was_cut = shadow.submit(parts, len(self.head), self.head.units)
        assert not was_cut
        self.queue.append(_Submission(key, len(self.log), operation))

    def _may_be_applied(self, operation: Operation) -> bool:
        try:
            self.head.check(operation)
        except ot.OperationError:
            return False
        # Half of what one part inserts may be deleted by the next.
        return _is_whole(operation)

    def _place(self, submission: _Submission) -> Operation:
        operation, client_id = submission.operation, self.lines[submission.key].client.client_id
        for other, other_id in self.log[submission.revision :]:
            operation = ot.transform(operation, other, client_id < other_id)
        return operation

    def _append(self, author: int, operation: Operation) -> None:
        client_id = self.lines[author].client.client_id
        for key, line in enumerate(self.lines):
            if key in self.seats and key == author:
                self.seats[key].shadow.confirm()
            elif key in self.seats:
                self.seats[key].shadow.hear(operation, client_id, self.head.units)
            elif key == author:
                line.down.append(("confirmed",))
            else:
                line.down.append(("update", operation, client_id))
        self.head.apply(operation)
        self.log.append((operation, client_id))
        self.counts["commits"] += 1
        for key in self.seats:
            self._read(key)

    def _refuse(self, author: int) -> None:
        self.counts["refusals"] += 1
        if author in self.seats:
            self.seats[author].shadow.refuse(self.head.units)
            self._read(author)
        else:
            self.lines[author].down.append(("refused",))

    def _look_soon(self, key: int) -> None:
        if self.dice.random() < 0.8:
            self._look(key)


def _tell(client: LegacyClient, message: tuple[object, ...]) -> None:
    match message:
        case ("update", int(number), operation):
            client.hear(number, operation)
        case ("state", int(number), str(text)):
            client.load(number, text)


def _send(line: _Line, outgoing: Outgoing | None) -> None:
    if outgoing is not None:
        line.up.append((outgoing.revision, outgoing.operation))


def _is_whole(operation: Operation) -> bool:
    """Whether it inserts no half of a surrogate pair."""
    inserted = " ".join(part for part in operation if isinstance(part, str))
    try:
        inserted.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return False
    return True


def habits(seed: int, *, echo: bool) -> Habits:
    """Many kinds of songs: the seed says which."""
    dice = Random(seed)
    return Habits(
        legacy=dice.choice((1, 2, 3)),
        current=dice.choice((0, 1, 2, 3)),
        edits=dice.choice((3, 10, 30, 60)),
        echo=echo,
        refusals=dice.choice((0.0, 0.0, 0.1, 0.3)),
        carelessness=dice.choice((0.0, 0.0, 0.0, 0.2)),
        most_behind=dice.choice((6, 20, 1000, 1000)),
    )


@pytest.mark.parametrize("seed", range(150))
@pytest.mark.parametrize("echo", [True, False], ids=["echo", "pong"])
def test_at_rest_everybody_has_the_same_text(seed: int, echo: bool) -> None:
    song = Song(seed, habits(seed, echo=echo))
    song.run()
    song.check()


def test_the_schedules_meet_what_they_are_about() -> None:
    counts: Counter[str] = Counter()
    for seed in range(30):
        song = Song(seed, habits(seed, echo=seed % 2 == 0))
        song.run()
        counts += song.counts
    assert counts["commits"] > 300
    assert counts["deliveries"] > counts["commits"]
    assert counts["refusals"] > 20
    assert counts["states"] > 5
