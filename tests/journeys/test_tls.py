"""TLS with a certificate that a tenant keeps in a real Barbican: enabled, enforced, inherited, taken back."""

import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
from tests.journeys.test_external_keystone import Guarded, await_active, options
from tests.support import keystone as keystones
from tests.support.certificates import Authority, Issued
from tests.support.key_manager import Barbican, barbican
from tests.support.pkcs12_files import pkcs12_of
from tests.support.ports import free_port
from tests.support.stack import stack

pytestmark = pytest.mark.xdist_group("barbican")

PASSPHRASE = b"sesame-of-demo"
PASSWORD = "secret-orders"
WAIT_S = 120.0


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[Guarded, Barbican]]:
    """Return a stack behind a Keystone, in whose catalogue there is a Barbican."""
    port = free_port()
    with (
        keystones.keystone(trove_url=f"http://127.0.0.1:{port}") as keystone,
        barbican(keystone) as keys,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("TROVE_LOCAL_AUTH_PASSWORD", keystones.SERVICE_PASSWORD)
        with stack(*options(keystone), port=port) as own:
            patched.delenv("TROVE_LOCAL_AUTH_PASSWORD")
            yield Guarded(stack=own, keystone=keystone), keys


class Tenant:
    """The user demo, with an authority and what she keeps in Barbican."""

    def __init__(self, guarded: Guarded, keys: Barbican) -> None:
        self.guarded, self.keys = guarded, keys
        self.authority = Authority()
        self.token = guarded.token("demo", "demo")

    def ask(self, method: str, path: str, body: Any = None, *, code: int) -> Any:
        status, answer, _ = self.guarded.ask(method, "demo", path, token=self.token, body=body)
        assert status == code, f"{method} {path}: {status} {answer}\n{self.guarded.stack.tails()}"
        return answer

    def ssl(self, instance_id: str, *, code: int = 200, **wanted: Any) -> Any:
        answer = self.ask("POST", f"/instances/{instance_id}/ssl", {"ssl": wanted}, code=code)
        return answer["ssl"] if code == 200 else answer

    def certificate(self, *addresses: str) -> tuple[Issued, dict[str, Any]]:
        """Keep a fresh certificate of servers in Barbican; return it, and what enables it."""
        made = self.authority.issue("db", *addresses)
        ref = self.keys.store(self.token, pkcs12_of(made, self.authority, PASSPHRASE))
        word = self.keys.store(self.token, PASSPHRASE, binary=False)
        return made, {"enable": True, "container_ref": ref, "password_ref": word}

    def create(self, **wanted: Any) -> str:
        made = str(self.ask("POST", "/instances", {"instance": wanted}, code=200)["instance"]["id"])
        await_active(self.guarded, made)
        return made

    def create_shop(self, engine: str) -> str:
        """Make an instance with a database and a user alice."""
        alice = {"name": "alice", "password": PASSWORD, "databases": [{"name": "shop"}]}
        whole = {"flavorRef": "1", "volume": {"size": 1}, "datastore": {"type": engine}}
        return self.create(name=engine, databases=[{"name": "shop"}], users=[alice], **whole)

    def show(self, instance_id: str) -> Any:
        return self.ask("GET", f"/instances/{instance_id}", code=200)["instance"]

    def address(self, instance_id: str) -> str:
        return str(self.show(instance_id)["addresses"][0]["address"])

    def restart(self, instance_id: str) -> None:
        assert self.show(instance_id)["status"] == "RESTART_REQUIRED"
        self.ask("POST", f"/instances/{instance_id}/action", {"restart": {}}, code=202)
        await_active(self.guarded, instance_id)

    def delete(self, instance_id: str) -> None:
        self.ask("DELETE", f"/instances/{instance_id}", code=202)
        deadline = time.monotonic() + WAIT_S
        while self.guarded.ask("GET", "demo", f"/instances/{instance_id}", token=self.token)[0] != 404:
            assert time.monotonic() < deadline, self.guarded.stack.tails()
            time.sleep(0.1)

    def served(self, instance_id: str, *, encrypted: bool = True) -> str | None:
        """Log in as alice; return the certificate of the server, which is checked against the authority and the address."""
        context = ssl.create_default_context(cadata=self.authority.certificate) if encrypted else None
        words: dict[str, Any] = {"ssl": context} if context else {"ssl_disabled": True}
        host = self.address(instance_id)
        with pymysql.connect(host=host, user="alice", password=PASSWORD, database="shop", **words) as connection:
            assert connection.open
            sock = connection._sock  # type: ignore[attr-defined]
            return ssl.DER_cert_to_PEM_cert(sock.getpeercert(binary_form=True)) if encrypted else None

    def is_refused(self, instance_id: str, *, encrypted: bool) -> bool:
        """Tell whether the server refuses alice so."""
        try:
            self.served(instance_id, encrypted=encrypted)
        except (pymysql.err.OperationalError, ssl.SSLError):
            return True
        return False


def test_a_certificate_from_barbican_is_served_enforced_inherited_and_taken_back(
    guarded: tuple[Guarded, Barbican],
) -> None:
    here, keys = guarded
    demo = Tenant(here, keys)
    source = demo.create_shop("mariadb")
    made, wanted = demo.certificate(demo.address(source))

    stranger = keys.token("alt_demo", keystones.DEMO_PASSWORD, "alt_demo")
    foreign = keys.store(stranger, pkcs12_of(made, demo.authority, PASSPHRASE))
    assert "container_ref" in str(demo.ssl(source, code=400, **{**wanted, "container_ref": foreign}))
    wrong = keys.store(demo.token, b"not-this", binary=False)
    assert "password_ref" in str(demo.ssl(source, code=400, **{**wanted, "password_ref": wrong}))

    assert demo.ssl(source, **wanted) == {"restart_required": True}
    demo.restart(source)
    assert demo.served(source) == made.certificate
    assert not demo.is_refused(source, encrypted=False)
    used = keys.consumers(demo.token, wanted["container_ref"])
    assert [(each["service"], each["resource_type"], each["resource_id"]) for each in used] == [
        ("database", "instance", source)
    ]

    assert demo.ssl(source, **wanted, mode="enforced") == {"restart_required": False}
    assert demo.is_refused(source, encrypted=False)
    shown = demo.ask("GET", f"/instances/{source}/ssl?include_certificate=true", code=200)["ssl"]
    assert (shown["status"], shown["mode"], shown["certificate"]["payload"]) == ("on", "enforced", made.certificate)

    demo.ask("POST", f"/instances/{source}/action", {"resize": {"flavorRef": "2"}}, code=202)
    await_active(here, source)
    assert demo.is_refused(source, encrypted=False)
    assert demo.served(source) == made.certificate

    replica = demo.create(name="copy", replica_of=source)
    assert demo.ask("GET", f"/instances/{replica}/ssl", code=200)["ssl"]["mode"] == "enforced"
    renewed, both = demo.certificate(demo.address(source), demo.address(replica))
    assert demo.is_refused(replica, encrypted=False)
    assert demo.ssl(source, **both, mode="enforced") == {"restart_required": False}
    assert {demo.served(each) for each in (source, replica)} == {renewed.certificate}
    back = demo.ssl(source, rollback=True)
    assert back == {"restart_required": False, "status": "on", "mode": "enforced"}
    assert demo.served(source) == made.certificate

    demo.ssl(source, disable=True)
    assert demo.ask("GET", f"/instances/{source}/ssl", code=200)["ssl"] == {"status": "off", "mode": "builtin"}
    for each in (source, replica):
        demo.restart(each)
        assert not demo.is_refused(each, encrypted=False)
    assert keys.consumers(demo.token, wanted["container_ref"]) == []
    for each in (replica, source):
        demo.delete(each)
    said = here.stack.tails()
    assert PASSPHRASE.decode() not in said
    assert "PRIVATE KEY" not in said


def test_postgresql_knows_a_user_by_the_certificate_that_the_authority_in_barbican_has_signed(
    guarded: tuple[Guarded, Barbican], tmp_path: Path
) -> None:
    here, keys = guarded
    demo = Tenant(here, keys)
    instance = demo.create_shop("postgresql")
    host = demo.address(instance)
    _, wanted = demo.certificate(host)
    assert demo.ssl(instance, **wanted, mode="mtls") == {"restart_required": False}

    (tmp_path / "ca.pem").write_text(demo.authority.certificate)
    words = {"host": host, "dbname": "shop", "user": "alice", "sslmode": "verify-full", "sslrootcert": str(tmp_path / "ca.pem")}
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(**words, password=PASSWORD)
    for name, let_in in (("mallory", False), ("alice", True)):
        certificate, key = demo.authority.issue(name).write(tmp_path, name)
        shown = {**words, "sslcert": str(certificate), "sslkey": str(key)}
        if let_in:
            psycopg.connect(**shown).close()
        else:
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(**shown)

    assert demo.ssl(instance, rollback=True) == {"restart_required": False, "status": "off", "mode": None}
    psycopg.connect(host=host, dbname="shop", user="alice", password=PASSWORD, sslmode="disable").close()
    demo.delete(instance)
