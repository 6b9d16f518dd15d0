"""Builds images of guests: a Debian with an engine and Trove's agent, as Glance takes it."""
