"""Writes doc/clients.md, which route every client hits and what it is answered, from doc/clients.json.

`tools/client_table.py` renders; `make check` sees to it that the result is checked in. `tools/client_table.py record` first
runs tests/clients and takes down what they see; `… record tests/clients/test_heat.py` does so for one file. Every test there
compares what it sees with doc/clients.json, so that neither can go stale.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from trove.api.routes import ROUTES

ROOT = Path(__file__).resolve().parent.parent
FILE = ROOT / "doc" / "clients.json"
PAGE = ROOT / "doc" / "clients.md"
RECORD = "TROVE_RECORD_CLIENTS"

CLIENTS = {
    "openstack": "`openstack database …` and `openstack datastore …` of python-troveclient",
    "trove": "the older shell `trove` of python-troveclient",
    "openstacksdk": "the database proxy of openstacksdk",
    "gophercloud": "gophercloud's `db/v1`, on which Terraform's provider stands",
    "heat": "a real Heat with `OS::Trove::Instance` and `OS::Trove::Cluster`, and what it sends for networks",
    "dashboard": "what trove-dashboard calls of python-troveclient's library",
    "library": "the rest of python-troveclient's library",
    "tempest": "classes of trove-tempest-plugin's scenarios",
}

HEAD = """# Clients

Written by `tools/client_table.py` from what the tests in `tests/clients` saw; not to be edited. There, unmodified clients talk
to a running service with a real Keystone and real MariaDB servers, and the effect of each call is looked up in the server or by
another way. A status of 400 and more stands where a test wanted a refusal, and got it: wrong input, somebody who may not, or
something that the engine cannot do yet.
"""

Seen = Mapping[str, Mapping[str, list[str]]]


def record(some: list[str]) -> int:
    """Run the tests, or some of them, and write what they saw; return pytest's exit code."""
    with tempfile.NamedTemporaryFile("r", suffix=".jsonl") as file:
        words = [sys.executable, "-m", "pytest", *(some or ["tests/clients"]), "--ignore=tests/clients/test_complete.py", "-q"]
        code = subprocess.run(words, cwd=ROOT, env=os.environ | {RECORD: file.name}, check=False).returncode
        found: dict[str, Seen] = json.loads(FILE.read_text()) if some else {}
        for line in file:
            found |= json.loads(line)
    FILE.write_text(json.dumps(dict(sorted(found.items())), indent=1) + "\n")
    return code


def page(tests: Mapping[str, Seen]) -> str:
    """Return the text of doc/clients.md."""
    used = {client: _calls(tests, client) for client in CLIENTS}
    return "\n".join(
        [
            HEAD,
            "| Client | Calls | What it is |",
            "| --- | --- | --- |",
            *(f"| {client} | {len(used[client])} | {what} |" for client, what in CLIENTS.items()),
            "",
            "## Routes",
            "",
            "All stand below `/v1.0/{project_id}`.",
            "",
            *_by_route(used),
            "",
            "## Calls",
            *_by_call(used),
            "",
        ]
    )


def _calls(tests: Mapping[str, Seen], client: str) -> dict[str, list[str]]:
    merged: dict[str, set[str]] = {}
    for seen in tests.values():
        for call, hits in seen.get(client, {}).items():
            merged.setdefault(call, set()).update(hits)
    return {call: sorted(hits) for call, hits in sorted(merged.items())}


def _by_route(used: Mapping[str, Mapping[str, list[str]]]) -> Iterator[str]:
    statuses: dict[str, dict[str, set[str]]] = {f"{route.method} {route.path}": {} for route in ROUTES}
    asked_for: dict[str, dict[str, set[str]]] = {}
    for client, calls in used.items():
        for hit in (hit for hits in calls.values() for hit in hits):
            route, _, status = hit.rpartition(" ")
            place = statuses if route in statuses else asked_for
            place.setdefault(route, {}).setdefault(client, set()).add(status)
    yield from _table("Route", statuses)
    if asked_for:
        yield from ("", "Clients also ask for these, which are no routes of the API:", "")
        yield from _table("Request", asked_for)


def _table(title: str, rows: Mapping[str, Mapping[str, set[str]]]) -> Iterator[str]:
    yield f"| {title} | {' | '.join(CLIENTS)} |"
    yield "| --- |" + " --- |" * len(CLIENTS)
    for route, by_client in sorted(rows.items(), key=lambda row: row[0].split(" ")[::-1]):
        cells = (" ".join(sorted(by_client.get(client, ()))) for client in CLIENTS)
        yield f"| `{route}` | {' | '.join(cells)} |"


def _by_call(used: Mapping[str, Mapping[str, list[str]]]) -> Iterator[str]:
    for client, calls in used.items():
        yield from ("", f"### {client}", "", "| Call | Requests and answers |", "| --- | --- |")
        for call, hits in calls.items():
            yield f"| `{call}` | {'; '.join(f'`{hit}`' for hit in hits) or 'none: the client itself fails'} |"


def render() -> None:
    """Write doc/clients.md."""
    PAGE.write_text(page(json.loads(FILE.read_text())))


def main() -> int:
    """Render, after recording when asked to."""
    code = record(sys.argv[2:]) if sys.argv[1:2] == ["record"] else 0
    render()
    return code


if __name__ == "__main__":
    sys.exit(main())
