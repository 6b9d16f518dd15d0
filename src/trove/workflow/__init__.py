"""TaskFlow glue: persistence, locks, crash test-kit."""
