"""What a daemon tells systemd, and the sockets that systemd hands to it.

- What is told is a datagram to `$NOTIFY_SOCKET`, as sd_notify(3) has it; where there is none,
  nothing is told. A worker tells its parent the same, through a pipe.
- The reactor's heartbeat says that it goes on, twice as often as `$WATCHDOG_USEC` asks for.
- The sockets are those of a socket unit, by their names or their numbers, as Twisted's `systemd:`
  endpoints have it. Whether they are of IPv4, IPv6 or UNIX is seen, and need not be said.
"""

import os
import socket as sockets
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

from twisted.internet.endpoints import AdoptedStreamServerEndpoint, serverFromString
from twisted.logger import Logger

PREFIX: Final = "systemd:"
STATUS_EVERY_S: Final = 10.0
# What systemd is told in the environment, and is meant for no other process.
VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_PID", "LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


class Notifier:
    """Tells how it goes, by `send`, if anybody wants to know; `close()` when all is told."""

    log = Logger()

    def __init__(
        self,
        send: Callable[[bytes], object] | None = None,
        watchdog_s: float | None = None,
        close: Callable[[], object] = lambda: None,
    ) -> None:
        self._send = send
        self.close = close
        # Within so many seconds it has to be heard of; None for any.
        self.watchdog_s = watchdog_s
        self._alive_at = 0.0
        self._status: tuple[str, float] = ("", 0.0)

    @classmethod
    def of(cls, environ: Mapping[str, str], pipe: int | None = None) -> Self:
        """The one that the environment asks for; a worker has a pipe to its parent instead."""
        asked = environ.get("WATCHDOG_USEC", "")
        watchdog_s = int(asked) / 1e6 or None if asked.isdecimal() else None
        if pipe is not None:
            os.set_blocking(pipe, False)
            return cls(lambda message: os.write(pipe, message + b"\n"), watchdog_s)
        if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            watchdog_s = None
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return cls()
        if address.startswith("@"):
            address = f"\0{address[1:]}"
        speaker = sockets.socket(sockets.AF_UNIX, sockets.SOCK_DGRAM)
        speaker.setblocking(False)
        return cls(lambda message: speaker.sendto(message, address), watchdog_s, speaker.close)

    @property
    def alive_every_s(self) -> float:
        """How often it is to be said at least that the reactor turns."""
        return self.watchdog_s / 2 if self.watchdog_s else STATUS_EVERY_S

    def ready(self, status: str) -> None:
        """It listens, and has read what it was told to read."""
        self._tell("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        """It reads its configuration again, until it is `ready`."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str, within_s: float) -> None:
        """It ends, for which it may take so long."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}", f"STATUS={status}")

    def alive(self, now: float, status: Callable[[], str]) -> None:
        """The reactor turns; once in a while it is said how it goes besides."""
        if self._send is None or now < self._alive_at:
            return
        # A little early: the next turn may be the last before it would be too late.
        self._alive_at = now + 0.9 * self.alive_every_s
        told, told_at = self._status
        if now >= told_at + STATUS_EVERY_S and (text := status()) != told:
            self._status = (text, now)
            self._tell("WATCHDOG=1", f"STATUS={text}")
        else:
            self._tell("WATCHDOG=1")

    def _tell(self, *lines: str) -> None:
        if self._send is None:
            return
        try:
            self._send("\n".join(lines).encode())
        except OSError as error:
            # Nobody listens any more, or not fast enough; that is no reason to do anything else.
            self.log.warn("systemd does not hear of {what}: {error}", what=lines[0], error=error)


def inherited(
    reactor: Any, *, name: str = "", index: str = "", domain: str = ""
) -> AdoptedStreamServerEndpoint:
    """The endpoint of a socket by its name or its number; ValueError if there is none."""
    which = f"name={name}" if name else f"index={index}"
    try:
        # Twisted has taken what systemd said out of the environment.
        parsed: Any = serverFromString(reactor, f"{PREFIX}domain=INET:{which}")
        with sockets.socket(fileno=os.dup(parsed.fileno)) as one:
            family, kind = one.family, one.type
    except (LookupError, OSError):
        raise ValueError(
            "systemd has given no such socket (was the socket unit started before the service?)"
        ) from None
    if kind != sockets.SOCK_STREAM:
        raise ValueError("what systemd has given is no socket of ListenStream=")
    return AdoptedStreamServerEndpoint(reactor, parsed.fileno, family)
