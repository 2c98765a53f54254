"""The ports of a daemon: all of them are looked at before the first is opened."""

import socket as sockets
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from chordme_daemon.proxied import PREFIX, ProxiedFactory

# Connections that may wait to be accepted: a reconnect storm is not refused.
BACKLOG: Final = 1024


class CannotListen(Exception):
    """Why a port cannot be opened, in one line."""


class Ports:
    """The ports that a daemon has opened, or was given open."""

    log = Logger()

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._open: list[IListeningPort] = []

    def listen(self, wanted: Sequence[tuple[str, Site]]) -> list[Any]:
        """Open endpoints for sites; the addresses, or `CannotListen`."""
        found = [(name, self._endpoint(name), site) for name, site in wanted]
        return [self._listen(name, endpoint, site) for name, endpoint, site in found]

    def adopt(self, descriptors: Sequence[int], site: Site) -> None:
        """Take up sockets that listen already; the descriptors are closed."""
        for descriptor in descriptors:
            with sockets.socket(fileno=descriptor) as one:
                port = self._reactor.adoptStreamPort(descriptor, one.family, site)
            self._open.append(port)

    def close(self) -> Deferred[Any]:
        """Listen no more."""
        return gatherResults([maybeDeferred(port.stopListening) for port in self._open])

    def _endpoint(self, name: str) -> IStreamServerEndpoint:
        plain, backlog = name.removeprefix(PREFIX), ""
        if plain.startswith(("tcp:", "tcp6:", "ssl:", "tls:")) and "backlog=" not in name:
            backlog = f":backlog={BACKLOG}"
        try:
            endpoint: IStreamServerEndpoint = serverFromString(self._reactor, plain + backlog)
        except Exception as error:  # Twisted raises whatever its parsers happen to
            raise CannotListen(f"Cannot listen on {name}: {error}") from None
        return endpoint

    def _listen(self, name: str, endpoint: IStreamServerEndpoint, site: Site) -> Any:
        failures: list[Failure] = []
        factory: Any = site
        if name.startswith(PREFIX):
            factory = ProxiedFactory(site)  # type: ignore[no-untyped-call] # Twisted's
        listening = maybeDeferred(endpoint.listen, factory)
        listening.addCallbacks(self._open.append, failures.append)
        for failure in failures:
            raise CannotListen(f"Cannot listen on {name}: {failure.getErrorMessage()}")
        self.log.info("Listening on {endpoint}", endpoint=name)
        return self._open[-1].getHost()
