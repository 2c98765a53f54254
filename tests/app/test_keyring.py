"""The keys that tokens are signed with, and what passes for one."""

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.app.keyring import MAX_KEYS, key_set, public_key, secret_key
from tests.key_pairs import ec_pair, private_pem, public_pem, published, rsa_pair


def a_set(*keys: object) -> bytes:
    return orjson.dumps({"keys": keys})


def test_a_public_key_is_for_one_algorithm() -> None:
    assert public_key(public_pem(rsa_pair()), "a").algorithms == ("RS256",)
    assert public_key(public_pem(ec_pair()), "a").algorithms == ("ES256",)


@pytest.mark.parametrize(
    "pem",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", id="garbage"),
        pytest.param(private_pem(ec_pair()), id="a-private-key"),
        pytest.param(public_pem(rsa_pair(bits=1024)), id="a-short-one"),
        pytest.param(public_pem(ec_pair(curve=ec.SECP384R1)), id="another-curve"),
    ],
)
def test_what_is_no_public_key_of_use_is_refused(pem: bytes) -> None:
    with pytest.raises(ValueError, match="a public key in PEM"):
        public_key(pem, "a")


def test_a_key_is_never_shown() -> None:
    assert "secret" not in repr(secret_key(b"a secret that nobody may see", ["HS256"]))


def test_a_set_gives_the_keys_that_are_of_use() -> None:
    keys = key_set(
        a_set(
            published(rsa_pair(), "one", alg="RS256"),
            published(ec_pair(), None),
            {**published(ec_pair(1), "whole"), "key_ops": ["verify"], "x5t": "?"},
        )
    )
    assert [(key.id, key.algorithms) for key in keys] == [
        ("one", ("RS256",)),
        (None, ("ES256",)),
        ("whole", ("ES256",)),
    ]


@pytest.mark.parametrize(
    "key",
    [
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}, id="a-secret"),
        pytest.param({"kty": "oct", "k": "c2VjcmV0", "alg": "RS256"}, id="a-secret-in-disguise"),
        pytest.param(published(rsa_pair(), "a", use="enc"), id="for-encryption"),
        pytest.param(published(rsa_pair(), "a", alg="HS256"), id="as-a-secret"),
        pytest.param(published(rsa_pair(), "a", alg="ES256"), id="of-another-kind"),
        pytest.param(published(rsa_pair(bits=1024), "a"), id="a-short-one"),
        pytest.param(published(ec_pair(), "a", crv="P-384"), id="another-curve"),
        pytest.param(published(ec_pair(), "a", x="!!"), id="no-number"),
        pytest.param(published(rsa_pair(), "a", n=5), id="no-text"),
        pytest.param({**published(rsa_pair(), "a"), "kid": 5}, id="a-number-for-a-name"),
        pytest.param(published(rsa_pair(), "a" * 300), id="a-long-name"),
        pytest.param({}, id="nothing"),
        pytest.param("key", id="a-text"),
        pytest.param({"kty": ["RSA"]}, id="a-list"),
    ],
)
def test_a_key_of_no_use_is_left_out(key: object) -> None:
    assert [one.id for one in key_set(a_set(key, published(ec_pair(), "good")))] == ["good"]


@pytest.mark.parametrize(
    "data",
    [
        *(b"", b"[]", b"{}", b'{"keys":{}}', b"<html>", b"\xff", b"null", b"[" * 5000),
        a_set(*[published(ec_pair(), "a")] * (MAX_KEYS + 1)),
    ],
)
def test_what_is_no_set_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        key_set(data)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["kty", "n", "e", "crv", "x", "y", "alg", "use", "kid"]), inner
        )
    ),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=3))
def test_whatever_is_published_gives_keys_or_none(keys: list[object]) -> None:
    assert isinstance(key_set(a_set(*keys)), tuple)
