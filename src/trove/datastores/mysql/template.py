"""Prepares the data directory that new instances copy."""

from trove.datastores.families.oracle_mysql.install import make_template

__all__ = ["make_template"]
