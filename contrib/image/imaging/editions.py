"""Which versions of which engines images are made of, and where Debian has them."""

from dataclasses import dataclass

BOOKWORM, TRIXIE, SID = "bookworm", "trixie", "sid"


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A version of an engine. Of a package that several of the `suites` have, the newest is taken."""

    datastore: str
    version: str
    suites: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return what its images are called."""
        return f"{self.datastore}-{self.version}"

    @property
    def manager(self) -> str:
        """Return the engine, as the guest agent knows it."""
        return self.datastore

    @property
    def element(self) -> str:
        """Return the element that installs it."""
        return f"trove-{self.datastore}"


EDITIONS = (
    Edition(datastore="mariadb", version="10.11", suites=(BOOKWORM,)),
    Edition(datastore="mariadb", version="11.8", suites=(TRIXIE,)),
    Edition(datastore="mysql", version="9.7", suites=(SID,)),
    # The servers of the versions before are in older suites; they are there for upgrades.
    Edition(datastore="postgresql", version="15", suites=(BOOKWORM,)),
    Edition(datastore="postgresql", version="17", suites=(TRIXIE, BOOKWORM)),
    Edition(datastore="postgresql", version="18", suites=(SID, TRIXIE, BOOKWORM)),
    Edition(datastore="redis", version="7.0", suites=(BOOKWORM,)),
    Edition(datastore="redis", version="8.0", suites=(TRIXIE,)),
    Edition(datastore="valkey", version="8.1", suites=(TRIXIE,)),
)


def find(datastore: str, version: str) -> Edition:
    """Return an edition; raises `LookupError` telling what there is."""
    for edition in EDITIONS:
        if (edition.datastore, edition.version) == (datastore, version):
            return edition
    there = sorted({edition.datastore for edition in EDITIONS})
    if datastore not in there:
        raise LookupError(f"--datastore must be one of {', '.join(there)}, not {datastore!r}")
    versions = [edition.version for edition in EDITIONS if edition.datastore == datastore]
    raise LookupError(f"--version of {datastore} must be one of {', '.join(versions)}, not {version!r}")
