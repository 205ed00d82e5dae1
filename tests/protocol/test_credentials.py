"""Who may use the control port."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import CredentialsError
from gripproxy.protocol import credentials
from gripproxy.protocol.credentials import Credentials
from gripproxy.protocol.headers import Headers
from gripproxy.protocol.keys import KeySource
from gripproxy.protocol.signing import Signer, _Key

TEXT = KeySource("text", b"s3cret")
NOW = 1000.0


def token(key=TEXT, **claims):
    return _Key(key, signs=True).sign(claims).decode()


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def check(authorization=None, key=TEXT, issuer="", fastly=None):
    pairs = []
    if authorization is not None:
        pairs.append((b"Authorization", authorization.encode()))
    if fastly is not None:
        pairs.append((b"Fastly-Key", fastly.encode()))
    Credentials(key, issuer).check(Headers(pairs), NOW)


def refusal(*arguments, **named):
    with pytest.raises(CredentialsError) as caught:
        check(*arguments, **named)
    return caught.value


@pytest.mark.parametrize(
    "authorization",
    [
        "Bearer s3cret",
        "bearer  s3cret ",
        "BEARER " + token(exp=1001),
        "Bearer " + token(exp=941, nbf=5000),
        basic("anyone:s3cret"),
        basic(":s3cret"),
        "basic  " + base64.b64encode(b"u:s3cret").decode(),
    ],
)
def test_who_has_the_key_is_let_in(authorization):
    check(authorization)


def test_the_fastly_key_is_as_good_as_a_bearer():
    check(fastly="s3cret")
    check(fastly=token(exp=1001))


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        (KeySource("base64", b"abcd"), ["abcd", "YWJjZA==", "YWJjZA", "base64:YWJjZA=="]),
        (KeySource("hex", b"abcd"), ["abcd", "61626364"]),
    ],
)
def test_a_key_is_accepted_as_it_was_written(key, texts):
    for text in texts:
        check("Bearer " + text, key)
        check(basic("u:" + text), key)


@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("", "unsupported scheme"),
        ("Digest x", "unsupported scheme"),
        ("s3cret", "unsupported scheme"),
        ("Bearer", "token is not valid"),
        ("Bearer other", "token is not valid"),
        ("Bearer " + token(KeySource("text", b"other"), exp=2000), "token is not valid"),
        ("Bearer " + token(iss="x"), "token has no exp"),
        ("Bearer " + token(exp="x"), "token has no exp"),
        ("Bearer " + token(exp=940), "token has expired"),
        ("Basic", "token is not valid"),
        ("Basic !!!", "token is not valid"),
        ("Basic YQ", "token is not valid"),
        ("Basic \u00e9", "token is not valid"),
        (basic("s3cret"), "token is not valid"),
        (basic("s3cret:x"), "token is not valid"),
        (basic("u:s3cret:x"), "token is not valid"),
    ],
)
def test_who_has_not_is_told_why(authorization, reason):
    assert refusal(authorization).text == reason


def test_without_any_credentials_there_are_none():
    error = refusal()
    assert (error.text, error.given) == ("no credentials", False)


def test_a_bad_fastly_key_is_refused():
    assert refusal(fastly="x").text == "token is not valid"


@pytest.mark.parametrize("claims", [{}, {"iss": "you"}])
def test_the_issuer_must_be_the_one_that_is_set(claims):
    authorization = "Bearer " + token(exp=2000, **claims)
    assert refusal(authorization, issuer="me").text == "wrong issuer"


def test_the_right_issuer_is_let_in():
    check("Bearer " + token(exp=2000, iss="me"), issuer="me")


def test_the_key_itself_needs_no_issuer():
    check("Bearer s3cret", issuer="me")


def test_a_public_key_lets_in_tokens_only():
    private = ec.generate_private_key(ec.SECP256R1())
    public = private.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    pem = private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    key = KeySource("pem", public)
    check("Bearer " + Signer("x", KeySource("pem", pem)).token(NOW).decode(), key)
    authorization = "Basic " + base64.b64encode(b"u:" + public).decode()
    assert refusal(authorization, key).text == "token is not valid"


@pytest.mark.parametrize(
    ("authorization", "challenge"),
    [
        ("Digest x", b'Bearer realm="gripproxy"'),
        ("Bearer x", b'Bearer realm="gripproxy", error="invalid_token"'),
        (basic("x"), b'Bearer realm="gripproxy", error="invalid_token"'),
    ],
)
def test_a_challenge_says_whether_a_token_came(authorization, challenge):
    assert credentials.challenge(refusal(authorization)) == challenge


@given(st.sampled_from(["Bearer ", "Basic ", ""]), st.text(max_size=40))
def test_anything_else_is_refused(scheme, text):
    assert refusal(scheme + text).text in ("token is not valid", "unsupported scheme")


# Pages of other sites


def crosses(origin, host=b"localhost:5561"):
    pairs = [(b"Origin", origin)] if origin is not None else []
    if host is not None:
        pairs.append((b"Host", host))
    return credentials.is_cross_origin(Headers(pairs))


def test_what_is_no_page_does_not_cross():
    assert not crosses(None)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"http://localhost:5561", b"localhost:5561"),
        (b"https://LOCALHOST", b"Localhost"),
        (b"http://127.0.0.1:5561", b"127.0.0.1:5561"),
        (b"http://[::1]:5561", b"[::1]:5561"),
    ],
)
def test_a_page_of_the_port_itself_does_not_cross(origin, host):
    assert not crosses(origin, host)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        (b"null", b"localhost"),
        (b"", b"localhost"),
        (b"", b""),
        (b"http://", b""),
        (b"http://localhost", None),
        (b"http://localhost:3000", b"localhost:5561"),
        (b"http://evil.example", b"localhost:5561"),
        (b"http://evil.example:5561", b"evil.example:5561"),
        (b"http://\xff", b"\xff"),
    ],
)
def test_a_page_of_another_site_crosses(origin, host):
    assert crosses(origin, host)
