"""What the commands of trove-manage share: their context, and how they are declared."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trove.cmd.wiring import Foundation
    from trove.store.session import Database

Subparsers = Any
"""What `argparse.ArgumentParser.add_subparsers` returns."""


@dataclass
class Context:
    """The configuration, and the state database opened when it is first asked for."""

    conf: Any
    as_json: bool

    @cached_property
    def base(self) -> "Foundation":
        """Return the key file and the state database."""
        from trove.cmd import wiring

        return wiring.foundation(self.conf)

    @property
    def database(self) -> "Database":
        """Return the state database."""
        return self.base.database

    def close(self) -> None:
        """Let go of the state database, if it was opened."""
        if "base" in self.__dict__:
            self.base.close()


Command = Callable[[Context, argparse.Namespace], None]


def add(parsers: Subparsers, name: str, text: str, command: Command | None = None) -> argparse.ArgumentParser:
    """Add a subcommand; `text` explains it, `argparse.SUPPRESS` hides a name kept for older scripts."""
    options: dict[str, Any] = (
        {} if text == argparse.SUPPRESS else {"help": text, "description": f"{text[0].upper()}{text[1:]}."}
    )
    parser: argparse.ArgumentParser = parsers.add_parser(name, **options)
    if command is not None:
        parser.set_defaults(command=command)
    return parser
