"""What can be done with backups."""
