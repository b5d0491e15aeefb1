"""Encryption on the way to MySQL: a server on another host is verified before it gets a password."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from salesmart_assets.errors import Unreachable, UsageError
from salesmart_assets.publish import open_database
from salesmart_assets.publish.database import for_dagster
from salesmart_assets_tests.conftest import MariaDb, MariaDbServer

# Resolves to this machine, but does not say so: to the program it is the name of another host.
ELSEWHERE = "127.1"


Authority = tuple[x509.Name, ec.EllipticCurvePrivateKey]


def certificate(folder: Path, name: str, host: str = "nowhere", issuer: Authority | None = None) -> Authority:
    """Write a certificate and its key to `NAME.pem` and `NAME.key`; without an issuer it is an authority's, which is returned."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issued_by, signed_with = issuer or (subject, key)
    now = datetime.now(timezone.utc)
    made = (
        x509.CertificateBuilder(issued_by, subject, key.public_key(), x509.random_serial_number(), now - timedelta(1), now + timedelta(1))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(signed_with, hashes.SHA256())
    )
    (folder / f"{name}.pem").write_bytes(made.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()))
    return subject, key


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two authorities, and certificates of a server and a client that the first has issued."""
    folder = tmp_path_factory.mktemp("certificates")
    ours = certificate(folder, "ours")
    certificate(folder, "theirs")
    certificate(folder, "server", ELSEWHERE, ours)
    certificate(folder, "client", issuer=ours)
    return folder


@pytest.fixture(scope="module")
def mariadb_tls(certificates: Path) -> Iterator[MariaDb]:
    """A server that can encrypt."""
    files = {"ca": "ours.pem", "cert": "server.pem", "key": "server.key"}
    with MariaDbServer(*(f"--ssl-{what}={certificates / file}" for what, file in files.items())) as server:
        yield server.database


def url(server: MariaDb, options: str = "", host: str = ELSEWHERE) -> str:
    return server.url("shop").replace("@127.0.0.1:", f"@{host}:") + options


def cipher(address: str) -> str:
    """Open the database, and tell how the connection is encrypted; nothing if it is not."""
    engine = open_database(address)
    with engine.connect() as connection:
        return str(connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1])


def refusal(address: str) -> str:
    with pytest.raises(Unreachable) as caught:
        open_database(address)
    return str(caught.value)


def test_the_right_authority_is_taken(mariadb_tls: MariaDb, certificates: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the authority named in the URL, or known to the system, the connection is encrypted, also the one that makes the database."""
    assert cipher(url(mariadb_tls, f"?ssl_ca={certificates / 'ours.pem'}"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ours.pem"))
    assert cipher(url(mariadb_tls))


def test_nobody_else_gets_the_password(mariadb_tls: MariaDb, mariadb: MariaDb, certificates: Path) -> None:
    """A MySQL server on another host gets a password over TLS alone, and only if its certificate is verified."""
    for options in ("", f"?ssl_ca={certificates / 'theirs.pem'}"):
        said = refusal(url(mariadb_tls, options))
        assert "cannot be trusted" in said
        assert "?ssl_ca=/path/to/ca.pem" in said
        assert mariadb_tls.password not in said
    for options in ("", f"?ssl_ca={certificates / 'ours.pem'}", "?ssl_disabled=false"):
        assert "offers no encryption (TLS). No password was sent" in refusal(url(mariadb, options))


def test_encryption_can_be_done_without(mariadb: MariaDb, mariadb_tls: MariaDb) -> None:
    """A URL that says so does without TLS, also where the server offers it."""
    assert cipher(url(mariadb, "?ssl_disabled=true")) == ""
    assert cipher(url(mariadb_tls, "?ssl_disabled=true")) == ""


def test_the_driver_of_dagster_is_held_to_the_same_rule(mariadb_tls: MariaDb, mariadb: MariaDb, certificates: Path) -> None:
    """Dagster's own driver verifies the server as ours does: its authority, its name, and that there is encryption at all."""
    ours = f"?ssl_ca={certificates / 'ours.pem'}"
    theirs = f"?ssl_ca={certificates / 'theirs.pem'}"

    def cipher_of(address: str) -> str:
        with sa.create_engine(for_dagster(address)).connect() as connection:
            return str(connection.exec_driver_sql("SHOW STATUS LIKE 'Ssl_cipher'").one()[1])

    cipher(url(mariadb_tls, ours))  # makes the database
    assert cipher_of(url(mariadb_tls, ours))
    assert cipher_of(url(mariadb_tls, f"{ours}&ssl_check_hostname=false", "127.0.1"))
    assert cipher_of(url(mariadb_tls, "?ssl_disabled=true")) == ""
    for address in (url(mariadb_tls), url(mariadb_tls, theirs), url(mariadb_tls, ours, "127.0.1"), url(mariadb)):
        with pytest.raises(sa.exc.DBAPIError, match=r"certificate verify failed|SSL is required"):
            cipher_of(address)
    with pytest.raises(UsageError, match="takes keys without a password"):
        for_dagster(url(mariadb_tls, f"{ours}&ssl_key_password=geheim"))


def test_a_certificate_of_another_host_is_refused(mariadb_tls: MariaDb, certificates: Path) -> None:
    """The certificate must be of the host in the URL, unless that says that it need not be."""
    other = f"?ssl_ca={certificates / 'ours.pem'}"
    assert "cannot be trusted: Hostname mismatch" in refusal(url(mariadb_tls, other, "127.0.1"))
    assert cipher(url(mariadb_tls, f"{other}&ssl_check_hostname=false", "127.0.1"))


def test_a_client_certificate_is_shown(mariadb_tls: MariaDb, certificates: Path) -> None:
    """A user who must show a certificate can; the server is verified all the same."""
    mariadb_tls.execute("CREATE USER shown@'%' IDENTIFIED BY 'geheim' REQUIRE X509", "GRANT ALL ON *.* TO shown@'%'")
    authority = f"?ssl_ca={certificates / 'ours.pem'}"
    own = f"ssl_cert={certificates / 'client.pem'}&ssl_key={certificates / 'client.key'}"
    address = url(mariadb_tls).replace(f"{mariadb_tls.user}:{mariadb_tls.password}", "shown:geheim")
    assert cipher(f"{address}{authority}&{own}")
    assert "refuses user shown" in refusal(f"{address}{authority}")
    assert "cannot be trusted" in refusal(f"{address}?{own}")


def test_on_this_machine_nothing_is_asked(mariadb: MariaDb, mariadb_tls: MariaDb) -> None:
    """Over loopback a server without TLS, and one with a certificate of its own, are taken as they are."""
    assert cipher(url(mariadb, host="127.0.0.1")) == ""
    assert cipher(url(mariadb, host="localhost")) == ""
    assert cipher(url(mariadb_tls, host="127.0.0.1"))


def test_a_socket_is_this_machine(mariadb: MariaDb) -> None:
    """A Unix socket needs no TLS, whatever host the URL names beside it."""
    (path,) = mariadb.execute("SELECT @@socket")[0]
    assert cipher(url(mariadb, f"?unix_socket={path}")) == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("?ssl_mode=DISABLED", "has ssl_mode: of TLS it may say ssl_ca"),
        ("?ssl_disabled=perhaps", "says 'perhaps': use true or false"),
        ("?ssl_ca=/nowhere/ca.pem", "No such file or directory.*check /nowhere/ca.pem"),
        ("?ssl_ca=/etc/hostname", "check /etc/hostname"),
    ],
)
def test_what_can_not_be_meant_is_told(options: str, says: str) -> None:
    """A TLS option that does not exist, or names no certificates, is told before anything is connected, without the password."""
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(UsageError, match=says) as caught:
            open_database(f"mysql://ann:geheim@{ELSEWHERE}:{nobody.getsockname()[1]}/shop{options}")
    assert "geheim" not in str(caught.value)
