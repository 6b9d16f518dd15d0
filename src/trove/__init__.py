"""Trove: Database as a Service on OpenStack and on a single machine."""

__version__ = "0.1.0"
