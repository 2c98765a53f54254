"""A TCP proxy on loopback, which does to connections what networks do.

- `PASS` hands everything on.
- `BLACKHOLE` hands nothing on, either way, not even the end of a connection. What came meanwhile
  is handed on when that is over, as late as it is.
- `DROP_REPLIES` and `DROP_REQUESTS` lose what comes from the target, or what goes to it. A stream
  cannot go on with a hole in it: a connection that lost something is reset when that is over.
- `DELAY` hands everything on so much later.
- `RESET` resets all connections, and each new one.
- `REFUSE` resets all connections, and listens no more.
- `ACCEPT_CLOSE` closes all connections, and each new one, as a proxy does whose target is away.
"""

import asyncio
import contextlib
import enum
import socket
import struct
import threading
from collections.abc import Coroutine
from types import TracebackType
from typing import Self

from tests.journeys.daemon import free_port

WITHIN_S = 10.0
CHUNK_BYTES = 65536


class Mode(enum.Enum):
    """What becomes of the bytes; a change is one for the connections that are there, too."""

    PASS = enum.auto()
    BLACKHOLE = enum.auto()
    DROP_REPLIES = enum.auto()
    DROP_REQUESTS = enum.auto()
    DELAY = enum.auto()
    RESET = enum.auto()
    REFUSE = enum.auto()
    ACCEPT_CLOSE = enum.auto()


_Arrived = tuple[float, bytes]


class _Connection:
    """A client's connection, and the one to the target that was made for it."""

    def __init__(
        self, proxy: "TcpProxy", client: asyncio.StreamWriter, target: asyncio.StreamWriter
    ) -> None:
        self._proxy = proxy
        self._writers = (client, target)
        self.lost_bytes = 0

    async def run(self, client: asyncio.StreamReader, target: asyncio.StreamReader) -> None:
        """Hand on both ways, until one side ends."""
        to_client, to_target = self._writers
        ways = [(client, to_target, Mode.DROP_REQUESTS), (target, to_client, Mode.DROP_REPLIES)]
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self.close)
            tasks = []
            for reader, writer, dropping in ways:
                arrived: asyncio.Queue[_Arrived] = asyncio.Queue()
                tasks.append(asyncio.create_task(_receive(reader, arrived)))
                tasks.append(asyncio.create_task(self._hand_on(arrived, writer, dropping)))
            deliveries = tasks[1::2]
            try:
                await asyncio.wait(deliveries, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End both sides in good order."""
        for writer in self._writers:
            writer.close()

    def reset(self) -> None:
        """End both sides by RST."""
        for writer in self._writers:
            connection = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it has ended
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _hand_on(
        self, arrived: asyncio.Queue[_Arrived], writer: asyncio.StreamWriter, dropping: Mode
    ) -> None:
        while True:
            at_s, data = await arrived.get()
            await self._proxy.hold(at_s)
            if self._proxy.mode is dropping:
                self.lost_bytes += max(len(data), 1)  # an end that is lost counts, too
            elif not data:
                return
            else:
                writer.write(data)
                with contextlib.suppress(ConnectionError):
                    await writer.drain()


async def _receive(reader: asyncio.StreamReader, arrived: asyncio.Queue[_Arrived]) -> None:
    """Take what comes, and in the end nothing."""
    data = b"?"
    while data:
        try:
            data = await reader.read(CHUNK_BYTES)
        except ConnectionError:
            data = b""
        arrived.put_nowait((asyncio.get_running_loop().time(), data))


class TcpProxy:
    """Listens on `port` from the beginning of its context to its end.

    New connections lead to what `target_port` is then.
    """

    def __init__(self, target_port: int, port: int | None = None) -> None:
        self.port = port or free_port()
        self.mode = Mode.PASS
        self.accepted = 0
        self._delay_s = 0.0
        self.target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._connections: set[_Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._call(self._listen())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WITHIN_S)
        self._loop.close()

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    def set(self, mode: Mode, delay_s: float = 0.0) -> None:
        """Go on so from now on."""
        self._call(self._set(mode, delay_s))

    def reset(self) -> None:
        """Reset the connections that are there, and go on as before."""
        mode, delay_s = self.mode, self._delay_s
        self.set(Mode.RESET)
        self.set(mode, delay_s)

    async def hold(self, at_s: float) -> None:
        """Wait until what arrived then may go on."""
        while True:
            changed = self._changed
            match self.mode:
                case Mode.BLACKHOLE:
                    await changed.wait()
                case Mode.DELAY:
                    left_s = at_s + self._delay_s - self._loop.time()
                    if left_s <= 0:
                        return
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), left_s)
                case _:
                    return

    def _call(self, coroutine: Coroutine[object, None, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(WITHIN_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _set(self, mode: Mode, delay_s: float) -> None:
        self.mode, self._delay_s = mode, delay_s
        self._changed.set()
        self._changed = asyncio.Event()
        for connection in list(self._connections):
            if mode in (Mode.RESET, Mode.REFUSE) or (connection.lost_bytes and not self._drops):
                connection.reset()
            elif mode is Mode.ACCEPT_CLOSE:
                connection.close()
        if mode is Mode.REFUSE and self._server is not None:
            self._server.close()
            self._server = None
        elif mode is not Mode.REFUSE and self._server is None:
            await self._listen()

    @property
    def _drops(self) -> bool:
        return self.mode in (Mode.DROP_REPLIES, Mode.DROP_REQUESTS)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.close()
            return
        connection = _Connection(self, writer, to_writer)
        if self.mode in (Mode.RESET, Mode.REFUSE):
            connection.reset()
        elif self.mode is Mode.ACCEPT_CLOSE:
            connection.close()
        else:
            self._connections.add(connection)
            try:
                await connection.run(reader, to_reader)
            finally:
                self._connections.discard(connection)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
