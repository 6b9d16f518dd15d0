"""Which parameters a datastore version has: those its engine ships, with what operators added, changed and removed."""

from collections.abc import Mapping
from dataclasses import replace

from trove.core.datastores import DatastoreVersion
from trove.core.errors import NotFound, Unprocessable
from trove.core.json import JSON
from trove.core.parameters import NAME_CHARACTERS, Parameter, ParameterType
from trove.datastores import registry
from trove.store import parameters
from trove.store.session import Tx

Catalogue = Mapping[str, Parameter]
"""Parameters by name in lower case, in the order of their names."""


def catalogue(tx: Tx, version: DatastoreVersion) -> Catalogue:
    """Return all parameters of a version, in one statement."""
    found: dict[str, Parameter | None] = {each.name.lower(): each for each in shipped(version)}
    for name, changed in parameters.of_version(tx, version.id).items():
        found[name.lower()] = None if changed is None else _on(found.get(name.lower()), changed)
    return {name: each for name, each in sorted(found.items()) if each is not None}


def find(tx: Tx, version: DatastoreVersion, name: str) -> Parameter:
    """Return one parameter, found in any case of letters. Raises `NotFound`."""
    found = catalogue(tx, version).get(name.lower())
    if found is None:
        raise NotFound(f"{_called(version)} has no configuration parameter {name[:NAME_CHARACTERS]}.")
    return found


def shipped(version: DatastoreVersion) -> tuple[Parameter, ...]:
    """Return what the engine of a version ships."""
    return registry.spec(version.manager).parameters(version.version)


def checked(tx: Tx, version: DatastoreVersion, values: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the values of a group under their parameters' own names, in the form that is stored.

    Raises `Unprocessable` with a sentence for each that is wrong; also when the version has no parameters at all.
    """
    known = catalogue(tx, version)
    if not known:
        raise Unprocessable(f"{_called(version)} has no configuration parameters, so it can have no configuration groups.")
    good: dict[str, JSON] = {}
    wrong: list[str] = []
    for key, value in values.items():
        parameter = known.get(key.lower())
        if parameter is None:
            wrong.append(f"{key[:NAME_CHARACTERS]} is not a parameter of {_called(version)}")
        elif parameter.name in good:
            wrong.append(f"{parameter.name} is given twice")
        elif (problem := parameter.problem(value)) is not None:
            wrong.append(f"{parameter.name} {problem}")
        else:
            good[parameter.name] = parameter.canonical(value)
    if wrong:
        more = f"; and {len(wrong) - 10} more are wrong" if len(wrong) > 10 else ""
        raise Unprocessable(f"{'; '.join(wrong[:10])}{more}.")
    return good


def at_restart(tx: Tx, version: DatastoreVersion) -> list[str]:
    """Return the names of the parameters that take effect when the server starts again."""
    return [each.name for each in catalogue(tx, version).values() if each.restart_required]


def _on(own: Parameter | None, changed: Parameter) -> Parameter:
    """Return what an operator set, with what else is known of the shipped parameter."""
    if own is None:
        return changed
    values = own.values if changed.type is own.type is ParameterType.STRING else ()
    return replace(changed, name=own.name, values=values, unit=own.unit, description=own.description)


def _called(version: DatastoreVersion) -> str:
    return f"{version.datastore_name} {version.name}"
