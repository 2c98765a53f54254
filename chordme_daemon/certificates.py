"""The certificate of an `ssl:` endpoint, which can be renewed while it listens.

Connections that are open keep the one that they were opened with.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLContextFactory
from twisted.logger import Logger
from zope.interface import implementer


@implementer(IOpenSSLContextFactory)
class Certificate:
    """What new connections of an endpoint are shown; `read()` makes it of the files, or raises."""

    log = Logger()

    def __init__(self, endpoint: str, read: Callable[[], SSL.Context]) -> None:
        self.endpoint = endpoint
        self.read = read
        self._context = read()
        self._complain()

    def getContext(self) -> SSL.Context:
        """What a new connection is made with."""
        return self._context

    def use(self, context: SSL.Context) -> None:
        """Have new connections made with something else that was read."""
        self._context = context
        self._complain()

    def _complain(self) -> None:
        """Say that clients will not believe it."""
        shown = SSL.Connection(self._context, None).get_certificate()
        if shown is None:
            return
        until = shown.to_cryptography().not_valid_after_utc
        if until <= datetime.now(UTC):
            self.log.error(
                "The certificate of {endpoint} has expired, on {until}",
                endpoint=self.endpoint,
                until=until.isoformat(),
            )
