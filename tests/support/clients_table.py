"""doc/clients.json: what every test of clients saw. Written by `tools/client_table.py record`, shown in doc/clients.md."""

import json
from functools import lru_cache
from pathlib import Path

import pytest
from tests.support.clients_recorder import Seen

FILE = Path(__file__).resolve().parents[2] / "doc" / "clients.json"
RECORD = "TROVE_RECORD_CLIENTS"
"""Names the file to which the tests append what they see, instead of comparing it."""


@lru_cache
def load() -> dict[str, Seen]:
    """Return what is on record, by the names of the tests."""
    found: dict[str, Seen] = json.loads(FILE.read_text()) if FILE.exists() else {}
    return found


def name_of(item: pytest.Item) -> str:
    """Return the name by which a test is on record: its file and itself."""
    return f"{item.path.name}::{item.name}"
