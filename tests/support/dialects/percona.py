"""Percona Server as its tenants have it: as MySQL."""

from tests.support.dialects.mysql import DIALECT

__all__ = ["DIALECT"]
