"""Pure nouns, status tables, errors, units, ids and clock."""
