"""PKCS12 files, as tenants keep certificates with their keys."""

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.support.certificates import Authority, Issued


def pkcs12_of(issued: Issued, authority: Authority | None = None, passphrase: bytes | None = None) -> bytes:
    """Return a file with a certificate, its key, and the authority's certificate if one is given."""
    key = serialization.load_pem_private_key(issued.key.encode(), None)
    certificate = x509.load_pem_x509_certificate(issued.certificate.encode())
    chain = None if authority is None else [x509.load_pem_x509_certificate(authority.certificate.encode())]
    secrecy = serialization.NoEncryption() if passphrase is None else serialization.BestAvailableEncryption(passphrase)
    return pkcs12.serialize_key_and_certificates(b"db", key, certificate, chain, secrecy)  # type: ignore[arg-type]
