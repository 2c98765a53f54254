"""Autobahn's protocol, with as little of it in each connection as can be."""

from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol


class LeanProtocol(WebSocketServerProtocol):
    """What is the same for all connections, and what each has before Autobahn is started for it."""

    # Autobahn's options, where it looks for them first. It copies those that it is told of to each
    # connection, and prints them, for nobody.
    CONFIG_ATTRS = ("maxFramePayloadSize", "maxMessagePayloadSize")
    logOctets = logFrames = trackTimings = False
    utf8validateIncoming = applyMask = requireMaskedClientFrames = tcpNoDelay = True
    autoFragmentSize = 0
    failByDrop = echoCloseCodeReason = maskServerFrames = webStatus = False
    openHandshakeTimeout = closeHandshakeTimeout = 0
    autoPingInterval = autoPingTimeout = 0
    websocket_version = 13
    # Autobahn's state, until it is started.
    inside_message = False
    current_frame: Any = None
    wasClean = False
    message_data: Any = None
    data = b""
    started = False

    def start(self) -> None:
        """Have Autobahn make its state, of an open connection; once."""
        if not self.started:
            self.started = True
            super().__init__()
            self._connectionMade()
            self.state = self.STATE_OPEN
