"""How parameters look (contract 5.4, 13.8)."""

from trove.core.json import JSON
from trove.core.parameters import Parameter, ParameterType


def parameter(found: Parameter, version_id: str) -> dict[str, JSON]:
    """Return a parameter as tenants see it; bounds that it has not are left out."""
    view: dict[str, JSON] = {
        "name": found.name,
        "datastore_version_id": version_id,
        "restart_required": found.restart_required,
        "type": found.type.value,
    }
    for key, bound in (("min", found.minimum), ("max", found.maximum)):
        if bound is not None:
            view[key] = float(bound) if found.type is ParameterType.FLOAT else int(bound)
    return view


def managed(found: Parameter, version_id: str) -> dict[str, JSON]:
    """Return a parameter as administrators see it: its bounds under both of their names."""
    view = parameter(found, version_id)
    return view | {f"{key}_size": view[key] for key in ("min", "max") if key in view}
