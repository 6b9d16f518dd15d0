"""JSON shapes of replies, one file a noun."""
