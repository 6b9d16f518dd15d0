"""Secrets of tenants: one suite over what keeps them, in memory and a real Barbican beside a real Keystone."""

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import pytest
from tests.support.certificates import Authority
from tests.support.key_manager import Barbican, barbican
from tests.support.keystone import DEMO_PASSWORD, keystone
from tests.support.pkcs12_files import pkcs12_of
from tests.support.ports import free_port

from trove.cloud.barbican import BarbicanKeys, BarbicanSettings
from trove.cloud.certificates import tls_of
from trove.cloud.contract import MOST_SECRET_BYTES, KeyManager, KeyToken
from trove.cloud.memory_keys import MemoryKeys
from trove.core.errors import InvalidInput, Unavailable, Unsupported
from trove.core.ids import new_id
from trove.core.tls import TlsMode

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("barbican")]

PASSPHRASE = b"s3same"


@dataclass(frozen=True)
class Keeper:
    """A key manager, two who have a token for it, and what the first of them can do there."""

    keys: KeyManager
    mine: KeyToken
    theirs: KeyToken
    store: Callable[[bytes], str]
    store_container: Callable[[Mapping[str, bytes]], str]
    consumers: Callable[[str], Sequence[str]]


def catalogue_of(url: str, *, kind: str = "key-manager", region: str = "RegionOne") -> str:
    """Return a catalogue as keystonemiddleware hands it on."""
    endpoints = [{"region": region, "publicURL": url, "internalURL": f"{url}/"}]
    return json.dumps([{"type": "database", "endpoints": [{"publicURL": "http://x"}]}, {"type": kind, "endpoints": endpoints}])


@pytest.fixture(scope="module")
def real() -> Iterator[Barbican]:
    with keystone(trove_url="http://127.0.0.1:1") as made, barbican(made) as running:
        yield running


@pytest.fixture(scope="module")
def tokens(real: Barbican) -> tuple[KeyToken, KeyToken]:
    catalogue = catalogue_of(real.url)
    stranger = real.token("alt_demo", DEMO_PASSWORD, "alt_demo")
    return KeyToken(token=real.token(), catalogue=catalogue), KeyToken(token=stranger, catalogue=catalogue)


@pytest.fixture(params=["memory", "barbican"])
def keeper(request: pytest.FixtureRequest) -> Keeper:
    if request.param == "memory":
        keys = MemoryKeys()
        return Keeper(
            keys,
            KeyToken(token="mine"),
            KeyToken(token="theirs"),
            lambda payload: keys.store("mine", payload),
            lambda parts: keys.store_container("mine", parts),
            lambda ref: sorted(instance for used, instance in keys.consumers if used == ref),
        )
    running: Barbican = request.getfixturevalue("real")
    mine, theirs = request.getfixturevalue("tokens")

    def consumers(ref: str) -> list[str]:
        told = running.consumers(mine.token, ref)
        return sorted(each.get("resource_id") or each["URL"].removeprefix("instance:") for each in told)

    return Keeper(
        BarbicanKeys(BarbicanSettings()),
        mine,
        theirs,
        lambda payload: running.store(mine.token, payload),
        lambda parts: running.store_container(mine.token, parts),
        consumers,
    )


def test_a_secret_is_read_as_it_was_stored(keeper: Keeper) -> None:
    payload = bytes(range(256))
    assert keeper.keys.read(keeper.mine, keeper.store(payload), field="container_ref") == {"payload": payload}


def test_a_pkcs12_file_becomes_what_a_server_serves_with(keeper: Keeper) -> None:
    authority = Authority()
    made = authority.issue("db", "10.0.0.1")
    held = keeper.keys.read(keeper.mine, keeper.store(pkcs12_of(made, authority, PASSPHRASE)), field="container_ref")
    word = keeper.keys.read(keeper.mine, keeper.store(PASSPHRASE), field="password_ref")
    tls = tls_of(held, word, mode=TlsMode.MTLS)
    assert (tls.certificate, tls.chain) == (made.certificate, authority.certificate)
    wrong = keeper.keys.read(keeper.mine, keeper.store(b"another"), field="password_ref")
    with pytest.raises(InvalidInput, match="password_ref"):
        tls_of(held, wrong, mode=TlsMode.BASIC)


def test_a_container_becomes_that_as_well(keeper: Keeper) -> None:
    authority = Authority()
    made = authority.issue("db")
    parts = {"certificate": made.certificate, "private_key": made.key, "intermediates": authority.certificate}
    ref = keeper.store_container({name: text.encode() for name, text in parts.items()})
    tls = tls_of(keeper.keys.read(keeper.mine, ref, field="container_ref"), None, mode=TlsMode.BASIC)
    assert (tls.certificate, tls.chain, tls.key) == (made.certificate, authority.certificate, made.key)


