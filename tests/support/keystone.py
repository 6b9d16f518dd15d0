"""A real, private Keystone on loopback for tests: installed from PyPI into a cached environment of its own."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

KEYSTONE = "keystone==30.0.0"
ADMIN_PASSWORD = "admin-secret"
SERVICE_PASSWORD = "service-secret"
DEMO_PASSWORD = "demo-secret"

_SERVE = """
import sys, waitress
port = int(sys.argv.pop())
from keystone.server import wsgi
waitress.serve(wsgi.initialize_public_application(), host="127.0.0.1", port=port, threads=4)
"""

_CONFIG = """
[DEFAULT]
use_stderr = false
log_file = {dir}/keystone.log
public_endpoint = {url}
[database]
connection = sqlite:///{dir}/keystone.db
[token]
provider = fernet
[fernet_tokens]
key_repository = {dir}/fernet
[fernet_receipts]
key_repository = {dir}/fernet
[credential]
key_repository = {dir}/credential
[cache]
enabled = true
backend = dogpile.cache.memory
[identity]
password_hash_rounds = 4
"""


@dataclass(frozen=True, kw_only=True)
class Keystone:
    """A running Keystone: users `admin`, `trove` (service), `demo`, `demo_reader`, `alt_demo`; their project ids by name."""

    url: str
    projects: Mapping[str, str]


@contextlib.contextmanager
def keystone(*, trove_url: str) -> Iterator[Keystone]:
    """Start a fresh Keystone whose catalog has `database` at `trove_url` + `/v1.0/%(tenant_id)s`; removes it afterwards."""
    python = environment()
    directory = Path(tempfile.mkdtemp(prefix="trove-keystone-"))
    port = free_port()
    root = f"http://127.0.0.1:{port}"
    process: subprocess.Popen[bytes] | None = None
    try:
        environ = _initialise(python, directory, root)
        with (directory / "serve.log").open("wb") as log:
            process = subprocess.Popen([python, "-c", _SERVE, str(port)], env=environ, stdout=log, stderr=log)
        _await(f"{root}/v3", process, directory / "serve.log")
        yield Keystone(url=f"{root}/v3", projects=_populate(f"{root}/v3", trove_url))
    finally:
        if process is not None:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def environment() -> str:
    """Return the Python of the environment, which is made when it is not there."""
    return str(_made(KEYSTONE, "waitress"))


def environment_beside(package: str) -> Path:
    """Return the Python of another service's, which stands on Keystone's as far as that goes (10 s where it must be made)."""
    return _made(package, beside=Path(environment()))


def _made(package: str, *more: str, beside: Path | None = None) -> Path:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trove-tests"
    home = cache / package.replace("==", "-")
    python = home / "bin" / "python"
    cache.mkdir(parents=True, exist_ok=True)
    with home.with_name(f"{home.name}.lock").open("w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # workers of xdist may want it at the same time
        if not (home / "ready").exists():
            shutil.rmtree(home, ignore_errors=True)
            subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
            words = ["install", "-q", "--disable-pip-version-check"]
            if beside is not None:
                (packages,) = home.glob("lib/python*/site-packages")
                (packages / "keystone.pth").write_text(f"{beside.parents[1] / packages.relative_to(home)}\n")
                words.append("--no-compile")
            subprocess.run([str(python), "-m", "pip", *words, package, *more], check=True)
            (home / "ready").touch()
    return python


def _initialise(python: str, directory: Path, root: str) -> dict[str, str]:
    (directory / "keystone.conf").write_text(_CONFIG.format(dir=directory, url=root))
    for name in ("fernet", "credential"):
        (directory / name).mkdir(mode=0o700)
    manage = [str(Path(python).with_name("keystone-manage")), "--config-file", str(directory / "keystone.conf")]
    user = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    url = f"{root}/v3"
    # Bootstrap takes the password from the environment, so that it is in no process list.
    environ = os.environ | {
        "OS_KEYSTONE_CONFIG_FILES": str(directory / "keystone.conf"),
        "OS_KEYSTONE_CONFIG_DIR": str(directory),
        "OS_BOOTSTRAP_PASSWORD": ADMIN_PASSWORD,
    }
    for command in (
        ["db_sync"],
        ["fernet_setup", *user],
        ["credential_setup", *user],
        ["bootstrap", "--bootstrap-region-id", "RegionOne", "--bootstrap-public-url", url, "--bootstrap-internal-url", url],
    ):
        done = subprocess.run([*manage, *command], env=environ, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-2000:]
    return environ


def _await(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"keystone died: {log.read_text()[-2000:]}"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.05)
    raise AssertionError(f"keystone does not answer at {url}")


def _populate(url: str, trove_url: str) -> dict[str, str]:
    token = login(url, "admin", ADMIN_PASSWORD, "admin")

    def call(method: str, path: str, body: object = None) -> dict[str, object]:
        return _call(url, method, path, body, token=token)[0]

    def made(kind: str, path: str, **attributes: object) -> str:
        return str(call("POST", path, {kind: attributes})[kind]["id"])  # type: ignore[index]

    have: list[dict[str, str]] = call("GET", "/roles")["roles"]  # type: ignore[assignment]
    roles = {role["name"]: role["id"] for role in have}
    for role in ("member", "reader", "service"):
        roles.setdefault(role, "")
        roles[role] = roles[role] or made("role", "/roles", name=role)
    projects = {name: made("project", "/projects", name=name, domain_id="default") for name in ("service", "demo", "alt_demo")}
    people = [
        ("trove", SERVICE_PASSWORD, "service", ("admin", "service")),
        ("demo", DEMO_PASSWORD, "demo", ("member",)),
        ("demo_reader", DEMO_PASSWORD, "demo", ("reader",)),
        ("alt_demo", DEMO_PASSWORD, "alt_demo", ("member",)),
    ]
    for name, password, project, granted in people:
        user = made("user", "/users", name=name, password=password, domain_id="default")
        for role in granted:
            call("PUT", f"/projects/{projects[project]}/users/{user}/roles/{roles[role]}")
    service = made("service", "/services", name="trove", type="database")
    for interface in ("public", "internal", "admin"):
        endpoint = {"service_id": service, "interface": interface, "region_id": "RegionOne"}
        call("POST", "/endpoints", {"endpoint": endpoint | {"url": f"{trove_url}/v1.0/%(tenant_id)s"}})
    return projects


def offer(url: str, service_type: str, endpoint: str, *, region: str = "RegionOne") -> Callable[[], None]:
    """Add a service to the catalogue of the Keystone at `url`, in a region; return what removes it again."""
    token = login(url, "admin", ADMIN_PASSWORD, "admin")

    def call(method: str, path: str, body: object = None) -> dict[str, dict[str, object]]:
        return _call(url, method, path, body, token=token)[0]

    if region not in {str(each["id"]) for each in call("GET", "/regions")["regions"]}:
        call("POST", "/regions", {"region": {"id": region}})
    service = call("POST", "/services", {"service": {"name": service_type, "type": service_type}})["service"]["id"]
    public = {"service_id": service, "interface": "public", "region_id": region, "url": endpoint}
    call("POST", "/endpoints", {"endpoint": public})
    return lambda: (call("DELETE", f"/services/{service}"), None)[1]


def add_service_user(url: str, name: str, service_project: str) -> None:
    """Give another service of the Keystone at `url` a user; its password is `SERVICE_PASSWORD`."""
    token = login(url, "admin", ADMIN_PASSWORD, "admin")
    wanted = {"name": name, "password": SERVICE_PASSWORD, "domain_id": "default"}
    user = _call(url, "POST", "/users", {"user": wanted}, token=token)[0]["user"]["id"]
    roles: list[dict[str, str]] = _call(url, "GET", "/roles", token=token)[0]["roles"]  # type: ignore[assignment]
    for role in roles:
        if role["name"] in {"admin", "service"}:
            _call(url, "PUT", f"/projects/{service_project}/users/{user}/roles/{role['id']}", token=token)


def login(url: str, user: str, password: str, project: str) -> str:
    """Return a token of `user` for `project`."""
    identity = {
        "methods": ["password"],
        "password": {"user": {"name": user, "domain": {"id": "default"}, "password": password}},
    }
    scope = {"project": {"name": project, "domain": {"id": "default"}}}
    return _call(url, "POST", "/auth/tokens", {"auth": {"identity": identity, "scope": scope}})[1]["X-Subject-Token"]


def _call(
    url: str, method: str, path: str, body: object = None, *, token: str | None = None
) -> tuple[dict[str, dict[str, object]], Mapping[str, str]]:
    headers = {"Content-Type": "application/json"} | ({"X-Auth-Token": token} if token else {})
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, method=method, data=data, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as reply:
            raw = reply.read()
            return (json.loads(raw) if raw else {}), reply.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{method} {path}: {error.code} {error.read()[:300]!r}") from error
