"""nginx and HAProxy as they are packaged, but on free ports, and with files of their own."""

import os
import re
import shutil
import socketserver
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import attrs

from tests.journeys.daemon import ROOT, free_port, http_request, wait_until

NGINX_CONF = ROOT / "etc/nginx/chordme.conf"
HAPROXY_CFG = ROOT / "etc/haproxy/chordme.cfg"
# The ports of the packaged instances, for clients; that for their health has a 1 before.
PACKAGED_PORTS = ("5010", "5020", "5030")
STOP_WITHIN_S = 10.0

# What is Debian's in /etc/nginx/nginx.conf.
_NGINX_MAIN = """\
{user}
daemon off;
worker_processes 2;
pid {directory}/nginx.pid;
error_log stderr;
events {{
    worker_connections 1024;
}}
http {{
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    include {directory}/chordme.conf;
}}
"""


@attrs.frozen
class Program:
    """A load balancer: its program, and the command that checks and the one that runs a file."""

    name: str
    package: str
    test: Sequence[str]
    run: Sequence[str]

    @property
    def path(self) -> str | None:
        """Where it is; an ordinary user's PATH does not have it."""
        return shutil.which(self.name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")


NGINX = Program("nginx", "nginx-light", ("-e", "stderr", "-t", "-c"), ("-e", "stderr", "-c"))
HAPROXY = Program("haproxy", "haproxy", ("-c", "-f"), ("-db", "-f"))


def replaced(text: str, words: Mapping[str, str]) -> str:
    """The text with other words; each must be in it."""
    for old, new in words.items():
        assert re.search(rf"(?<!\d){re.escape(old)}(?!\d)", text), f"there is no {old}"
        text = re.sub(rf"(?<!\d){re.escape(old)}(?!\d)", new, text)
    return text


def with_tls(text: str, pem: Path, port: int) -> str:
    """The text with its lines about TLS taken in; in the file is all that they name."""
    text = re.sub(r"^( +)#(listen|ssl_|bind)", r"\1\2", text, flags=re.MULTILINE)
    text = re.sub(r"/etc/\S+\.pem", str(pem), text)
    return re.sub(r"(listen |bind :)443\b", rf"\g<1>{port}", text)


def packaged(program: Program, directory: Path, port: int) -> str:
    """The packaged file, but for a private port and log, and without what only root may do."""
    if program is NGINX:
        words = {"listen 80;": f"listen 127.0.0.1:{port};", "/var/log/nginx": str(directory)}
        return replaced(NGINX_CONF.read_text(), words)
    words = {
        "bind :80": f"bind 127.0.0.1:{port}",
        "log /dev/log": "log stdout format raw",
        "maxconn 20000": "maxconn 1000",
    }
    text = replaced(HAPROXY_CFG.read_text(), words)
    return re.sub(r"^ +(chroot|user|group) .*\n", "", text, flags=re.MULTILINE)


def write(program: Program, directory: Path, text: str) -> Path:
    """Write the text, and what belongs around it: the file to start with."""
    if program is HAPROXY:
        path = directory / "haproxy.cfg"
        path.write_text(text)
        return path
    (directory / "chordme.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    path = directory / "nginx.conf"
    path.write_text(_NGINX_MAIN.format(directory=directory, user=user))
    return path


def checked(program: Program, path: Path) -> tuple[int, str]:
    """What the program itself says of a file."""
    assert program.path is not None
    command = [program.path, *program.test, str(path)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


class Instance(Protocol):
    """What is balanced."""

    port: int
    admin_port: int


class Dying(socketserver.ThreadingTCPServer):
    """An instance that says that it is well, but hangs up on every client, having heard all."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _HangUp)
        self.port = self.admin_port = int(self.server_address[1])
        self.methods: list[str] = []
        self._serving = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._serving.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self._serving.join()
        self.server_close()


class _HangUp(socketserver.StreamRequestHandler):
    server: Dying

    def handle(self) -> None:
        """Hear one request."""
        method, path, _ = self.rfile.readline().decode().split()
        length = 0
        while (line := self.rfile.readline().lower().strip()) != b"":
            if line.startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        self.rfile.read(length)
        if path.startswith("/socket.io/"):
            self.server.methods.append(method)
        else:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


class Balancer:
    """A running load balancer before three instances, until the end of its context.

    With `pem`, a file of a key and its certificate, it listens with TLS as well, on `tls_port`.
    """

    def __init__(
        self,
        program: Program,
        directory: Path,
        instances: Sequence[Instance],
        pem: Path | None = None,
    ) -> None:
        self._program = program
        self.port, self.tls_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        directory = directory / program.name
        directory.mkdir()
        words = {}
        for number, instance in zip(PACKAGED_PORTS, instances, strict=True):
            words[f"127.0.0.1:{number}"] = f"127.0.0.1:{instance.port}"
            if program is HAPROXY:
                words[f"port 1{number}"] = f"port {instance.admin_port}"
        text = replaced(packaged(program, directory, self.port), words)
        if pem is not None:
            text = with_tls(text, pem, self.tls_port)
        path = write(program, directory, text)
        self._log_path = directory / "output"
        self._access_path = directory / "chordme.log" if program is NGINX else self._log_path
        assert program.path is not None
        with self._log_path.open("wb") as log:
            self._process = subprocess.Popen(
                [program.path, *program.run, str(path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def __enter__(self) -> Self:
        try:
            wait_until(self._serves, "the balancer's start")
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop()

    @property
    def asks_whether_ready(self) -> bool:
        """Whether it asks the instances for their health."""
        return self._program is HAPROXY

    @property
    def log(self) -> str:
        """What it said, of requests as well."""
        paths = {self._log_path, self._access_path}
        return "".join(path.read_text(errors="replace") for path in paths if path.exists())

    def _serves(self) -> bool:
        assert self._process.poll() is None, f"it did not start:\n{self.log}"
        try:
            return http_request(f"{self.url}/api/v1/health").status == 200
        except OSError:
            return False

    def _stop(self) -> None:
        self._process.terminate()
        self._process.wait(STOP_WITHIN_S)
