"""What the official suites want to be served, on our `engineio` and `socketio` floors."""

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.web.resource import Resource
from twisted.web.server import Site

from chordme_daemon.engineio.door import Door
from chordme_daemon.engineio.events import Event
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.packet import Packet, PacketType, encode
from chordme_daemon.engineio.polling import EngineResource
from chordme_daemon.engineio.server import Receive as ReceiveMessage
from chordme_daemon.engineio.server import Server as EngineServer
from chordme_daemon.engineio.server import Socket
from chordme_daemon.engineio.settings import Heartbeat, Settings
from chordme_daemon.httpchannel import BoundedSite
from chordme_daemon.socketio.events import Called, Disconnected
from chordme_daemon.socketio.recovery import Recovery
from chordme_daemon.socketio.server import Connection, Receive
from chordme_daemon.socketio.server import Server as SocketServer

SETTINGS = Settings(heartbeat=Heartbeat(0.3, 0.2), max_message_bytes=1_000_000)
TICK_S = 0.02


def engineio_site(clock: IReactorTime) -> Site:
    """Echo every message, text as text and binary as binary, on /engine.io/."""

    def accept(socket: Socket) -> ReceiveMessage:
        def receive(event: Event) -> None:
            if isinstance(event, str | bytes):
                socket.send(encode(Packet(PacketType.MESSAGE, event)))

        return receive

    return _site(clock, b"engine.io", accept, [])


def socketio_site(clock: IReactorTime, *, recovery: bool = False) -> Site:
    """Two namespaces that say `auth`, and one that says back what it hears, on /socket.io/."""

    def accept(connection: Connection, auth: dict[str, object] | None) -> Receive:
        # The suite begins to listen only when it has seen the answer to CONNECT.
        clock.callLater(0.015, connection.emit, "auth", auth or {})

        def receive(event: Called | Disconnected) -> None:
            if not isinstance(event, Called) or connection.namespace != "/":
                return
            if event.event == "message":
                connection.emit("message-back", *event.args)
            elif event.event == "message-with-ack" and event.reply is not None:
                event.reply(*event.args)
            elif event.event == "leave":
                connection.disconnect(close=bool(event.args))
            elif event.event == "drop":
                connection.close()
            elif event.event == "call-back":
                connection.call("question", *event.args, answered=answered)

        def answered(*args: object) -> None:
            connection.emit("answered", *args)

        return receive

    server = SocketServer(
        clock,
        {"/": accept, "/custom": accept},
        connect_timeout_s=1.0,
        recovery=Recovery() if recovery else None,
    )
    return _site(clock, b"socket.io", server.accept, [server.tick])


def _site(
    clock: IReactorTime,
    path: bytes,
    accept: Callable[[Socket], ReceiveMessage],
    ticks: list[Callable[[], None]],
) -> Site:
    server = EngineServer(clock, accept, SETTINGS)
    websockets = WebSocketFactory(
        clock,
        max_message_bytes=SETTINGS.max_message_bytes,
        upgrade_timeout_s=SETTINGS.upgrade_timeout_s,
    )
    for tick in (server.tick, websockets.tick, *ticks):
        call = LoopingCall(tick)
        call.clock = clock
        call.start(TICK_S, now=False)
    root = Resource()
    root.putChild(path, EngineResource(server, websockets, Door(origins=["*"])))
    return BoundedSite(root, clock=clock, max_body_bytes=SETTINGS.max_message_bytes)
