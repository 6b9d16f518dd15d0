"""Verbs of modules."""
