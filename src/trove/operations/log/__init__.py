"""Verbs of the logs of an instance."""
