"""The command line of `trove-local`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TypeAlias

from trove.cmd.local import accounts, console, verbs
from trove.cmd.local.layout import StackError

DESCRIPTION = """\
Runs the whole of Trove on this machine: message bus, API, task manager and conductor as supervised processes, and
database servers with their guest agents beside them. No OpenStack, no container runtime and, once the packages are
there, no root are needed.
"""

EPILOG = """\
files:
  State directory: /var/lib/trove-local for root, else ${XDG_STATE_HOME:-~/.local/state}/trove-local;
  --state-dir or $TROVE_LOCAL_STATE_DIR name another. In it:
    etc/trove.conf, etc/api-paste.ini    configuration of the services, written anew by each `up`
    etc/override.conf                    your own options of trove.conf: they win, and stay
    keys/                                passwords and keys, readable by their owner only
    log/                                 logs of the services and of the supervisor
    trove.sqlite                         state database (unless --database names another)
    bus/                                 messages of the embedded bus
    cloud/                               database servers: data, logs, addresses, templates

environment:
  $TROVE_LOCAL_BUS, $TROVE_LOCAL_DATABASE, $TROVE_LOCAL_LOCKS, $TROVE_LOCAL_AUTH_PASSWORD stand in for the options of `up` of
  these names: they hold passwords, and other users of the machine can read the words of a command.

exit status:
  0    done; for `status`: every service is up
  1    failed; the reason is on standard error
  2    wrong usage
  3    `status`: some service is down

examples:
  trove-local up
  eval "$(trove-local env)"
  openstack database instance create orders --flavor 2 --size 1 --datastore mariadb \\
      --databases shop --users alice:secret
  trove-local logs -f orders
  trove-local image build postgresql-17
  trove-local down
"""

UP = """\
Starts what is not running and waits until the API answers; then starts the database servers again that an earlier
`down` (or a reboot) stopped. Options are remembered in the state directory for the next `up`.
"""
DOWN = "Stops the database servers cleanly, then the services. Data stays; `up` brings everything back."
STATUS = """\
Shows services and instances. With --json:
  {"services": {NAME: {"pid", "state", "rss_mib", "since"}},
   "instances": [{"id", "name", "datastore", "status", "address", "port", "agent_pid", "server_pid"}]}
`state` is up, restarting, down, or external (a bus that trove-local does not run).
"""
ENV = """\
Prints shell commands that make OpenStack's clients use this stack:
  eval "$(trove-local env)"; openstack database instance list
The output holds a password.
"""
LOGS = """\
Shows the logs of all services, of one (bus, trove-api, trove-conductor, trove-taskmanager, trove-taskmanager-2 …, supervisor)
or an instance."""
RESET = "Stops everything and removes it: instances with their data, state database, keys, logs. There is no way back."
IMAGE = """\
Database servers run from this machine's own packages, or from images: read-only directories with one version of a server
and all it needs, unpacked from Debian packages in some ten seconds each. That needs apt and its sources, no root.

examples:
  trove-local image list
  trove-local image build mysql-9.7 valkey-8.1
  openstack database instance create orders --flavor 2 --size 1 --datastore mysql --datastore-version 9.7
  trove-local image remove mysql-9.7

Images are in $TROVE_IMAGES, else /var/cache/trove/images for root, else ${XDG_CACHE_HOME:-~/.cache}/trove/images. Servers
of images need bubblewrap.
"""
IMAGE_BUILD = """\
Builds images that are not there yet.
It fetches packages from the Debian suites of each, checks signatures, and unpacks them. A stack that is there offers their
versions at once.

examples:
  trove-local image build mariadb-11.8
  trove-local image build --all
"""
IMAGE_LIST = """\
Lists the images that are built, and those that can be. With --json:
  {"directory", "images": [{"name", "datastore", "built", "version", "bytes", "built_at", "suites"}]}
"""
IMAGE_REMOVE = """\
Removes images that no instance of any stack uses; their versions are not offered any more.

example:
  trove-local image remove mysql-9.7
