"""The small application that the official protocol suites test a server with.

``python -m tests.conformance --port 3000`` serves Socket.IO on /socket.io/; with ``--engineio``
it serves an Engine.IO echo on /engine.io/ instead. Any outside suite or client can be pointed at
it, to see what our two floors do without anything of ChordMe on top.
"""

import argparse
import sys

from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.logger import globalLogBeginner, textFileLogObserver

from tests.conformance.application import engineio_site, socketio_site


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(prog="tests.conformance", description=__doc__)
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--engineio", action="store_true", help="the Engine.IO echo")
    parser.add_argument("--recovery", action="store_true", help="with connection state recovery")
    options = parser.parse_args()
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    if options.engineio:
        site = engineio_site(reactor)
    else:
        site = socketio_site(reactor, recovery=options.recovery)
    listening = TCP4ServerEndpoint(reactor, options.port, interface="127.0.0.1").listen(site)
    listening.addErrback(lambda failure: sys.exit(failure.getErrorMessage()))
    listening.addCallback(lambda port: print(f"listening on {port.getHost().port}", flush=True))
    reactor.run()


main()
