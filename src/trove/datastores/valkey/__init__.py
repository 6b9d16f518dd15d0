"""Valkey, from its own or a distribution's packages."""
