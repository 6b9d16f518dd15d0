"""A real, private Swift on loopback for tests, with its S3 API: from PyPI, in an environment and one process of its own."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.support.keystone import ADMIN_PASSWORD, SERVICE_PASSWORD, Keystone, _call, login, offer
from tests.support.ports import free_port

SWIFT = "swift==2.38.3"
S3_USER, S3_KEY = "trove:backups", "s3-secret"

_SERVE = """
import ctypes, os, signal, sys, time, warnings
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it ends with the tests, however these end
warnings.simplefilter("ignore")
import eventlet
from swift.common import utils
eventlet.hubs.use_hub(utils.get_hub())
use_hub = eventlet.hubs.use_hub
# Each server would begin with another hub, and leave the others behind.
eventlet.hubs.use_hub = lambda mod=None: None if hasattr(eventlet.hubs._threadlocal, "hub") else use_hub(mod)
eventlet.patcher.monkey_patch(all=False, socket=True, select=True, thread=True)
folder = sys.argv[1]
utils.set_swift_dir(folder)
utils.validate_configuration()
from swift.common.wsgi import run_server
logger = utils.get_logger({"log_name": "swift"})
pool = eventlet.GreenPool()
for each in sys.argv[2:]:
    name, port = each.split("=")
    sock = eventlet.listen(("127.0.0.1", int(port)), backlog=256)
    conf = {"__file__": f"{folder}/{name}.conf", "max_clients": "64", "client_timeout": "60"}
    pool.spawn(run_server, conf, logger, sock)
pool.waitall()
"""

_RINGS = """
import sys
from swift.common.ring import RingBuilder
folder = sys.argv[1]
for each in sys.argv[2:]:
    name, port = each.split("=")
    ring = RingBuilder(2, 1, 1)
    ring.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1})
    ring.rebalance()
    ring.get_ring().save(f"{folder}/{name}.ring.gz")
"""

_BACKEND = """
[DEFAULT]
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_name = {name}
[pipeline:main]
pipeline = {name}-server
[app:{name}-server]
use = egg:swift#{name}
disk_chunk_size = 1048576
network_chunk_size = 1048576
"""

_PROXY = """
[DEFAULT]
swift_dir = {folder}
log_name = proxy
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck listing_formats bulk tempurl s3api{keystone} tempauth slo dlo proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
allow_account_management = true
object_chunk_size = 1048576
client_chunk_size = 1048576
[filter:tempauth]
use = egg:swift#tempauth
reseller_prefix = S3
user_{user} = {key} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
auth_type = password
auth_url = {auth_url}
www_authenticate_uri = {auth_url}
username = trove
password = {password}
user_domain_id = default
project_name = service
project_domain_id = default
service_token_roles_required = true
[filter:keystoneauth]
use = egg:swift#keystoneauth
operator_roles = admin, member, swiftoperator
reseller_admin_role = ResellerAdmin
"""
_FILTERS = {
    "catch_errors": "catch_errors",
    "gatekeeper": "gatekeeper",
    "healthcheck": "healthcheck",
    "listing_formats": "listing_formats",
    "bulk": "bulk",
    "tempurl": "tempurl",
    "slo": "slo",
    "dlo": "dlo",
}


@dataclass(frozen=True, kw_only=True)
class Swift:
    """A running Swift. `url` is its root; accounts of Keystone's projects are `{url}/v1/AUTH_<project id>`."""

    url: str
    process: subprocess.Popen[bytes]
    folder: Path


@contextlib.contextmanager
def swift(identity: Keystone | None = None, *, region: str = "RegionOne") -> Iterator[Swift]:
    """Start a fresh Swift, with `identity` offered in its catalogue and its user `trove` a reseller admin; then remove it."""
    python = _environment()
    folder = Path(tempfile.mkdtemp(prefix="trove-swift-"))
    ports = {name: free_port() for name in ("account", "container", "object", "proxy-server")}
    root = f"http://127.0.0.1:{ports['proxy-server']}"
    process: subprocess.Popen[bytes] | None = None
    forget = _offered(identity, root, region) if identity else None
    try:
        _configure(folder, identity)
        _run(python, "-c", _RINGS, str(folder), *(f"{name}={port}" for name, port in ports.items() if name != "proxy-server"))
        places = [f"{name if '-' in name else f'{name}-server'}={port}" for name, port in ports.items()]
        log = folder / "serve.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [python, "-c", _SERVE, str(folder), *places], stdout=output, stderr=output, cwd=folder, start_new_session=True
            )
        _await(f"{root}/healthcheck", process, log)
        yield Swift(url=root, process=process, folder=folder)
    finally:
        if process is not None:
            process.kill()
            process.wait()
        shutil.rmtree(folder, ignore_errors=True)
        if forget is not None:
            forget()


def _offered(identity: Keystone, root: str, region: str):
    """Put Swift into the catalogue and make `trove` what may write to the accounts of all projects."""
    token = login(identity.url, "admin", ADMIN_PASSWORD, "admin")

    def call(method: str, path: str, body: object = None):
        return _call(identity.url, method, path, body, token=token)[0]

    held = {each["name"]: each["id"] for each in call("GET", "/roles")["roles"]}
    role = held.get("ResellerAdmin") or call("POST", "/roles", {"role": {"name": "ResellerAdmin"}})["role"]["id"]
    user = call("GET", "/users?name=trove")["users"][0]["id"]
    call("PUT", f"/projects/{identity.projects['service']}/users/{user}/roles/{role}")
    return offer(identity.url, "object-store", f"{root}/v1/AUTH_%(tenant_id)s", region=region)


def _configure(folder: Path, identity: Keystone | None) -> None:
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(
        "[swift-hash]\nswift_hash_path_suffix = tests\n[storage-policy:0]\nname = only\ndefault = yes\n"
    )
    for name in ("account", "container", "object"):
        (folder / f"{name}-server.conf").write_text(_BACKEND.format(folder=folder, name=name))
    proxy = _PROXY.format(
        folder=folder,
        keystone=" authtoken keystoneauth" if identity else "",
        user=S3_USER.replace(":", "_"),
        key=S3_KEY,
        auth_url=identity.url if identity else "http://127.0.0.1:1/v3",
        password=SERVICE_PASSWORD,
    )
    proxy += "".join(f"[filter:{name}]\nuse = egg:swift#{egg}\n" for name, egg in _FILTERS.items())
    (folder / "proxy-server.conf").write_text(proxy)


def _environment() -> str:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "trove-tests"
    home = cache / SWIFT.replace("==", "-")
    python = home / "bin" / "python"
    if not (home / "ready").exists():
        shutil.rmtree(home, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        _run(sys.executable, "-m", "venv", str(home))
        _run(str(python), "-m", "pip", "install", "-q", "--disable-pip-version-check", SWIFT, "keystonemiddleware")
        (home / "ready").touch()
    return str(python)


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def _await(url: str, process: subprocess.Popen[bytes], log: Path, timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        assert process.poll() is None, f"swift died: {log.read_text()[-2000:]}"
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        time.sleep(0.05)
    raise AssertionError(f"swift does not answer at {url}: {log.read_text()[-2000:]}")
