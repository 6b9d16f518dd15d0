"""What an engine cannot do yet: tests expect a refusal until its spec declares the facet, and then must be written out."""

from dataclasses import replace

import pytest

from trove.datastores import registry
from trove.datastores.contract import Facet


def pending(facet: Facet, *, manager: str = "mariadb") -> bool:
    """Return that the engine lacks the facet; fails when it has it, since then the whole story must be told."""
    assert facet not in registry.spec(manager).facets, f"{manager} has {facet} now: tell here what its clients see of it"
    return True


def take_away(patch: pytest.MonkeyPatch, facet: Facet, *, manager: str = "mariadb") -> None:
    """Let the control plane find an engine without a facet that it has."""
    known = registry.spec
    poorer = replace(known(manager), facets=known(manager).facets - {facet})
    patch.setattr(registry, "spec", lambda wanted: poorer if wanted == manager else known(wanted))
