"""Where backups and logs are kept."""
