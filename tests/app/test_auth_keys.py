"""Tokens that are signed with public keys, keys that change, and tokens that are remembered."""

from typing import Any

import jwt
import pytest

from chordme_daemon.app import auth
from chordme_daemon.app.auth import MAX_REMEMBERED, UnknownKey, Verifier, mint
from chordme_daemon.app.events import Code, Refused
from chordme_daemon.app.keyring import Key, public_key, secret_key
from tests.key_pairs import ec_pair, public_pem, rsa_pair, token

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER_SECRET = b"fedcba9876543210fedcba9876543210"
NOW_S = 1_800_000_000.0
CLAIMS: dict[str, Any] = {"user_id": 5, "exp": NOW_S + 3600}


def key(pair: Any, key_id: str) -> Key:
    return public_key(public_pem(pair), key_id)


def code_of(verifier: Verifier, token: str, now_s: float = NOW_S) -> Code:
    with pytest.raises(Refused) as caught:
        verifier.verify(token, now_s)
    return caught.value.code


BOTH = [key(rsa_pair(), "rsa"), key(ec_pair(), "ec")]


@pytest.mark.parametrize("key_id", ["named", None])
@pytest.mark.parametrize(("pair", "name"), [(rsa_pair(), "rsa"), (ec_pair(), "ec")])
def test_a_token_that_is_signed_with_a_public_key_s_other_half_is_good(
    pair: Any, name: str, key_id: str | None
) -> None:
    signed = token(pair, CLAIMS, name if key_id else None)
    assert Verifier(BOTH).verify(signed, NOW_S).user_id == 5


@pytest.mark.parametrize(
    "signed",
    [
        pytest.param(token(rsa_pair(1), CLAIMS, "rsa"), id="by-somebody-else"),
        pytest.param(token(rsa_pair(1), CLAIMS), id="by-somebody-else-unnamed"),
        pytest.param(token(rsa_pair(), CLAIMS, "ec"), id="with-another-key-than-it-names"),
        pytest.param(token(rsa_pair(), CLAIMS, "gone"), id="with-a-key-that-is-not-known"),
        pytest.param(token(rsa_pair(), CLAIMS, "rsa", crit=["x"], x=1), id="J12-crit"),
        pytest.param(jwt.encode(CLAIMS, SECRET, headers={"kid": "rsa"}), id="J03-a-secret"),
    ],
)
def test_a_token_that_is_signed_in_another_way_is_refused(signed: str) -> None:
    assert code_of(Verifier(BOTH), signed) is Code.INVALID_TOKEN


def test_j03_a_public_key_is_never_taken_for_a_secret() -> None:
    pem = public_pem(rsa_pair())
    header, payload = token(rsa_pair(), CLAIMS, "rsa").split(".")[:2]
    from tests.app.test_auth import signed

    for algorithm in ("HS256", "RS256"):
        forged = signed({"alg": algorithm, "kid": "rsa"}, CLAIMS, pem)
        assert code_of(Verifier(BOTH), forged) is Code.INVALID_TOKEN
    assert code_of(Verifier(BOTH), f"{header}.{payload}.AAAA") is Code.INVALID_TOKEN


def test_secrets_and_public_keys_never_go_together() -> None:
    with pytest.raises(ValueError, match="beside"):
        Verifier([secret_key(SECRET, ["HS256"]), *BOTH])
    found_elsewhere = Verifier(None)
    with pytest.raises(ValueError, match="beside"):
        found_elsewhere.use([secret_key(SECRET, ["HS256"])])


def test_another_claim_may_say_who_somebody_is() -> None:
    verifier = Verifier(BOTH, user_claim="sub")
    signed = token(ec_pair(), {"sub": "Zk3", "user_id": 7, "exp": NOW_S + 60}, "ec")
    assert verifier.verify(signed, NOW_S).key == "s:Zk3"
    assert code_of(verifier, token(ec_pair(), CLAIMS, "ec")) is Code.INVALID_TOKEN


