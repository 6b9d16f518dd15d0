"""Clouds that servers, volumes and addresses come from."""
