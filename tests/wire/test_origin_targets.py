"""Targets beside plain TCP: over TLS with all that can be said of certificates, Unix sockets."""

import json
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.wire.client import Response, ask, request
from tests.wire.running import Gripproxy, Running

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A certificate and its key, as files."""

    certificate: Path
    key: Path


class Authority:
    """Who signs certificates."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("tests")
        self.roots = directory / "roots.pem"
        builder = _certificate(self._name, self._name, self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        self.roots.write_bytes(_pem(builder.sign(self._key, hashes.SHA256())))

    def sign(self, *hosts: str) -> Pair:
        """Return a pair for these names."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts])
        builder = _certificate(_name(hosts[0]), self._name, key.public_key())
        signed = builder.add_extension(names, False).sign(self._key, hashes.SHA256())
        pair = Pair(self._directory / f"{hosts[0]}.pem", self._directory / f"{hosts[0]}.key")
        pair.certificate.write_bytes(_pem(signed))
        pair.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return pair


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


class Telling(BaseHTTPRequestHandler):
    """Answers with what it has seen of the connection and the request."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        told: dict[str, object] = {"host": self.headers["Host"], "target": self.path}
        if isinstance(self.connection, ssl.SSLSocket):
            told["sni"] = getattr(self.connection, "asked_for", None)
            shown = self.connection.getpeercert() or {}
            told["client"] = [value for ((_, value),) in shown.get("subject", ())]
            told["tls"] = self.connection.version()
        body = json.dumps(told).encode()
        self.send_response(200)
        if self.path == "/held":
            self.send_header("Grip-Hold", "stream")
            self.send_header("Grip-Channel", "c")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class UnixServer(ThreadingUnixStreamServer):
    daemon_threads = True


class UnixTelling(Telling):
    def address_string(self) -> str:
        return "unix"


@contextmanager
def serving(server: ThreadingHTTPServer | UnixServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def over_tls(pair: Pair, roots: Path | None = None) -> Iterator[int]:
    """An origin over TLS; with `roots` it wants a certificate of its clients."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    if roots is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(roots)

    def asked(sock: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        sock.asked_for = name  # type: ignore[attr-defined]

    context.sni_callback = asked
    server = ThreadingHTTPServer(("127.0.0.1", 0), Telling)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    with serving(server):
        yield server.server_port


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def system(place: Path) -> Iterator[Running]:
    authority, stranger = Authority(place), Authority(Path(place / "..").resolve())
    mine, named = authority.sign("a.test"), authority.sign("localhost")
    unknown, client = stranger.sign("u.test"), authority.sign("client.test")
    sock = str(place / "origin.sock")
    with (
        pytest.MonkeyPatch.context() as environment,
        over_tls(mine) as tls,
        over_tls(named) as local,
        over_tls(unknown) as strange,
        over_tls(mine, authority.roots) as mutual,
        serving(UnixServer(sock, UnixTelling)),
    ):
        environment.setenv("SSL_CERT_FILE", str(authority.roots))
        pair = f"client_cert={client.certificate},client_key={client.key}"
        routes = [
            f"a.test 127.0.0.1:{tls},ssl",
            f"other.test,debug 127.0.0.1:{tls},ssl",
            f"named.test 127.0.0.1:{tls},ssl,host=a.test",
            f"as.test,as_host=a.test 127.0.0.1:{tls},ssl",
            f"trusting.test localhost:{local},ssl,trust_connect_host",
            f"distrusting.test,debug localhost:{local},ssl",
            f"insecure.test 127.0.0.1:{strange},ssl,insecure",
            f"u.test,debug 127.0.0.1:{strange},ssl",
            f"second.test 127.0.0.1:{strange},ssl 127.0.0.1:{tls},ssl,host=a.test",
            f"mutual.test 127.0.0.1:{mutual},ssl,host=a.test,{pair}",
            f"unknown-client.test 127.0.0.1:{mutual},ssl,host=a.test",
            f"unix.test unix:{sock}",
            "gone.test,debug unix:/nowhere/at/all.sock",
            f"nowhere.test,debug 0.0.0.0:{tls},untrusted",
            f"nowhere-6.test,debug [::]:{tls},untrusted",
        ]
        with Gripproxy(routes) as running:
            yield running


def get(system: Running, host: str, target: str = "/x") -> Response:
    return ask(system.port, request("GET", target, host))


def told(system: Running, host: str) -> Mapping[str, object]:
    answer = get(system, host)
    assert answer.status == 200, answer.body
    return json.loads(answer.body)


# TLS


def test_an_origin_is_asked_over_tls(system):
    seen = told(system, "a.test")
    assert (seen["host"], seen["sni"], seen["target"]) == ("a.test", "a.test", "/x")
    assert seen["tls"] in ("TLSv1.2", "TLSv1.3")


def test_a_certificate_for_another_name_is_refused(system):
    answer = get(system, "other.test")
    assert answer.status == 502
    assert "tls_certificate_error" in (answer.value("Proxy-Status") or "")


@pytest.mark.parametrize("host", ["named.test", "as.test"])
def test_the_name_of_the_uri_counts(system, host):
    seen = told(system, host)
    assert (seen["host"], seen["sni"]) == ("a.test", "a.test")


def test_the_targets_own_name_may_count(system):
    seen = told(system, "trusting.test")
    assert (seen["host"], seen["sni"]) == ("trusting.test", "localhost")
    assert get(system, "distrusting.test").status == 502


def test_a_certificate_that_nobody_knows_is_refused(system):
    answer = get(system, "u.test")
    assert answer.status == 502
    assert "tls_certificate_error" in (answer.value("Proxy-Status") or "")


def test_certificates_need_not_be_looked_at(system):
    assert told(system, "insecure.test")["host"] == "insecure.test"


def test_a_target_whose_certificate_is_refused_is_none(system):
    assert told(system, "second.test")["host"] == "a.test"


def test_a_client_certificate_is_shown(system):
    assert told(system, "mutual.test")["client"] == ["client.test"]
    assert get(system, "unknown-client.test").status == 502


def test_connections_over_tls_are_kept_for_the_same_name_only(system):
    assert {told(system, "a.test")["sni"] for _ in range(3)} == {"a.test"}
    assert told(system, "trusting.test")["sni"] == "localhost"


def test_a_hold_begins_over_tls(system):
    answer = ask(
        system.port, request("GET", "/held", "a.test", "Connection: close"), bodiless=True
    )
    assert answer.status == 200
    assert answer.value("Content-Length") is None


# Unix sockets


def test_an_origin_is_asked_over_a_unix_socket(system):
    assert told(system, "unix.test") == {"host": "unix.test", "target": "/x"}


def test_a_unix_socket_that_is_not_there_is_told(system):
    answer = get(system, "gone.test")
    assert answer.status == 502
    assert b"/nowhere/at/all.sock" in answer.body


def test_a_client_certificate_that_cannot_be_read_costs_its_line(place):
    missing = place / "missing.pem"
    routes = [f"a.test test,client_cert={missing},ssl", "b.test test"]
    with Gripproxy(routes) as running:
        assert get(running, "a.test").status == 502
        assert get(running, "b.test", "/").status == 200
        assert f"failed to open {missing}" in running.log()


@pytest.mark.parametrize("host", ["nowhere.test", "nowhere-6.test"])
def test_an_untrusted_target_does_not_lead_to_this_machine_by_another_name(system, host):
    answer = get(system, host)
    assert answer.status == 502
    assert "destination_ip_prohibited" in (answer.value("Proxy-Status") or "")
