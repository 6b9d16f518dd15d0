"""Run the bench: python -m tests.bench [first_query] [api] [conductor] [operations]."""

import sys

from tests.bench import api, conductor, first_query, operations

SECTIONS = {
    "first_query": first_query.main,
    "api": api.main,
    "conductor": conductor.main,
    "operations": operations.main,
}

for chosen in sys.argv[1:] or list(SECTIONS):
    if chosen not in SECTIONS:
        sys.exit(f"unknown section {chosen!r}; there are: {', '.join(SECTIONS)}")
    SECTIONS[chosen]()
