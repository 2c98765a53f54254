"""Journals in files, and what is put into them."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.defer import ensureDeferred

from chordme_daemon.cluster.interface import Draft, Entry
from chordme_daemon.cluster.journal import Journal
from tests.cluster.subjects import Subject, over_redis
from tests.journeys.redis_server import RedisServer

TEXT = 'la [Am] é\u2028 \U0001f3b8 "quoted"'

OpenJournal = Callable[..., Journal]


def entry(revision: int, text: str = "x") -> Entry:
    draft = Draft([3, text, -1], "i:5/tab-1", revision, "tab-1", 5, 1_794_484_800_000, "op 1")
    return Entry(revision, draft)


def results(deferred: Any) -> list[Any]:
    """What has fired already."""
    found: list[Any] = []
    deferred.addBoth(found.append)
    return found


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "songs.sqlite3")


@pytest.fixture
def open_journal(path: str) -> Iterator[OpenJournal]:
    """Opens journals on the path, which are closed in the end."""
    journals: list[Journal] = []

    def open_(**options: Any) -> Journal:
        journal = Journal(path, reactor=reactor, **options)
        journal.open()
        journals.append(journal)
        return journal

    yield open_
    for journal in journals:
        pytest_twisted.blockon(journal.close())


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis that nobody else uses."""
    with RedisServer(tmp_path_factory.mktemp("redis"), persistent=False) as server:
        yield server


@pytest.fixture
def redis(redis_server: RedisServer) -> RedisServer:
    """An empty one."""
    redis_server.command("FLUSHALL")
    return redis_server


@pytest.fixture
def daemons(redis: RedisServer) -> Iterator[Callable[..., Subject]]:
    """Makes daemons on the Redis, or on another one."""
    subjects: list[Subject] = []

    def make(server: Any = redis, **options: Any) -> Subject:
        return over_redis(server, subjects, **options)

    yield make
    for made in subjects:
        pytest_twisted.blockon(ensureDeferred(made.cluster.stop()))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run what waits for a cluster outside of the reactor, where one can wait."""
    if not {"subject", "daemons"} & set(pyfuncitem.fixturenames):
        return None
    names = pyfuncitem._fixtureinfo.argnames
    pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names})
    return True
