"""Tokens, good and bad. Rows J01 to J19 are hostile tokens."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chordme_daemon.app.auth import Identity, Verifier, mint
from chordme_daemon.app.events import Code, Permission, Refused
from chordme_daemon.app.keyring import secret_key

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER_SECRET = b"fedcba9876543210fedcba9876543210"
NOW_S = 1_800_000_000.0
DAY_S = 24 * 3600.0
CLAIMS: Mapping[str, object] = {"user_id": 5, "exp": NOW_S + 60}
RSA_PUBLIC_PEM = (
    b"-----BEGIN PUBLIC KEY-----\n"
    b"MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1tPf\n"
    b"9Cnzj4p4WGeKLs1Pt8QuKUpRKfFLfRYC9AIKjbJTWit+CqvjWYzvQwECAwEAAQ==\n"
    b"-----END PUBLIC KEY-----\n"
)


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def signed(
    header: bytes | Mapping[str, object],
    payload: bytes | object,
    secret: bytes = SECRET,
    digest: str = "sha256",
) -> str:
    """A token as somebody makes it who does not use a library that might refuse."""
    parts = [
        part if isinstance(part, bytes) else json.dumps(part).encode() for part in (header, payload)
    ]
    signing_input = ".".join(map(base64url, parts))
    signature = hmac.new(secret, signing_input.encode(), getattr(hashlib, digest)).digest()
    return f"{signing_input}.{base64url(signature)}"


def with_header(**fields: object) -> str:
    return signed({"alg": "HS256", **fields}, CLAIMS)


def with_claims(**claims: object) -> str:
    return signed({"alg": "HS256", "typ": "JWT"}, {**CLAIMS, **claims})


def without(claim: str) -> str:
    return signed({"alg": "HS256"}, {key: CLAIMS[key] for key in CLAIMS if key != claim})


def with_json(claims: str) -> str:
    """A token whose claims begin with a text of JSON."""
    return signed({"alg": "HS256"}, claims.encode())


def verifier(**settings: Any) -> Verifier:
    algorithms = settings.pop("algorithms", ["HS256"])
    keys = [secret_key(secret, algorithms) for secret in settings.pop("secrets", [SECRET])]
    return Verifier(keys, **{"leeway_s": 5.0, **settings})


def verify(token: object, **settings: Any) -> Identity:
    return verifier(**settings).verify(token, NOW_S)


def refusal(token: object, **settings: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(token, **settings)
    return caught.value


GOOD = mint(CLAIMS, SECRET)
HEADER, PAYLOAD, SIGNATURE = GOOD.split(".")
NO_ALGORITHM = base64url(b'{"alg":"none"}')


# Good tokens


def test_a_good_token_says_who_somebody_is() -> None:
    assert verify(GOOD) == Identity(5, "i:5", None, NOW_S + 60, NOW_S + 65)


def test_a_chordme_token_of_one_day_is_good() -> None:
    token = mint({"user_id": 7, "exp": int(NOW_S + DAY_S), "iat": int(NOW_S)}, SECRET)
    assert verify(token).user_id == 7


def test_all_that_a_token_may_say_is_read() -> None:
    identity = verify(
        with_claims(
            user_id="ada",
            name="Ada Ł.",
            jti="t-1",
            rooms={"song-1": "edit", "*": "read", "x": "none"},
        )
    )
    assert identity.user_id == "ada"
    assert identity.name == "Ada Ł."
    assert identity.token_id == "t-1"
    assert identity.rooms == {
        "song-1": Permission.EDIT,
        "*": Permission.READ,
        "x": Permission.NONE,
    }


def test_the_integer_5_and_the_text_5_are_two_users() -> None:
    number, text = verify(with_claims(user_id=5)), verify(with_claims(user_id="5"))
    assert (number.user_id, text.user_id) == (5, "5")
    assert number.key != text.key


@pytest.mark.parametrize(
    "user_id", [1, 2**53 - 1, "a", "ada@example.org", "Ada Lovelace", "ł" * 128]
)
def test_a_proper_user_id_stays_as_it_is(user_id: int | str) -> None:
    assert verify(with_claims(user_id=user_id)).user_id == user_id


@pytest.mark.parametrize("name", ["", "a\u0000", "\u202eevil", "x" * 81, 5, None, ["a"], "\ud800"])
def test_a_name_that_cannot_be_shown_is_no_name(name: object) -> None:
    assert verify(with_claims(name=name)).name is None


def test_a_token_signed_with_the_previous_secret_is_still_good() -> None:
    token = mint(CLAIMS, OTHER_SECRET)
    assert verify(token, secrets=[SECRET, OTHER_SECRET]).user_id == 5
    assert refusal(token).code is Code.INVALID_TOKEN


def test_an_identity_cannot_be_changed() -> None:
    identity = verify(with_claims(rooms={"a": "read"}))
    with pytest.raises(AttributeError):
        identity.user_id = 6  # type: ignore[misc] # that it cannot be done is the point
    with pytest.raises(TypeError):
        identity.rooms["a"] = Permission.ADMIN  # type: ignore[index] # the same


# Bad tokens

INVALID = [
    # Somebody else's algorithm
    pytest.param(f"{NO_ALGORITHM}.{PAYLOAD}.", id="J01-none-without-signature"),
    pytest.param(signed({"alg": "none"}, CLAIMS), id="J01-none-with-signature"),
    pytest.param(signed({"alg": "NoNe"}, CLAIMS), id="J01-NoNe"),
    pytest.param(signed({"typ": "JWT"}, CLAIMS), id="J01-missing"),
    pytest.param(signed({"alg": 1}, CLAIMS), id="J01-number"),
    pytest.param(signed({"alg": ["HS256"]}, CLAIMS), id="J01-list"),
    pytest.param(signed({"alg": "hs256"}, CLAIMS), id="J01-lower-case"),
    pytest.param(signed({"alg": "HS512"}, CLAIMS, digest="sha512"), id="J02-HS512"),
    pytest.param(signed({"alg": "HS256"}, CLAIMS, RSA_PUBLIC_PEM), id="J03-public-key"),
    pytest.param(signed({"alg": "RS256"}, CLAIMS), id="J03-RS256"),
    pytest.param(signed({"alg": "HS256"}, CLAIMS, b""), id="J04-empty-key"),
    pytest.param(mint(CLAIMS, OTHER_SECRET), id="another-secret"),
    # Time
    pytest.param(without("exp"), id="J05-exp-missing"),
    pytest.param(with_claims(exp=None), id="J05-exp-null"),
    pytest.param(with_claims(exp="soon"), id="J05-exp-text"),
    pytest.param(with_claims(exp=[NOW_S + 60]), id="J05-exp-list"),
    pytest.param(with_claims(exp=float("nan")), id="J05-exp-NaN"),
    pytest.param(with_json('{"user_id":5,"exp":1e400}'), id="J05-exp-1e400"),
    pytest.param(with_json('{"user_id":5,"exp":' + "9" * 2500 + "}"), id="J05-exp-2500-digits"),
    pytest.param(with_json('{"user_id":5,"exp":' + "9" * 5000 + "}"), id="J05-exp-5000-digits"),
    pytest.param(with_claims(exp="9999999999"), id="J06-exp-number-as-text"),
    pytest.param(with_claims(exp=1e18), id="J06-exp-1e18"),
    pytest.param(with_claims(exp=True), id="J06-exp-true"),
    pytest.param(with_claims(exp=NOW_S + 7 * DAY_S + 6), id="J06-exp-over-a-week"),
    pytest.param(with_claims(nbf=NOW_S + 6), id="J07-nbf-ahead"),
    pytest.param(with_claims(iat=NOW_S + 6), id="J07-iat-ahead"),
    pytest.param(with_claims(iat="x"), id="J07-iat-text"),
    pytest.param(with_claims(nbf=None), id="J07-nbf-null"),
    # Who
    pytest.param(without("user_id"), id="J08-missing"),
    pytest.param(with_claims(user_id=None), id="J08-null"),
    pytest.param(with_claims(user_id=""), id="J09-empty"),
    pytest.param(with_claims(user_id=0), id="J09-0"),
    pytest.param(with_claims(user_id=-1), id="J09-negative"),
    pytest.param(with_claims(user_id=True), id="J09-true"),
    pytest.param(with_claims(user_id=1.5), id="J09-fraction"),
    pytest.param(with_claims(user_id=1.0), id="J09-float"),
    pytest.param(with_claims(user_id=2**53), id="J09-too-large"),
    pytest.param(with_claims(user_id={"$ne": 1}), id="J09-object"),
    pytest.param(with_claims(user_id=[1]), id="J09-list"),
    pytest.param(with_claims(user_id="\ud800"), id="J09-lone-surrogate"),
    pytest.param(with_claims(user_id="a\u0000"), id="J09-NUL"),
    pytest.param(with_claims(user_id="a" * 129), id="J09-129-characters"),
    pytest.param(with_claims(user_id="a" * 9216), id="J09-9-KB"),
    # Header
    pytest.param(with_header(kid=5), id="J11-kid-number"),
    pytest.param(with_header(crit=["x"]), id="J12-crit"),
    pytest.param(with_header(crit=[]), id="J12-crit-empty"),
    pytest.param(with_header(crit=["b64"], b64=True), id="J12-crit-b64"),
    pytest.param(with_header(b64=False), id="J12-b64-false"),
    pytest.param(with_header(b64=True), id="J12-b64-true"),
    # Shape
    pytest.param(signed(b"[" * 2900, CLAIMS), id="J13-header-2900-deep"),
    pytest.param(with_json("[" * 2900), id="J13-payload-2900-deep"),
    pytest.param(with_json('{"user_id":' + "[" * 20000), id="J13-payload-20000-deep"),
    pytest.param(signed(b"[1]", CLAIMS), id="J14-header-list"),
    pytest.param(with_json("[1]"), id="J14-payload-list"),
    pytest.param(with_json('"x"'), id="J14-payload-text"),
    pytest.param(with_json("x"), id="J14-payload-no-JSON"),
    pytest.param(signed({"alg": "HS256"}, b"\xff\xfe"), id="J14-payload-bad-UTF-8"),
    pytest.param(with_json(f'{{"exp":{NOW_S + 60},"user_id":5,"user_id":0}}'), id="J14-last-bad"),
    pytest.param(f" {GOOD}", id="J15-leading-space"),
    pytest.param(f"{GOOD} ", id="J15-trailing-space"),
    pytest.param(f"{GOOD}\n", id="J15-trailing-newline"),
    pytest.param(f"Bearer  {GOOD}", id="J15-two-spaces"),
    pytest.param(f"Bearer Bearer {GOOD}", id="J15-twice"),
    pytest.param(f"bearer {GOOD}", id="J15-lower-case"),
    pytest.param(f"Bearer{GOOD}", id="J15-no-space"),
    pytest.param("Bearer ", id="J15-nothing-else"),
    pytest.param(f"{GOOD}=", id="J16-padding"),
    pytest.param(f"{GOOD}!!", id="J16-junk"),
    pytest.param(f"{GOOD}A", id="J16-one-character-more"),
    pytest.param(f"{HEADER}=.{PAYLOAD}.{SIGNATURE}", id="J16-padded-header"),
    pytest.param(f"{GOOD}.", id="J16-four-segments"),
    pytest.param(f"{HEADER}.{PAYLOAD}", id="J16-two-segments"),
    pytest.param("", id="J17-empty"),
    pytest.param("\ud800.a.b", id="J18-lone-surrogate"),
    pytest.param("ａ.ｂ.ｃ", id="J18-full-width"),
    pytest.param(with_claims(padding="x" * 4096), id="J19-over-4-KB"),
    pytest.param("a" * 1_000_000, id="J19-1-MB"),
    # What else a token may say
    pytest.param(with_claims(jti=5), id="jti-number"),
    pytest.param(with_claims(jti="a\n"), id="jti-newline"),
    pytest.param(with_claims(rooms=None), id="rooms-null"),
    pytest.param(with_claims(rooms=["song-1"]), id="rooms-list"),
    pytest.param(with_claims(rooms={"song-1": "owner"}), id="rooms-unknown-level"),
    pytest.param(with_claims(rooms={"song-1": 2}), id="rooms-level-number"),
    pytest.param(with_claims(rooms={"song-1": ["edit"]}), id="rooms-level-list"),
    pytest.param(with_claims(rooms={"song 1": "edit"}), id="rooms-no-room"),
    pytest.param(with_claims(rooms={"song-*": "edit"}), id="rooms-pattern"),
]


@pytest.mark.parametrize("token", INVALID)
def test_a_bad_token_is_refused_without_a_reason(token: str) -> None:
    refused = refusal(token)
    assert refused.code is Code.INVALID_TOKEN
    assert refused.message == "Invalid or expired token"
    assert refused.__cause__ is None
    assert refused.__suppress_context__


@pytest.mark.parametrize(
    "token",
    [None, 5, 1.5, [], {}, True, GOOD.encode()],
    ids=lambda token: f"J17-{type(token).__name__}",
)
def test_what_is_no_text_is_not_taken_for_a_token(token: object) -> None:
    refused = refusal(token)
    assert refused.code is Code.BAD_REQUEST
    assert refused.message == "Invalid authentication data"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(with_claims(exp=NOW_S - 5), id="J05-at-the-end-of-the-leeway"),
        pytest.param(with_claims(exp=NOW_S - DAY_S), id="J05-yesterday"),
        pytest.param(with_claims(exp=-1), id="J05-negative"),
    ],
)
def test_an_expired_token_is_refused_as_expired(token: str) -> None:
    refused = refusal(token)
    assert refused.code is Code.TOKEN_EXPIRED
    assert refused.message == "Invalid or expired token"


@pytest.mark.parametrize(
    "token",
    [
        pytest.param(with_claims(exp=NOW_S - 4), id="J05-within-leeway"),
        pytest.param(with_claims(exp=NOW_S + 60.5), id="J06-float"),
        pytest.param(with_claims(exp=NOW_S + 7 * DAY_S), id="J06-a-week"),
        pytest.param(with_claims(nbf=NOW_S + 4, iat=NOW_S + 4), id="J07-within-leeway"),
        pytest.param(with_claims(sub=5), id="sub-is-not-ours"),
        pytest.param(with_header(kid="../../dev/null"), id="J11-kid"),
        pytest.param(with_header(jku="http://127.0.0.1:1/", x5u="x", jwk={"k": "x"}), id="J11-jku"),
        pytest.param(
            with_json(f'{{"exp":{NOW_S + 60},"user_id":0,"user_id":5}}'), id="J14-last-wins"
        ),
        pytest.param(f"Bearer {GOOD}", id="J15-Bearer"),
    ],
)
def test_an_odd_token_may_be_good(token: str) -> None:
    assert verify(token).user_id == 5


def test_j16_only_one_spelling_of_a_signature_is_good() -> None:
    # The last of 43 characters carries 4 bits: three others decode to the same bytes.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    position = alphabet.index(SIGNATURE[-1])
    others = [alphabet[position + step] for step in (1, 2, 3)]
    for last in others:
        twin = SIGNATURE[:-1] + last
        assert base64.urlsafe_b64decode(twin + "=") == base64.urlsafe_b64decode(SIGNATURE + "=")
        assert refusal(f"{HEADER}.{PAYLOAD}.{twin}").code is Code.INVALID_TOKEN


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({}, id="J10-missing"),
        pytest.param({"aud": "other", "iss": "chordme"}, id="J10-other-aud"),
        pytest.param({"aud": "songs", "iss": "other"}, id="J10-other-iss"),
        pytest.param({"aud": [{}], "iss": "chordme"}, id="J10-aud-of-objects"),
        pytest.param({"aud": "songs", "iss": ["chordme"]}, id="J10-iss-list"),
        pytest.param({"aud": 5, "iss": "chordme"}, id="J10-aud-number"),
    ],
)
def test_a_token_for_or_from_somebody_else_is_refused(claims: dict[str, object]) -> None:
    refused = refusal(with_claims(**claims), issuer="chordme", audience="songs")
    assert refused.code is Code.INVALID_TOKEN


@pytest.mark.parametrize("audience", ["songs", ["other", "songs"]], ids=["J10-aud", "J10-aud-list"])
def test_a_token_for_us_is_good(audience: object) -> None:
    token = with_claims(aud=audience, iss="chordme")
    assert verify(token, issuer="chordme", audience="songs").user_id == 5


def test_j10_audience_and_issuer_do_not_matter_when_none_is_configured() -> None:
    assert verify(with_claims(aud="other", iss="other")).user_id == 5


def test_only_the_configured_algorithms_are_good() -> None:
    long_secret = SECRET * 2
    token = signed({"alg": "HS512"}, CLAIMS, long_secret, "sha512")
    assert verify(token, secrets=[long_secret], algorithms=["HS512"]).user_id == 5
    assert refusal(GOOD, algorithms=["HS512"]).code is Code.INVALID_TOKEN


@pytest.mark.parametrize(
    ("secrets", "algorithms"),
    [
        pytest.param([], ["HS256"], id="J04-no-secret"),
        pytest.param([SECRET, b""], ["HS256"], id="J04-empty-secret"),
        pytest.param([SECRET], [], id="J01-no-algorithm"),
        pytest.param([SECRET], ["none"], id="J01-none"),
        pytest.param([SECRET], ["HS256", "RS256"], id="J03-two-families"),
    ],
)
def test_a_verifier_that_would_believe_anybody_cannot_be_made(
    secrets: list[bytes], algorithms: list[str]
) -> None:
    with pytest.raises(ValueError, match=r"is needed|are some of"):
        verifier(secrets=secrets, algorithms=algorithms)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(st.text() | json_values | st.from_regex(r"[\w-]{1,9}\.[\w-]{1,9}\.[\w-]{1,9}"))
def test_garbage_is_refused_and_nothing_else(garbage: object) -> None:
    assert refusal(garbage).code in (Code.BAD_REQUEST, Code.INVALID_TOKEN)


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ["user_id", "exp", "iat", "nbf", "jti", "name", "rooms"], json_values
        ),
    )
)
def test_claims_of_any_type_make_an_identity_or_a_refusal(claims: dict[str, object]) -> None:
    try:
        identity = verify(with_claims(**claims))
    except Refused:
        pass
    else:
        assert type(identity.user_id) in (int, str)
        assert NOW_S - 5 < identity.expires_at_s <= NOW_S + 7 * DAY_S + 5
