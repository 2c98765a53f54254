"""How the parts of the daemon are, for `/health/detailed`."""

from collections.abc import Callable
from functools import partial
from typing import Final

from chordme_daemon import process
from chordme_daemon.belongings import Belongings
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.cluster.redis import RedisCluster
from chordme_daemon.files import OWN_FILES, free_bytes
from chordme_daemon.floors import Floors
from chordme_daemon.web import Check

# So late a tick may be, and an answer of Redis.
MAX_LATENESS_S: Final = 1.0
# With less than this, a disk is soon full.
LITTLE_SPACE_BYTES: Final = 16 << 20


def health_checks(
    floors: Floors, lateness_s: Callable[[], float], is_open: Callable[[], bool]
) -> dict[str, Callable[[], Check]]:
    """The checks by their names.

    `lateness_s` tells by how much the last tick was late, `is_open` whether clients are let in.
    """
    engine, journal, redis = floors.engine, floors.journal, floors.redis

    def service() -> Check:
        # Whoever sends clients here is to send them elsewhere, while those that are here go on.
        return Check("healthy" if is_open() else "unhealthy", {"draining": not is_open()})

    def event_loop() -> Check:
        late_s = lateness_s()
        status = "healthy" if late_s < MAX_LATENESS_S else "degraded"
        return Check(status, {"late_ms": round(late_s * 1000, 1)})

    def connections() -> Check:
        figures = {
            "open": len(engine.sockets),
            "most": engine.settings.max_sockets,
            "rooms": len(floors.rooms),
            "participants": floors.rooms.participants(),
        }
        return Check("degraded" if engine.full else "healthy", figures)

    checks = {
        "service": service,
        "event_loop": event_loop,
        "connections": connections,
        "open_files": of_open_files,
    }
    if journal is not None:
        checks["journal"] = partial(of_journal, journal)
    if redis is not None:
        checks["redis"] = partial(of_redis, redis)
    if floors.belongings is not None:
        checks["backend"] = partial(of_backend, floors.belongings)
    return checks


def of_open_files() -> Check:
    """Who connects beyond them is sent away, and songs can no longer be opened."""
    seen = process.look()
    status = "healthy" if seen.open_files < seen.most_files - OWN_FILES / 2 else "degraded"
    return Check(status, {"open": seen.open_files, "most": seen.most_files})


def of_journal(journal: Journal) -> Check:
    """Whether the last edit could be kept, and there is room for the next ones."""
    figures: dict[str, object] = {"commits": journal.commits, "failures": journal.failures}
    status = "healthy" if journal.healthy else "unhealthy"
    if journal.path != ":memory:":
        free = figures["free_bytes"] = free_bytes(journal.path)
        if free == 0:
            status = "unhealthy"
        elif free < LITTLE_SPACE_BYTES and journal.healthy:
            status = "degraded"
    return Check(status, figures)


def of_redis(redis: RedisCluster) -> Check:
    """Whether it answers; it is asked every second."""
    round_trip_s = redis.session.link.round_trip_s
    status = "healthy" if redis.available and redis.hears else "unhealthy"
    if round_trip_s > MAX_LATENESS_S and status == "healthy":
        status = "degraded"
    figures = {
        "address": str(redis.address),
        "answer_ms": round(round_trip_s * 1000, 1),
        "dropped_messages": redis.dropped,
    }
    return Check(status, figures)


def of_backend(belongings: Belongings) -> Check:
    """Never worse than degraded: people go on editing without it."""
    backend = belongings.backend
    figures = {
        "address": backend.url,
        "calls": backend.calls,
        "failures": backend.failures,
        "unsaved_songs": belongings.saving.unsaved,
        "trouble": backend.trouble,
    }
    return Check("degraded" if backend.trouble else "healthy", figures)
