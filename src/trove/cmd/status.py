"""trove-status: checks whether everything is ready for the new version."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import IntEnum
from importlib.metadata import version
from pathlib import Path
from typing import Any

PROGRAM = "trove-status"
KEYS_TRIED = 100
EPILOG = "exit codes: 0 all is well; 1 a warning; 2 a check failed, do not upgrade yet; 255 wrong arguments or a broken check."


class Result(IntEnum):
    """How a check ended; also the exit code."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found."""

    check: str
    result: Result
    details: str


def main(argv: Sequence[str] | None = None) -> int:
    """Run `upgrade check`; return the exit code."""
    from oslo_config import cfg

    from trove.cmd import logs
    from trove.config import opts

    arguments = _parser().parse_args(argv)
    conf = cfg.ConfigOpts()
    logs.register(conf)
    options = [f"--config-file={path}" for path in arguments.config_file] + [
        f"--config-dir={path}" for path in arguments.config_dir
    ]
    opts.load(conf, options, prog=PROGRAM, description=__doc__ or "")
    findings = [_guarded(name, check, conf) for name, check in CHECKS.items()]
    if arguments.json:
        print(json.dumps([{**asdict(finding), "result": finding.result.name} for finding in findings], indent=1))
    else:
        for finding in findings:
            print(f"{finding.result.name:8}  {finding.check}: {finding.details}")
    return max(finding.result for finding in findings)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description=__doc__, epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=version("trove"))
    parser.add_argument("--config-file", action="append", default=[], metavar="PATH", help="trove.conf; may be repeated")
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIR", help="directory of *.conf files; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    group = parser.add_subparsers(metavar="upgrade", required=True).add_parser("upgrade", help="checks around an upgrade")
    group.add_subparsers(metavar="check", required=True).add_parser(
        "check", help="check whether an upgrade may begin or is complete"
    )
    return parser


def _guarded(name: str, check: Callable[[Any], tuple[Result, str]], conf: Any) -> Finding:
    from trove.core.errors import TroveError

    try:
        result, details = check(conf)
    except TroveError as error:
        result, details = Result.FAILURE, error.message
    return Finding(check=name, result=result, details=details)


def check_key_file(conf: Any) -> tuple[Result, str]:
    """Check that secrets in the state database can be opened."""
    from sqlalchemy.exc import DBAPIError

    from trove.store import instances
    from trove.store.session import Database
    from trove.store.vault import Vault

    vault = Vault.from_file(conf.secrets.key_file, create=False)
    database = Database(conf.database.connection, vault=vault)
    try:
        with database.reading() as tx:
            opened = instances.check_keys(tx, limit=KEYS_TRIED)
    except DBAPIError:
        return Result.WARNING, f"{conf.secrets.key_file} can be read; without tables there is nothing to try it on"
    finally:
        database.close()
    return Result.SUCCESS, f"{conf.secrets.key_file} opens the keys of {opened} instances that were tried"


def check_schema(conf: Any) -> tuple[Result, str]:
    """Check that the tables are those of this version."""
    from trove.cmd import wiring
    from trove.store import schema

    base = wiring.foundation(conf)
    try:
        revision, head = schema.current(base.database), schema.head()
    finally:
        base.close()
    if revision != head:
        return Result.FAILURE, f"revision {revision or 'none'}, newest {head}: run `trove-manage db upgrade`"
    return Result.SUCCESS, f"revision {revision}"


def check_running(conf: Any) -> tuple[Result, str]:
    """Check that nothing is in the middle of an operation."""
    from trove.cmd import wiring
    from trove.store import operations

    base = wiring.foundation(conf)
    try:
        wiring.probe_database(base.database)
        with base.database.reading() as tx:
            unfinished = operations.unfinished(tx, limit=1000)
    finally:
        base.close()
    if unfinished:
        return Result.WARNING, f"{len(unfinished)} operations have not ended; they are resumed after the upgrade"
    return Result.SUCCESS, "no operation is under way"


def check_orphans(conf: Any) -> tuple[Result, str]:
    """Check that cloud and bus hold nothing that belongs to no instance."""
    from trove.cmd import wiring
    from trove.store import orphans

    base = wiring.foundation(conf)
    try:
        wiring.probe_database(base.database)
        with base.database.reading() as tx:
            number = orphans.count(tx)
    finally:
        base.close()
    if number:
        return Result.WARNING, f"{number} things belong to no instance: see `trove-manage orphans list`"
    return Result.SUCCESS, "the reconciler found nothing that belongs to no instance"


def check_policy(conf: Any) -> tuple[Result, str]:
    """Check that the policy file is not in the JSON format, which oslo.policy gave up."""
    from oslo_policy import opts as policy_opts

    policy_opts.set_defaults(conf)
    name = conf.oslo_policy.policy_file
    path = conf.find_file(name)
    if path is not None and Path(path).read_text("utf-8", "replace").lstrip().startswith("{"):
        return Result.FAILURE, f"{path} is JSON: convert it with oslopolicy-convert-json-to-yaml"
    return Result.SUCCESS, f"{path or 'no policy file; the defaults hold'}"


CHECKS: dict[str, Callable[[Any], tuple[Result, str]]] = {
    "secret keys": check_key_file,
    "schema of the state database": check_schema,
    "operations under way": check_running,
    "orphans": check_orphans,
    "policy file format": check_policy,
}


if __name__ == "__main__":
    sys.exit(main())
