"""What an operator may have set up, and a doctor looks at."""

import socket
import socketserver
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from itertools import cycle
from pathlib import Path

import hiredis
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[int]:
    """Serve in a thread; the port."""
    with ExitStack() as stack:
        stack.enter_context(server)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.shutdown)
        yield server.server_address[1]


def certificate(path: Path, days: int) -> Path:
    """A key and the certificate that it made for itself, good for so many days from now."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme.example")])
    until = datetime.now(UTC) + timedelta(days=days, hours=1)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, until - timedelta(365), until
    )
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    path.chmod(0o600)
    return path


@contextmanager
def published_keys(keys: Sequence[object]) -> Iterator[str]:
    """A server with a JSON Web Key Set; its URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = orjson.dumps({"keys": keys})
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Nobody reads it."""

    with serving(ThreadingHTTPServer(("127.0.0.1", 0), Answer)) as port:
        yield f"http://127.0.0.1:{port}/keys"


@contextmanager
def balanced(
    ports: Sequence[int], alter: Callable[[bytes], bytes] = lambda data: data
) -> Iterator[str]:
    """A balancer that sends one connection here and the next one there; its URL.

    What comes back is altered.
    """
    targets = cycle(ports)

    class Balance(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection(("127.0.0.1", next(targets)), timeout=10) as target:
                back = threading.Thread(target=pipe, args=(target, self.request, alter))
                back.start()
                pipe(self.request, target)
                back.join()

    with serving(_Server(("127.0.0.1", 0), Balance)) as port:
        yield f"http://127.0.0.1:{port}"


def pipe(
    source: socket.socket,
    target: socket.socket,
    alter: Callable[[bytes], bytes] = lambda data: data,
) -> None:
    """Hand on what comes, and the end."""
    with suppress(OSError):  # the other side was faster
        while data := source.recv(65536):
            target.sendall(alter(data))
        target.shutdown(socket.SHUT_WR)


@contextmanager
def strange_redis(
    *, version: str = "7.0.15", clock_off_s: float = 0, waits_s: float = 0
) -> Iterator[str]:
    """What answers as a Redis would that is old, far away, or lives in another time; its URL."""

    class Answer(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            reader = hiredis.Reader(encoding="utf-8")
            while data := self.request.recv(4096):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    time.sleep(waits_s)
                    self.request.sendall(self.answer(command[0]))

        def answer(self, name: str) -> bytes:
            if name == "TIME":
                seconds = str(int(time.time() + clock_off_s))
                return f"*2\r\n${len(seconds)}\r\n{seconds}\r\n$1\r\n0\r\n".encode()
            if name == "INFO":
                rows = ("redis_version:" + version, "role:master", "aof_enabled:1")
                text = "\r\n".join([*rows, "maxmemory_policy:noeviction", ""])
                return f"${len(text)}\r\n{text}\r\n".encode()
            return b"+PONG\r\n"

    with serving(_Server(("127.0.0.1", 0), Answer)) as port:
        yield f"redis://127.0.0.1:{port}"
