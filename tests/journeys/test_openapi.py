"""Schemathesis lets the live stack answer what its OpenAPI document allows and what it does not: bounded, the same each time.

No 5xx, no status, type or body that the document does not have, and nothing of another project's.
"""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.core.failures import FailureGroup
from tests.support.stack import Stack, await_value, stack

EXAMPLES = 4
"""Per operation, kind of data and account."""
BUDGET_S = 240.0
"""After this, nothing more is asked; half of it is enough where nothing else runs."""
SECRET = "their-very-own-name"
CONFIG = """
[DEFAULT]
max_instances_per_tenant = 1
max_pending_operations = 20
"""
CHECKED = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")
CALM = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
DEADLY = {"instances_delete", "instance_actions_action", "mgmt_instances_action"}
"""They would end or stop the one instance that the others are asked about."""


@dataclass(kw_only=True)
class Tried:
    """A stack with an instance of `demo`'s and one of `admin`'s, and its document."""

    running: Stack
    mine: str
    theirs: str
    document: dict[str, Any]
    common: dict[str, str]
    until: float

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.until

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.running.port}"

    def session(self, user: str) -> requests.Session:
        environ = self.running.environment(user)
        session = requests.Session()
        session.auth = (environ["OS_USERNAME"], environ["OS_PASSWORD"])
        return session


@pytest.fixture(scope="module")
def tried() -> Iterator[Tried]:
    with stack(config=CONFIG) as running:
        made = {}
        for user, name in (("demo", "mine"), ("admin", SECRET)):
            body = {"instance": {"name": name, "flavorRef": "1", "volume": {"size": 1}}}
            reply = running.request("POST", "/instances", body, user=user)
            assert reply.status == 200, reply.text
            made[user] = reply.body["instance"]["id"]
        for user, instance_id in made.items():
            await_value(
                lambda user=user, instance_id=instance_id: (
                    running.request("GET", f"/instances/{instance_id}", user=user).body["instance"]["operating_status"]
                    == "HEALTHY"
                ),
                120.0,
                "the instance did not come up",
            )
        with requests.get(f"http://127.0.0.1:{running.port}/v1.0/openapi.json", timeout=30) as reply:
            document = reply.json()
        (datastore, *_) = running.request("GET", "/datastores").body["datastores"]
        yield Tried(
            running=running,
            mine=made["demo"],
            theirs=made["admin"],
            document=document,
            common={
                "datastore": datastore["name"],
                "version": datastore["versions"][0]["name"],
                "version_id": datastore["versions"][0]["id"],
                "flavor_id": "1",
                "alias": "OPERATIONS",
            },
            until=time.monotonic() + BUDGET_S,
        )


def json_only(document: Any) -> Any:
    """Return the document without its XML, whose mapping Schemathesis does not know."""
    if isinstance(document, dict):
        return {key: json_only(value) for key, value in document.items() if key != "application/xml"}
    return [json_only(each) for each in document] if isinstance(document, list) else document


def operations(document: dict[str, Any]) -> list[Any]:
    schema = schemathesis.openapi.from_dict(json_only(document))
    return [found.ok() for found in schema.get_all_operations()]


def try_out(tried: Tried, operation: Any, mode: GenerationMode, user: str, known: dict[str, str]) -> int:
    """Ask with `user`'s credentials, with `known` in the place of parameters of the path; return how often."""
    session, asked = tried.session(user), []
    checks = [check for check in CHECKS.get_all() if check.__name__ in CHECKED]
    assert len(checks) == len(CHECKED)

    @CALM
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if tried.is_over:
            return
        case.path_parameters = {**(case.path_parameters or {}), **{k: v for k, v in known.items() if f"{{{k}}}" in case.path}}
        try:
            response = case.call(base_url=tried.url, session=session, timeout=60)
        except (requests.exceptions.InvalidHeader, requests.exceptions.InvalidURL, UnicodeError):
            return
        asked.append(case)
        assert response.status_code < 500 or response.status_code == 501, f"{response.status_code} {response.text[:500]}"
        case.validate_response(response, checks=checks)
        if user == "demo":
            text = response.content.decode(errors="replace")
            assert SECRET not in text, f"{case.method} {case.path} leaked: {text[:500]}"
            if tried.theirs in known.values() and "{instance_id}" in case.path:
                assert response.status_code >= 400, f"{case.method} {case.path} on another project's instance"

    with session, suppress(Unsatisfiable):  # where there is nothing to be wrong about
        ask()
    return len(asked)


def run_all(tried: Tried, user: str, known: dict[str, str], *modes: GenerationMode, only_reading: bool = False) -> int:
    known = {"project_id": tried.running.project(user), **tried.common, **known}
    count, problems = 0, []
    for operation in operations(tried.document):
        name = operation.definition.raw["operationId"]
        if (name in DEADLY and tried.mine in known.values()) or (only_reading and operation.method != "get"):
            continue
        for mode in modes:
            try:
                count += try_out(tried, operation, mode, user, known)
            except (AssertionError, FailureGroup) as problem:
                inner = getattr(problem, "exceptions", [problem])
                problems.append(f"{name}, {mode.value}: " + "; ".join(f"{each}"[:800] for each in inner))
    assert not problems, "\n\n".join(problems)
    return count


def test_what_the_document_allows_and_forbids_is_answered_as_it_says(tried: Tried) -> None:
    """With an instance of one's own wherever a path names one."""
    known = {"instance_id": tried.mine}
    assert run_all(tried, "demo", known, GenerationMode.POSITIVE, GenerationMode.NEGATIVE) > 200 or tried.is_over


def test_no_operation_leaks_what_another_project_has(tried: Tried) -> None:
    """With the id of another project's instance wherever a path names anything by an id."""
    names = {name for path in tried.document["paths"] for name in placeholders(path) if name.endswith("_id")}
    known = dict.fromkeys(names - {"project_id"} - tried.common.keys(), tried.theirs)
    assert run_all(tried, "demo", known, GenerationMode.POSITIVE) > 100 or tried.is_over
    reply = tried.running.request("GET", f"/instances/{tried.theirs}", user="admin")
    assert reply.body["instance"]["name"] == SECRET


def test_administrators_may_read_everything_without_a_failure(tried: Tried) -> None:
    assert (
        run_all(tried, "admin", {"instance_id": tried.mine}, GenerationMode.POSITIVE, only_reading=True) > 50 or tried.is_over
    )


def test_nothing_was_logged_as_a_failure(tried: Tried) -> None:
    text = "\n".join(path.read_text(errors="replace") for path in tried.running.root.rglob("*api*.log"))
    assert "Unexpected failure" not in text, text[text.index("Unexpected failure") :][:3000]


def placeholders(path: str) -> list[str]:
    return [part.strip("{}") for part in path.split("/") if part.startswith("{")]
