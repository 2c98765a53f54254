"""Clients of both kinds on lines that are cut, and what is slow behind the daemon they edit on.

Nothing here goes on by itself: the test says what arrives next, and everything keeps its order.
"""

import json
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Final

from zope.interface import implementer

from chordme_daemon import ot
from chordme_daemon.engineio.encoded import Encoded
from chordme_daemon.engineio.interface import ITransport
from chordme_daemon.engineio.session import UNLIMITED
from tests.app.conftest import House, Payload
from tests.app.simulation import CurrentClient, LegacyClient

ROOM: Final = "song"
# In the place of a packet: nothing comes any more.
LOST: Final = ""
# What a current client may be refused without having done anything wrong.
EXPECTED_CODES: Final = {"rate_limited", "unavailable", "stale_revision"}


@implementer(ITransport)
class Line:
    """One connection, and what is on its way in it, up to the daemon and down to the client."""

    name = "websocket"
    max_packets = UNLIMITED

    def __init__(self, house: House) -> None:
        self.writable = True
        self.up: deque[str] = deque()
        self.down: deque[str] = deque()
        self.is_open = True
        self.socket = house.engine.open(self, "127.0.0.1")

    def write(self, packets: list[Encoded], joined: dict[tuple[Encoded, ...], bytes]) -> None:
        if self.is_open:
            self.down.extend(packet.body.decode() for packet in packets)

    def close(self, packets: list[Encoded], *, by_client: bool) -> bool:
        self.write(packets, {})
        self.abort()
        return True

    def abort(self) -> None:
        if self.is_open:
            self.is_open = False
            self.down.append(LOST)

    def arrive(self) -> None:
        """The next packet is with the daemon."""
        packet = self.up.popleft()
        if packet == LOST:
            self.socket.lost("transport close")
        else:
            self.socket.receive_text(packet)

    def drop(self, keep: int) -> None:
        """The client is gone; of what it said so many packets still arrive."""
        self.is_open = False
        self.down.clear()
        kept = list(self.up)[:keep]
        # What has not connected yet never will: else it could take over from its successor.
        self.up = deque([LOST] if any(packet[:2] == "40" for packet in kept) else [*kept, LOST])

    def crash(self, keep: int) -> None:
        """The daemon is gone; of what it said so many packets still arrive."""
        self.is_open = False
        self.up.clear()
        self.down = deque([*list(self.down)[:keep], LOST])


class Tab(ABC):
    """A browser tab, which speaks and hears on a line while it has one."""

    def __init__(self, user_id: str) -> None:
        self.user_id = user_id
        self.line: Line | None = None
        # Whether it has what it needs to take part in editing.
        self.ready = False
        # What it was told of its operations, by what they are known by.
        self.confirmed: dict[Any, Any] = {}
        self._heard: dict[str, Callable[[Payload], None]] = {
            "room_joined": self._joined,
            "document_state": self._replace,
            "collaboration_update": self._update,
            "operation_confirmed": self._confirmed,
            "error": self._refused,
        }

    @property
    def up(self) -> deque[str]:
        """What is on its way to the daemon."""
        assert self.line is not None
        return self.line.up

    def up_all(self) -> None:
        """All that is on its way is with the daemon."""
        while self.up:
            assert self.line is not None
            self.line.arrive()

    def connect(self, house: House, **auth: object) -> None:
        self.line = Line(house)
        self.line.up.append("40" + json.dumps({"token": house.token(self.user_id), **auth}))
        self.emit("join_room", self.wish())

    def emit(self, event: str, payload: Payload) -> None:
        if self.line is not None:
            self.line.up.append("42" + json.dumps([event, {"room_id": ROOM, **payload}]))

    def drop(self, keep: int) -> Line:
        """Lose the connection; the line that is left."""
        line, self.line, self.ready = self.line, None, False
        assert line is not None
        line.drop(keep)
        return line

    def arrive(self) -> None:
        """The next packet is with the client, with all that a ping before it is to tell of."""
        assert self.line is not None
        packet = self.line.down.popleft()
        if packet == LOST:
            self.line, self.ready = None, False
        elif packet == "2":
            self.line.up.append("3")
            if self.line.down:
                self.arrive()
        elif packet.startswith("42"):
            name, payload = json.loads(packet[2:])
            if name in self._heard:
                self._heard[name](payload)

    def arrive_all(self) -> None:
        """All that is on its way is with the client."""
        while self.line is not None and self.line.down:
            self.arrive()

    @abstractmethod
    def edit(self, parts: Sequence[ot.Operation]) -> None:
        """Somebody types; each part is in the text made by those before."""

    @property
    @abstractmethod
    def text(self) -> str:
        """What it shows, in units form."""

    @property
    @abstractmethod
    def is_quiet(self) -> bool:
        """Whether it waits for nothing."""

    # What it makes of what it hears

    @abstractmethod
    def wish(self) -> Payload:
        """What it asks for when it joins."""

    @abstractmethod
    def _joined(self, payload: Payload) -> None:
        """It is in the room."""

    @abstractmethod
    def _replace(self, payload: Payload) -> None:
        """Its text is another one."""

    @abstractmethod
    def _update(self, payload: Payload) -> None:
        """Somebody has edited."""

    @abstractmethod
    def _confirmed(self, payload: Payload) -> None:
        """Its edit is in the log."""

    @abstractmethod
    def _refused(self, payload: Payload) -> None:
        """Its edit is not."""


