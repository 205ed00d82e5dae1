"""Keys as the operator writes them."""

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st

from gripproxy.errors import KeySourceError
from gripproxy.protocol import keys
from gripproxy.protocol.keys import KeySource


def no_file(path):
    raise AssertionError(f"{path} was opened")


def files(**contents):
    def read(path):
        try:
            return contents[path]
        except KeyError:
            raise FileNotFoundError(2, "No such file or directory", path) from None

    return read


def private_pem(key, password=None):
    encryption = (
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
    )


def public_pem(key):
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


EC_KEY = ec.generate_private_key(ec.SECP256R1())


def test_an_empty_text_is_no_key():
    assert keys.resolve("", no_file) is None


@pytest.mark.parametrize("text", ["changeme", "notfile:x", "a b", "file", "base64", "é"])
def test_any_other_text_is_the_secret_itself(text):
    assert keys.resolve(text, no_file) == KeySource("text", text.encode())


def test_a_secret_that_is_not_utf8_keeps_its_bytes():
    assert keys.resolve("a\udcff", no_file) == KeySource("text", b"a\xff")


@given(st.binary(min_size=1), st.booleans())
def test_base64_is_decoded_with_and_without_padding(secret, padded):
    text = base64.b64encode(secret).decode()
    source = keys.resolve("base64:" + (text if padded else text.rstrip("=")), no_file)
    assert source == KeySource("base64", secret)


@pytest.mark.parametrize("text", ["base64:!", "base64:A", "base64:é", "base64:AA AA"])
def test_what_is_not_base64_is_refused(text):
    with pytest.raises(KeySourceError, match="is not base64"):
        keys.resolve(text, no_file)


def test_base64_of_nothing_is_refused():
    with pytest.raises(KeySourceError, match="nothing follows"):
        keys.resolve("base64:", no_file)


@pytest.mark.parametrize("content", [b"00ff10", b"00FF10\n", b" 00 ff 10 \r\n"])
def test_a_file_of_hexadecimal_digits_is_a_secret(content):
    assert keys.resolve("file:k", files(k=content)) == KeySource("hex", b"\x00\xff\x10")


@pytest.mark.parametrize("content", [b"0", b"xy", b"secret", b"\xff"])
def test_a_file_of_anything_else_is_refused(content):
    with pytest.raises(KeySourceError, match="k holds neither a PEM key nor hexadecimal digits"):
        keys.resolve("file:k", files(k=content))


def test_an_empty_file_is_refused():
    with pytest.raises(KeySourceError, match="k is empty"):
        keys.resolve("file:k", files(k=b"\n"))


def test_a_file_that_is_not_there_is_refused_with_the_reason():
    with pytest.raises(KeySourceError) as caught:
        keys.resolve("file:none", files())
    assert caught.value.text == "failed to open none: No such file or directory"


def test_an_error_without_an_errno_is_told_too():
    def read(path):
        raise OSError("strange")

    with pytest.raises(KeySourceError, match="failed to open k: strange"):
        keys.resolve("file:k", read)


def test_a_path_that_no_system_call_takes_is_refused():
    def read(path):
        raise ValueError("embedded null byte")

    with pytest.raises(KeySourceError, match="embedded null byte"):
        keys.resolve("file:\0", read)


@pytest.mark.parametrize(
    ("text", "path"), [("file:k", "etc/k"), ("file:sub/k", "etc/sub/k"), ("file:/k", "/k")]
)
def test_a_relative_file_is_looked_for_in_the_directory(text, path):
    read = files(**{path: b"00"})
    assert keys.resolve(text, read, directory="etc") == KeySource("hex", b"\0")


@pytest.mark.parametrize("signs", [False, True])
@pytest.mark.parametrize("key", [EC_KEY, rsa.generate_private_key(65537, 2048)], ids=["EC", "RSA"])
def test_a_private_pem_key_is_kept_as_it_is_written(key, signs):
    pem = private_pem(key)
    assert keys.resolve("file:k", files(k=pem), signs=signs) == KeySource("pem", pem)


def test_a_pem_key_may_follow_blank_lines():
    pem = b"\n\n" + private_pem(EC_KEY)
    assert keys.resolve("file:k", files(k=pem)) == KeySource("pem", pem)


def test_a_private_key_in_the_traditional_form_is_read():
    pem = EC_KEY.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
    assert b"BEGIN EC PRIVATE KEY" in pem
    assert keys.resolve("file:k", files(k=pem)) == KeySource("pem", pem)


def test_a_public_pem_key_verifies():
    pem = public_pem(EC_KEY)
    assert keys.resolve("file:k", files(k=pem)) == KeySource("pem", pem)


def test_a_public_pem_key_signs_nothing():
    with pytest.raises(KeySourceError, match="k holds no private key"):
        keys.resolve("file:k", files(k=public_pem(EC_KEY)), signs=True)


@pytest.mark.parametrize(
    "pem",
    [
        b"-----BEGIN",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        private_pem(EC_KEY, password=b"x"),
    ],
    ids=["cut", "garbage", "certificate", "encrypted"],
)
def test_a_broken_pem_file_is_refused(pem):
    with pytest.raises(KeySourceError, match="k holds no PEM key that can be read"):
        keys.resolve("file:k", files(k=pem))


@pytest.mark.parametrize(
    "key",
    [ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()],
    ids=["P-384", "Ed25519"],
)
def test_a_key_of_another_algorithm_is_refused(key):
    with pytest.raises(KeySourceError, match="k holds neither an RSA key nor an elliptic curve"):
        keys.resolve("file:k", files(k=private_pem(key)))


def test_the_secret_is_not_shown():
    assert "changeme" not in repr(keys.resolve("changeme", no_file))
