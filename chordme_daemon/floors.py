"""Every part of a daemon, from the ground up: the one place where all are named."""

import os
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.defer import ensureDeferred
from twisted.internet.task import LoopingCall
from twisted.web.server import Request

from chordme_daemon import __version__, values
from chordme_daemon.admission import Admission
from chordme_daemon.app import payloads
from chordme_daemon.app.access import Access
from chordme_daemon.app.allowance import Allowance
from chordme_daemon.app.answers import Answers
from chordme_daemon.app.authorizers import TokenClaims
from chordme_daemon.app.documents import Documents
from chordme_daemon.app.editing import Editing
from chordme_daemon.app.emitters import Emitters
from chordme_daemon.app.events import Fields, Permission
from chordme_daemon.app.keyring import Key
from chordme_daemon.app.orders import Orders
from chordme_daemon.app.records import Records
from chordme_daemon.app.rooms import Rooms
from chordme_daemon.app.server import App
from chordme_daemon.app.turnstile import Turnstile
from chordme_daemon.belongings import Belongings
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.local import LocalCluster
from chordme_daemon.cluster.redis import RedisCluster
from chordme_daemon.cluster.saves import ISaves, LocalSaves, RedisSaves
from chordme_daemon.engineio.factory import WebSocketFactory
from chordme_daemon.engineio.server import Server as EngineServer
from chordme_daemon.keys import RemoteKeys
from chordme_daemon.relay import Peer, Relay
from chordme_daemon.settings import Config, store_path
from chordme_daemon.socketio.server import Server as SocketServer
from chordme_daemon.web import client_address

NODE_BYTES: Final = 6
SID_BYTES: Final = 15


