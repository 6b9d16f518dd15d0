"""Debian packages for an image: found, checked and fetched by apt-get, with lists and packages in a directory of ours.

Nothing of this machine's own packages plays a part but where its apt sources point to, and the keys of Debian's archive.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.images.recipes import BOOKWORM, SID, TRIXIE
from trove.core.errors import CloudError

FETCH_TIMEOUT_S = 900.0

_KEYRINGS = tuple(Path("/usr/share/keyrings", f"debian-archive-keyring.{form}") for form in ("gpg", "pgp"))
_SUITES = frozenset({"bullseye", BOOKWORM, TRIXIE, "forky", SID, "oldoldstable", "oldstable", "stable", "testing", "unstable"})
_SECURED = frozenset({BOOKWORM, TRIXIE})
"""Suites whose mended packages come from an archive of their own, until the next point release."""

_INSTALLED = re.compile(r"^Inst (?P<name>\S+) \((?P<version>\S+) .*\[(?P<architecture>\w+)\]\)", re.MULTILINE)

# An image is made of what the mirror holds, which may be a snapshot of long ago: signatures count, not dates.
_SOURCE = "deb [signed-by={keyring} check-valid-until=no] {mirror} {suite} main\n"
_CONFIG = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
Dir::Etc::sourcelist "{work}/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State "{work}/state";
Dir::State::status "{work}/state/status";
Dir::Cache "{work}/cache";
Dir::Cache::pkgcache "packages.bin";
Dir::Cache::srcpkgcache "sources.bin";
Dir::Log "{work}/log";
APT::Install-Recommends "false";
APT::Get::List-Cleanup "false";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled "false";
Acquire::Retries "3";
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package as it was fetched."""

    name: str
    version: str
    file: Path


class Archive:
    """Debian's archive as seen from `work`, a directory for lists and packages that serves for images one after another."""

    def __init__(self, work: Path, mirror: str | None = None) -> None:
        self._apt = need_program("apt-get", "apt")
        self._work = work
        self._mirror, self._security_mirror = (mirror, None) if mirror else own_mirrors(self._apt)
        self._keyring = next((path for path in _KEYRINGS if path.is_file()), None)
        if self._keyring is None:
            raise CloudError("Debian's keys are missing; install them with: apt-get install debian-archive-keyring")
        self._read = ""
        for folder in ("state/lists/partial", "cache/archives/partial", "log"):
            (work / folder).mkdir(parents=True, exist_ok=True)
        (work / "state/status").touch()
        (work / "apt.conf").write_text(_CONFIG.format(work=work))

    def fetch(self, names: Sequence[str], suites: Sequence[str]) -> tuple[Package, ...]:
        """Fetch packages with all that they depend on; raises `CloudError` with apt's words."""
        places = [(self._mirror, suite) for suite in suites]
        if self._security_mirror is not None:
            places += [(self._security_mirror, f"{suite}-security") for suite in suites if suite in _SECURED]
        lines = (_SOURCE.format(keyring=self._keyring, mirror=mirror, suite=suite) for mirror, suite in places)
        sources = "".join(lines)
        if sources != self._read:
            (self._work / "sources.list").write_text(sources)
            self._do(["update", "-qq", "--error-on=any"], f"read the lists of {', '.join(suites)} from {self._mirror}")
            self._read = sources
        plan = self._do(["install", "--simulate", *names], f"find {', '.join(names)}")
        self._do(["install", "-qq", "--yes", "--download-only", *names], f"fetch packages from {self._mirror}")
        folder = self._work / "cache/archives"
        return tuple(
            Package(
                name=found["name"].partition(":")[0],
                version=found["version"],
                file=folder
                / "{}_{}_{}.deb".format(
                    found["name"].partition(":")[0], found["version"].replace(":", "%3a"), found["architecture"]
                ),
            )
            for found in _INSTALLED.finditer(plan)
        )

    def _do(self, words: Sequence[str], what: str) -> str:
        # Read after this machine's own configuration, of which proxies remain.
        line = [self._apt, f"--config-file={self._work / 'apt.conf'}", *words]
        code, output = run(line, timeout_s=FETCH_TIMEOUT_S, environ={"LC_ALL": "C"})
        if code != 0:
            errors = [line for line in output.splitlines() if line.startswith("E:")] or output.strip().splitlines()[-5:]
            raise CloudError(f"Cannot {what}: {' '.join(errors)[-600:] or f'exit code {code}'}")
        return output


def own_mirrors(apt: str) -> tuple[str, str | None]:
    """Return the mirrors of Debian, and of its security archive if there is one, that this machine's own packages come from."""
    targets = must([apt, "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"], "read the apt sources")
    places = [(uri.rstrip("/"), release) for uri, _, release in (line.partition(" ") for line in targets.splitlines())]
    mirror = next((uri for uri, release in places if release in _SUITES), None)
    if mirror is None:
        raise CloudError("The apt sources of this machine name no mirror of Debian; name one with --mirror URL.")
    return mirror, next((uri for uri, release in places if release.endswith("-security")), None)
