"""trove-manage: the operator's tool for the state database, datastores, quotas and operations."""

from trove.cmd.manage.program import main

__all__ = ["main"]
