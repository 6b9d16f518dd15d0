"""Verbs of the TLS of an instance."""
