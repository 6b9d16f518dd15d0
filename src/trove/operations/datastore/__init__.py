"""What administrators do to datastores and their versions, one file a verb."""
