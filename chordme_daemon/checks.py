"""How the parts of the daemon are, for `/health/detailed`."""

from collections.abc import Callable
from typing import Final

from chordme_daemon.app.rooms import Rooms
from chordme_daemon.cluster.journal import Journal
from chordme_daemon.engineio.server import Server
from chordme_daemon.web import Check

# So late a tick may be.
MAX_LATENESS_S: Final = 1.0


def health_checks(
    engine: Server, rooms: Rooms, journal: Journal, lateness_s: Callable[[], float]
) -> dict[str, Callable[[], Check]]:
    """The checks by their names; `lateness_s` tells by how much the last tick was late."""

    def event_loop() -> Check:
        late_s = lateness_s()
        status = "healthy" if late_s < MAX_LATENESS_S else "degraded"
        return Check(status, {"late_ms": round(late_s * 1000, 1)})

    def connections() -> Check:
        figures = {
            "open": len(engine.sockets),
            "most": engine.settings.max_sockets,
            "rooms": len(rooms),
            "participants": rooms.participants(),
        }
        return Check("degraded" if engine.full else "healthy", figures)

    def songs() -> Check:
        return Check("healthy" if journal.healthy else "unhealthy", {})

    return {"event_loop": event_loop, "connections": connections, "journal": songs}
