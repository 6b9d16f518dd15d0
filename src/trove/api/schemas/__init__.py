"""JSON Schemas of requests, one file a noun."""
