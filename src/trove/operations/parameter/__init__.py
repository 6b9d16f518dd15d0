"""Verbs of the parameters that configuration groups may set."""
