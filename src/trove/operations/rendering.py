"""The configuration file of an instance: its engine's template for its memory, and what its configuration group says on top."""

from collections.abc import Mapping

from trove.core.instances import Instance
from trove.core.json import JSON
from trove.datastores import registry
from trove.datastores.contract import ConfigInputs
from trove.store import configurations
from trove.store.session import Tx


def config_of(tx: Tx, instance: Instance, *, ram_mib: int) -> str:
    """Return the text for an instance on a server of `ram_mib` MiB of memory, with the values of its group as they are now."""
    attached = instance.configuration_id
    return render(instance, {} if attached is None else configurations.values(tx, attached), ram_mib=ram_mib)


def render(instance: Instance, overrides: Mapping[str, JSON], *, ram_mib: int) -> str:
    """Return the text with these values on top of the template."""
    version = instance.datastore_version
    inputs = ConfigInputs(instance_id=instance.id, version=version.version, ram_mib=ram_mib, overrides=overrides)
    return registry.spec(version.manager).render_config(inputs)
