"""Trove: Database as a Service on OpenStack and on a single machine."""
