"""A song of a backend, the daemons that know it, and those who edit it."""

import secrets
from typing import Any

from tests.backend.server import BackendServer
from tests.journeys.clients import Client, ClientProgram
from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import Daemon, token

OWNER, EDITOR, READER, STRANGER = 1, 2, 3, 4
# What notices of the backend are signed with.
KEY = secrets.token_urlsafe(48)
SOON = {
    "backend.save_after": 0.2,
    "backend.recheck": 1,
    "limits.operations": 0,
    "limits.joins": 0,
}


class Editor:
    """A current client in one song, who types at its end."""

    def __init__(
        self, clients: ClientProgram, url: str, user_id: int, room: str, *, tab: str
    ) -> None:
        self.token = token(user_id)
        auth = {"token": self.token, "client_id": f"{tab}-{user_id}"}
        self.client: Client = clients.open(url, auth=auth, transports=["websocket"])
        self.client.event("authenticated")
        self.room = room
        self.joined = self.client.ask("join_room", {"room_id": room, "document": True})
        self.text: str = self.joined["document"]["text"] if self.joined["ok"] else ""
        self.seq = 0

    def edit(self, *operations: dict[str, object], revision: int) -> Any:
        self.seq += 1
        request = {"room_id": self.room, "operation": list(operations), "seq": self.seq}
        return self.client.ask("collaboration_operation", {**request, "revision": revision})

    def type(self, content: str) -> Any:
        """Replace the whole text by another one."""
        state = self.client.ask("join_room", {"room_id": self.room, "document": True})
        text = state["document"]["text"]
        gone = {"type": "delete", "position": 0, "length": len(text.encode("utf-16-le")) // 2}
        come = {"type": "insert", "position": 0, "content": content}
        operations = [one for one in (gone, come) if one.get("length", one.get("content"))]
        return self.edit(*operations, revision=state["revision"])

    def look(self) -> str:
        state = self.client.ask("join_room", {"room_id": self.room, "document": True})
        text: str = state["document"]["text"]
        return text

    def saved(self, *states: str) -> Any:
        """Wait until the room is told one of these."""
        while True:
            state = self.client.event("save_state")
            if state["state"] in states:
                return state


class Stage:
    """A backend with the song 7, the daemons that know it, and those who sing."""

    def __init__(
        self, backend: BackendServer, start_daemon: StartDaemon, clients: ClientProgram
    ) -> None:
        self.backend = backend
        levels = {EDITOR: "edit", READER: "read"}
        self.song = backend.store.song(7, OWNER, "[C]La\n", collaborators=levels)
        self._start_daemon = start_daemon
        self._clients = clients
        self.daemons: list[Daemon] = []

    def start(self, **settings: object) -> Daemon:
        """Start a daemon; the next to come go there."""
        ours = {name.replace("__", "."): value for name, value in settings.items()}
        daemon = self._start_daemon({**SOON, "backend.url": self.backend.url, **ours})
        self.daemons.append(daemon)
        return daemon

    @property
    def urls(self) -> list[str]:
        """Where the daemons are."""
        return [daemon.url for daemon in self.daemons]

    def editor(
        self, user_id: int, room: str = "7", *, tab: str = "tab", url: str | None = None
    ) -> Editor:
        """Somebody who has joined a song on the last daemon, or was refused."""
        return Editor(self._clients, url or self.urls[-1], user_id, room, tab=tab)
