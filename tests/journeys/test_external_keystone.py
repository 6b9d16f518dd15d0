"""The whole service with the identities of a real Keystone, used by the unmodified client through the catalogue."""

import http.client
import json
import os
import stat
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from tests.support import keystone as keystones
from tests.support.keystone import Keystone
from tests.support.ports import free_port
from tests.support.stack import BIN, BUILD_S, Stack, processes_naming, stack

pytestmark = pytest.mark.xdist_group("external-keystone")


@dataclass(frozen=True, kw_only=True)
class Guarded:
    """A stack behind a Keystone."""

    stack: Stack
    keystone: Keystone

    def openstack(self, user: str, project: str, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run `openstack …` as a user with nothing but Keystone's usual variables."""
        environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")} | {
            "OS_AUTH_URL": self.keystone.url,
            "OS_USERNAME": user,
            "OS_PASSWORD": keystones.DEMO_PASSWORD,
            "OS_PROJECT_NAME": project,
            "OS_USER_DOMAIN_ID": "default",
            "OS_PROJECT_DOMAIN_ID": "default",
            "OS_IDENTITY_API_VERSION": "3",
        }
        return subprocess.run([BIN / "openstack", *words], env=environ, capture_output=True, text=True, check=False)

    def shown(self, user: str, project: str, *words: str) -> Any:
        """Run `openstack … -f json`; return what it printed."""
        done = self.openstack(user, project, *words, "-f", "json")
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}\n{self.stack.tails()}"
        return json.loads(done.stdout)

    def ask(
        self,
        method: str,
        project: str,
        path: str,
        *,
        token: str | None = None,
        service_token: str | None = None,
        body: Any = None,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Send one raw request to `/v1.0/{id of project}{path}`; return status, decoded body and headers (lower case)."""
        connection = http.client.HTTPConnection("127.0.0.1", self.stack.port, timeout=60)
        proofs = {"X-Auth-Token": token, "X-Service-Token": service_token}
        headers = {"Content-Type": "application/json"} | {name: proof for name, proof in proofs.items() if proof}
        try:
            url = f"/v1.0/{self.keystone.projects[project]}{path}"
            connection.request(method, url, body=None if body is None else json.dumps(body), headers=headers)
            reply = connection.getresponse()
            text = reply.read()
            return reply.status, json.loads(text) if text else None, {key.lower(): value for key, value in reply.getheaders()}
        finally:
            connection.close()

    def token(self, user: str, project: str) -> str:
        """Return a token."""
        return keystones.login(self.keystone.url, user, keystones.DEMO_PASSWORD, project)


def options(keystone: Keystone) -> tuple[str, ...]:
    """Return the options of `up`, without the password."""
    return ("--auth-url", keystone.url, "--auth-user", "trove", "--auth-project", "service")


@pytest.fixture(scope="module")
def guarded() -> Iterator[Guarded]:
    port = free_port()
    with keystones.keystone(trove_url=f"http://127.0.0.1:{port}") as keystone, pytest.MonkeyPatch.context() as patched:
        patched.setenv("TROVE_LOCAL_AUTH_PASSWORD", keystones.SERVICE_PASSWORD)
        with stack(*options(keystone), port=port) as own:
            patched.delenv("TROVE_LOCAL_AUTH_PASSWORD")
            yield Guarded(stack=own, keystone=keystone)


@pytest.fixture(scope="module")
def instance_id(guarded: Guarded) -> Iterator[str]:
    """Return an instance that demo made by the command line and that is built."""
    created = guarded.shown(
        *("demo", "demo", "database", "instance", "create", "orders", "--flavor", "db.tiny", "--size", "1"),
        *("--datastore", "mariadb", "--databases", "shop", "--users", "alice:secret-orders"),
    )
    made = str(created["id"])
    yield await_active(guarded, made)
    done = guarded.openstack("demo", "demo", "database", "instance", "delete", made)
    assert done.returncode == 0, done.stderr
    token, deadline = guarded.token("demo", "demo"), time.monotonic() + 60
    while guarded.ask("GET", "demo", f"/instances/{made}", token=token)[0] != 404:
        assert time.monotonic() < deadline, guarded.stack.tails()
        time.sleep(0.1)


def await_active(guarded: Guarded, made: str) -> str:
    token, deadline = guarded.token("demo", "demo"), time.monotonic() + BUILD_S
    while True:
        status, body, _ = guarded.ask("GET", "demo", f"/instances/{made}", token=token)
        assert status == 200, body
        if (body["instance"]["status"], body["instance"]["operating_status"]) == ("ACTIVE", "HEALTHY"):
            return made
        assert body["instance"]["status"] != "ERROR", f"{body}\n{guarded.stack.tails()}"
        assert time.monotonic() < deadline, guarded.stack.tails()
        time.sleep(0.1)


def test_the_command_line_client_needs_nothing_but_the_catalogue(guarded: Guarded, instance_id: str) -> None:
    listed = guarded.shown("demo", "demo", "database", "instance", "list")
    assert [(row["ID"], row["Name"], row["Status"]) for row in listed] == [(instance_id, "orders", "ACTIVE")]
    shown = guarded.shown("demo", "demo", "database", "instance", "show", instance_id)
    assert (shown["name"], shown["datastore"]) == ("orders", "mariadb")
    assert [row["Name"] for row in guarded.shown("demo", "demo", "database", "user", "list", instance_id)] == ["alice"]
    row = guarded.stack.instance_row(instance_id)
    assert row is not None
    with guarded.stack.connect({"addresses": [{"address": row["address"]}]}, password="secret-orders") as connection:
        assert connection.open


def test_a_reader_reads_and_changes_nothing(guarded: Guarded, instance_id: str) -> None:
    token = guarded.token("demo_reader", "demo")
    status, body, _ = guarded.ask("GET", "demo", "/instances", token=token)
    assert status == 200
    assert [one["id"] for one in body["instances"]] == [instance_id]
    wanted = {"instance": {"name": "no", "flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": "mariadb"}}}
    for method, path, sent in (("POST", "/instances", wanted), ("DELETE", f"/instances/{instance_id}", None)):
        status, body, _ = guarded.ask(method, "demo", path, token=token, body=sent)
        assert (status, body["forbidden"]["code"]) == (403, 403)


def test_projects_are_closed_to_each_other(guarded: Guarded, instance_id: str) -> None:
    stranger = guarded.token("alt_demo", "alt_demo")
    status, body, _ = guarded.ask("GET", "alt_demo", f"/instances/{instance_id}", token=stranger)
    assert (status, body["itemNotFound"]["code"]) == (404, 404)
    assert guarded.ask("GET", "alt_demo", "/instances", token=stranger)[1] == {"instances": []}
    status, body, _ = guarded.ask("GET", "alt_demo", "/instances", token=guarded.token("demo", "demo"))
    assert (status, body["forbidden"]["code"]) == (403, 403)
    assert guarded.openstack("alt_demo", "alt_demo", "database", "instance", "show", instance_id).returncode != 0


def test_an_application_credential_is_its_user_in_its_project_with_its_roles_only(guarded: Guarded, instance_id: str) -> None:
    url = guarded.keystone.url
    domain: dict[str, Any] = {"user_domain_id": "default", "project_domain_id": "default"}
    password = v3.Password(url, username="demo", password=keystones.DEMO_PASSWORD, project_name="demo", **domain)
    own = Session(auth=password)
    place = f"{url}/users/{own.get_user_id()}/application_credentials"
    made = []
    try:
        for name, roles in (("whole", ["member"]), ("reading", ["reader"])):
            wanted = {"application_credential": {"name": name, "roles": [{"name": role} for role in roles]}}
            made.append(own.post(place, json=wanted).json()["application_credential"])
        whole, reading = (
            Session(
                auth=v3.ApplicationCredential(
                    url, application_credential_id=each["id"], application_credential_secret=each["secret"]
                )
            ).get_token()
            for each in made
        )
        for token in (whole, reading):
            status, body, _ = guarded.ask("GET", "demo", "/instances", token=token)
            assert (status, [one["id"] for one in body["instances"]]) == (200, [instance_id])
        renamed = {"instance": {"name": "orders"}}
        path = f"/instances/{instance_id}"
        assert guarded.ask("PUT", "demo", path, token=whole, body=renamed)[0] == 202
        assert guarded.ask("PUT", "demo", path, token=reading, body=renamed)[0] == 403
        assert guarded.ask("GET", "alt_demo", "/instances", token=whole)[0] == 403
    finally:
        for each in made:
            own.delete(f"{place}/{each['id']}")


def test_a_service_may_ask_for_a_user_and_a_forged_one_may_not(guarded: Guarded, instance_id: str) -> None:
    user = guarded.token("demo", "demo")
    service = keystones.login(guarded.keystone.url, "trove", keystones.SERVICE_PASSWORD, "service")
    path = f"/instances/{instance_id}"
    assert guarded.ask("GET", "demo", path, token=user, service_token=service)[0] == 200
    assert guarded.ask("GET", "demo", path, token=user, service_token="forged")[0] == 401


@pytest.mark.parametrize("token", [None, "forged", "gAAAAABm-not-a-token"])
def test_without_a_token_the_reply_names_keystone(guarded: Guarded, token: str | None) -> None:
    status, body, headers = guarded.ask("GET", "demo", "/instances", token=token)
    assert (status, body["unauthorized"]["code"]) == (401, 401)
    assert headers["www-authenticate"] == f'Keystone uri="{guarded.keystone.url}"'


def test_the_password_of_the_service_is_seen_by_nobody(guarded: Guarded) -> None:
    assert not processes_naming(keystones.SERVICE_PASSWORD)
    holders = [path for path in files_below(guarded.stack.root) if keystones.SERVICE_PASSWORD.encode() in path.read_bytes()]
    assert {path.name for path in holders} == {"trove.conf", "stack.json"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in holders)


def files_below(root: Path) -> list[Path]:
    """Return the configuration, keys, records and logs of a stack: not what belongs to database servers."""
    return [
        path
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink() and "volumes" not in path.parts and "templates" not in path.parts
    ]


def test_a_wrong_password_or_a_wrong_url_fails_at_once_and_says_why(guarded: Guarded, tmp_path: Path) -> None:
    own = Stack(root=tmp_path / "stack", port=free_port())
    right = options(guarded.keystone)
    done = own.trove_local("up", "--port", str(own.port), *right, "--auth-password", "wrong", check=False)
    assert done.returncode == 1
    assert "refuses user trove of project service" in done.stderr
    assert "Traceback" not in done.stderr
    nowhere = ("--auth-url", f"http://127.0.0.1:{free_port()}/v3", *right[2:])
    done = own.trove_local("up", "--port", str(own.port), *nowhere, "--auth-password", "wrong", check=False)
    assert done.returncode == 1
    assert "does not answer" in done.stderr
    assert not own.leftovers(own.root.as_posix())


def test_another_password_must_work_before_a_running_stack_changes(guarded: Guarded) -> None:
    before = guarded.stack.status()["services"]["trove-api"]["pid"]
    done = guarded.stack.trove_local("up", "--auth-password", "wrong", check=False)
    assert done.returncode == 1
    assert "refuses user trove" in done.stderr
    assert guarded.stack.status()["services"]["trove-api"]["pid"] == before
    assert guarded.ask("GET", "demo", "/instances", token=guarded.token("demo", "demo"))[0] == 200
