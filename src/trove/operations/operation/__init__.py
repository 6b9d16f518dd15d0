"""What can be done to an operation itself."""
