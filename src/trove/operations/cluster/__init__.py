"""Verbs on clusters."""
