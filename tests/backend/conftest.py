"""A backend of loopback, and the daemon's line to it."""

from collections.abc import Iterator

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from chordme_daemon.backend.client import Backend
from tests.backend.server import BackendServer

OWNER, EDITOR, STRANGER = 1, 2, 3


@pytest.fixture
def server() -> Iterator[BackendServer]:
    """A ChordMe backend with the song 7, of which one is the owner, and one an editor."""
    with BackendServer() as server:
        server.store.song(7, OWNER, "[C]La\n", collaborators={EDITOR: "edit"})
        yield server


@pytest.fixture
def backend(server: BackendServer) -> Iterator[Backend]:
    """The line to it, on which nobody waits for long."""
    backend = Backend(reactor, server.url, within_s=0.5)
    yield backend
    pytest_twisted.blockon(ensureDeferred(backend.close()))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run what waits for a backend outside of the reactor, where one can wait."""
    if "server" not in pyfuncitem.fixturenames:
        return None
    names = pyfuncitem._fixtureinfo.argnames
    pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    return True
