"""One readable conversation per resource, in gabbits/*.yaml, with the real app; every answer is held against its schema."""

import json
import unittest
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from gabbi import handlers, suitemaker
from tests.support import answers
from tests.support.http_api import OTHER_PROJECT, PROJECT, USERS, Api, basic

HERE = Path(__file__).parent / "gabbits"
FILES = sorted(path.stem for path in HERE.glob("*.yaml"))


@pytest.mark.parametrize("name", FILES)
def test_conversation(api: Api, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    version, second_version = api.offer_everything()
    instance_id = api.active("orders", version_id=version)
    known = {
        "PROJECT": f"/v1.0/{PROJECT}",
        "OTHER_PROJECT": f"/v1.0/{OTHER_PROJECT}",
        "INSTANCE": instance_id,
        "MARIADB_INSTANCE": api.active("ledger"),
        "THEIR_INSTANCE": api.active("theirs", project_id=OTHER_PROJECT),
        "BUILDING_INSTANCE": api.insert("building"),
        "VERSION": version,
        "SECOND_VERSION": second_version,
        "MARIADB_VERSION": api.version_id,
        **{user.upper(): basic(user) for user in USERS},
    }
    for key, value in known.items():
        monkeypatch.setenv(key, value)
    suite = suitemaker.test_suite_from_dict(
        unittest.defaultTestLoader,
        name,
        yaml.safe_load((HERE / f"{name}.yaml").read_text()),
        str(HERE),
        "trove.example.test",
        8779,
        None,
        lambda: checked(api.app),
        handlers=[kind() for kind in handlers.RESPONSE_HANDLERS],
    )
    result = unittest.TestResult()
    suite.run(result)
    assert result.testsRun >= 3, "a conversation has some turns"
    assert not result.skipped
    problems = [f"{test.test_data['name']}: {text}" for test, text in [*result.failures, *result.errors]]
    assert not problems, "\n".join(problems)


def checked(app: Any) -> Any:
    """Return `app`, failing when an answer is not as documented."""

    def wrapped(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ["SCRIPT_NAME"] + environ["PATH_INFO"]
        started: list[Any] = []
        content = b"".join(app(environ, lambda *args: started.append(args)))
        status, headers = started[-1][:2]
        low = {key.lower(): value for key, value in headers}
        is_json = low.get("content-type", "").startswith("application/json") and content
        answers.check(
            method,
            path,
            SimpleNamespace(
                status_code=int(status[:3]),
                headers=low,
                content=content,
                text=content.decode(),
                json=json.loads(content) if is_json else None,
            ),
        )
        start_response(status, headers)
        return [content]

    return wrapped


def test_every_resource_has_a_conversation() -> None:
    from trove.api import openapi
    from trove.api.routes import ROUTES

    together = {"mgmt_guests": "mgmt_instances", "mgmt_resources": "mgmt_hosts", "instance_actions": "instances"}
    nouns = {openapi.noun(route) for route in ROUTES}
    assert {together.get(noun, noun) for noun in nouns} <= set(FILES)
