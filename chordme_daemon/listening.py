"""The ports of a daemon: all of them are looked at before the first is opened."""

import socket as sockets
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from OpenSSL import SSL
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import SSL4ServerEndpoint, serverFromString
from twisted.internet.interfaces import IListeningPort, IStreamServerEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Site

from chordme_daemon import systemd
from chordme_daemon.certificates import Certificate
from chordme_daemon.parsers import endpoint as parameters
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
        self._open: list[tuple[IListeningPort, Site]] = []
        self._certificates: list[Certificate] = []

    def listen(self, wanted: Sequence[tuple[str, Site]]) -> list[Any]:
        """Open endpoints for sites; the addresses, or `CannotListen`."""
        found = [(name, self._endpoint(name), site) for name, site in wanted]
        return [self._listen(name, endpoint, site) for name, endpoint, site in found]

    def adopt(self, descriptors: Sequence[int], site: Site) -> None:
        """Take up sockets that listen already; the descriptors are closed."""
        for descriptor in descriptors:
            with sockets.socket(fileno=descriptor) as one:
                port = self._reactor.adoptStreamPort(descriptor, one.family, site)
            self._open.append((port, site))

    def close(self, site: Site | None = None) -> Deferred[Any]:
        """Listen no more for a site, or for any."""
        closed = [port for port, of in self._open if site in (None, of)]
        self._open = [(port, of) for port, of in self._open if port not in closed]
        return gatherResults([maybeDeferred(port.stopListening) for port in closed])

    def read_certificates(self) -> Callable[[], None]:
        """Read all certificates again, or `CannotListen`; what then has them used."""
        read = [(one, _contained(one.endpoint, one.read)) for one in self._certificates]

        def use() -> None:
            for certificate, context in read:
                certificate.use(context)

        return use

    def _endpoint(self, name: str) -> IStreamServerEndpoint:
        plain, backlog = name.removeprefix(PREFIX), ""
        if plain.startswith(("tcp:", "tcp6:", "ssl:", "tls:")) and "backlog=" not in name:
            backlog = f":backlog={BACKLOG}"
        parse = partial(serverFromString, self._reactor, plain + backlog)
        if plain.startswith(systemd.PREFIX):
            parse = partial(systemd.inherited, self._reactor, **parameters(plain))
        endpoint: IStreamServerEndpoint = _contained(name, parse)
        if isinstance(endpoint, SSL4ServerEndpoint):
            certificate = _contained(name, lambda: Certificate(name, lambda: _context(parse())))
            self._certificates.append(certificate)
            endpoint._sslContextFactory = certificate
        return endpoint

    def _listen(self, name: str, endpoint: IStreamServerEndpoint, site: Site) -> Any:
        ports: list[IListeningPort] = []
        failures: list[Failure] = []
        factory: Any = site
        if name.startswith(PREFIX):
            factory = ProxiedFactory(site)  # type: ignore[no-untyped-call] # Twisted's
        listening = maybeDeferred(endpoint.listen, factory)
        listening.addCallbacks(ports.append, failures.append)
        for failure in failures:
            raise CannotListen(f"{name}: {failure.getErrorMessage()}")
        self._open += [(port, site) for port in ports]
        self.log.info("Listening on {endpoint}", endpoint=name)
        return ports[0].getHost()


def _context(endpoint: Any) -> SSL.Context:
    """What connections of an `ssl:` endpoint are made with; it fails if the key is another's."""
    context: SSL.Context = endpoint._sslContextFactory.getContext()
    return context


def _contained(name: str, read: Callable[[], Any]) -> Any:
    try:
        return read()
    except Exception as error:  # Twisted and OpenSSL raise whatever their parsers happen to
        why = str(error)
        if isinstance(error, SSL.Error):
            why = "the key and the certificate do not belong together, or are none"
        raise CannotListen(f"{name}: {why}") from None
