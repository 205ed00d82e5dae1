"""Tokens: signing and verifying."""

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import KeySourceError
from gripproxy.protocol import signing
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.signing import Signer, Verifier


def private_pem(key):
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # short, so it is quick

TEXT = KeySource("text", b"changeme")
EC_PRIVATE = KeySource("pem", private_pem(EC_KEY))
EC_PUBLIC = KeySource("pem", public_pem(EC_KEY))
RSA_PRIVATE = KeySource("pem", private_pem(RSA_KEY))
RSA_PUBLIC = KeySource("pem", public_pem(RSA_KEY))

NOW = 1_700_000_007.5
MINUTE = 1_699_999_980


def parts(token):
    header, payload, _ = token.split(b".")
    return tuple(base64.urlsafe_b64decode(part + b"==") for part in (header, payload))


def signed(claims, key=b"changeme", algorithm="HS256"):
    tokens = jwt.PyJWS(algorithms=[])
    tokens.register_algorithm(algorithm, signing._ALGORITHMS[algorithm])
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    return tokens.encode(payload, key, algorithm=algorithm).encode()


# Signing


@pytest.mark.parametrize(
    ("key", "algorithm"),
    [
        (TEXT, b"HS256"),
        (KeySource("base64", b"\0\1"), b"HS256"),
        (KeySource("hex", b"x"), b"HS256"),
        (EC_PRIVATE, b"ES256"),
        (RSA_PRIVATE, b"RS256"),
    ],
)
def test_a_token_has_header_and_claims_in_their_order(key, algorithm):
    header, payload = parts(Signer("me", key).token(NOW))
    assert header == b'{"typ":"JWT","alg":"%b"}' % algorithm
    assert payload == b'{"exp":%d,"iss":"me"}' % (MINUTE + 3600)


@pytest.mark.parametrize(
    ("private", "public"), [(TEXT, TEXT), (EC_PRIVATE, EC_PUBLIC), (RSA_PRIVATE, RSA_PUBLIC)]
)
def test_what_is_signed_is_trusted(private, public):
    assert Verifier(public).trusts(Signer("me", private).token(NOW), NOW)


def test_a_token_serves_for_a_minute():
    signer = Signer("me", EC_PRIVATE)
    assert signer.token(MINUTE) is signer.token(MINUTE + 59.9)


def test_a_new_minute_has_a_new_token():
    signer = Signer("me", TEXT)
    assert parts(signer.token(MINUTE))[1] != parts(signer.token(MINUTE + 60))[1]


@pytest.mark.parametrize(
    "secret", [b"x", b'{"kty": "oct"}', b"ssh-rsa AAAA", b"-----BEGIN X-----\n", b"\xff"]
)
def test_any_secret_will_do(secret):
    key = KeySource("text", secret)
    assert Verifier(key).trusts(Signer("me", key).token(NOW), NOW)


@pytest.mark.parametrize("key", [EC_PUBLIC, RSA_PUBLIC])
def test_a_public_key_does_not_sign(key):
    with pytest.raises(KeySourceError, match="a public key cannot sign"):
        Signer("me", key)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n",
        private_pem(ed25519.Ed25519PrivateKey.generate()),
        private_pem(ec.generate_private_key(ec.SECP384R1())),
        public_pem(ec.generate_private_key(ec.SECP384R1())),
    ],
)
@pytest.mark.parametrize("work", [lambda key: Signer("me", key), Verifier])
def test_other_keys_are_refused(text, work):
    with pytest.raises(KeySourceError, match="neither an RSA key"):
        work(KeySource("pem", text))


# Verifying


@pytest.mark.parametrize("key", [EC_PRIVATE, RSA_PRIVATE])
def test_a_private_key_verifies_too(key):
    assert Verifier(key).trusts(Signer("me", key).token(NOW), NOW)


@pytest.mark.parametrize(
    ("claims", "trusted"),
    [
        ({"exp": 1001}, True),
        ({"exp": 1001.9}, True),
        ({"exp": 1000.9}, False),
        ({"exp": 1000}, False),
        ({"exp": 1e300}, True),
        ({"exp": "2000"}, False),
        ({"exp": True}, False),
        ({"exp": None}, False),
        ({}, False),
        ([2000], False),
        (b'{"exp": 1e999}', False),
        (b"{", False),
        ({"exp": 2000, "aud": "x", "nbf": 5000, "iat": 5000, "iss": 1}, True),
    ],
)
def test_only_the_expiry_is_looked_at(claims, trusted):
    assert Verifier(TEXT).trusts(signed(claims), 1000) is trusted


@pytest.mark.parametrize(("wall", "trusted"), [(999.9, True), (1000.0, False)])
def test_there_is_no_leeway(wall, trusted):
    assert Verifier(TEXT).trusts(signed({"exp": 1000}), wall) is trusted


def test_a_token_that_is_known_expires():
    verifier = Verifier(TEXT)
    token = signed({"exp": 1000})
    assert [verifier.trusts(token, wall) for wall in (1, 999, 1000, 1)] == [
        True,
        True,
        False,
        True,
    ]


def test_what_is_known_is_bounded(monkeypatch):
    monkeypatch.setattr(signing, "_KNOWN_MAX", 2)
    verifier = Verifier(TEXT)
    for expiry in range(1000, 1005):
        assert verifier.trusts(signed({"exp": expiry}), 1)
    assert len(verifier._known) <= 2


def test_another_key_is_not_trusted():
    assert not Verifier(TEXT).trusts(signed({"exp": 2000}, b"changeyou"), 1000)


def test_another_algorithm_is_not_trusted():
    token = signed({"exp": 2000}, public_pem(EC_KEY))
    assert not Verifier(EC_PUBLIC).trusts(token, 1000)


def test_no_algorithm_is_not_trusted():
    token = jwt.encode({"exp": 2000}, None, algorithm="none").encode()
    assert not Verifier(TEXT).trusts(token, 1000)


@pytest.mark.parametrize("token", [b"", b"x", b"a.b", b"a.b.c", b"\xff.\xff.\xff", b"...."])
def test_garbage_is_not_trusted(token):
    assert not Verifier(TEXT).trusts(token, 1000)


def test_the_claims_of_a_token_are_told():
    assert Verifier(TEXT).claims(signed({"exp": 1, "iss": "x"})) == {"exp": 1, "iss": "x"}


SEGMENTS = st.one_of(
    st.binary(),
    st.binary().map(base64.urlsafe_b64encode).map(lambda text: text.rstrip(b"=")),
    st.sampled_from(
        [b'{"alg":"HS256"}', b'{"alg":["HS256"]}', b'{"alg":"HS256","b64":false,"crit":["b64"]}']
    )
    .map(base64.urlsafe_b64encode)
    .map(lambda text: text.rstrip(b"=")),
)


@given(st.binary() | st.lists(SEGMENTS, max_size=4).map(b".".join))
@pytest.mark.parametrize("key", [TEXT, EC_PUBLIC, RSA_PUBLIC])
def test_any_token_is_trusted_or_not(key, token):
    assert not Verifier(key).trusts(token, 1000)
