"""The REST API v1.0 (Falcon)."""