def test_a_key_that_is_not_known_yet_may_be_found() -> None:
    verifier = Verifier(None)
    signed = token(ec_pair(), CLAIMS, "ec")
    with pytest.raises(UnknownKey) as caught:
        verifier.verify(signed, NOW_S)
    # Nobody can say that it is bad.
    assert caught.value.code is Code.UNAVAILABLE
    verifier.use([key(rsa_pair(), "rsa")])
    with pytest.raises(UnknownKey) as caught:
        verifier.verify(signed, NOW_S)
    assert caught.value.code is Code.INVALID_TOKEN
    verifier.use(BOTH)
    assert verifier.verify(signed, NOW_S).user_id == 5


def test_the_tokens_of_the_previous_secret_are_refused_from_the_cut_off_on() -> None:
    keys = [
        secret_key(SECRET, ["HS256"]),
        secret_key(OTHER_SECRET, ["HS256"], until_s=NOW_S + 100),
    ]
    verifier = Verifier(keys)
    old, new = mint(CLAIMS, OTHER_SECRET), mint(CLAIMS, SECRET)
    assert verifier.verify(old, NOW_S + 99).user_id == 5
    # Also one that was remembered before.
    assert code_of(verifier, old, NOW_S + 100) is Code.INVALID_TOKEN
    assert verifier.verify(new, NOW_S + 100).user_id == 5


# Remembered tokens


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signatures were looked at."""
    looked: list[str] = []
    real = jwt.decode_complete

    def decode(token: str, *arguments: Any, **options: Any) -> Any:
        looked.append(token)
        return real(token, *arguments, **options)

    monkeypatch.setattr(auth.jwt, "decode_complete", decode)
    return looked


def test_a_signature_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = counted(monkeypatch)
    verifier = Verifier(BOTH)
    signed = token(rsa_pair(), CLAIMS, "rsa")
    first = verifier.verify(signed, NOW_S)
    assert verifier.verify(f"Bearer {signed}", NOW_S + 10) is first
    assert len(looked) == 1


def test_a_remembered_token_expires_all_the_same() -> None:
    verifier = Verifier(BOTH)
    signed = token(rsa_pair(), CLAIMS, "rsa")
    verifier.verify(signed, NOW_S)
    assert code_of(verifier, signed, NOW_S + 3600) is Code.TOKEN_EXPIRED
    assert code_of(verifier, signed, NOW_S + 3601) is Code.TOKEN_EXPIRED


def test_a_remembered_token_is_good_no_more_when_its_key_is_gone() -> None:
    verifier = Verifier(BOTH)
    signed = token(rsa_pair(), CLAIMS, "rsa")
    verifier.verify(signed, NOW_S)
    verifier.use(BOTH[1:])
    assert code_of(verifier, signed) is Code.INVALID_TOKEN


def test_bad_tokens_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = counted(monkeypatch)
    verifier = Verifier(BOTH)
    forged = token(rsa_pair(1), CLAIMS, "rsa")
    for _ in range(3):
        assert code_of(verifier, forged) is Code.INVALID_TOKEN
    assert len(looked) == 3
    assert not verifier._remembered


def test_so_many_tokens_are_remembered_and_those_that_were_used_last() -> None:
    verifier = Verifier([secret_key(SECRET, ["HS256"])])
    first = mint({**CLAIMS, "jti": "first"}, SECRET)
    verifier.verify(first, NOW_S)
    again = verifier.verify(first, NOW_S)
    for number in range(MAX_REMEMBERED):
        if number == MAX_REMEMBERED // 2:
            assert verifier.verify(first, NOW_S) is again
        verifier.verify(mint({**CLAIMS, "jti": str(number)}, SECRET), NOW_S)
    assert len(verifier._remembered) == MAX_REMEMBERED
    assert verifier.verify(first, NOW_S) is again
