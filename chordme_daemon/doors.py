"""The doors of a daemon: what is served to clients, to operators, and to the other daemons."""

import os
import time
from collections.abc import Callable, Mapping
from typing import Any

import attrs
from twisted.web.resource import IResource
from twisted.web.server import Request, Site

from chordme_daemon import __version__, demo
from chordme_daemon.admin.calls import Parts, routes
from chordme_daemon.admin.door import AdminDoor
from chordme_daemon.admin.openapi import describe
from chordme_daemon.admin.site import MAX_BODY_BYTES as MAX_SONG_BYTES
from chordme_daemon.admin.site import Calls
from chordme_daemon.engineio.door import Door
from chordme_daemon.engineio.polling import EngineResource
from chordme_daemon.floors import Floors
from chordme_daemon.httpchannel import BoundedSite, Served
from chordme_daemon.metrics import Figures, metrics, metrics_json
from chordme_daemon.notices import NoticeBox
from chordme_daemon.relay import PeerDoor, passed_address
from chordme_daemon.settings import Config, place_of_songs
from chordme_daemon.web import Check, Folder, basic_health, came_by_tls, health, json


class Doors:
    """The sites of a daemon; `greeting()` is what a demo says to try."""

    def __init__(
        self, config: Config, reactor: Any, floors: Floors, greeting: Callable[[], str]
    ) -> None:
        self.config = config
        self._reactor = reactor
        self._floors = floors
        self._greeting = greeting
        self._came_by_tls = came_by_tls(config.proxy.trusted)
        self.served = Served()
        self._sites: list[BoundedSite] = []
        self._engines: list[EngineResource] = []

    @property
    def are_sending(self) -> bool:
        """Whether a part of an answer has not left yet."""
        return any(site.is_sending for site in self._sites)

    def reload(self, config: Config) -> None:
        """Go by another configuration."""
        self.config = config
        self._came_by_tls = came_by_tls(config.proxy.trusted)
        for engine in self._engines:
            engine.door = attrs.evolve(engine.door, origins=config.server.origins)
        for site in self._sites:
            if site.max_body_bytes != MAX_SONG_BYTES:
                site.max_body_bytes = config.limits.message_bytes

    # For clients

    def front(self) -> Site:
        """What clients find."""
        floors = self._floors
        door = Door(
            origins=self.config.server.origins,
            admit=floors.admission.admit,
            address_of=floors.address_of,
            is_secure=self._is_secure,
        )
        if floors.relay is not None:
            door = attrs.evolve(door, pass_on=floors.relay.pass_on)
        children: dict[str, IResource] = {
            "api": basic_health(),
            "socket.io": self._engine(door),
        }
        if self.config.demo.enabled:
            children |= demo.children(self.config.auth.secret, self._greeting)
        return self._site(Folder(children), self.config.limits.message_bytes, self.served)

    def _is_secure(self, request: Request) -> bool:
        return self._came_by_tls(request)  # by the proxies of now, which may be others by then

    # For the other daemons

    def peer(self) -> Site:
        """For the other daemons: only sessions that are here, and nothing is passed on."""
        door = Door(origins=self.config.server.origins, address_of=passed_address)
        peer = PeerDoor(self._engine(door), self._floors.peer_key, self._reactor)
        return self._site(Folder({"socket.io": peer}), self.config.limits.message_bytes)

    # For operators

    def admin(
        self,
        figures: Figures,
        checks: Mapping[str, Callable[[], Check]],
        is_ready: Callable[[], bool],
    ) -> Site:
        """What an operator finds."""
        calls = self._calls()
        children: dict[str, IResource] = {
            "api": basic_health(),
            "health": health(__version__, is_ready, checks),
            "metrics": metrics(figures, self._reactor.seconds),
            "metrics.json": metrics_json(figures),
            "openapi.json": json(lambda _: (200, describe(__version__))),
            **dict.fromkeys(calls.names, calls),
        }
        if self.config.backend.key:
            children["backend"] = NoticeBox(self._floors.take_notice, self._reactor)
        return self._site(Folder(children), MAX_SONG_BYTES)

    def _calls(self) -> Calls:
        floors, limits = self._floors, self.config.limits
        parts = Parts(
            floors.app,
            floors.rooms,
            floors.records,
            floors.orders,
            floors.access.rulings,
            time.time,
            limits.event_bytes,
        )
        door = AdminDoor(self._reactor, lambda: self.config.admin.key)
        return Calls(door, routes(parts), place_of_songs(self.config, os.environ))

    def _engine(self, door: Door) -> EngineResource:
        engine = EngineResource(self._floors.engine, self._floors.websockets, door)
        self._engines.append(engine)
        return engine

    def _site(self, root: IResource, max_body_bytes: int, served: Served | None = None) -> Site:
        site = BoundedSite(root, clock=self._reactor, max_body_bytes=max_body_bytes, served=served)
        self._sites.append(site)
        return site
