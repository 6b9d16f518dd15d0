"""How flavors look (contract 4.1)."""

import re

from trove.api.links import Links
from trove.core.flavors import Flavor
from trove.core.json import JSON

_NUMBER = re.compile("0|[1-9][0-9]{0,17}")


def flavor(found: Flavor, links: Links) -> dict[str, JSON]:
    """Return a flavor. `id` is a number where it can be one, else null: `str_id` is what clients should use."""
    return {
        "id": int(found.id) if _NUMBER.fullmatch(found.id) else None,
        "str_id": found.id,
        "name": found.name,
        "ram": found.ram_mib,
        "vcpus": found.vcpus,
        "disk": found.disk_gib,
        "ephemeral": found.ephemeral_gib,
        "links": links.of("flavors", found.id),
    }
