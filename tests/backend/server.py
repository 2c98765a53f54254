"""The backend as a server of loopback, which may be away for a while."""

import ssl
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from flask import Flask
from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from tests.backend.app import create_app
from tests.backend.store import Store
from tests.journeys.daemon import SECRET, free_port


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, type: str, message: str, *args: object) -> None:
        """Say nothing."""


class BackendServer:
    """A ChordMe backend in a thread; `store` is what it keeps.

    `extend(app, store)` adds to the application what its owner has added.
    """

    def __init__(
        self,
        extend: Callable[[Flask, Store], None] = lambda *_: None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.port = free_port()
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"
        self._tls = tls
        self.store = Store()
        self._app = create_app(self.store, SECRET)
        extend(self._app, self.store)
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listen."""
        self._server = make_server(
            "127.0.0.1",
            self.port,
            self._app,
            threaded=True,
            request_handler=_Quiet,
            ssl_context=self._tls,
        )
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Be away; what hangs is let go."""
        self.store.go_on.set()
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()
            self._server = self._thread = None
