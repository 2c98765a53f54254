"""What `doctor` sees on the network: ports, certificates, Redis, and the way that browsers come."""

import errno
import socket
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import hiredis
from cryptography import x509

from chordme_daemon.cluster.address import RedisAddress
from chordme_daemon.commands.finding import Finding, error, warning, well
from chordme_daemon.commands.visit import SOON_DAYS, health, public
from chordme_daemon.parsers import endpoint
from chordme_daemon.settings import Config

__all__ = ["certificates", "listeners", "public", "redis"]

ANSWER_WITHIN_S: Final = 5.0
SLOW_MS: Final = 10.0
PINGS: Final = 20
MAX_SKEW_S: Final = 2.0
OLDEST_REDIS: Final = (6, 0)


# Ports


def listeners(config: Config) -> Iterator[Finding]:
    """Whether the ports are free, or a daemon has them already."""
    for text in (*config.server.listen, config.server.admin, config.cluster.peer_listen):
        parameters = endpoint(text) if text else {}
        if parameters.get("port", "0") != "0" and "path" not in parameters:
            host = parameters.get("interface", "").replace("\\", "")
            yield _port(text, host, int(parameters["port"]))


def _port(name: str, host: str, port: int) -> Finding:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as problem:
            return _taken(name, host, port, problem)
    return well(name, "free")


def _taken(name: str, host: str, port: int, problem: OSError) -> Finding:
    if problem.errno == errno.EADDRINUSE:
        if health(host or "127.0.0.1", port):
            return well(name, "a daemon answers there")
        return error(
            name,
            "another program has it",
            f"Find it (ss -ltnp 'sport = :{port}') and stop it, or listen elsewhere.",
        )
    if problem.errno == errno.EACCES:
        return error(
            name,
            "ports below 1024 are not for everybody",
            "Listen on another one behind a proxy, or by a systemd socket.",
        )
    return error(
        name, str(problem.strerror), "Give the address of an interface of this machine, or none."
    )


# Certificates


def certificates(config: Config) -> Iterator[Finding]:
    """How long the certificates are good that the daemon is configured with."""
    for text in config.server.listen:
        parameters = endpoint(text)
        if text.startswith("ssl:"):
            key = parameters.get("privateKey", "server.pem")
            yield _certificate(Path(parameters.get("certKey", key)))
        elif text.startswith("tls:"):
            for path in sorted(Path(parameters["path"]).glob("*.pem")):
                yield _certificate(path)
    if config.cluster.redis_ca:
        yield _certificate(Path(config.cluster.redis_ca))


def _certificate(path: Path) -> Finding:
    name = f"certificate {path}"
    remedy = "Renew it, and reload the daemon (systemctl reload, or SIGHUP)."
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError) as problem:
        why = getattr(problem, "strerror", None) or "no certificate in PEM"
        return error(name, why, "Name a file that the daemon's user can read.")
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    if left.total_seconds() <= 0:
        return error(name, f"expired {-left.days} days ago", remedy)
    if left.days < SOON_DAYS:
        return warning(name, f"expires in {left.days} days", remedy)
    return well(name, f"good for {left.days} days")


# Redis


def redis(config: Config) -> Iterator[Finding]:
    """Whether Redis answers, fast enough, and is one that keeps what it is told."""
    address = config.cluster.redis_url
    if address is None:
        return
    name = f"Redis {address}"
    try:
        with _Redis(address, config.cluster.redis_ca) as line:
            # The best of several: the others say how busy this machine is.
            took_ms = min(line.ping_ms() for _ in range(PINGS))
            info, now = line.info(), line.ask("TIME")
    except (OSError, hiredis.HiredisError, ValueError) as problem:
        yield error(
            name, str(problem) or type(problem).__name__, "Check [cluster] redis_url, and Redis."
        )
        return
    version = info.get("redis_version", "0")
    yield well(name, f"version {version}, answers in {took_ms:.1f} ms")
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_REDIS:
        yield error(name, f"version {version} is too old", "Use 6.0 or later.")
    if took_ms > SLOW_MS:
        yield warning(name, f"each edit waits {took_ms:.1f} ms for it", "Bring it nearer.")
    if info.get("role") != "master":
        yield error(name, "it is a replica", "Name the master in [cluster] redis_url.")
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        yield error(
            name,
            f"maxmemory-policy is {info['maxmemory_policy']}: it may throw songs away",
            "Set maxmemory-policy noeviction.",
        )
    if info.get("aof_enabled") != "1":
        yield warning(
            name,
            "what it was told last is gone when it is killed",
            "Set appendonly yes; see etc/redis/chordme.conf.",
        )
    skew_s = abs(int(now[0]) + int(now[1]) / 1e6 - time.time())
    if skew_s > MAX_SKEW_S:
        yield warning(name, f"its clock is off by {skew_s:.0f} s", "Keep both by NTP.")


class _Redis:
    """A connection, for a few questions one after the other."""

    def __init__(self, address: RedisAddress, authorities: str) -> None:
        self._address = address
        self._authorities = authorities
        self._reader = hiredis.Reader(encoding="utf-8", errors="replace")

    def __enter__(self) -> "_Redis":
        address = self._address
        if address.path:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(ANSWER_WITHIN_S)
            self._socket.connect(address.path)
        else:
            self._socket = socket.create_connection(
                (address.host, address.port), timeout=ANSWER_WITHIN_S
            )
        if address.tls:
            context = ssl.create_default_context(cafile=self._authorities or None)
            self._socket = context.wrap_socket(self._socket, server_hostname=address.host)
        if address.password:
            who = (address.username,) if address.username else ()
            self.ask("AUTH", *who, address.password)
        if address.database:
            self.ask("SELECT", str(address.database))
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, *command: str) -> Any:
        """The answer to a command; an error is raised."""
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type] # one or more
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65_536)
            if not data:
                raise ConnectionResetError("it hangs up")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise ValueError(str(reply))
        return reply

    def ping_ms(self) -> float:
        """How many milliseconds it takes to answer."""
        began_s = time.perf_counter()
        self.ask("PING")
        return (time.perf_counter() - began_s) * 1000

    def info(self) -> dict[str, str]:
        """What it tells of itself."""
        lines = str(self.ask("INFO")).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)
