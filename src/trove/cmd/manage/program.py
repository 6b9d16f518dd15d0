"""The command line of trove-manage: arguments in, exit code out."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from trove.cmd.manage.parts import Context
from trove.core.errors import TroveError

PROGRAM = "trove-manage"
DESCRIPTION = "Manage Trove's state database, datastores, quotas, operations, keys and orphans."
EPILOG = """exit codes: 0 done; 1 refused or failed, with the reason on standard error; 2 wrong arguments or configuration;
75 a part that is needed does not answer now, try again."""

TRY_AGAIN = 75


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    from oslo_config import cfg

    from trove.cmd import logs
    from trove.config import opts

    arguments = _parser().parse_args(argv)
    conf = cfg.ConfigOpts()
    logs.register(conf)
    options = [f"--config-file={path}" for path in arguments.config_file] + [
        f"--config-dir={path}" for path in arguments.config_dir
    ]
    opts.load(conf, options, prog=PROGRAM, description=DESCRIPTION)
    context = Context(conf=conf, as_json=arguments.json)
    try:
        arguments.command(context, arguments)
    except TroveError as error:
        print(f"{PROGRAM}: {error.message}", file=sys.stderr)
        return TRY_AGAIN if error.retryable else 1
    except BrokenPipeError:
        return 1
    finally:
        context.close()
    return 0


def _parser() -> argparse.ArgumentParser:
    from trove.cmd.manage import datastores, keys, operations, orphans, parameters, quotas, schema

    parser = argparse.ArgumentParser(prog=PROGRAM, description=DESCRIPTION, epilog=EPILOG, allow_abbrev=False)
    parser.add_argument("--version", action="version", version=version("trove"))
    parser.add_argument("--config-file", action="append", default=[], metavar="PATH", help="trove.conf; may be repeated")
    parser.add_argument(
        "--config-dir", action="append", default=[], metavar="DIR", help="directory of *.conf files; may be repeated"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True)
    for module in (schema, datastores, parameters, quotas, operations, orphans, keys):
        module.commands(parsers)
    return parser


if __name__ == "__main__":
    sys.exit(main())
