"""Calls to ChordMe's backend.

- A user's token goes to the configured origin and nowhere else: no redirect is followed, no cookie
  is kept, and a certificate is always verified.
- Every call ends within its deadline, and no body is read further than it may be long.
- What is not understood is `Unavailable`: neither yes nor no. Only the backend itself says no, by
  401, 403, 404 and 410; a page by what is in front of it with one of the last three is none.
- A backend may have endpoints made for the daemon (`integrations/flask`): they are looked for by
  one call, and what that found is remembered.
"""

import secrets
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final, TypeVar

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import (
    CancelledError,
    Deferred,
    DeferredSemaphore,
    TimeoutError,
    ensureDeferred,
)
from twisted.internet.error import ConnectError
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS, HTTPConnectionPool, ResponseFailed
from twisted.web.http_headers import Headers

from chordme_daemon.backend import bodies
from chordme_daemon.backend.body import TooLarge, read

CALL_WITHIN_S: Final = 5.0
MAX_CONNECTIONS: Final = 6
# Below what servers keep an idle connection for; gunicorn, two seconds.
IDLE_S: Final = 1.5
MAX_BODY_BYTES: Final = 256 * 1024
MAX_SONG_BYTES: Final = 2 * 1024 * 1024
# For how long it is remembered whether the endpoints for the daemon are there.
FOUND_FOR_S: Final = 600.0
NOT_KNOWN_FOR_S: Final = 30.0
MAX_RETRY_AFTER_S: Final = 3600.0


T = TypeVar("T")


