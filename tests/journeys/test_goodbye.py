"""The end of a daemon, as its polling clients hear it."""

import ssl
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from functools import partial
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import orjson
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.journeys.conftest import StartDaemon
from tests.journeys.daemon import free_port

pytestmark = pytest.mark.journey

PATH = "/socket.io/?EIO=4&transport=polling"
POLLS = 20


def certificate(path: Path) -> Path:
    """A file with a key and the certificate that it made for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme.example")])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(1))
    encoding = serialization.Encoding.PEM
    pem = key.private_bytes(
        encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(pem + builder.sign(key, hashes.SHA256()).public_bytes(encoding))
    return path


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_every_waiting_poll_is_told_of_the_end(
    start_daemon: StartDaemon, tmp_path: Path, tls: bool
) -> None:
    port, listen, connect = free_port(), "tcp:{}", partial(HTTPConnection, "127.0.0.1")
    if tls:
        pem = certificate(tmp_path / "certificate.pem")
        listen = f"ssl:{{}}:privateKey={pem}:certKey={pem}"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connect = partial(HTTPSConnection, "127.0.0.1", context=context)
    daemon = start_daemon({"server.listen": f"{listen.format(port)}:interface=127.0.0.1"})
    with ExitStack() as stack:
        connections = [stack.enter_context(closing(connect(port=port))) for _ in range(POLLS)]
        for connection in connections:
            connection.request("GET", PATH)
            sid = orjson.loads(connection.getresponse().read()[1:])["sid"]
            connection.request("GET", f"{PATH}&sid={sid}")
        # This is answered behind the last of them.
        assert daemon.connections == POLLS
        daemon.stop()
        answers = [connection.getresponse().read() for connection in connections]
    assert answers == [b"1"] * POLLS
