"""Make throw-away certificate authorities, and certificates of servers and clients."""

import datetime
import ipaddress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = datetime.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate and its key in PEM."""

    certificate: str
    key: str = field(repr=False)

    def write(self, folder: Path, name: str) -> tuple[Path, Path]:
        """Write both into a directory, the key for its owner alone, and return where they are."""
        certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
        certificate.write_text(self.certificate)
        key.write_text(self.key)
        key.chmod(0o600)
        return certificate, key


class Authority:
    """An authority with a key of its own; nobody else trusts it."""

    def __init__(self, name: str = "test authority") -> None:
        self._name = name
        self._key = ec.generate_private_key(ec.SECP256R1())
        built = _build(name, name, self._key).add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.certificate = _pem(built.sign(self._key, hashes.SHA256()))

    def issue(self, name: str, *addresses: str, expired: bool = False) -> Issued:
        """Make a certificate of a name, and of addresses."""
        key = ec.generate_private_key(ec.SECP256R1())
        built = _build(name, self._name, key, expired=expired)
        if addresses:
            names = [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]
            built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
        private = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return Issued(certificate=_pem(built.sign(self._key, hashes.SHA256())), key=private.decode())


def write_certificates(folder: Path) -> None:
    """Write ca.pem, server.pem and server.key into `folder`; they are for 127.0.0.1."""
    authority = Authority()
    (folder / "ca.pem").write_text(authority.certificate)
    server = authority.issue("test server", "127.0.0.1")
    (folder / "server.pem").write_text(server.certificate)
    (folder / "server.key").write_text(server.key)


def _build(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, *, expired: bool = False) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - 3 * DAY)
        .not_valid_after(now - DAY if expired else now + DAY)
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()
