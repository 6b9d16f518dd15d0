"""The only writer of what guests report."""
