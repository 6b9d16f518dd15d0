"""Verbs of configuration groups."""
