"""The agent beside each database server."""
