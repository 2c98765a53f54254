"""A song as everybody edits it: its text at the head, and the log that leads there.

- An operation is carried from its base to the head past each entry of the log in turn, never past
  their composition: that would make another operation of it.
- Whether it reaches beyond the end is looked at where it was based: past the inserts of others
  that may not show any more.
- Whether it cuts a surrogate pair is looked at where it is applied: a pair that was cut at the base
  and is gone by now does not matter, and what was whole stays whole.
- What was answered is remembered beside the text, not in the log, so that an operation that is sent
  again is known when its entry is long forgotten.
"""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

import attrs

from chordme_daemon import ot
from chordme_daemon.app.events import Code, Fields, Refused
from chordme_daemon.cluster.interface import Draft, Entry, Record, Snapshot, UserId

# How far behind the head an operation may be based, and how much a client is told that it missed.
MAX_LAG: Final = 1000
MAX_REPLAY: Final = 256 * 1024
PART_BYTES: Final = 48
# How far behind a cursor may be, and in how many parts of the operations since then.
MAX_CURSOR_LAG: Final = 100
MAX_CURSOR_PARTS: Final = 1000
MAX_TEXT: Final = 200_000
# An entry is kept while it is young, or one of the last; there is an end to that, too.
KEEP_ENTRIES: Final = 2000
KEEP_MS: Final = 600_000
MAX_ENTRIES: Final = 20_000
# For so long an author may send its last operation again.
KEEP_ANSWERS_MS: Final = 24 * 3600 * 1000
# The same for clients that only give their operations an id: so long, and so many of a room.
KEEP_IDS_MS: Final = 600_000
MAX_IDS: Final = 1024
# What of a cursor counts units.
_PLACES: Final = ("offset", "selectionStart", "selectionEnd")
_DIGEST_BITS: Final = 32
# With this begin the keys of clients that do not come back: nothing is remembered for them.
PASSING: Final = "~"


class OutOfStep(Refused):
    """A refusal which shows that the client's copy is not what it should be."""


@attrs.frozen
class Proposal:
    """An operation as its author means it: on the text of the revision `base`.

    `author` and `seq` name it for ever; see `cluster.interface.Draft`.
    """

    operation: ot.Operation
    base: int
    author: str
    seq: int
    client_id: str
    user_id: UserId
    timestamp_ms: int
    operation_id: str | None = None


def digested(count: int, parts: Sequence[ot.Operation]) -> int:
    """The seq of the operation that one connection sends as such a one.

    It ends with a digest of what was sent. So it is known everywhere, and for as long as its entry
    is, whether an id that comes again is that of the same operation.
    """
    return count << _DIGEST_BITS | crc32(repr(parts).encode("utf-8", "surrogatepass"))


def name_of(sent: Proposal | Draft) -> tuple[object, ...]:
    """What an operation is known by when it is sent again."""
    if sent.operation_id is not None and sent.author.startswith(PASSING):
        return sent.user_id, sent.operation_id, sent.seq % (1 << _DIGEST_BITS)
    return sent.author, sent.seq


def _disowned(draft: Draft) -> Draft:
    """The same operation as that of nobody who is there."""
    return attrs.evolve(draft, author=PASSING + draft.author)


@attrs.frozen
class _Step:
    """An entry and its operation, ready to be transformed past.

    The text's length after it, and how many parts the log's operations have had until then.
    """

    entry: Entry
    operation: ot.Operation
    length: int
    parts: int


