"""Verbs on instances."""
