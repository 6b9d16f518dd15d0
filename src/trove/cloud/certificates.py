"""Certificates and keys as tenants keep them, read and checked before anything is done with them."""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from trove.core.errors import InvalidInput
from trove.core.tls import Tls, TlsMode

PAYLOAD, CERTIFICATE, KEY = "payload", "certificate", "private_key"
INTERMEDIATES, PASSPHRASE = "intermediates", "private_key_passphrase"
LEAST_RSA_BITS = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_PEM = b"-----BEGIN"

_Key: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Details:
    """What a certificate says: for whom it is, until when, and under which names and addresses he may be met."""

    common_name: str | None
    expires: datetime
    alternatives: tuple[str, ...]


def tls_of(held: Mapping[str, bytes], passphrase: Mapping[str, bytes] | None, *, mode: TlsMode) -> Tls:
    """Return what a server can serve with, of what a key manager holds (see `KeyManager.read`).

    Raises `InvalidInput` that names container_ref or password_ref and what is wrong with it, without a word of what it holds.
    """
    word = None if passphrase is None else _passphrase(passphrase)
    if PAYLOAD in held:
        key, certificate, others = _of_pkcs12(held[PAYLOAD], word)
    else:
        key, certificate, others = _of_container(held, word)
    if _public(key) != _public(certificate):
        raise InvalidInput("container_ref: the private key does not belong to the certificate.")
    chain = _ordered(certificate, others)
    if mode is TlsMode.MTLS and not chain:
        raise InvalidInput("container_ref: mtls needs the certificates of the authority by which clients are known.")
    return Tls(
        mode=mode,
        certificate=_pem(certificate),
        chain="".join(_pem(each) for each in chain),
        key=key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode(),
    )


def details_of(certificate: str) -> Details:
    """Return what a certificate in PEM says."""
    read = x509.load_pem_x509_certificate(certificate.encode())
    named = read.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    try:
        names = read.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    return Details(
        common_name=str(named[0].value) if named else None,
        expires=read.not_valid_after_utc,
        alternatives=tuple(_alternative(each) for each in names),
    )


def _of_pkcs12(payload: bytes, passphrase: bytes | None) -> tuple[_Key, x509.Certificate, Sequence[x509.Certificate]]:
    data = payload
    if not payload.startswith(b"0"):  # DER begins with a sequence
        try:
            data = b64decode(b"".join(payload.split()), validate=True)
        except ValueError:
            raise InvalidInput("container_ref: the secret holds no PKCS12 file, neither as it is nor in base64.") from None
    try:
        held = pkcs12.load_pkcs12(data, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # From None, here and below: what the library says may hold some of what it has read.
        asked = "password_ref: the passphrase that it leads to" if passphrase else "password_ref: an empty passphrase"
        raise InvalidInput(f"{asked} does not open container_ref, or that is no PKCS12 file.") from None
    if held.key is None or held.cert is None:
        raise InvalidInput("container_ref: the PKCS12 file needs both a certificate and its private key.")
    return _usable(held.key), held.cert.certificate, [each.certificate for each in held.additional_certs]


def _of_container(
    held: Mapping[str, bytes], passphrase: bytes | None
) -> tuple[_Key, x509.Certificate, Sequence[x509.Certificate]]:
    for name in (CERTIFICATE, KEY):
        if name not in held:
            raise InvalidInput(f"container_ref: the container has no {name}.")
    word = _passphrase({PAYLOAD: held[PASSPHRASE]}) if PASSPHRASE in held else passphrase
    certificates = _certificates(held[CERTIFICATE], CERTIFICATE)
    others = _certificates(held[INTERMEDIATES], INTERMEDIATES) if INTERMEDIATES in held else []
    pem = held[KEY].lstrip().startswith(_PEM)
    load = serialization.load_pem_private_key if pem else serialization.load_der_private_key
    try:
        key = load(held[KEY], word)
    except TypeError:
        told = "has no passphrase, but one is given" if word else "has a passphrase, and none is given"
        raise InvalidInput(f"password_ref: the private key {told}.") from None
    except (ValueError, UnsupportedAlgorithm):
        told = ", or password_ref is not its passphrase" if word else ""
        raise InvalidInput(f"container_ref: the private_key cannot be read{told}.") from None
    return _usable(key), certificates[0], [*certificates[1:], *others]


def _certificates(data: bytes, name: str) -> list[x509.Certificate]:
    try:
        if data.lstrip().startswith(_PEM):
            return x509.load_pem_x509_certificates(data)
        return [x509.load_der_x509_certificate(data)]
    except ValueError:
        raise InvalidInput(f"container_ref: the {name} can be read neither as PEM nor as DER.") from None


def _passphrase(held: Mapping[str, bytes]) -> bytes:
    if PAYLOAD not in held:
        raise InvalidInput("password_ref: must be a secret, not a container.")
    return held[PAYLOAD]


def _usable(key: object) -> _Key:
    if isinstance(key, rsa.RSAPrivateKey):
        if key.key_size < LEAST_RSA_BITS:
            raise InvalidInput(f"container_ref: an RSA key needs at least {LEAST_RSA_BITS} bits, not {key.key_size}.")
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey):
        if not isinstance(key.curve, _CURVES):
            raise InvalidInput(f"container_ref: keys on the curve {key.curve.name} cannot serve; use P-256, P-384 or P-521.")
        return key
    if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey):
        return key
    raise InvalidInput("container_ref: the private key must be of RSA, of an elliptic curve, or Ed25519.")


def _public(holder: _Key | x509.Certificate) -> bytes:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return holder.public_key().public_bytes(serialization.Encoding.DER, form)


def _ordered(leaf: x509.Certificate, others: Sequence[x509.Certificate]) -> list[x509.Certificate]:
    """Return all but the server's own, each after what it has signed; those that have signed none of it come last."""
    left = [each for each in dict.fromkeys(others) if each != leaf]
    chain: list[x509.Certificate] = []
    last = leaf
    while signer := next((each for each in left if _signed(last, each)), None):
        left.remove(signer)
        chain.append(signer)
        last = signer
    return [*chain, *left]


def _signed(one: x509.Certificate, signer: x509.Certificate) -> bool:
    try:
        one.verify_directly_issued_by(signer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _alternative(name: x509.GeneralName) -> str:
    kinds = {x509.DNSName: "DNS", x509.IPAddress: "IP Address", x509.UniformResourceIdentifier: "URI", x509.RFC822Name: "email"}
    kind = kinds.get(type(name))
    return f"{kind}:{name.value}" if kind else type(name).__name__
