"""What the service can do: one file a verb, its guard and its flow together."""
