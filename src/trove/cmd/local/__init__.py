"""`trove-local`: the whole service on one machine, without root and without OpenStack."""

from trove.cmd.local.cli import main

__all__ = ["main"]