class Document:
    """One room's text, its log, and what was answered."""

    def __init__(self, record: Record) -> None:
        snapshot = record.snapshot
        self.text = ot.Text(snapshot.text)
        self.revision = self.saved_revision = snapshot.revision
        self.answered: dict[str, tuple[int, int, int]] = dict(snapshot.answered)
        self.edited_ms = 0
        self._log: list[_Step] = []
        # The revision before the log's first, and how long the text was there.
        self._base = snapshot.revision
        self._base_length = len(self.text)
        # The parts of all before the log's first.
        self._base_parts = 0
        self._ids: dict[tuple[object, ...], tuple[int, int]] = {}
        older = [entry for entry in record.entries if entry.revision <= snapshot.revision]
        self._load_older(older)
        for entry in record.entries[len(older) :]:
            self.hear(entry, ot.from_json(entry.draft.operation))

    def _load_older(self, entries: list[Entry]) -> None:
        """Take the part of the log that is in the snapshot's text already."""
        if any(
            entry.revision != at for at, entry in enumerate(entries, self._base - len(entries) + 1)
        ):
            raise ot.OperationError("There is a hole in the log")
        operations = [ot.from_json(entry.draft.operation) for entry in entries]
        self._base -= len(entries)
        length = self._base_length = self._base_length - sum(map(ot.growth, operations))
        for entry, operation in zip(entries, operations, strict=True):
            length += ot.growth(operation)
            self._append(entry, operation, length)

    # What is asked of it

    def last_seq(self, author: str) -> int:
        """The last operation of an author that is in the text; 0 if none is known."""
        return self.answered.get(author, (0, 0, 0))[0]

    def since(self, revision: int) -> list[Entry] | None:
        """What came after a revision; None when it is not known any more, or too much."""
        if not max(self._base, self.revision - MAX_LAG) <= revision <= self.revision:
            return None
        if self._parts_since(revision) * PART_BYTES > MAX_REPLAY:
            return None
        steps = self._log[revision - self._base :]
        inserted = (part for step in steps for part in step.operation if isinstance(part, str))
        return [step.entry for step in steps] if sum(map(len, inserted)) <= MAX_REPLAY else None

    def history(self, revision: int) -> tuple[int, list[Entry]]:
        """All that is known of what came after a revision, and after which one it begins."""
        base = min(max(revision, self._base), self.revision)
        return base, [step.entry for step in self._log[base - self._base :]]

    def carry(self, position: Fields, revision: int) -> tuple[Fields, int | None]:
        """A cursor of an earlier revision as it is at the head, and the head; at no cost.

        `line` and `column` follow `offset`. From a revision that is not known, or too long ago,
        they are all that is left, and the revision is None.
        """
        lag = self.revision - revision
        known = 0 <= lag <= min(MAX_CURSOR_LAG, len(self._log))
        if not known or self._parts_since(revision) > MAX_CURSOR_PARTS:
            return {name: position[name] for name in position if name not in _PLACES}, None
        carried = dict(position)
        for name in _PLACES:
            if isinstance(index := carried.get(name), int):
                carried[name] = min(index, self._length_at(revision))
        for step in self._log[len(self._log) - lag :]:
            _move(carried, step.operation)
        if lag and isinstance(offset := carried.get("offset"), int):
            before = self.text.units(0, offset)
            carried["line"] = before.count("\n")
            carried["column"] = len(before) - before.rfind("\n") - 1
        return carried, self.revision

    def answer_to(self, proposal: Proposal) -> int | None:
        """The revision that an operation has already; None when it is new."""
        name = name_of(proposal)
        if name != (proposal.author, proposal.seq):
            revision, at_ms = self._ids.get(name, (None, 0))
            return revision if proposal.timestamp_ms - at_ms <= KEEP_IDS_MS else None
        last, last_revision, _ = self.answered.get(proposal.author, (0, 0, 0))
        if proposal.seq > last:
            return None
        of_name = (step for step in reversed(self._log) if name_of(step.entry.draft) == name)
        revision = last_revision if proposal.seq == last else None
        if revision is None and (step := next(of_name, None)) is not None:
            revision = step.entry.revision
        if revision is None:
            raise OutOfStep(Code.STALE_REVISION, "This seq was answered long ago")
        if proposal.base >= revision:
            # Its author has seen the answer, so this cannot be the same operation.
            raise OutOfStep(Code.INVALID_OPERATION, "This seq was used before")
        return revision

    def check(self, proposal: Proposal) -> None:
        """Refuse a new operation that cannot be meant."""
        if not max(self._base, self.revision - MAX_LAG) <= proposal.base <= self.revision:
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        last, revision, _ = self.answered.get(proposal.author, (0, 0, 0))
        if last and proposal.seq != last + 1:
            raise OutOfStep(Code.INVALID_OPERATION, "This seq is not the next one")
        if proposal.base < revision:
            raise OutOfStep(Code.INVALID_OPERATION, "This does not follow your last operation")
        if ot.reach(proposal.operation) > self._length_at(proposal.base):
            raise OutOfStep(Code.INVALID_OPERATION, "This reaches beyond the end of the text")

    def effort(self, proposal: Proposal) -> int:
        """How many parts of operations have to be looked at to place one at the head."""
        lag = self.revision - max(proposal.base, self._base)
        return lag * len(proposal.operation) + self._parts_since(self.revision - lag)

    def place(self, proposal: Proposal) -> ot.Operation:
        """The operation as it is at the head."""
        if proposal.base < self._base:  # the log was compacted since it was checked
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        operation, client_id = proposal.operation, proposal.client_id
        for step in self._log[proposal.base - self._base :]:
            left = client_id < step.entry.draft.client_id
            operation = ot.transform(operation, step.operation, left)
        return operation

    def carry_on(self, base: int, drafts: Sequence[Draft]) -> list[Draft]:
        """Operations that followed each other after a revision, as they would at the head.

        Those that are in the log already are left out. Those whose authors have gone on without
        them are nobody's: theirs they could not be any more.
        """
        if base < self._base:
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        chain = [(draft, ot.from_json(draft.operation)) for draft in drafts]
        for step in self._log[base - self._base :]:
            other, other_id = step.operation, step.entry.draft.client_id
            carried: list[tuple[Draft, ot.Operation]] = []
            while chain:
                draft, operation = chain.pop(0)
                if name_of(step.entry.draft) in (name_of(draft), name_of(_disowned(draft))):
                    break  # this is it: those behind it follow it already
                left = draft.client_id < other_id
                carried.append((draft, ot.transform(operation, other, left)))
                other = ot.transform(other, operation, not left)
            chain = carried + chain
        last = {author: seq for author, (seq, *_) in self.answered.items()}
        for step in self._log[base - self._base :]:
            last[step.entry.draft.author] = step.entry.draft.seq
        return [
            attrs.evolve(
                _disowned(draft) if draft.seq <= last.get(draft.author, 0) else draft,
                operation=ot.to_json(made),
            )
            for draft, made in chain
        ]

    # What happens to it

    def hear(self, entry: Entry, operation: ot.Operation) -> None:
        """Apply the next entry, whose operation this is; OperationError if it does not fit."""
        if entry.revision != self.revision + 1:
            raise ot.OperationError("There is a hole in the log")
        self.text.apply(operation)
        self.revision = entry.revision
        self.edited_ms = entry.draft.timestamp_ms
        self._append(entry, operation, len(self.text))

    def record(self) -> Record:
        """All that is known, with the snapshot at the head."""
        snapshot = Snapshot(self.revision, str(self.text), dict(self.answered))
        return Record(snapshot, [step.entry for step in self._log])

    def save(self, now_ms: int) -> tuple[Snapshot, int]:
        """Forget what need not be kept; the snapshot to keep, and the log's new base."""
        young_ms, count = now_ms - KEEP_MS, 0
        while (left := len(self._log) - count) > KEEP_ENTRIES:
            if left <= MAX_ENTRIES and self._log[count].entry.draft.timestamp_ms >= young_ms:
                break
            count += 1
        if count:
            last = self._log[count - 1]
            self._base, self._base_length = self._base + count, last.length
            self._base_parts = last.parts
            del self._log[:count]
        recent_ms = now_ms - KEEP_ANSWERS_MS
        self.answered = {key: last for key, last in self.answered.items() if last[2] >= recent_ms}
        self.saved_revision = self.revision
        return self.record().snapshot, self._base

    def _length_at(self, revision: int) -> int:
        return (
            self._log[revision - self._base - 1].length
            if revision > self._base
            else self._base_length
        )

    def _parts_since(self, revision: int) -> int:
        """How many parts all operations have that came after a revision of the log."""
        index = revision - self._base - 1
        until = self._log[-1].parts if self._log else self._base_parts
        return until - (self._log[index].parts if index >= 0 else self._base_parts)

    def _append(self, entry: Entry, operation: ot.Operation, length: int) -> None:
        before = self._log[-1].parts if self._log else self._base_parts
        self._log.append(_Step(entry, operation, length, before + len(operation)))
        draft = entry.draft
        if not draft.author.startswith(PASSING):
            self.answered[draft.author] = (draft.seq, entry.revision, draft.timestamp_ms)
        elif draft.operation_id is not None:
            self._ids[name_of(draft)] = (entry.revision, draft.timestamp_ms)
            if len(self._ids) > MAX_IDS:
                del self._ids[next(iter(self._ids))]


def _move(position: Fields, operation: ot.Operation) -> None:
    """Carry a cursor and its selection past an operation."""
    places = {name: at for name in _PLACES if isinstance(at := position.get(name), int)}
    position |= {name: ot.transform_index(at, operation) for name, at in places.items()}
    start, end = places.get("selectionStart"), places.get("selectionEnd")
    if start is not None and end is not None:
        first, last = ot.transform_range(min(start, end), max(start, end), operation)
        ends = (first, last) if start <= end else (last, first)
        position["selectionStart"], position["selectionEnd"] = ends