class Floors:
    """The parts of one daemon; they are built here, and begin and end in this order or its reverse.

    `redis` is the cluster when there is one, and `journal` what is kept on this machine.
    """

    def __init__(self, config: Config, reactor: Any, most_connections: int = 1 << 30) -> None:
        self._config = config
        self._reactor = reactor
        self._most_connections = most_connections
        # In each session's id of this daemon, so that others know whose it is.
        self.node = secrets.token_urlsafe(NODE_BYTES) if config.cluster.redis_url else ""
        # Where other daemons reach this one; known when it listens.
        self.peer_address = config.cluster.peer_address
        self._build_transports()
        self._build_rooms()
        self._build_application()

    def _build_transports(self) -> None:
        config, reactor = self._config, self._reactor
        settings = values.engine_settings(config, self._most_connections)
        self.socketio = SocketServer(
            reactor,
            # The application is built last.
            {"/": lambda connection, auth: self.app.accept(connection, auth)},  # noqa: PLW0108
            connect_timeout_s=config.heartbeat.connect_timeout_s,
            counted_events=payloads.EVENTS,
        )
        self.engine = EngineServer(
            reactor,
            lambda socket: self.admission.accept(socket),  # noqa: PLW0108 - built later as well
            settings,
            self._new_sid,
        )
        self.websockets = WebSocketFactory(
            reactor,
            max_message_bytes=settings.max_message_bytes,
            upgrade_timeout_s=settings.upgrade_timeout_s,
        )

    def _build_rooms(self) -> None:
        config, reactor, limits = self._config, self._reactor, self._config.limits
        self.journal = self._build_journal()
        self.redis = self._build_redis()
        self.cluster = self.redis or self._build_local()
        self.documents = Documents(self.cluster, reactor)
        self._claims = TokenClaims(Permission.from_wire(config.auth.default_permission))
        self.belongings = self._build_belongings()
        self.rooms = Rooms(
            self.cluster,
            self.socketio.prepare,
            values.capacity(limits),
            time.time,
            self.documents.bring_back,
            clock=reactor,
            fill=None if self.belongings is None else self.belongings.fill,
        )

    def _build_application(self) -> None:
        config, reactor, limits = self._config, self._reactor, self._config.limits
        self._address_of = client_address(config.proxy.trusted)
        self.relay = self._build_relay()
        self.records = Records(self.cluster, self.rooms, self.documents, _now_ms)
        self.share = self.redis.session.spend if self.redis is not None else None
        # A balancer spreads what comes from one address over all daemons.
        self.connections = Allowance(
            "connections", limits.connections, reactor, self.share, beforehand=0
        )
        self.admission = Admission(
            self.connections, limits.connections_per_address, self.socketio.accept
        )
        self.turnstile = Turnstile(limits.connections_per_user, self._refund)
        self.keys = self._build_keys()
        self.access = self._build_access()
        self.answers, self.app = self._build_app()
        self.orders = Orders(
            self.cluster,
            self.app,
            self.answers,
            self.rooms,
            rulings=self.access.rulings,
            wall_s=time.time,
        )
        self.emitters = Emitters(
            self.app,
            self.answers,
            self.rooms,
            self.socketio.prepare,
            may=config.cluster.emitters_may,
        )
        if self.belongings is not None:
            self._join_belongings(self.belongings)

    def address_of(self, request: Request) -> str:
        """The client's address of a request, as far as trusted proxies tell it."""
        return self._address_of(request)

    def _build_relay(self) -> Relay | None:
        if self.redis is None or not self._config.cluster.peer_listen:
            return None
        session, heartbeat = self.redis.session, self._config.heartbeat

        async def find(node: str) -> Peer | None:
            address = await session.peer(node)
            return None if address is None else Peer(address, session.password.encode())

        return Relay(
            self._reactor,
            self.node,
            lambda node: ensureDeferred(find(node)),
            self.address_of,
            # A poll is answered by the next ping at the latest.
            poll_within_s=heartbeat.ping_interval_s + heartbeat.ping_timeout_s,
        )

    def _new_sid(self) -> str:
        return secrets.token_urlsafe(SID_BYTES) + self.node

    def _build_journal(self) -> Journal | None:
        if not self._config.store_url:
            return None
        path = store_path(self._config.store_url, os.environ)
        synchronous = self._config.store.synchronous
        return Journal(path, reactor=self._reactor, synchronous=synchronous)

    def _build_local(self) -> LocalCluster:
        assert self.journal is not None  # noqa: S101 - there is one where there is no Redis
        return LocalCluster(self.journal, self._reactor, time.time)

    def _build_redis(self) -> RedisCluster | None:
        cluster = self._config.cluster
        if cluster.redis_url is None:
            return None
        return RedisCluster(
            self._reactor,
            cluster.redis_url,
            node=self.node,
            wall_s=time.time,
            prefix=cluster.prefix,
            peer_address=lambda: self.peer_address,
            trust=values.authorities(cluster.redis_ca),
            journal=self.journal,
            listeners=self._listeners(),
        )

    def _listeners(self) -> dict[bytes, Callable[[bytes], None]]:
        """Who hears the channels in which a backend speaks."""
        cluster = self._config.cluster
        heard: dict[bytes, Callable[[bytes], None]]
        heard = {name.encode(): self._hear_emitter for name in cluster.emitters}
        if self._config.backend.url and self._config.backend.key:
            heard[self._notices_channel] = self._hear_notice
        return heard

    @property
    def _notices_channel(self) -> bytes:
        return f"{self._config.cluster.prefix}notices".encode()

    def _hear_notice(self, message: bytes) -> None:
        self.take_notice(message, is_for_all=False)

    def take_notice(self, message: bytes, *, is_for_all: bool = True) -> bool:
        """Hear a notice of the backend, and have the others hear it; whether it was one."""
        notices = self.belongings.notices if self.belongings is not None else None
        if notices is None or not notices.hear(message):
            return False
        if is_for_all and self.redis is not None:
            # We hear it as well, as something that was said before.
            saying = self.redis.session.link.call("PUBLISH", self._notices_channel, message)
            saying.addErrback(lambda _: None)
        return True

    def _hear_emitter(self, data: bytes) -> None:
        self.emitters.hear(data)  # built after the application

    def _build_belongings(self) -> Belongings | None:
        backend = self._config.backend
        if not backend.url:
            return None
        trust = values.authorities(backend.ca)
        return Belongings(backend, self._reactor, time.time, trust=trust, claims=self._claims)

    def _join_belongings(self, belongings: Belongings) -> None:
        if self.redis is not None:
            saves: ISaves = RedisSaves(self.redis.session)
        else:
            assert self.journal is not None  # noqa: S101 - there is one where there is no Redis
            saves = LocalSaves(self.journal, self._reactor)
        belongings.join(self.cluster, saves, self.rooms, self.documents)
        belongings.attend(self.app, self.answers, self.emitters, self.access)
        self.orders.ask_again = belongings.reviews.review_room

    def _build_keys(self) -> RemoteKeys | None:
        auth = self._config.auth
        if not auth.jwks_url:
            return None

        def learned(keys: Sequence[Key]) -> None:
            self.access.verifier.use(keys)

        return RemoteKeys(self._reactor, auth.jwks_url, learned, values.authorities(auth.jwks_ca))

    def _build_access(self) -> Access:
        auth = self._config.auth
        return Access(
            values.verifier(auth),
            self._claims if self.belongings is None else self.belongings.rights,
            auth.authenticate_within_s,
            None if self.keys is None else self.keys.look,
        )

    def _build_app(self) -> tuple[Answers, App]:
        answers = Answers(
            self._reactor,
            time.time,
            access=self.access,
            limits=values.limits(self._config),
            rooms=self.rooms,
            editing=Editing(self.rooms, self.documents, _now_ms),
            turnstile=self.turnstile,
            share=self.share,
        )

        def greeting() -> Fields:
            degraded = not self.cluster.available
            return payloads.connected(__version__, answers.limits.announced, degraded=degraded)

        return answers, App(self._reactor, answers, self.access, greeting)

    def found_at(self, address: Any) -> None:
        """Hear where the listener for other daemons is."""
        if not self.peer_address:
            host = f"[{address.host}]" if ":" in address.host else address.host
            self.peer_address = f"{host}:{address.port}"

    def peer_key(self) -> bytes:
        """The password that opens that listener; empty as long as there is none."""
        return self.redis.session.password.encode() if self.redis is not None else b""

    def start(self) -> None:
        """Open what is kept, and begin; raises `JournalError`."""
        if self.journal is not None:
            self.journal.open()
        self.cluster.start()

    @property
    def ticking(self) -> tuple[Any, ...]:
        """The parts that are to be ticked."""
        return (
            self.engine,
            self.websockets,
            self.socketio,
            self.app,
            self.cluster,
            self.connections,
            self.emitters,
            self.orders,
            *([self.keys] if self.keys is not None else []),
            *([self.belongings] if self.belongings is not None else []),
        )

    def reload(self, config: Config) -> None:
        """Go by another configuration, in all that can be changed while clients are here."""
        self._config = config
        auth, limits = config.auth, config.limits
        self._address_of = client_address(config.proxy.trusted)
        self.access.verifier = values.verifier(auth)
        if self.keys is not None:
            self.access.verifier.use(self.keys.keys)
        self.access.authenticate_within_s = auth.authenticate_within_s
        self._claims.default = Permission.from_wire(auth.default_permission)
        self.engine.settings = values.engine_settings(config, self._most_connections)
        self.websockets.limit(limits.message_bytes)
        self.connections.change(limits.connections)
        self.admission.most = limits.connections_per_address
        self.turnstile.most = limits.connections_per_user
        self.rooms.capacity = values.capacity(limits)
        self.answers.go_by(values.limits(config))
        self.app.review()

    def _refund(self, address: str) -> None:
        if self._config.limits.refund_authenticated:
            self.admission.refund(address)

    async def stop(self) -> None:
        """End, when the clients have left."""
        # A Redis that has fallen silent is to be noticed by now as well.
        watching = LoopingCall(self.cluster.tick)
        watching.clock = self._reactor
        watching.start(1.0, now=False)
        try:
            await self._stop()
        finally:
            if watching.running:  # no tick has failed
                watching.stop()

    async def _stop(self) -> None:
        if self.belongings is not None:
            await self.belongings.stop()
        if self.relay is not None:
            await self.relay.close()
        if self.redis is not None:
            await self.redis.stop()
        if self.journal is not None:
            await self.journal.close()


def _now_ms() -> int:
    return int(time.time() * 1000)
