"""What cloud-init is told: the files of the guest agent, and what the operator adds for an engine."""

import base64
from collections.abc import Mapping
from typing import Any

import yaml

from trove.core.errors import CloudError

HEADER = "#cloud-config\n"


def userdata(files: Mapping[str, bytes], *, directory: str, extra: str | None = None) -> str:
    """Return the user data of a server, as Nova takes it: base64 of a cloud-config that writes `files` into `directory`.

    The lists of `extra`, a cloud-config of the operator's, follow ours; its other values win. Raises `CloudError` when it is
    none.
    """
    config: dict[str, Any] = {
        "write_files": [
            {
                "path": f"{directory}/{name}",
                "owner": "root:root",
                "permissions": "0600",
                "encoding": "b64",
                "content": base64.b64encode(content).decode(),
            }
            for name, content in sorted(files.items())
        ]
    }
    for name, value in _read(extra).items():
        ours = config.get(name)
        config[name] = [*ours, *value] if isinstance(ours, list) and isinstance(value, list) else value
    return base64.b64encode((HEADER + yaml.safe_dump(config, sort_keys=False)).encode()).decode()


def _read(extra: str | None) -> Mapping[str, Any]:
    if not extra:
        return {}
    try:
        read = yaml.safe_load(extra)
    except yaml.YAMLError as error:
        raise CloudError("The cloud-config of the operator for this datastore is not YAML.") from error
    if not isinstance(read, dict):
        raise CloudError("The cloud-config of the operator for this datastore must be a mapping.")
    return read
