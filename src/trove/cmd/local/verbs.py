"""One function a verb of `trove-local`: from parsed arguments to an exit status."""

import argparse
import json
import os
import sys
from dataclasses import fields

from trove.cmd.local import accounts, console, environment, settings
from trove.cmd.local import logs as log_files
from trove.cmd.local.layout import Layout, StackError, layout_at
from trove.cmd.local.settings import StackSettings

# What an `up`, `down` or `status` needs (SQLAlchemy and more) is imported when it runs: `env` and `--help` answer at once.


def up(arguments: argparse.Namespace) -> int:
    """Bring the stack up."""
    from trove.cmd.local import bringup

    layout = layout_at(arguments.state_dir)
    chosen = {one.name: getattr(arguments, one.name) for one in fields(StackSettings) if hasattr(arguments, one.name)}
    for name in ("bus", "database", "locks", "auth_password"):  # They hold passwords, which process lists would show.
        chosen[name] = chosen[name] or os.environ.get(f"TROVE_LOCAL_{name.upper()}")
    bringup.up(layout, settings.merged(settings.load(layout), chosen), timeout_s=arguments.timeout)
    return 0


def down(arguments: argparse.Namespace) -> int:
    """Stop the stack."""
    from trove.cmd.local import takedown

    layout = layout_at(arguments.state_dir)
    if not layout.exists():
        console.say(f"there is no stack in {layout.root}")
        return 0
    return 0 if takedown.down(layout, timeout_s=arguments.timeout) else 1


def reset(arguments: argparse.Namespace) -> int:
    """Remove the stack, after asking."""
    from trove.cmd.local import takedown

    layout = layout_at(arguments.state_dir)
    if not layout.exists():
        console.say(f"there is no stack in {layout.root}")
        return 0
    if not arguments.yes:
        if not sys.stdin.isatty():
            console.complain("reset removes every instance and its data; say --yes when that is meant")
            return 2
        print(
            f"Remove every instance, its data and everything else in {layout.root}? [y/N] ", end="", file=sys.stderr, flush=True
        )
        if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
            console.say("nothing was removed")
            return 1
    takedown.reset(layout)
    return 0


def status(arguments: argparse.Namespace) -> int:
    """Show what runs."""
    from trove.cmd.local import report

    layout = layout_at(arguments.state_dir)
    found = report.report(layout)
    print(json.dumps(found.to_json(), indent=2) if arguments.json else found.to_text())
    return 0 if found.all_up else 3


def env(arguments: argparse.Namespace) -> int:
    """Print the clients' variables."""
    layout, chosen = _existing(arguments)
    if chosen.auth != settings.BASIC and arguments.user != accounts.ADMIN:
        raise StackError("--user chooses among the accounts of basic authentication; this stack asks Keystone")
    print(environment.shell_text(environment.variables(layout, chosen, arguments.user)), end="")
    return 0


def logs(arguments: argparse.Namespace) -> int:
    """Show logs."""
    from trove.cmd.local import fleet

    layout, _ = _existing(arguments)
    paths = log_files.find_logs(layout, arguments.what, lambda name: fleet.logs_of(layout, name))
    log_files.show(paths, lines=arguments.lines, follow=arguments.follow)
    return 0


def image_build(arguments: argparse.Namespace) -> int:
    """Build images."""
    from trove.cmd.local import images

    return images.build(arguments)


def image_list(arguments: argparse.Namespace) -> int:
    """List images."""
    from trove.cmd.local import images

    return images.show(arguments)


def image_remove(arguments: argparse.Namespace) -> int:
    """Remove images."""
    from trove.cmd.local import images

    return images.remove(arguments)


def _existing(arguments: argparse.Namespace) -> tuple[Layout, StackSettings]:
    layout = layout_at(arguments.state_dir)
    chosen = settings.load(layout)
    if chosen is None:
        raise StackError(f"there is no stack in {layout.root}; run `trove-local up`")
    return layout, chosen
