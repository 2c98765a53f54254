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
from itertools import accumulate
from typing import Final

import attrs

from chordme_daemon import ot
from chordme_daemon.app.events import Code, Fields, Refused
from chordme_daemon.cluster.interface import Draft, Entry, Record, Snapshot, UserId

# How far behind the head an operation may be based, and how much a client is told that it missed.
MAX_LAG: Final = 1000
MAX_REPLAY: Final = 256 * 1024
PART_BYTES: Final = 48
# How far behind a cursor may be, in all parts of the operations since then.
MAX_CURSOR_PARTS: Final = 500
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


def name_of(sent: Proposal | Draft) -> tuple[object, object]:
    """What an operation is known by when it is sent again."""
    if sent.operation_id is not None and sent.author.startswith(PASSING):
        return sent.user_id, sent.operation_id
    return sent.author, sent.seq


@attrs.frozen
class _Step:
    """An entry, its operation ready to be transformed past, and the text's length after it."""

    entry: Entry
    operation: ot.Operation
    length: int


def _is_short(steps: Sequence[_Step]) -> bool:
    parts = accumulate(len(step.operation) for step in reversed(steps))
    return all(count <= MAX_CURSOR_PARTS for count in parts)


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
        self._ids: dict[tuple[object, object], tuple[int, int]] = {}
        older = [entry for entry in record.entries if entry.revision <= snapshot.revision]
        self._load_older(older)
        for entry in record.entries[len(older) :]:
            self.hear(entry, ot.from_json(entry.draft.operation))

    def _load_older(self, entries: list[Entry]) -> None:
        """Take the part of the log that is in the snapshot's text already."""
        operations = [ot.from_json(entry.draft.operation) for entry in entries]
        self._base -= len(entries)
        length = self._base_length = self._base_length - sum(map(ot.growth, operations))
        for entry, operation in zip(entries, operations, strict=True):
            length += ot.growth(operation)
            self._append(_Step(entry, operation, length))

    # What is asked of it

    def last_seq(self, author: str) -> int:
        """The last operation of an author that is in the text; 0 if none is known."""
        return self.answered.get(author, (0, 0, 0))[0]

    def since(self, revision: int) -> list[Entry] | None:
        """What came after a revision; None when it is not known any more, or too much."""
        if not max(self._base, self.revision - MAX_LAG) <= revision <= self.revision:
            return None
        entries = [step.entry for step in self._log[revision - self._base :]]
        parts = [part for entry in entries for part in entry.draft.operation]
        inserted = sum(len(part) for part in parts if isinstance(part, str))
        return entries if inserted + len(parts) * PART_BYTES <= MAX_REPLAY else None

    def history(self, revision: int) -> tuple[int, list[Entry]]:
        """All that is known of what came after a revision, and after which one it begins."""
        base = min(max(revision, self._base), self.revision)
        return base, [step.entry for step in self._log[base - self._base :]]

    def carry(self, position: Fields, revision: int) -> Fields:
        """A cursor of an earlier revision as it is at the head; unknown revisions change nothing.

        `line` and `column` follow `offset`: without that they mean nothing elsewhere.
        """
        steps = self._log[max(revision - self._base, 0) :]
        if not self._base <= revision < self.revision or not _is_short(steps):
            return position
        carried = dict(position)
        for step in steps:
            for field in ("offset", "selectionStart", "selectionEnd"):
                if isinstance(index := carried.get(field), int):
                    carried[field] = ot.transform_index(index, step.operation)
        if isinstance(offset := carried.get("offset"), int):
            before = self.text.units(0, offset)
            carried["line"] = before.count("\n")
            carried["column"] = len(before) - before.rfind("\n") - 1
        return carried

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

    def operation_at(self, revision: int, otherwise: ot.Operation) -> ot.Operation:
        """The operation that led to a revision, if that is still in the log."""
        index = revision - self._base - 1
        return self._log[index].operation if index >= 0 else otherwise

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
        steps = self._log[max(proposal.base - self._base, 0) :]
        return sum(len(proposal.operation) + len(step.operation) for step in steps)

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

        Those that are in the log already are left out.
        """
        if base < self._base:
            raise OutOfStep(Code.STALE_REVISION, "This revision is not one of the last")
        chain = [(draft, ot.from_json(draft.operation)) for draft in drafts]
        for step in self._log[base - self._base :]:
            other, other_id = step.operation, step.entry.draft.client_id
            carried: list[tuple[Draft, ot.Operation]] = []
            while chain:
                draft, operation = chain.pop(0)
                if name_of(draft) == name_of(step.entry.draft):
                    break  # this is it: those behind it follow it already
                left = draft.client_id < other_id
                carried.append((draft, ot.transform(operation, other, left)))
                other = ot.transform(other, operation, not left)
            chain = carried + chain
        return [attrs.evolve(draft, operation=ot.to_json(made)) for draft, made in chain]

    # What happens to it

    def hear(self, entry: Entry, operation: ot.Operation) -> None:
        """Apply the next entry, whose operation this is."""
        self.text.apply(operation)
        self.revision = entry.revision
        self.edited_ms = entry.draft.timestamp_ms
        self._append(_Step(entry, operation, len(self.text)))

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
            self._base, self._base_length = self._base + count, self._log[count - 1].length
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

    def _append(self, step: _Step) -> None:
        self._log.append(step)
        revision, draft = step.entry.revision, step.entry.draft
        if not draft.author.startswith(PASSING):
            self.answered[draft.author] = (draft.seq, revision, draft.timestamp_ms)
        elif draft.operation_id is not None:
            self._ids[draft.user_id, draft.operation_id] = (revision, draft.timestamp_ms)
            if len(self._ids) > MAX_IDS:
                del self._ids[next(iter(self._ids))]
