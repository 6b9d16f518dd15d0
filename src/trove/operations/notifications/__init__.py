"""What is told of operations, beginning and end, under the names that consumers of notifications know."""
