"""Verbs on the superuser of an instance."""
