"""Verbs on users inside an instance."""
