"""What this floor may be told."""

import attrs


@attrs.frozen
class Heartbeat:
    """How often the server pings, and how long it waits for the answer, in seconds."""

    interval_s: float = 25.0
    timeout_s: float = 60.0


@attrs.frozen
class Settings:
    """What an Engine.IO server may be told."""

    heartbeat: Heartbeat = attrs.field(factory=Heartbeat)
    upgrade_timeout_s: float = 10.0
    # One WebSocket message, or one HTTP body.
    max_message_bytes: int = 64 * 1024
    # What may wait for one client before it is given up.
    max_queued_bytes: int = 1024 * 1024
    max_sockets: int = 100_000


DEFAULTS = Settings()
