"""A backend behind TLS, and one that sends elsewhere: a token goes to one origin only."""

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.internet import reactor
from twisted.internet.ssl import Certificate

from chordme_daemon.backend.client import Backend, Unavailable
from tests.backend.conftest import OWNER
from tests.backend.server import BackendServer
from tests.backend.test_client import ask
from tests.journeys.daemon import token
from tests.key_pairs import private_pem, rsa_pair


def made_certificate(address: str) -> bytes:
    """One that vouches for itself, and for an address."""
    pair, now = rsa_pair(), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme")])
    builder = x509.CertificateBuilder(name, name, pair.public_key(), 1, now, now + timedelta(1))
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address(address))])
    made = builder.add_extension(names, critical=False).sign(pair, SHA256())
    return made.public_bytes(Encoding.PEM)


@pytest.fixture(params=["127.0.0.1"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BackendServer]:
    pem = tmp_path / "certificate.pem"
    pem.write_bytes(made_certificate(request.param) + private_pem(rsa_pair()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    with BackendServer(tls=context) as server:
        server.store.song(7, OWNER, "[C]La\n")
        yield server


def level(server: BackendServer, *trust: Certificate) -> str:
    backend = Backend(reactor, server.url, trust=trust)
    try:
        found: str = ask(backend.right(7, token(OWNER), OWNER)).level
    finally:
        ask(backend.close())
    return found


def test_a_certificate_of_an_authority_that_is_trusted_is_good(
    server: BackendServer, tmp_path: Path
) -> None:
    own = Certificate.loadPEM((tmp_path / "certificate.pem").read_bytes())
    assert level(server, own) == "admin"


def test_a_certificate_that_nobody_vouches_for_is_not(server: BackendServer) -> None:
    with pytest.raises(Unavailable):
        level(server)
    assert server.store.calls == []


@pytest.mark.parametrize("server", ["127.0.0.2"], indirect=True)
def test_nor_is_one_that_is_for_somebody_else(server: BackendServer, tmp_path: Path) -> None:
    own = Certificate.loadPEM((tmp_path / "certificate.pem").read_bytes())
    with pytest.raises(Unavailable):
        level(server, own)
    assert server.store.calls == []
