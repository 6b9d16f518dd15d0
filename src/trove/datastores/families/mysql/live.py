"""Tries a configuration without a start, and gives a running server what of it can be set while it runs."""

import logging
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from trove.core.errors import GuestError, TroveError
from trove.core.parameters import MASK, looks_secret
from trove.datastores.contract import Command, Host
from trove.datastores.families.mysql.dialect import Dialect, Variable
from trove.datastores.families.mysql.options import read_config, sql_value
from trove.datastores.families.mysql.programs import program
from trove.datastores.families.mysql.sql import Session, name

LOG = logging.getLogger(__name__)

_CHECK_TIMEOUT_S = 60.0
_TIME = re.compile(r"^[\dTZ:.+ -]+ ")
_ONLY_AT_START = ("(1238)", "(1290)", "(1651)")
"""How errors end that say: this is read-only now. Some are after a start without them, such as `max_user_connections`."""


def check(host: Host, dialect: Dialect, config: str, scratch: Path) -> None:
    """Raise `GuestError` when the server's own programs refuse the configuration. The running server is not touched.

    `scratch` is a directory below the data volume.
    """
    candidate = host.config_dir / f"{dialect.file_name}.cnf.new"
    host.write_file(candidate, config.encode(), lasting=False)
    line = [program(host, dialect.package, *dialect.programs), f"--defaults-file={candidate}", f"--datadir={scratch}"]
    if host.uid == 0:
        line.append("--user=root")
    try:
        finished = host.run(Command(argv=(*line, *dialect.check_options), timeout_s=_CHECK_TIMEOUT_S))
    finally:
        candidate.unlink(missing_ok=True)
    lines = finished.stderr.decode(errors="replace").splitlines()
    errors = [_TIME.sub("", each) for each in lines if "[ERROR]" in each]
    if finished.returncode or errors:
        words = " ".join(dict.fromkeys(errors or [each for each in lines if "[Warning]" not in each]))[:500]
        raise GuestError(f"The database server refuses this configuration: {_hushed(words, read_config(config))}")


def set_options(
    server: Session, dialect: Dialect, running: Mapping[str, str], config: str, *, at_restart: Collection[str]
) -> Mapping[str, str]:
    """Set what differs between the options that a server runs with and a configuration, all or nothing.

    Returns what it runs with then: what only a start can change, and what is named in `at_restart`, is as it was. An option
    that the configuration has no more gets the server's own default. Raises `GuestError` naming what was refused.
    """
    wanted = read_config(config)
    changed = [each for each in sorted({*running, *wanted}) if running.get(each) != wanted.get(each)]
    if not changed:
        return running
    # What a file may hold shall be accepted here, too: values are rounded rather than refused.
    server.run("SET SESSION sql_mode = ''")
    known = dialect.variables(server, changed)
    now = dict(running)
    done: list[tuple[str, Variable]] = []
    for each in changed:
        variable = known.get(each)
        if variable is None or each in at_restart or variable.read_only:
            continue
        try:
            _set(server, each, wanted.get(each), variable.kind)
        except GuestError as error:
            if error.message.endswith(_ONLY_AT_START):
                continue
            _set_back(server, done)
            raise GuestError(f"The database server refuses {each}: {_hushed(error.message, wanted)}") from None
        done.append((each, variable))
        if each in wanted:
            now[each] = wanted[each]
        else:
            del now[each]
    return now


def _set(server: Session, option: str, value: str | None, kind: str) -> None:
    sql, values = ("DEFAULT", ()) if value is None else sql_value(value, kind)
    server.run(f"SET GLOBAL {name(option)} = {sql}", *values)


def _set_back(server: Session, done: Sequence[tuple[str, Variable]]) -> None:
    for option, variable in reversed(done):
        try:
            _set(server, option, "" if variable.value is None else str(variable.value), variable.kind)
        except TroveError as error:
            LOG.error("%s cannot be set back: %s", option, error)


def _hushed(words: str, options: Mapping[str, str]) -> str:
    for option, value in options.items():
        if value and looks_secret(option):
            words = words.replace(value, MASK)
    return words
