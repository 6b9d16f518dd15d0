"""What Redis and Valkey have in common: functions to call and small classes."""
