"""A real Heat for tests: engine and API in one process, in a cached environment of its own, beside the real Keystone."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack.connection
import openstack.exceptions
from tests.support import keystone as keystones
from tests.support.clients import Clients
from tests.support.ports import free_port

HEAT = "openstack-heat==27.0.1"
RUN = Path(__file__).with_name("clients_heat_run.py")
END_S = 240.0

Resources = Mapping[str, Mapping[str, Any]]
Output = tuple[str, str]
"""A resource and its attribute."""

_CONFIG = """
[DEFAULT]
log_file = {dir}/heat.log
use_stderr = false
transport_url = fake:/
auth_encryption_key = {key}
region_name_for_services = RegionOne
host = heat
[paste_deploy]
api_paste_config = {paste}
[database]
connection = sqlite:///{dir}/heat.db
[keystone_authtoken]
auth_type = password
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
username = heat
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default
[trustee]
auth_type = password
auth_url = {auth_url}
username = heat
password = {password}
user_domain_id = default
[clients_keystone]
auth_uri = {auth_url}
[clients]
endpoint_type = publicURL
"""
"""Of the loopback driver for messages, `fake`, only the name is not serious: engine and API share a process."""


@dataclass(frozen=True, kw_only=True)
class Heat:
    """A running Heat, used by one user. What it sends to the service counts for the types of a stack's resources."""

    use: Clients
    proxy: Any
    log: Path

    def create(self, name: str, resources: Resources, **outputs: Output) -> None:
        """Make a stack of these resources with these outputs, and wait until it is there."""
        with self._acting(resources, "create"):
            self.proxy.create_stack(name=name, template=template(resources, outputs))
            self._end(name, "CREATE_COMPLETE")

    def fails_to_create(self, name: str, resources: Resources) -> str:
        """Make a stack that must fail; return why it did, after it was removed."""
        with self._acting(resources, "create"):
            self.proxy.create_stack(name=name, template=template(resources, {}))
            reason = self._end(name, "CREATE_FAILED")
        self.delete(name)
        return reason

    def delete(self, name: str) -> None:
        """Delete a stack and wait until it is gone."""
        stack = self._look(name)
        types = {each.name: {"type": each.resource_type} for each in self.proxy.resources(stack)}
        with self._acting(types, "delete"):
            self.proxy.delete_stack(stack)
            with contextlib.suppress(openstack.exceptions.NotFoundException):  # what the library makes of one that is deleted
                self._end(stack.id, "DELETE_COMPLETE")

    def clear(self) -> None:
        """Delete what tests that failed have left; a stack that is gone may still be listed for a moment."""
        for stack in list(self.proxy.stacks()):
            with contextlib.suppress(openstack.exceptions.NotFoundException):
                self.proxy.delete_stack(stack)
                self._end(stack.id, "DELETE_COMPLETE")

    def outputs(self, name: str) -> dict[str, Any]:
        """Return the outputs of a stack."""
        return {each["output_key"]: each["output_value"] for each in self.proxy.get_stack(name).outputs}

    def _acting(self, resources: Resources, verb: str) -> contextlib.AbstractContextManager[None]:
        types = sorted({str(each["type"]) for each in resources.values()})
        return self.use.recorder.act("heat", f"{', '.join(types)} {verb}")

    def _look(self, name: str) -> Any:
        """Return a stack. Heat finds its own rows missing now and then while it changes a resource, and is asked again."""
        deadline = time.monotonic() + END_S
        while True:
            try:
                return self.proxy.get_stack(name, resolve_outputs=False)
            except openstack.exceptions.NotFoundException as error:
                if "ResourcePropertiesData" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.2)

    def _end(self, name: str, wanted: str) -> str:
        """Wait until a stack is in none of its states in between; return why it is in the wanted one."""
        deadline = time.monotonic() + END_S
        while True:
            found = self._look(name)
            begun = found.status.startswith(wanted.partition("_")[0])
            if begun and not found.status.endswith("_IN_PROGRESS"):
                break
            assert time.monotonic() < deadline, self.story(found)
            time.sleep(0.2)
        assert found.status == wanted, self.story(found)
        return str(found.status_reason)

    def story(self, stack: Any) -> str:
        """Return what is known about a stack that went wrong."""
        return f"{stack.status_reason}\n{self.log.read_text()[-6000:]}\n{self.use.story()}\n{self.use.tails()}"


def template(resources: Resources, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return a template."""
    shown = {name: {"value": {"get_attr": list(what)}} for name, what in outputs.items()}
    return {"heat_template_version": "2021-04-16", "resources": resources, "outputs": shown}


@contextlib.contextmanager
def heat(use: Clients, user: str = "demo") -> Iterator[Heat]:
    """Start a fresh Heat beside the service; it and its entry in the catalogue are removed afterwards."""
    python = keystones.environment_beside(HEAT)
    directory = Path(tempfile.mkdtemp(prefix="trove-heat-"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with contextlib.ExitStack() as after:
        after.callback(shutil.rmtree, directory, ignore_errors=True)
        keystones.add_service_user(use.keystone.url, "heat", use.keystone.projects["service"])
        after.callback(keystones.offer(use.keystone.url, "orchestration", f"{url}/v1/%(tenant_id)s"))
        _serve(use, python, directory, port, after)
        session = use.session(user)
        session.invalidate()  # a token from before knows the catalogue as it was
        connection = openstack.connection.Connection(session=session, region_name="RegionOne")
        yield Heat(use=use, proxy=connection.orchestration, log=directory / "heat.log")


def _serve(use: Clients, python: Path, directory: Path, port: int, after: contextlib.ExitStack) -> None:
    config = directory / "heat.conf"
    paste = python.parents[1] / "etc" / "heat" / "api-paste.ini"
    words = {"auth_url": use.keystone.url, "password": keystones.SERVICE_PASSWORD, "key": "k" * 32}
    config.touch(mode=0o600)
    config.write_text(_CONFIG.format(dir=directory, paste=paste, **words))
    environ = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    manage = [str(python.with_name("heat-manage")), "--config-file", str(config), "db_sync"]
    done = subprocess.run(manage, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with (directory / "serve.log").open("wb") as log:
        argv = [python, "-W", "ignore", RUN, config, str(port)]
        process = subprocess.Popen(argv, env=environ, stdout=log, stderr=log, cwd=directory)
    after.callback(process.wait)
    after.callback(process.kill)
    deadline = time.monotonic() + 120
    while True:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/healthcheck", timeout=10).close()
            return
        assert process.poll() is None, f"heat died: {(directory / 'serve.log').read_text()[-3000:]}"
        assert time.monotonic() < deadline, "heat does not answer"
        time.sleep(0.1)
