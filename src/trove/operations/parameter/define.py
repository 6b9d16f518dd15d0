"""Add a parameter to a datastore version, or say anew what it is. For administrators; groups that exist keep their values."""

from collections.abc import Sequence

from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput
from trove.core.parameters import LARGEST, Parameter, ParameterType
from trove.operations.doors import Doors
from trove.operations.parameter.catalogue import catalogue, find
from trove.store import datastores, parameters
from trove.store.session import Tx

_NUMBERS = frozenset({ParameterType.INTEGER, ParameterType.FLOAT})


def add(doors: Doors, version_id: str, parameter: Parameter) -> None:
    """Add it. Raises `NotFound` (version), `InvalidInput` when it exists, or its bounds are wrong."""
    check(parameter)
    doors.database.run(_add, version_id, parameter)


def change(doors: Doors, version_id: str, parameter: Parameter) -> None:
    """Say what it is from now on. Raises `NotFound` (version, parameter), `InvalidInput`. May run twice."""
    check(parameter)
    doors.database.run(_change, version_id, parameter)


def load(tx: Tx, version: DatastoreVersion, wanted: Sequence[Parameter]) -> None:
    """Add or change all of them. Raises `InvalidInput`. May run twice."""
    seen: set[str] = set()
    for each in wanted:
        check(each)
        if each.name.lower() in seen:
            raise InvalidInput(f"The parameter {each.name} is there twice.")
        seen.add(each.name.lower())
    known = catalogue(tx, version)
    named = [_named(each, known[each.name.lower()].name) if each.name.lower() in known else each for each in wanted]
    parameters.put(tx, version.id, *named)


def check(parameter: Parameter) -> None:
    """Raise `InvalidInput` naming the bound that does not fit."""
    low, high = parameter.minimum, parameter.maximum
    if parameter.type not in _NUMBERS and parameter.type is not ParameterType.STRING and (low, high) != (None, None):
        raise InvalidInput(f"{parameter.name}: a parameter of type {parameter.type} has no min_size and no max_size.")
    if parameter.type is ParameterType.INTEGER and (low is None or high is None):
        raise InvalidInput(f"{parameter.name}: an integer needs both min_size and max_size.")
    for name, bound in (("min_size", low), ("max_size", high)):
        if bound is not None and abs(bound) > LARGEST:
            raise InvalidInput(f"{parameter.name}: {name} must not be as large.")
    if low is not None and high is not None and high < low:
        raise InvalidInput(f"{parameter.name}: max_size {high} is less than min_size {low}.")


def _add(tx: Tx, version_id: str, parameter: Parameter) -> None:
    version = datastores.version_by_id(tx, version_id)
    if parameter.name.lower() in catalogue(tx, version):
        raise InvalidInput(f"Datastore version {version.name} has a configuration parameter {parameter.name} already.")
    parameters.put(tx, version.id, parameter)


def _change(tx: Tx, version_id: str, parameter: Parameter) -> None:
    version = datastores.version_by_id(tx, version_id)
    parameters.put(tx, version.id, _named(parameter, find(tx, version, parameter.name).name))


def _named(parameter: Parameter, name: str) -> Parameter:
    return Parameter(
        name=name,
        type=parameter.type,
        restart_required=parameter.restart_required,
        minimum=parameter.minimum,
        maximum=parameter.maximum,
    )
