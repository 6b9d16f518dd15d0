"""`image.json`: what an image is, for whoever registers it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from contrib.image.imaging.disks import ARGUMENTS
from contrib.image.imaging.editions import Edition
from contrib.image.imaging.elements import Tree

NAME = "image.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a build has made: a list of files for each form."""

    edition: Edition
    tree: Tree
    forms: Mapping[str, Sequence[Path]]
    root_bytes: int
    seconds: float


def write(folder: Path, made: Made) -> dict[str, Any]:
    """Write the record of a build beside its files; return it."""
    record = {
        "datastore": made.edition.datastore,
        "version": made.edition.version,
        "manager": made.edition.manager,
        "engine_version": made.tree.engine,
        "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "build_seconds": round(made.seconds),
        "architecture": "x86_64",
        "suites": list(made.edition.suites),
        "root_bytes": made.root_bytes,
        "used_bytes": made.tree.used,
        "kernel_arguments": ARGUMENTS,
        "forms": {form: [_file(path) for path in paths] for form, paths in made.forms.items()},
        "packages": made.tree.packages,
    }
    (folder / NAME).write_text(json.dumps(record, indent=1) + "\n")
    return record


def _file(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest}
