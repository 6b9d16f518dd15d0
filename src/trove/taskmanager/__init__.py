"""Runs operations."""
