"""trove-manage: what configuration groups of a datastore version may set, beside or instead of what its engine ships."""

import argparse
import json
from pathlib import Path
from typing import Any

from trove.cmd.manage.output import say, show_rows
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput
from trove.core.parameters import NAME_CHARACTERS, Parameter, ParameterType
from trove.operations.parameter import catalogue, define
from trove.store import datastores, parameters
from trove.store.session import Tx

COLUMNS = ("name", "type", "restart_required", "min", "max")
KEY = "configuration-parameters"


def commands(parsers: Subparsers) -> None:
    """Add `parameters list|load|remove`, and the names of before."""
    group = add(parsers, "parameters", "what configuration groups may set").add_subparsers(metavar="COMMAND", required=True)
    _options(add(group, "list", "list the parameters of a version", list_all))
    command = add(group, "load", "add or change parameters of a version; may be repeated", load)
    _options(command, "file")
    command = add(group, "remove", "forget what was loaded, so that a version has what its engine ships", remove)
    _options(command)
    _options(add(parsers, "db_load_datastore_config_parameters", argparse.SUPPRESS, load), "file")
    _options(add(parsers, "db_remove_datastore_config_parameters", argparse.SUPPRESS, remove))


def _options(command: argparse.ArgumentParser, *more: str) -> None:
    command.add_argument("datastore", help="name or id")
    command.add_argument("version_name", help="name or id")
    for name in more:
        command.add_argument(name, type=Path, help=f'JSON: {{"{KEY}": [{{"name", "type", "restart_required", "min", "max"}}]}}')
    command.add_argument("--version", dest="number", help="precise number, where several versions have the name")


def list_all(context: Context, arguments: argparse.Namespace) -> None:
    """List the parameters of a version by name."""
    with context.database.reading() as tx:
        found = catalogue.catalogue(tx, _version(tx, arguments))
    rows = [
        {
            "name": each.name,
            "type": each.type.value,
            "restart_required": each.restart_required,
            "min": each.minimum,
            "max": each.maximum,
        }
        for each in found.values()
    ]
    show_rows(rows, COLUMNS, as_json=context.as_json)


def load(context: Context, arguments: argparse.Namespace) -> None:
    """Add or change the parameters in a file, all or none."""
    wanted = read(arguments.file)
    with context.database.transaction() as tx:
        version = _version(tx, arguments)
        define.load(tx, version, wanted)
    say(
        f"{len(wanted)} parameters of {version.datastore_name} {version.name} are loaded.",
        as_json=context.as_json,
        loaded=len(wanted),
    )


def remove(context: Context, arguments: argparse.Namespace) -> None:
    """Forget what was loaded or changed of a version."""
    with context.database.transaction() as tx:
        version = _version(tx, arguments)
        count = parameters.forget(tx, version.id)
    say(
        f"{count} parameters of {version.datastore_name} {version.name} are forgotten; it has what its engine ships.",
        as_json=context.as_json,
        forgotten=count,
    )


def read(path: Path) -> list[Parameter]:
    """Return the parameters in a file. Raises `InvalidInput` naming what is wrong with it."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}.") from error
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}.") from error
    entries = content.get(KEY) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise InvalidInput(f'{path} must be an object with a list "{KEY}".')
    return [_parameter(f"{path}: {KEY}[{number}]", entry) for number, entry in enumerate(entries)]


def _parameter(where: str, entry: Any) -> Parameter:
    if not isinstance(entry, dict) or not isinstance(entry.get("name"), str) or not entry["name"].strip():
        raise InvalidInput(f"{where} needs a name.")
    where = f"{where} ({entry['name'][:NAME_CHARACTERS]})"
    if len(entry["name"]) > NAME_CHARACTERS:
        raise InvalidInput(f"{where}: a name has at most {NAME_CHARACTERS} characters.")
    try:
        kind = ParameterType(str(entry.get("type")))
    except ValueError:
        raise InvalidInput(f"{where}: type must be one of {', '.join(ParameterType)}.") from None
    if not isinstance(entry.get("restart_required"), bool):
        raise InvalidInput(f"{where}: restart_required must be true or false.")
    return Parameter(
        name=entry["name"],
        type=kind,
        restart_required=entry["restart_required"],
        minimum=_bound(where, entry, "min", kind),
        maximum=_bound(where, entry, "max", kind),
    )


def _bound(where: str, entry: dict[str, Any], name: str, kind: ParameterType) -> int | float | None:
    bound = entry.get(name)
    try:
        if bound is None:
            return None
        return float(bound) if kind is ParameterType.FLOAT else int(str(bound))
    except (TypeError, ValueError):
        raise InvalidInput(f"{where}: {name} must be a number that fits the type {kind.value}.") from None


def _version(tx: Tx, arguments: argparse.Namespace) -> DatastoreVersion:
    return datastores.version(tx, arguments.datastore, arguments.version_name, number=arguments.number)
