"""Real socket.io-clients in a Node program, led by the hand."""

import signal
import subprocess
import threading
import time
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import attrs
import orjson

from tests.journeys.daemon import token

HERE = Path(__file__).parent
WITHIN_S = 15.0

POLLING: dict[str, object] = {"transports": ["polling"]}
WEBSOCKET: dict[str, object] = {"transports": ["websocket"]}


@attrs.frozen
class Heard:
    """One thing that a client heard: an `event`, an `answer` to a question, its own `state`."""

    kind: str
    name: object
    args: list[Any]


class Client:
    """One socket.io-client. `story` is all that it heard, in order."""

    def __init__(self, program: "ClientProgram", number: int) -> None:
        self.story: list[Heard] = []
        self._program = program
        self._number = number
        self._questions = 0
        # How many of each kind and name have been waited for.
        self._taken: Counter[tuple[str, object]] = Counter()

    def tell(self, do: str, **command: object) -> None:
        """Have the program do one of its commands for this client; see client.js."""
        self._program.write({"do": do, "client": self._number, **command})

    def emit(self, name: str, *args: object) -> None:
        """Emit an event that asks for no acknowledgement."""
        self.tell("emit", name=name, args=args)

    def ask(self, name: str, *args: object) -> Any:
        """Emit an event, and wait for its acknowledgement: the first argument of that."""
        self._questions += 1
        self.tell("ask", name=name, args=args, question=self._questions)
        answer = self._take("answer", self._questions, WITHIN_S)
        return answer[0] if answer else None

    def close(self) -> None:
        """Say goodbye, and wait until the client is gone."""
        self.tell("close")
        self.state("disconnect")

    def join(self, room_id: object, **fields: object) -> dict[str, Any]:
        """Join a room without an acknowledgement, and wait until one is in."""
        self.emit("join_room", {"room_id": room_id, **fields})
        joined: dict[str, Any] = self.event("room_joined")
        return joined

    def event(self, name: str, within_s: float = WITHIN_S) -> Any:
        """Wait for the next event of that name: its payload."""
        args = self._take("event", name, within_s)
        return args[0] if args else None

    def events(self, name: str, count: int) -> list[Any]:
        """Wait for the next few events of that name."""
        return [self.event(name) for _ in range(count)]

    def state(self, name: str, within_s: float = WITHIN_S) -> Any:
        """Wait for the next thing of that name that the client says of itself."""
        return self._take("state", name, within_s)[0]

    def count(self, name: str) -> int:
        """How many events of that name came so far."""
        return sum(heard.kind == "event" and heard.name == name for heard in self.story)

    def names(self) -> list[object]:
        """The names of all events so far, in order."""
        return [heard.name for heard in self.story if heard.kind == "event"]

    def _story_so_far(self) -> str:
        return "; ".join(f"{heard.name} {heard.args}"[:200] for heard in self.story[-20:])

    def _take(self, kind: str, name: object, within_s: float) -> list[Any]:
        number = self._taken[kind, name]
        self._taken[kind, name] += 1
        until = time.monotonic() + within_s
        with self._program.news:
            while True:
                found = [one for one in self.story if (one.kind, one.name) == (kind, name)]
                if len(found) > number:
                    return found[number].args
                left_s = until - time.monotonic()
                assert left_s > 0, f"no {name} within {within_s} s, but {self._story_so_far()}"
                self._program.news.wait(left_s)


class ClientProgram:
    """One Node process with any number of clients in it."""

    def __init__(self, node: str) -> None:
        self.news = threading.Condition()
        self._clients: list[Client] = []
        self._process = subprocess.Popen(
            [node, "client.js"],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._reading = threading.Thread(target=self._read, daemon=True)

    def __enter__(self) -> Self:
        self._reading.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.resume()
        self._process.kill()
        self._process.wait()
        self._reading.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def open(self, url: str, user_id: object = None, **options: object) -> Client:
        """A client that begins to connect, with a token of a user unless that is None."""
        client = Client(self, len(self._clients))
        self._clients.append(client)
        if user_id is not None:
            options.setdefault("auth", {"token": token(user_id)})
        client.tell("open", url=url, options=options)
        return client

    def connect(self, url: str, user_id: object, **options: object) -> Client:
        """A client that is connected and authenticated."""
        client = self.open(url, user_id, **options)
        client.event("authenticated")
        return client

    def pause(self) -> None:
        """Stop reading and everything else, as a process does that is swapped out."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._process.send_signal(signal.SIGCONT)

    def write(self, command: dict[str, object]) -> None:
        """Give the program a command."""
        assert self._process.stdin is not None
        self._process.stdin.write(orjson.dumps(command) + b"\n")
        self._process.stdin.flush()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # it was killed in the middle of saying it
            said = orjson.loads(line)
            with self.news:
                heard = Heard(said["kind"], said["name"], said["args"])
                self._clients[said["client"]].story.append(heard)
                self.news.notify_all()
