"""Public keys that are published at a URL, as a JSON Web Key Set (RFC 7517).

- They are fetched when they are due, as `Cache-Control` says, within bounds; and when a token names
  a key that is not known, but not more often than every few seconds.
- HTTPS, with a certificate that is verified, or an address of this machine; no redirect is
  followed, every answer has a deadline, and none is read further than it may be long.
- As long as nothing better is to be had, the last keys go on being believed: for a day.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, ensureDeferred
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.client import Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers

from chordme_daemon.app.keyring import Key, key_set
from chordme_daemon.backend.body import read

ANSWER_WITHIN_S: Final = 5.0
MAX_BYTES: Final = 256 * 1024
# For so long a set is fresh, whatever is said of it; and if nothing is said.
FRESH_S: Final = (60, 24 * 3600)
FRESH_BY_DEFAULT_S: Final = 600
# Between two looks for a key that is not known, and after one that failed.
LOOK_EVERY_S: Final = 10.0
MAX_RETRY_S: Final = 300.0
# For so long after they were due keys are believed that cannot be fetched again.
STALE_FOR_S: Final = 24 * 3600.0


class NoKeys(Exception):
    """Why there are no keys in an answer, in a few words."""


class RemoteKeys:
    """The keys at a URL; `learned(keys)` is called with each other set of them.

    With `trust`, only these authorities vouch for the server. To be ticked every second.
    """

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        url: str,
        learned: Callable[[Sequence[Key]], None],
        trust: Sequence[Certificate] = (),
    ) -> None:
        # What is wrong, in a few words; empty while all is well.
        self.trouble = ""
        self.keys: tuple[Key, ...] = ()
        self._reactor = reactor
        self._url = url
        self._learned = learned
        root = trustRootFromCertificates(trust) if trust else None
        policy = BrowserLikePolicyForHTTPS(root) if root else BrowserLikePolicyForHTTPS()
        self._client = HTTPClient(Agent(reactor, policy, connectTimeout=ANSWER_WITHIN_S))
        self._due_at = self._looked_at = -MAX_RETRY_S
        self._believed_until = 0.0
        self._retry_s = LOOK_EVERY_S
        # Who waits for the fetch that is under way; None when none is.
        self._waiting: list[Deferred[None]] | None = None

    def tick(self) -> None:
        """Fetch when it is due, and stop believing what is too old."""
        now = self._reactor.seconds()
        if now >= self._due_at and self._waiting is None:
            self._fetch()
        if self.keys and now >= self._believed_until:
            self.log.error("The public keys at {url} are too old to be believed", url=self._url)
            self._learn(())

    def look(self) -> Deferred[None]:
        """Look for a key that is not known; fires when that is done, or would be too soon."""
        done: Deferred[None] = Deferred()
        now = self._reactor.seconds()
        if self._waiting is None and now < self._looked_at + LOOK_EVERY_S:
            done.callback(None)
            return done
        if self._waiting is None:
            self._fetch()
        if self._waiting is None:  # it has failed at once
            done.callback(None)
        else:
            self._waiting.append(done)
        return done

    def _fetch(self) -> None:
        self._waiting = []
        self._looked_at = self._reactor.seconds()
        asking = ensureDeferred(self._ask()).addTimeout(ANSWER_WITHIN_S, self._reactor)
        asking.addErrback(self._failed).addBoth(self._end)

    async def _ask(self) -> None:
        response = await self._client.get(
            self._url, headers=Headers({"accept": ["application/json"]}), allow_redirects=False
        )
        if response.code != 200:
            raise NoKeys(f"HTTP {response.code}")
        body = await read(response, MAX_BYTES)
        try:
            keys = key_set(body)
        except ValueError:
            raise NoKeys("this is no JSON Web Key Set") from None
        if not keys:
            raise NoKeys("no public key of RSA or P-256 in it")
        fresh_s = _fresh_s(response.headers)
        now = self._reactor.seconds()
        self._due_at = now + fresh_s
        self._believed_until = self._due_at + STALE_FOR_S
        self._retry_s = LOOK_EVERY_S
        if self.trouble or not self.keys:
            self.trouble = ""
            self.log.info("{count} public keys from {url}", count=len(keys), url=self._url)
        if keys != self.keys:
            self._learn(keys)

    def _learn(self, keys: tuple[Key, ...]) -> None:
        self.keys = keys
        self._learned(keys)

    def _failed(self, failure: Failure) -> None:
        why = failure.getErrorMessage() if failure.check(NoKeys) else _why(failure)
        if why != self.trouble:
            self.trouble = why
            self.log.warn("No public keys from {url}: {why}", url=self._url, why=why)
        self._due_at = self._reactor.seconds() + self._retry_s
        self._retry_s = min(2 * self._retry_s, MAX_RETRY_S)

    def _end(self, _: object) -> None:
        waiting, self._waiting = self._waiting or [], None
        for each in waiting:
            each.callback(None)


def _fresh_s(headers: Headers) -> float:
    said = ",".join(headers.getRawHeaders("cache-control", [])).lower()
    found = re.search(r"(?:^|[\s,])max-age=([0-9]{1,9})\b", said)
    fresh_s = int(found[1]) if found else FRESH_BY_DEFAULT_S
    if re.search(r"\bno-(?:cache|store)\b", said):
        fresh_s = 0
    return min(max(fresh_s, FRESH_S[0]), FRESH_S[1])


def _why(failure: Failure) -> str:
    """A failure in a few words: those of what caused it, where Twisted has a list of causes."""
    reasons = getattr(failure.value, "reasons", None) or [failure]
    cause = reasons[0]
    if isinstance(cause, Failure) and cause.check(CancelledError, TimeoutError):
        return "no answer in time"
    text: str = cause.getErrorMessage() if isinstance(cause, Failure) else str(cause)
    return f"{type(getattr(cause, 'value', cause)).__name__}: {text}"[:200]
