"""The state DB: queries in, core dataclasses out."""
