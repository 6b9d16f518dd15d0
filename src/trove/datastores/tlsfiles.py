"""What a database server shows its clients: certificate, key and authorities as files beside its data.

Each certificate has a directory of its own; a symbolic link names the one that counts. So a server finds files that belong
together whenever it reads them, and a change is whole or not there at all, also after a crash.
"""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

from trove.core.errors import GuestError, InvalidInput, TroveError
from trove.core.tls import Tls, TlsMode
from trove.datastores.contract import Host

_CERTIFICATE, _KEY, _AUTHORITIES, _MODE = "certificate.pem", "key.pem", "authorities.pem", "mode"
_END = "-----END CERTIFICATE-----"
_NAME_DIGITS = 32
_FULL = "The certificate cannot be kept: {}."


class TlsFiles:
    """The files, on the data volume, for the server's user alone. They are not below its own data, so no backup has them."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._folder = host.data_dir / "tls"
        self._link = self._folder / "now"
        self._note = self._folder / "note"
        self.certificate: Path = self._link / _CERTIFICATE
        """The server's own, and what signed it."""
        self.key: Path = self._link / _KEY
        self.authorities: Path = self._link / _AUTHORITIES
        """Whose certificates clients may show: what signed the server's own, or that itself where nothing did."""

    def in_use(self) -> bool:
        """Tell whether there ever was a certificate: then something may be left from it."""
        return self._folder.exists()

    def mode(self) -> TlsMode | None:
        """Return the mode that counts; None when the server does what it does by itself."""
        content = self._host.read_file(self._link / _MODE)
        return None if content is None else TlsMode(content.decode())

    def leaf(self) -> bytes | None:
        """Return the server's own certificate as DER, as clients see it; None without one."""
        import ssl  # noqa: PLC0415

        content = self._host.read_file(self.certificate)
        return None if content is None else ssl.PEM_cert_to_DER_cert(content.decode().partition(_END)[0] + _END)

    def note(self) -> str | None:
        """Return what a driver wants to remember of what it changed elsewhere; None when there is nothing."""
        content = self._host.read_file(self._note)
        return None if content is None else content.decode()

    def write_note(self, text: str | None) -> None:
        """Remember something, or nothing any more."""
        if text is None:
            self._host.remove_file(self._note)
        else:
            self._host.write_file(self._note, text.encode())

    def apply(self, tls: Tls | None, serve: Callable[[], bool]) -> bool:
        """Have the files, and the mode, be these, and let `serve` tell the server; return what it returns.

        When that fails, all is as it was, and the server is told again.
        """
        before, name = self._chosen(), None if tls is None else self._make(tls)
        self._choose(name)
        try:
            pending = serve()
        except TroveError:
            self._choose(before)
            with contextlib.suppress(TroveError):
                serve()
            raise
        self._tidy()
        return pending

    def _make(self, tls: Tls) -> str:
        """Write the files of one, and return the name of its directory: always the same for the same."""
        name = hashlib.sha256(json.dumps(tls.to_json(), sort_keys=True).encode()).hexdigest()[:_NAME_DIGITS]
        folder = self._folder / name
        self._host.make_dir(folder)
        chain = _joined(tls.certificate, tls.chain)
        files = {
            _CERTIFICATE: chain,
            _KEY: _joined(tls.key),
            _AUTHORITIES: _joined(tls.chain) if tls.chain.strip() else chain,
            _MODE: tls.mode.value.encode(),
        }
        for file, content in files.items():
            self._host.write_file(folder / file, content)
        try:
            _need_usable(tls, folder)
        except TroveError:
            if name != self._chosen():
                self._host.remove_tree(folder)
            raise
        return name

    def _chosen(self) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return str(self._link.readlink())
        return None

    def _choose(self, name: str | None) -> None:
        if name == self._chosen():
            return
        try:
            if name is None:
                self._link.unlink()
            else:
                fresh = self._link.with_name("next")
                fresh.unlink(missing_ok=True)
                fresh.symlink_to(name)
                fresh.rename(self._link)
            handle = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        except OSError as error:
            raise GuestError(_FULL.format(error.strerror)) from error

    def _tidy(self) -> None:
        """Remove what counts no more: keys that nobody needs are not kept."""
        chosen = self._chosen()
        for path in self._host.files_in(self._folder, "[0-9a-f]" * _NAME_DIGITS):
            if path.name != chosen:
                self._host.remove_tree(path)


def _need_usable(tls: Tls, folder: Path) -> None:
    """Raise `InvalidInput` unless a server can serve with it: a key that fits the certificate, and a chain where it is needed.

    Nothing of what was given is in the message. One that has expired, or is not valid yet, is the tenant's own business.
    """
    import ssl  # noqa: PLC0415  few agents ever need it

    if tls.mode is TlsMode.MTLS and not tls.chain.strip():
        raise InvalidInput("Mode mtls needs the chain of the certificate: clients must show what its authorities have signed.")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_verify_locations(folder / _AUTHORITIES)
        context.load_cert_chain(folder / _CERTIFICATE, folder / _KEY, password=lambda: b"")
    except (ssl.SSLError, ValueError) as error:
        told = getattr(error, "reason", None)
        why = f" ({str(told).lower().replace('_', ' ')})" if told else ""
        raise InvalidInput(f"The certificate, its chain and the key are of no use together{why}.") from None


def _joined(*texts: str) -> bytes:
    return "".join(f"{text.strip()}\n" for text in texts if text.strip()).encode()