class CurrentTab(Tab):
    """The state machine of a current client, and what it does when it was away."""

    def __init__(self, user_id: str, client_id: str, *, is_hasty: bool = False) -> None:
        super().__init__(user_id)
        self.client: CurrentClient | None = None
        self.client_id = client_id
        # Whether it sends again what is on its way before it knows whether it has to.
        self._is_hasty = is_hasty
        # Refused for now: it is to be sent again.
        self.is_refused = False

    @property
    def text(self) -> str:
        return "" if self.client is None else self.client.text

    @property
    def is_quiet(self) -> bool:
        return self.ready and self.client is not None and self.client.sent is None

    def connect(self, house: House, **auth: object) -> None:
        super().connect(house, client_id=self.client_id)
        if self._is_hasty:
            self._send_outgoing()

    def refresh(self, keep: int) -> Line:
        """Forget everything but who it is."""
        self.client = None
        return self.drop(keep)

    def edit(self, parts: Sequence[ot.Operation]) -> None:
        assert self.client is not None
        if self.client.edit(reduce(ot.compose, parts)):
            self.send()

    def send(self) -> None:
        """Send what is on its way, if that can be done now."""
        self.is_refused = False
        if self.ready:
            self._send_outgoing()

    def _send_outgoing(self) -> None:
        if self.client is None or self.client.outgoing is None:
            return
        outgoing = self.client.outgoing
        operation = ot.to_wire(outgoing.operation) or [{"type": "retain"}]
        self.emit(
            "collaboration_operation",
            {"operation": operation, "revision": outgoing.revision, "seq": outgoing.seq},
        )

    def wish(self) -> Payload:
        if self.client is None:
            return {"document": True}
        return {"revision": self.client.revision}

    def _joined(self, payload: Payload) -> None:
        if payload.get("resync"):
            return
        self.ready = True
        if "document" in payload:
            text = ot.to_units(payload["document"]["text"])
            last_seq = payload["last_seq"]
            self.client = CurrentClient(self.client_id, text, payload["revision"], last_seq)
            return
        for update in payload["operations"]:
            self._take(update)
        assert self.client is not None
        assert self.client.revision == payload["revision"], "a hole"
        self.send()

    def _update(self, payload: Payload) -> None:
        if self._take(payload):
            self.send()

    def _take(self, payload: Payload) -> bool:
        """Take the next revision; True if it was this client's own."""
        client = self.client
        assert client is not None
        assert self.ready
        assert payload["revision"] == client.revision + 1, "a hole"
        operation = ot.from_wire(payload["operations"])
        if payload["client_id"] != self.client_id:
            client.hear(operation, payload["client_id"])
            return False
        assert payload["seq"] == client.seq, "an operation that it has not sent"
        assert operation == client.sent, "another operation than its own"
        self._confirm(client)
        return True

    def _confirm(self, client: CurrentClient) -> None:
        self.confirmed[client.seq] = (client.revision + 1, client.sent)
        client.confirm()

    def _confirmed(self, payload: Payload) -> None:
        client = self.client
        if client is None or client.sent is None or payload["seq"] != client.seq:
            return  # it was in what was missed
        assert payload["revision"] == client.revision + 1, "a hole"
        self._confirm(client)
        self.send()

    def _refused(self, payload: Payload) -> None:
        assert payload["code"] in EXPECTED_CODES, payload
        # After `stale_revision` comes the whole text.
        self.is_refused = payload["code"] != "stale_revision"

    def _replace(self, payload: Payload) -> None:
        """Go on with another text; what nobody else has heard of is carried over to it."""
        client = self.client
        assert client is not None
        if client.sent is not None and payload["last_seq"] >= client.seq:
            self.confirmed[client.seq] = None
            client.confirm()
        text = ot.to_units(payload["text"])
        client.hear(difference(client.synced, text), "")
        client.revision = payload["revision"]
        self.ready = True
        self.send()


