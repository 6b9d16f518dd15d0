"""What `contrib/image/build` leaves in a directory, in small."""

import hashlib
import json
from pathlib import Path

FORMS = {"bare": ("vmlinuz", "initrd", "disk.qcow2"), "qcow2": ("bootable.qcow2",)}


def fake_image(folder: Path, *forms: str, content: str = "", disk: bytes | None = None) -> Path:
    """Write an image of MariaDB whose files hold their names and `content`, or `disk` where they are disks."""
    folder.mkdir(exist_ok=True)
    files = {}
    for form in forms:
        files[form] = []
        for name in FORMS[form]:
            data = f"{name}{content}".encode() if disk is None or not name.endswith(".qcow2") else disk
            (folder / name).write_bytes(data)
            files[form].append({"name": name, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()})
    record = {
        "datastore": "mariadb",
        "version": "10.11",
        "manager": "mariadb",
        "engine_version": "10.11.6",
        "root_bytes": 3 * 2**29,
        "kernel_arguments": "root=LABEL=trove-root ro console=ttyS0",
        "forms": files,
    }
    (folder / "image.json").write_text(json.dumps(record))
    return folder
