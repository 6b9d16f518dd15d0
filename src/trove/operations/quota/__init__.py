"""What administrators do to quotas, one file a verb."""
