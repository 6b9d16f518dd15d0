"""Which instances have a TLS that can be managed."""

from trove.core.callers import Caller
from trove.core.errors import Unsupported
from trove.core.instances import Instance
from trove.datastores import registry
from trove.datastores.contract import Facet
from trove.operations.sight import instance_of
from trove.store.session import Tx


def managed(tx: Tx, caller: Caller, instance_id: str) -> Instance:
    """Return an instance. Raises `NotFound`; `Unsupported` for an engine whose TLS is not managed."""
    instance = instance_of(tx, caller, instance_id)
    spec = registry.spec(instance.datastore_version.manager)
    if Facet.TLS not in spec.facets:
        raise Unsupported(f"Instance {instance.id} runs {spec.title}, whose TLS Trove does not manage.")
    return instance
