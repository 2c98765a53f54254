"""What legacy clients of a room are told of edits, and when they have seen it.

- Each insert or delete is one delivery. Their numbers grow, so a client has seen all up to one.
- A barrier goes in front of each delivery, and not once in front of many: what a client types
  between two of them is to be understood as typed there. One that says itself what it has seen
  needs one barrier for all, for when it does not type.
- What a member cannot be told now waits in its shadow, and nowhere else: when its connection is
  full, and when an edit has so many parts, or the room so many members, that telling all of it to
  all would hold up everybody else. Then it goes on when the first of it has been seen, or at the
  next tick.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from twisted.logger import Logger

from chordme_daemon import ot
from chordme_daemon.app import payloads
from chordme_daemon.app.document import MAX_LAG
from chordme_daemon.app.seats import Seat
from chordme_daemon.app.shadow import Shadow
from chordme_daemon.cluster.interface import Draft
from chordme_daemon.socketio.server import Emission

Prepare = Callable[..., Emission]
# A member with its shadow.
Legacy = tuple[Seat, Shadow]
# The number of a delivery, and what is delivered.
Update = tuple[int, Emission]

# How many deliveries of one edit are made at once to all members, and at least to each.
MAX_AT_ONCE: Final = 800
LEAST_AT_ONCE: Final = 8


class Deliveries:
    """Tells the legacy clients among the members of a room; `wall_s()` is the time of day.

    `tell_state(seat, reason)` is for one that is too far behind to be told every edit.
    """

    log = Logger()

    def __init__(
        self,
        room_id: str,
        seats: Mapping[str, Seat],
        prepare: Prepare,
        wall_s: Callable[[], float],
        tell_state: Callable[[Seat, str], None],
    ) -> None:
        self._room_id = room_id
        self._seats = seats
        self._prepare = prepare
        self._wall_s = wall_s
        self._tell_state = tell_state
        self._last = 0
        self._given_up: list[Seat] = []

    def tell(self, legacy: Sequence[Legacy], draft: Draft, operation: ot.Operation) -> None:
        """Tell members of an edit that their shadows have heard, as far as that can be now."""
        most = max(LEAST_AT_ONCE, MAX_AT_ONCE // len(legacy))
        parts = ot.split(operation)[:most]
        updates: list[Update] = []
        for seat, shadow in legacy:
            try:
                due = self._due(seat, shadow, most)
                if due and due == parts and shadow.origin is draft:
                    updates = updates or [self._update(draft, part) for part in parts]
                    for number, _ in updates:
                        shadow.deliver(number)
                    self._deliver(seat, updates)
                else:
                    self._send(seat, shadow, due)
            except Exception:
                self.give_up(seat)

    def update(self, seat: Seat, *, at_tick: bool = False) -> None:
        """Tell a member what it may be told by now, if it is one, and is a legacy client.

        One that never says what it has seen is told at the ticks.
        """
        shadow = seat.shadow
        if shadow is None or not seat.hears or self._seats.get(seat.member.key) is not seat:
            return
        try:
            legacy = sum(other.shadow is not None for other in self._seats.values())
            most = max(LEAST_AT_ONCE, MAX_AT_ONCE // legacy)
            if not at_tick:
                most -= shadow.under_way
            self._send(seat, shadow, self._due(seat, shadow, most))
        except Exception:
            self.give_up(seat)
            self.close_given_up()

    def replace(self, seat: Seat, shadow: Shadow, state: Callable[..., object]) -> None:
        """Give a member the whole text; `state` makes the payload of it, with a `delivery`."""
        shadow.reset()
        self._last += 1
        seat.replacing = self._last
        self._deliver(
            seat, [(self._last, self._prepare("document_state", state(delivery=self._last)))]
        )

    def give_up(self, seat: Seat) -> None:
        """Tell a member no more, of which it is not known what its client has; then close it."""
        self.log.failure("A client's text was lost sight of", connection=seat.connection.sid)
        seat.hears = False
        self._given_up.append(seat)

    def close_given_up(self) -> None:
        """Close the connections of those who were given up.

        They leave in being closed: not while something is told to all.
        """
        while self._given_up:
            self._given_up.pop().connection.close()

    def _due(self, seat: Seat, shadow: Shadow, most: int) -> list[ot.Operation]:
        if shadow.behind > MAX_LAG and shadow.pending is None:
            shadow.reset()
            seat.behind = True
            if seat.has_caught_up:
                self._tell_state(seat, "behind")
        return shadow.due(most) if not seat.is_full else []

    def _send(self, seat: Seat, shadow: Shadow, due: Sequence[ot.Operation]) -> None:
        updates = []
        for operation in due:
            draft = shadow.deliver(self._last + 1)
            updates.append(self._update(draft, operation))
        if updates:
            self._deliver(seat, updates)

    def _update(self, draft: Draft | None, operation: ot.Operation) -> Update:
        """The next delivery; a repair is nobody's."""
        self._last += 1
        at_ms = int(self._wall_s() * 1000) if draft is None else draft.timestamp_ms
        payload = payloads.legacy_update(self._room_id, draft, operation, self._last, at_ms)
        return self._last, self._prepare("collaboration_update", payload)

    def _deliver(self, seat: Seat, updates: Sequence[Update]) -> None:
        """Send something to a legacy client, and hear when it has seen all of it."""
        if seat.echoes:
            # Its operations say what they have seen; the barrier is for when there are none.
            for _, emission in updates:
                seat.connection.send(emission)
            seat.connection.barrier(self._when_seen(seat, updates[-1][0]))
            return
        for number, emission in updates:
            # In front: what the client does between the two packets is as little as can be.
            seat.connection.barrier(self._when_seen(seat, number))
            seat.connection.send(emission)

    def _when_seen(self, seat: Seat, number: int) -> Callable[[], None]:
        return partial(seat.in_turn, partial(self._seen, seat, number))

    def _seen(self, seat: Seat, number: int) -> None:
        if self._seats.get(seat.member.key) is not seat:
            return
        try:
            seat.saw(number)
        except Exception:
            self.give_up(seat)
            self.close_given_up()
        else:
            self.update(seat)
