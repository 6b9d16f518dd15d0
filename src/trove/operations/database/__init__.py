"""Verbs on databases inside an instance."""
