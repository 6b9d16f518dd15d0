"""The files that a database server shows its clients: whole, fitting and private, whatever is refused or cut off."""

import ssl
import stat
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.certificates import Authority

from trove.core.errors import GuestError, InvalidInput
from trove.core.tls import Tls, TlsMode
from trove.datastores.tlsfiles import TlsFiles
from trove.guestagent.host import SandboxedHost


class KilledError(BaseException):
    """The agent ends here, without a word."""


def new_tls(mode: TlsMode = TlsMode.BASIC) -> Tls:
    authority = Authority()
    issued = authority.issue("db")
    return Tls(mode=mode, certificate=issued.certificate, chain=authority.certificate, key=issued.key)


def read(files: TlsFiles) -> Tls | None:
    """Return what a server that starts now would serve with, which fits together."""
    mode = files.mode()
    if mode is None:
        return None
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.certificate, files.key)
    chain = files.authorities.read_text()
    certificate = files.certificate.read_text().removesuffix(chain)
    return Tls(mode=mode, certificate=certificate, chain=chain, key=files.key.read_text())


def kept(host: SandboxedHost) -> list[Path]:
    return [path for path in (host.data_dir / "tls").rglob("*") if path.is_file()]


@pytest.fixture
def files(host: SandboxedHost) -> TlsFiles:
    return TlsFiles(host)


def test_what_counts_is_kept_alone_and_for_the_servers_user(host: SandboxedHost, files: TlsFiles) -> None:
    assert (read(files), files.leaf(), files.in_use()) == (None, None, False)
    for wanted in (new_tls(), new_tls(TlsMode.MTLS), None, None, new_tls(TlsMode.ENFORCED)):
        assert files.apply(wanted, lambda: True) is True
        assert read(TlsFiles(host)) == wanted
        assert len(kept(host)) == (0 if wanted is None else 4)
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in kept(host))
        assert all(stat.S_IMODE(path.parent.stat().st_mode) == 0o700 for path in kept(host))
        assert files.leaf() == (None if wanted is None else ssl.PEM_cert_to_DER_cert(wanted.certificate))


def test_a_certificate_that_signed_itself_is_its_own_authority(files: TlsFiles) -> None:
    wanted = replace(new_tls(), chain="")
    files.apply(wanted, lambda: False)
    assert files.authorities.read_text() == files.certificate.read_text() == wanted.certificate


@pytest.mark.parametrize("text", ["", "no PEM", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
@pytest.mark.parametrize("part", ["certificate", "chain", "key"])
def test_what_is_of_no_use_is_refused_before_anybody_is_told(
    host: SandboxedHost, files: TlsFiles, part: str, text: str
) -> None:
    before = new_tls()
    files.apply(before, lambda: False)
    wrong = replace(new_tls(TlsMode.MTLS), **{part: text})
    with pytest.raises(InvalidInput) as refused:
        files.apply(wrong, lambda: pytest.fail("the server was told"))
    assert not any(line in refused.value.message for line in new_tls().key.splitlines()[1:-1])
    assert read(files) == before
    assert len(kept(host)) == 4


def test_a_key_behind_a_passphrase_is_refused(files: TlsFiles) -> None:
    from cryptography.hazmat.primitives import serialization as to

    tls = new_tls()
    key = to.load_pem_private_key(tls.key.encode(), None)
    locked = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.BestAvailableEncryption(b"secret")).decode()
    with pytest.raises(InvalidInput):
        files.apply(replace(tls, key=locked), lambda: False)
    assert read(files) is None


@pytest.mark.parametrize("before", [None, new_tls()], ids=["none", "another"])
@pytest.mark.parametrize("wanted", [None, new_tls(TlsMode.ENFORCED)], ids=["none", "another"])
def test_a_server_that_refuses_it_is_told_again_what_it_had(files: TlsFiles, before: Tls | None, wanted: Tls | None) -> None:
    files.apply(before, lambda: False)
    told: list[Tls | None] = []

    def serve() -> bool:
        told.append(read(files))
        if len(told) == 1:
            raise GuestError("No.")
        return False

    with pytest.raises(GuestError, match="No"):
        files.apply(wanted, serve)
    assert told == [wanted, before]
    assert read(files) == before


@pytest.mark.parametrize("before", [None, new_tls()], ids=["none", "another"])
@pytest.mark.parametrize("deeds", range(6))
def test_cut_off_anywhere_it_is_the_old_one_or_the_new_one(
    host: SandboxedHost, files: TlsFiles, deeds: int, before: Tls | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = new_tls(TlsMode.MTLS)
    files.apply(before, lambda: False)
    left, write = deeds, host.write_file

    def die_in_time() -> None:
        nonlocal left
        if left == 0:
            raise KilledError
        left -= 1

    def write_file(path: Path, content: bytes) -> None:
        die_in_time()
        write(path, content)

    def serve() -> bool:
        die_in_time()
        return False

    with monkeypatch.context() as patch:
        patch.setattr(host, "write_file", write_file)
        if deeds == 5:
            files.apply(wanted, serve)
        else:
            with pytest.raises(KilledError):
                files.apply(wanted, serve)
    assert read(TlsFiles(host)) == (wanted if deeds >= 4 else before)
    TlsFiles(host).apply(wanted, lambda: False)
    assert read(files) == wanted
    assert len(kept(host)) == 4
