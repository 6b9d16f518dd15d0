"""TLS of database servers with a certificate of the tenant's."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from trove.core.errors import InvalidInput
from trove.core.json import JSON


class TlsMode(StrEnum):
    """Whom a server lets in over TCP.

    BASIC: with TLS or without. ENFORCED: with TLS only. MTLS: with TLS and a certificate that the authorities in the tenant's
    container have signed; what it replaces or adds to is the engine's matter.
    """

    BASIC = "basic"
    ENFORCED = "enforced"
    MTLS = "mtls"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """What a server shows, and whom it lets in. All in PEM; the key without a passphrase.

    `certificate` is the server's own, `chain` what signed it up to the root, empty where it signed itself.
    """

    mode: TlsMode
    certificate: str
    chain: str = ""
    key: str = field(repr=False)

    def to_json(self) -> dict[str, JSON]:
        """Return it as what travels, sealed, to a guest. Holds the key."""
        return {"mode": self.mode.value, "certificate": self.certificate, "chain": self.chain, "key": self.key}

    @classmethod
    def from_json(cls, data: Mapping[str, JSON]) -> "Tls":
        """Read what `to_json` made. Raises `InvalidInput`, without any of the values."""
        try:
            mode = TlsMode(str(data["mode"]))
        except (KeyError, ValueError):
            raise InvalidInput(f"tls.mode: must be one of {', '.join(TlsMode)}.") from None
        texts = {name: data.get(name) for name in ("certificate", "chain", "key")}
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InvalidInput(f"tls.{name}: must be text.")
        return cls(mode=mode, **{name: str(text) for name, text in texts.items()})
