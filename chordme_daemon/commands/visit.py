"""What `doctor` sees as a visitor: whether proxies let a browser through, also with WebSocket."""

import socket
import ssl
import time
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, Final
from urllib.parse import urlsplit

import orjson

from chordme_daemon.commands.finding import Finding, error, warning, well

ANSWER_WITHIN_S: Final = 10.0
MAX_BODY_BYTES: Final = 1 << 20
MAX_SKEW_S: Final = 5.0
# So often a session is asked for, each time over another connection.
VISITS: Final = 6

POLLING: Final = "/socket.io/?EIO=4&transport=polling"
WEBSOCKET: Final = "/socket.io/?EIO=4&transport=websocket"
UPGRADE: Final = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "ZG9jdG9yIGRvY3RvciAhIQ==",
}
SOON_DAYS: Final = 14
UNREACHABLE: Final = "Check the address, its name, and that the proxy passes /socket.io/ on."
NOT_STICKY: Final = (
    "Set [cluster] peer_listen on all instances, or have the proxy send a client to the same one "
    "again; see etc/nginx and etc/haproxy."
)
RENEW: Final = (
    "Have the proxy show one that is good for this name, with those between it and an authority; "
    "renew it in time, and reload the proxy."
)
NO_UPGRADE: Final = (
    "Have the proxy pass WebSocket on: in nginx `proxy_http_version 1.1`, and the headers Upgrade "
    "and Connection; see etc/nginx/chordme.conf."
)


def health(host: str, port: int) -> bool:
    """Whether a daemon answers there."""
    try:
        answer = ask(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}", HEALTH)
    except (OSError, HTTPException, ValueError):
        return False
    return answer.status == 200 and answer.json == {
        "status": "ok",
        "message": "Service is running",
    }


HEALTH: Final = "/api/v1/health"


class _Answer:
    """What came of one request; a body that is no JSON is None."""

    def __init__(self, response: HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body: bytes = b"" if response.status == 101 else response.read(MAX_BODY_BYTES)
        self.text = self.body.decode(errors="replace")
        try:
            self.json: Any = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            self.json = None


def ask(
    url: str,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    *,
    context: ssl.SSLContext | None = None,
) -> _Answer:
    """What the server of a URL says to one request; a certificate is verified."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: HTTPConnection = (
        HTTPSConnection(host, port, timeout=ANSWER_WITHIN_S, context=context)
        if parts.scheme == "https"
        else HTTPConnection(host, port, timeout=ANSWER_WITHIN_S)
    )
    try:
        connection.request(method, path, body, headers or {})
        return _Answer(connection.getresponse())
    finally:
        connection.close()


def public(url: str) -> Iterator[Finding]:
    """What a browser would meet at the daemon's public address."""
    name = url
    try:
        yield from _certificate(url)
        opened = ask(url, POLLING)
        sid = opened.text.startswith("0{") and orjson.loads(opened.text[1:]).get("sid")
        if not sid:
            yield error(name, f"answers {opened.status}, not as a daemon would", UNREACHABLE)
            return
        yield well(name, "a session can be begun")
        yield from _clock(name, opened.headers.get("date"))
        yield _stickiness(name, url, sid)
        yield _websocket(name, url)
    except ssl.SSLCertVerificationError as problem:
        yield error(name, f"its certificate is refused: {problem.verify_message}", RENEW)
    except (OSError, HTTPException, ValueError) as problem:
        yield error(name, str(problem) or type(problem).__name__, UNREACHABLE)


def _certificate(url: str) -> Iterator[Finding]:
    """How long browsers will believe the server; raises what they would say now."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        return
    host, context = parts.hostname or "", ssl.create_default_context()
    with (
        socket.create_connection((host, parts.port or 443), ANSWER_WITHIN_S) as plain,
        context.wrap_socket(plain, server_hostname=host) as secured,
    ):
        told = secured.getpeercert() or {}
    days = int((ssl.cert_time_to_seconds(str(told["notAfter"])) - time.time()) / 86_400)
    if days < SOON_DAYS:
        yield warning(url, f"its certificate expires in {days} days", RENEW)
    else:
        yield well(url, f"its certificate is good for {days} days")


def _clock(name: str, date: str | None) -> Iterator[Finding]:
    if date is not None:
        skew_s = abs(parsedate_to_datetime(date).timestamp() - time.time())
        if skew_s > MAX_SKEW_S:
            yield warning(
                name,
                f"its clock and this machine's differ by {skew_s:.0f} s",
                "Keep both by NTP: tokens expire by the clock.",
            )


def _stickiness(name: str, url: str, sid: str) -> Finding:
    ask(url, f"{POLLING}&sid={sid}", "POST", b"40")
    for _ in range(VISITS):
        answer = ask(url, f"{POLLING}&sid={sid}", "POST", b"3")
        if answer.status == 400 and (answer.json or {}).get("code") == 1:
            return error(name, "a session is not found again", NOT_STICKY)
        if answer.status != 200:
            return error(name, f"a session's request is answered {answer.status}", UNREACHABLE)
    return well(name, f"a session is found again, {VISITS} times of {VISITS}")


def _websocket(name: str, url: str) -> Finding:
    answer = ask(url, WEBSOCKET, headers=UPGRADE)
    if answer.status != 101:
        return error(name, f"WebSocket is answered {answer.status}", NO_UPGRADE)
    return well(name, "WebSocket is let through")