class LegacyTab(Tab):
    """Transforms nothing. It may say with its operations what it has seen."""

    def __init__(self, user_id: str, name: str, *, echoes: bool, listens: bool) -> None:
        super().__init__(user_id)
        self.name = name
        self.client = LegacyClient(name)
        self.refused: set[str] = set()
        self._echoes = echoes
        # Whether it knows `document_state`; else that stands for how it loads the song.
        self._listens = listens
        self._edits = 0

    @property
    def text(self) -> str:
        return self.client.text

    @property
    def is_quiet(self) -> bool:
        return self.ready

    def edit(self, parts: Sequence[ot.Operation]) -> None:
        self.client.edit(parts)
        self._edits += 1
        operations = [part for each in parts for part in ot.to_wire(each)]
        operation: Payload = {"type": "compound", "operations": operations}
        if len(operations) == 1:
            operation = dict(operations[0])
        operation["id"] = f"{self.name}-{self._edits}"
        seen = {"seen": self.client.seen} if self._echoes else {}
        self.emit("collaboration_operation", {"operation": operation, **seen})

    def wish(self) -> Payload:
        return {}

    def _joined(self, payload: Payload) -> None:
        if not payload["revision"] and not self.ready:
            self.client.load(0, "")
            self.ready = True

    def _replace(self, payload: Payload) -> None:
        if self._listens or payload["reason"] == "joined":
            self.client.load(payload["delivery"], ot.to_units(payload["text"]))
            self.ready = True

    def _update(self, payload: Payload) -> None:
        assert self.ready
        self.client.hear(payload["delivery"], ot.from_wire([payload["operation"]]))

    def _confirmed(self, payload: Payload) -> None:
        self.confirmed[payload["operation_id"]] = payload["revision"]

    def _refused(self, payload: Payload) -> None:
        if "id" in payload:
            self.refused.add(payload["id"])


def difference(before: str, after: str) -> ot.Operation:
    """What makes one text of another, in whole code points; both in units form."""
    old, new = ot.from_units(before), ot.from_units(after)
    most = min(len(old), len(new))
    start = next((i for i in range(most) if old[i] != new[i]), most)
    end = next((i for i in range(most - start) if old[-1 - i] != new[-1 - i]), most - start)
    kept = ot.to_units(old[:start])
    put = ot.to_units(new[start : len(new) - end])
    return ot.canonical((len(kept), put, -len(ot.to_units(old[start : len(old) - end]))))
