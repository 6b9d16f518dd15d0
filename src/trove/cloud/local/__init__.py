"""The embedded cloud: this one machine."""
