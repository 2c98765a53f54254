"""The certificate of a port: what was read last is shown, and one that has expired is said."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.logger import capturedLogs, formatEvent

from chordme_daemon.certificates import Certificate

ENDPOINT = "ssl:5000:privateKey=key.pem"


def context(days: float) -> SSL.Context:
    """What connections are made with, by a certificate that is good for so many days."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "chordme.example")])
    until = datetime.now(UTC) + timedelta(days)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, until - timedelta(9), until)
    made = SSL.Context(SSL.TLS_SERVER_METHOD)
    made.use_certificate(builder.sign(key, hashes.SHA256()))
    made.use_privatekey(key)
    return made


def test_new_connections_are_shown_what_was_read_last() -> None:
    first, second = context(1), context(1)
    certificate = Certificate(ENDPOINT, lambda: first)
    assert certificate.getContext() is first
    certificate.use(second)
    assert certificate.getContext() is second


def test_one_that_has_expired_is_said_whenever_it_begins_to_be_used() -> None:
    with capturedLogs() as logged:
        certificate = Certificate(ENDPOINT, lambda: context(1))
        assert logged == []
        certificate.use(context(-1))
        Certificate(ENDPOINT, lambda: context(-1))
    said = [formatEvent(event) for event in logged]
    assert len(said) == 2
    assert all(text.startswith(f"The certificate of {ENDPOINT} has expired, on ") for text in said)


def test_without_a_certificate_there_is_nothing_to_say() -> None:
    with capturedLogs() as logged:
        Certificate(ENDPOINT, lambda: SSL.Context(SSL.TLS_SERVER_METHOD))
    assert logged == []
