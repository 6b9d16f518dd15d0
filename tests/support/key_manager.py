"""A real Barbican for tests, in a cached environment of its own beside Keystone's."""

import base64
import contextlib
import json
import secrets
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import keystone as keystones
from tests.support.keystone import Keystone
from tests.support.ports import free_port
from tests.support.service_process import ServiceProcess

BARBICAN = "barbican==23.0.0"

_SERVE = """
import ctypes, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGKILL)
import waitress
from paste import deploy
port, paste = int(sys.argv.pop()), sys.argv.pop()
app = deploy.loadapp(f"config:{paste}", name="main")
waitress.serve(app, host="127.0.0.1", port=port, threads=4)
"""
"""It ends with the tests, however these end."""

_CONFIG = """
[DEFAULT]
log_file = {dir}/barbican.log
use_stderr = false
host_href = {url}
transport_url = fake:/
db_auto_create = true
[database]
connection = sqlite:///{dir}/barbican.db
[queue]
enable = false
[secretstore]
namespace = barbican.secretstore.plugin
enabled_secretstore_plugins = store_crypto
[crypto]
namespace = barbican.crypto.plugin
enabled_crypto_plugins = simple_crypto
[simple_crypto_plugin]
kek = {kek}
[keystone_authtoken]
auth_type = password
www_authenticate_uri = {auth_url}
auth_url = {auth_url}
username = barbican
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default
"""


@dataclass(kw_only=True)
class Barbican(ServiceProcess):
    """A running Barbican. Tokens are those of users of its Keystone."""

    keystone: Keystone

    def token(self, user: str = "demo", password: str = keystones.DEMO_PASSWORD, project: str = "demo") -> str:
        """Return a fresh token of a user."""
        return keystones.login(self.keystone.url, user, password, project)

    def store(self, token: str, payload: bytes, *, binary: bool = True) -> str:
        """Keep a secret, as bytes or as text; return its URL."""
        body: dict[str, Any] = {"name": "db", "payload": payload.decode() if not binary else base64.b64encode(payload).decode()}
        body["payload_content_type"] = "application/octet-stream" if binary else "text/plain"
        if binary:
            body["payload_content_encoding"] = "base64"
        return str(self.ask("POST", "/v1/secrets", token, body)["secret_ref"])

    def store_container(self, token: str, parts: Mapping[str, bytes]) -> str:
        """Keep a container of a certificate; return its URL."""
        refs = [{"name": name, "secret_ref": self.store(token, part, binary=False)} for name, part in parts.items()]
        body = {"name": "db", "type": "certificate", "secret_refs": refs}
        return str(self.ask("POST", "/v1/containers", token, body)["container_ref"])

    def consumers(self, token: str, ref: str) -> list[Mapping[str, str]]:
        """Return who uses something."""
        found: list[Mapping[str, str]] = self.ask("GET", f"{ref.removeprefix(self.url)}/consumers", token)["consumers"]
        return found

    def ask(self, method: str, path: str, token: str, body: object = None) -> dict[str, Any]:
        """Return what it answers."""
        headers = {"X-Auth-Token": token, "Content-Type": "application/json", "OpenStack-API-Version": "key-manager 1.1"}
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.url}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(asked, timeout=30) as answer:
                return dict(json.loads(answer.read() or b"{}"))
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.code} {error.read().decode()}\n{self.story()}") from None


@contextlib.contextmanager
def barbican(keystone: Keystone) -> Iterator[Barbican]:
    """Start a fresh Barbican and enter it in the catalogue of a Keystone; both are removed afterwards."""
    python = keystones.environment_beside(BARBICAN)
    directory = Path(tempfile.mkdtemp(prefix="trove-barbican-"))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = directory / ".barbican" / "barbican.conf"
    config.parent.mkdir()
    config.touch(mode=0o600)
    kek = base64.b64encode(secrets.token_bytes(32)).decode()
    words = {"dir": directory, "url": url, "kek": kek, "auth_url": keystone.url, "password": keystones.SERVICE_PASSWORD}
    config.write_text(_CONFIG.format(**words))
    with contextlib.ExitStack() as after:
        after.callback(shutil.rmtree, directory, ignore_errors=True)
        keystones.add_service_user(keystone.url, "barbican", keystone.projects["service"])
        after.callback(keystones.offer(keystone.url, "key-manager", url))
        paste = python.parents[1] / "etc" / "barbican" / "barbican-api-paste.ini"
        argv = [str(python), "-W", "ignore", "-c", _SERVE, str(paste), str(port)]
        running = Barbican(url=url, keystone=keystone, directory=directory, argv=argv)
        after.callback(running.kill)
        running.start()
        yield running