def test_secrets_of_others_and_missing_ones_are_alike(keeper: Keeper) -> None:
    ref = keeper.store(b"mine alone")
    missing = f"{ref.rpartition('/')[0]}/{uuid4()}"
    told = []
    for token, asked in ((keeper.theirs, ref), (keeper.mine, missing)):
        with pytest.raises(InvalidInput, match=r"^password_ref: .*not yours to read") as refused:
            keeper.keys.read(token, asked, field="password_ref")
        told.append(refused.value.message)
    assert "mine alone" not in str(told)


def test_no_other_url_is_ever_asked(keeper: Keeper) -> None:
    ref = keeper.store(b"x")
    root, _, tail = ref.partition("/v1/")
    for other in (
        f"http://127.0.0.1:{free_port()}/v1/{tail}",
        f"{root}.example.org/v1/{tail}",
        f"{root}@example.org/v1/{tail}",
        f"{ref}/../../containers",
        f"{root}/v1/secrets/../{tail}",
        f"{root}/v1/orders/{tail.partition('/')[2]}",
        "file:///etc/passwd",
        "",
    ):
        with pytest.raises(InvalidInput, match=r"^container_ref: "):
            keeper.keys.read(keeper.mine, other, field="container_ref")


def test_consumers_come_and_go(keeper: Keeper) -> None:
    one, other = sorted((new_id(), new_id()))
    for ref in (keeper.store(b"x"), keeper.store_container({"certificate": b"a", "private_key": b"b"})):
        for _ in range(2):
            keeper.keys.add_consumer(keeper.mine, ref, one)
        keeper.keys.add_consumer(keeper.mine, ref, other)
        assert keeper.consumers(ref) == [one, other]
        for _ in range(2):
            keeper.keys.remove_consumer(keeper.mine, ref, one)
        assert keeper.consumers(ref) == [other]


def test_a_secret_that_is_too_long_is_not_read(real: Barbican, tokens: tuple[KeyToken, KeyToken]) -> None:
    ref = real.store(tokens[0].token, b"x" * 10_000)
    held = BarbicanKeys(BarbicanSettings()).read(tokens[0], ref, field="container_ref")
    assert len(held["payload"]) == 10_000
    keys = MemoryKeys()
    with pytest.raises(InvalidInput, match="bytes long, no more"):
        keys.read(KeyToken(token="p"), keys.store("p", b"x" * (MOST_SECRET_BYTES + 1)), field="container_ref")


def test_it_is_where_the_options_or_the_catalogue_say(real: Barbican, tokens: tuple[KeyToken, KeyToken]) -> None:
    mine = tokens[0]
    ref = real.store(mine.token, b"x")

    def read(catalogue: str, **options: str) -> Mapping[str, bytes]:
        token = KeyToken(token=mine.token, catalogue=catalogue)
        return BarbicanKeys(BarbicanSettings(**options)).read(token, ref, field="container_ref")

    assert read("", url=f"{real.url}/v1/") == {"payload": b"x"}
    assert read(catalogue_of(real.url, kind="keys"), service_type="keys", interface="internalURL") == {"payload": b"x"}
    # It is asked at another address than the one that tenants know.
    assert read(catalogue_of(real.url), url=real.url.replace("127.0.0.1", "localhost")) == {"payload": b"x"}
    for catalogue in ("", "[]", "no JSON", catalogue_of(real.url, kind="other"), catalogue_of(real.url, region="elsewhere")):
        with pytest.raises(Unsupported, match="no key manager"):
            read(catalogue, region="RegionOne")


def test_one_that_is_away_is_not_a_fault_of_the_callers(
    real: Barbican, tokens: tuple[KeyToken, KeyToken], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    mine, keys = tokens[0], BarbicanKeys(BarbicanSettings())
    ref = real.store(mine.token, b"never to be logged")
    assert keys.read(mine, ref, field="container_ref")
    real.kill()
    try:
        with pytest.raises(Unavailable, match="does not answer now"):
            keys.read(mine, ref, field="container_ref")
        with pytest.raises(Unavailable, match="does not answer now"):
            keys.add_consumer(mine, ref, new_id())
    finally:
        real.start()
    assert keys.read(mine, ref, field="container_ref")
    assert "never to be logged" not in caplog.text
    assert mine.token not in caplog.text


def test_a_token_that_is_no_good_is_refused(real: Barbican, tokens: tuple[KeyToken, KeyToken]) -> None:
    ref = real.store(tokens[0].token, b"x")
    bad = KeyToken(token="gAAAAA-no-token", catalogue=tokens[0].catalogue)
    with pytest.raises(InvalidInput, match="not yours to read"):
        BarbicanKeys(BarbicanSettings()).read(bad, ref, field="container_ref")
