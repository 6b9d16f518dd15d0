"""What an engine cannot do yet: tests expect a refusal until its spec declares the facet, and then must be written out."""

from trove.datastores import registry
from trove.datastores.contract import Facet


def pending(facet: Facet, *, manager: str = "mariadb") -> bool:
    """Return that the engine lacks the facet; fails when it has it, since then the whole story must be told."""
    assert facet not in registry.spec(manager).facets, f"{manager} has {facet} now: tell here what its clients see of it"
    return True