"""

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run trove-local with the given words (default: the command line); return the exit status."""
    arguments = build_parser().parse_args(argv)
    run: Callable[[argparse.Namespace], int] = arguments.run
    try:
        return run(arguments)
    except StackError as error:
        console.complain(str(error))
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """Return the parser, with `run` set by each verb."""
    parser = argparse.ArgumentParser(
        prog="trove-local", description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(
        name: str, text: str, run: Callable[[argparse.Namespace], int], below: Subparsers = subparsers
    ) -> argparse.ArgumentParser:
        sub = below.add_parser(
            name,
            help=text.partition("\n")[0].partition(";")[0].partition(".")[0].rstrip(":"),
            description=text,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        sub.add_argument("--state-dir", metavar="DIR", help="state directory of the stack (default: see `trove-local --help`)")
        sub.set_defaults(run=run)
        return sub

    _up_options(add("up", UP, verbs.up))
    down = add("down", DOWN, verbs.down)
    down.add_argument("--timeout", type=_seconds, default=60.0, metavar="S", help="seconds for a clean stop (default: 60)")
    status = add("status", STATUS, verbs.status)
    status.add_argument("--json", action="store_true", help="print JSON")
    env = add("env", ENV, verbs.env)
    env.add_argument("--user", choices=accounts.ACCOUNTS, default=accounts.ADMIN, help="account to use (default: admin)")
    logs = add("logs", LOGS, verbs.logs)
    logs.add_argument("what", nargs="?", metavar="SERVICE|INSTANCE", help="whose log (default: all services)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on printing what is added, until Ctrl-C")
    logs.add_argument(
        "-n", "--lines", type=_count, default=50, metavar="N", help="lines of each file to begin with (default: 50)"
    )
    reset = add("reset", RESET, verbs.reset)
    reset.add_argument("--yes", action="store_true", help="do not ask")
    _image_verbs(subparsers, add)
    return parser


def _image_verbs(subparsers: Subparsers, add: Callable[..., argparse.ArgumentParser]) -> None:
    image = subparsers.add_parser(
        "image",
        help="Builds, lists and removes images of other versions of database servers",
        description=IMAGE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    below = image.add_subparsers(metavar="COMMAND", required=True)
    build = add("build", IMAGE_BUILD, verbs.image_build, below)
    build.add_argument("names", nargs="*", metavar="NAME", help="image to build; `trove-local image list` shows them")
    build.add_argument("--all", action="store_true", help="build all of them")
    build.add_argument("--mirror", metavar="URL", help="mirror of Debian (default: the one of this machine's own apt sources)")
    shown = add("list", IMAGE_LIST, verbs.image_list, below)
    shown.add_argument("--json", action="store_true", help="print JSON")
    remove = add("remove", IMAGE_REMOVE, verbs.image_remove, below)
    remove.add_argument("names", nargs="+", metavar="NAME", help="image to remove")


def _up_options(up: argparse.ArgumentParser) -> None:
    up.add_argument("--port", type=int, help="port of the API on 127.0.0.1 (default: 8779)")
    up.add_argument(
        "--bus",
        metavar="embedded|URL",
        help="`embedded` runs a private Valkey (default); or rabbit://user:password@host:5672/vhost, with a virtual host that "
        "nobody else uses",
    )
    up.add_argument(
        "--database",
        metavar="sqlite|URL",
        help="state database: `sqlite` in the state directory (default), mysql+pymysql://… or postgresql+psycopg://…",
    )
    up.add_argument("--task-managers", type=int, metavar="N", help="how many task managers share the work, 1 to 8 (default: 1)")
    up.add_argument(
        "--locks",
        metavar="file|database|URL",
        help="what keeps two task managers off the same instance: `file` in the state directory (default), `database` for the "
        "server of --database, or mysql://…, postgresql://…, etcd3+http://…, redis://…",
    )
    up.add_argument(
        "--watchdog",
        dest="watchdog_s",
        type=float,
        metavar="S",
        help="a service without a sign of life for so many seconds is killed and started again; 0 never does (default: 30)",
    )
    up.add_argument("--auth", choices=("basic",), help="HTTP basic authentication with generated passwords (default)")
    up.add_argument("--auth-url", metavar="URL", help="authenticate against this Keystone instead, such as http://host:5000/v3")
    up.add_argument("--auth-user", metavar="USER", help="Trove's own user in that Keystone")
    up.add_argument(
        "--auth-password",
        metavar="PASSWORD",
        help="its password; better set in $TROVE_LOCAL_AUTH_PASSWORD, away from process lists",
    )
    up.add_argument("--auth-project", metavar="PROJECT", help="its project")
    up.add_argument("--auth-domain", metavar="DOMAIN", help="domain of that user and project (default: Default)")
    up.add_argument(
        "--timeout", type=_seconds, default=90.0, metavar="S", help="seconds until the API must answer (default: 90)"
    )


def _seconds(text: str) -> float:
    value = float(text)
    if value <= 0:
        raise argparse.ArgumentTypeError("must be more than 0")
    return value


def _count(text: str) -> int:
    value = int(text)
    if value < 0:
        raise argparse.ArgumentTypeError("must not be negative")
    return value
