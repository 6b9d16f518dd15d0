"""The flavors that clouds without a catalogue of their own offer, and the rules for an operator's own list."""

from collections.abc import Sequence

from trove.core.errors import InvalidInput, NotFound
from trove.core.flavors import Flavor

DEFAULT_FLAVORS: tuple[Flavor, ...] = (
    Flavor(id="1", name="db.tiny", ram_mib=256, vcpus=1),
    Flavor(id="2", name="db.small", ram_mib=512, vcpus=1),
    Flavor(id="3", name="db.medium", ram_mib=1024, vcpus=1),
    Flavor(id="4", name="db.large", ram_mib=2048, vcpus=2),
    Flavor(id="5", name="db.xlarge", ram_mib=4096, vcpus=2),
)

MIN_RAM_MIB = 64


class FlavorList:
    """A validated list of flavors, ordered by memory. Raises `InvalidInput` naming the flavor and the field."""

    def __init__(self, flavors: Sequence[Flavor]) -> None:
        if not flavors:
            raise InvalidInput("flavors: at least one is needed")
        for flavor in flavors:
            _check(flavor)
        for field, values in (("id", [f.id for f in flavors]), ("name", [f.name for f in flavors])):
            doubles = sorted({value for value in values if values.count(value) > 1})
            if doubles:
                raise InvalidInput(f"flavors: {field} {doubles[0]!r} is given twice")
        self._flavors = tuple(sorted(flavors, key=lambda f: (f.ram_mib, f.vcpus, f.id)))
        self._by_id = {flavor.id: flavor for flavor in self._flavors}

    def all(self) -> tuple[Flavor, ...]:
        """Return all flavors, smallest memory first."""
        return self._flavors

    def get(self, flavor_id: str) -> Flavor:
        """Return one flavor; raises `NotFound`."""
        try:
            return self._by_id[flavor_id]
        except KeyError:
            raise NotFound(f"Flavor {flavor_id} cannot be found.") from None


def _check(flavor: Flavor) -> None:
    if not flavor.id or not flavor.name:
        raise InvalidInput(f"flavor {flavor.id or flavor.name!r}: id and name must not be empty")
    if flavor.ram_mib < MIN_RAM_MIB:
        raise InvalidInput(f"flavor {flavor.id}: ram_mib must be at least {MIN_RAM_MIB}")
    if flavor.vcpus < 1:
        raise InvalidInput(f"flavor {flavor.id}: vcpus must be at least 1")
    if flavor.disk_gib < 0 or flavor.ephemeral_gib < 0:
        raise InvalidInput(f"flavor {flavor.id}: disk_gib and ephemeral_gib must not be negative")