class Unavailable(Exception):
    """No answer that means anything; what was asked for may have been done."""

    def __init__(self, reason: str, retry_after_s: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class Denied(Exception):
    """The backend says no."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Rejected(Exception):
    """The backend does not take this text, whoever sends it; the reason in one word."""


class Conflict(Exception):
    """The song is not what it was expected to be."""


@attrs.frozen
class _Answer:
    status: int
    retry_after_s: float
    etag: str
    body: bytes


class Backend:
    """The backend at a URL; with `trust`, only these authorities vouch for it."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        *,
        trust: Sequence[Certificate] = (),
        within_s: float = CALL_WITHIN_S,
    ) -> None:
        self.url = url.rstrip("/")
        # What is wrong, in a few words; empty while calls are answered.
        self.trouble = ""
        self.calls = self.failures = 0
        self._reactor = reactor
        self._within_s = within_s
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = MAX_CONNECTIONS
        self._pool.cachedConnectionTimeout = IDLE_S  # type: ignore[assignment] # seconds
        root = trustRootFromCertificates(trust) if trust else None
        policy = BrowserLikePolicyForHTTPS(root) if root else BrowserLikePolicyForHTTPS()
        self._agent = Agent(reactor, policy, connectTimeout=within_s, pool=self._pool)
        # Of more calls, some wait for their turn: the backend has other users, too.
        self._turns = DeferredSemaphore(MAX_CONNECTIONS)
        # Whether it has endpoints for the daemon, and until when that is known.
        self.is_exact = False
        self._known_until = 0.0
        self._looking: list[Deferred[None]] | None = None

    async def close(self) -> None:
        """Close the connections that are kept."""
        await self._pool.closeCachedConnections()

    def look_again(self) -> None:
        """Look with the next call whether the endpoints for the daemon are there."""
        self._known_until = 0.0

    async def right(self, song_id: int, token: str, user_id: object) -> bodies.Right:
        """What a user may do with a song, by the user's own token; `Denied` for nothing."""
        return await self._in_time(self._right(song_id, token, user_id))

    async def _right(self, song_id: int, token: str, user_id: object) -> bodies.Right:
        await self._look_around()
        if self.is_exact:
            path = f"/api/v1/realtime/songs/{song_id}/permission"
            answer = self._checked(await self._call("GET", path, token))
            return self._read(bodies.permission, answer.body)
        path = f"/api/v1/songs/{song_id}/collaborators"
        answer = self._checked(await self._call("GET", path, token))
        return self._read(lambda body: bodies.right(body, user_id), answer.body)

    async def read(self, song_id: int, token: str) -> str:
        """A song's text as it is now."""
        return await self._in_time(self._read_text(song_id, token))

    async def _read_text(self, song_id: int, token: str) -> str:
        await self._look_around()
        if self.is_exact:
            path = f"/api/v1/realtime/songs/{song_id}/text"
            return self._text(self._checked(await self._call("GET", path, token)))
        # A song is cached for an hour by what was asked for: something else is asked each time.
        path = f"/api/v1/songs/{song_id}?fresh={secrets.token_hex(8)}"
        return self._read(bodies.content, self._checked(await self._call("GET", path, token)).body)

    async def write(self, song_id: int, text: str, token: str, expected: str) -> str:
        """Save a text where `expected` is; what the backend has then.

        `Conflict` if it had something else; that is certain only with the endpoints for the daemon.
        """
        await self._look_around()
        if self.is_exact:
            path = f"/api/v1/realtime/songs/{song_id}/text"
            headers = {"If-Match": f'"{digest(expected)}"', "Content-Type": "text/plain"}
            answer = await self._call("PUT", path, token, text.encode(), headers)
            if answer.status == 412:
                raise Conflict
            self._checked(answer)
            return text
        body = bodies.song(text)
        path, headers = f"/api/v1/songs/{song_id}", {"Content-Type": "application/json"}
        self._checked(await self._call("PUT", path, token, body, headers))
        return await self.read(song_id, token)

    # Inside

    async def _look_around(self) -> None:
        """Know whether the endpoints for the daemon are there."""
        if self._reactor.seconds() < self._known_until:
            return
        if self._looking is not None:
            waiting: Deferred[None] = Deferred()
            self._looking.append(waiting)
            await waiting
            return
        self._looking = []
        outcome: Failure | None = None
        try:
            await self._look()
        except Unavailable:  # then there is nothing else to be had, either
            outcome = Failure()
            raise
        finally:
            waiters, self._looking = self._looking or [], None
            for each in waiters:
                each.callback(outcome)

    async def _look(self) -> None:
        answer = await self._call("GET", "/api/v1/realtime", None)
        # Who has them does not lose them by a page of what is in front, or by an ill moment.
        found, known_for_s = self.is_exact, NOT_KNOWN_FOR_S
        if answer.status == 404:
            found, known_for_s = False, NOT_KNOWN_FOR_S if self.is_exact else FOUND_FOR_S
        elif answer.status == 200:
            with suppress(bodies.BadBody):
                found = bodies.data(answer.body).get("version") == 1
                known_for_s = FOUND_FOR_S
        if found != self.is_exact:
            has = "has" if found else "has no"
            self.log.info("The backend {has} endpoints for the daemon", has=has)
        self.is_exact = found
        self._known_until = self._reactor.seconds() + known_for_s

    def _checked(self, answer: _Answer) -> _Answer:
        """The answer, if it is one."""
        match answer.status:
            case 200:
                return answer
            case 401:
                raise Denied(401)
            case 403 | 404 | 410 if bodies.is_error(answer.body):
                raise Denied(answer.status)
            case 404:
                self.look_again()  # perhaps the endpoints have gone
            case 413:
                raise Rejected("too_large")
            case 400 | 422 if bodies.is_error(answer.body):
                raise Rejected("refused")
        raise self._failed(f"HTTP {answer.status}", answer.retry_after_s)

    async def _in_time(self, work: Coroutine[Deferred[Any], Any, T]) -> T:
        """All of some work, which may be several calls, within the deadline of one."""
        try:
            return await ensureDeferred(work).addTimeout(self._within_s, self._reactor)
        except (TimeoutError, CancelledError):
            raise self._failed("no answer in time") from None

    def _read(self, parse: Callable[[bytes], T], body: bytes) -> T:
        try:
            return parse(body)
        except bodies.BadBody as error:
            raise self._failed(f"a body that is {error}") from None

    def _text(self, answer: _Answer) -> str:
        try:
            text = answer.body.decode()
        except UnicodeDecodeError:
            raise self._failed("a text that is not UTF-8") from None
        # HTTP alone does not always tell a text from its beginning.
        if answer.etag.strip('"') != digest(text):
            raise self._failed("a text that did not come whole")
        return text

    async def _call(
        self,
        method: str,
        path: str,
        token: str | None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> _Answer:
        headers = {"Accept": "application/json, text/plain", **(headers or {})}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        self.calls += 1
        calling = ensureDeferred(self._exchange_in_turn(method, path, headers, body))
        try:
            answer = await calling.addTimeout(self._within_s, self._reactor)
        except (TimeoutError, CancelledError):
            raise self._failed("no answer in time") from None
        except TooLarge:
            raise self._failed("a body that is too large") from None
        except ResponseFailed as error:
            # So does a request end that was given up.
            is_late = any(reason.check(CancelledError) for reason in error.reasons)
            why = "no answer in time" if is_late else f"no answer ({type(error).__name__})"
            raise self._failed(why) from None
        except ConnectError as error:
            raise self._failed(f"no connection ({type(error).__name__})") from None
        except Exception as error:  # whatever HTTP, TLS and the network think of
            raise self._failed(type(error).__name__) from None
        if answer.status < 500 and answer.status != 429:
            self._recovered()
        return answer

    async def _exchange_in_turn(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> _Answer:
        await self._turns.acquire()
        try:
            return await self._exchange(method, path, headers, body)
        finally:
            self._turns.release()

    async def _exchange(
        self, method: str, path: str, headers: dict[str, str], body: bytes | None
    ) -> _Answer:
        # A client for each call: what cookies a user is given are nobody else's.
        client = HTTPClient(self._agent)
        response = await client.request(
            method,
            self.url + path,
            headers=Headers({name: [value] for name, value in headers.items()}),
            data=body,
            allow_redirects=False,
            unbuffered=True,
        )
        most = MAX_SONG_BYTES if "/songs/" in path else MAX_BODY_BYTES
        content = await read(response, most)
        after = response.headers.getRawHeaders("retry-after", ["0"])[-1]
        etag = response.headers.getRawHeaders("etag", [""])[-1]
        return _Answer(response.code, _seconds(after), etag, content)

    def _failed(self, reason: str, retry_after_s: float = 0.0) -> Unavailable:
        self.failures += 1
        if not self.trouble:
            self.log.warn("The backend does not answer as it should: {why}", why=reason)
        self.trouble = reason
        return Unavailable(reason, retry_after_s)

    def _recovered(self) -> None:
        if self.trouble:
            self.log.info("The backend answers again")
        self.trouble = ""


def digest(text: str) -> str:
    """What a text is known by."""
    return sha256(text.encode()).hexdigest()


def _seconds(retry_after: str) -> float:
    """What a Retry-After says; dates are not believed, nor are years."""
    return min(float(retry_after), MAX_RETRY_AFTER_S) if retry_after.isdecimal() else 0.0
