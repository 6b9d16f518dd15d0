"""Redis's rules for names."""

from trove.datastores.families.redis.naming import Names

NAMES = Names(title="Redis")
