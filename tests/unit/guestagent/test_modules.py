"""Modules on a guest: what drivers make of them, what is kept, and what happens to those that are wrong."""

import base64
import json
import stat

import pytest

from trove.core.errors import GuestError, InvalidInput
from trove.core.ids import new_id
from trove.core.json import JSON
from trove.core.modules import digest
from trove.guestagent.host import SandboxedHost
from trove.guestagent.module_drivers import LICENSE_FILE
from trove.guestagent.modules import Modules

KEY = "0123456789abcdef0123456789abcdef01234567"


def given(contents: str, module_type: str = "ping", /, **changes: str) -> dict[str, JSON]:
    raw = contents.encode()
    wanted = {"id": new_id(), "name": "m", "type": module_type, "md5": digest(raw)}
    return {**wanted, "contents": base64.b64encode(raw).decode(), **changes}


def apply(modules: Modules, *wanted: dict[str, JSON]) -> list[dict[str, JSON]]:
    told = modules.apply({"modules": list(wanted)})
    assert isinstance(told, list)
    return told  # type: ignore[return-value]


def listed(modules: Modules, **args: JSON) -> list[dict[str, JSON]]:
    told = modules.list(args)
    assert isinstance(told, list)
    return told  # type: ignore[return-value]


@pytest.fixture
def modules(host: SandboxedHost) -> Modules:
    return Modules(host)


def test_a_ping_says_what_its_contents_say(modules: Modules) -> None:
    wanted = given("# comment\n message = hello = there \n")
    (told,) = apply(modules, wanted)
    assert (told["status"], told["message"], told["md5"]) == ("OK", "hello = there", wanted["md5"])
    assert told["contents"] is None
    assert listed(modules) == [told]
    assert listed(modules, include_contents=True) == [{**told, "contents": wanted["contents"]}]


def test_what_was_applied_outlives_the_agent(modules: Modules, host: SandboxedHost) -> None:
    (told,) = apply(modules, given("message=hi"))
    assert listed(Modules(host)) == [told]


def test_a_license_is_written_for_the_servers_user_alone(modules: Modules, host: SandboxedHost) -> None:
    (told,) = apply(modules, given(f"license_key={KEY}\n", "new_relic_license"))
    assert told["status"] == "OK"
    assert KEY not in str(told["message"])
    path = host.config_dir / LICENSE_FILE
    assert path.read_text() == f"license_key: {KEY}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    kept = host.private_dir / "modules" / f"{told['id']}.json"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    modules.remove({"module_id": told["id"]})
    assert not path.exists()
    assert not kept.exists()
    modules.remove({"module_id": told["id"]})


def test_the_license_before_is_in_effect_again_when_the_last_one_is_removed(modules: Modules, host: SandboxedHost) -> None:
    first = given(f"license_key={KEY}", "new_relic_license")
    last = given(f"license_key={KEY[::-1]}", "new_relic_license")
    apply(modules, first, last)
    assert KEY[::-1] in (host.config_dir / LICENSE_FILE).read_text()
    modules.remove({"module_id": last["id"]})
    assert (host.config_dir / LICENSE_FILE).read_text() == f"license_key: {KEY}\n"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (given("hello"), "message="),
        (given("message="), "message="),
        (given("license_key=short", "new_relic_license"), "16 to 128"),
        (given(f"license_key={KEY}: x\ny", "new_relic_license"), "16 to 128"),
        (given("message=x", "shell"), "no driver for shell"),
        (given("", contents="%%%"), "base64"),
        (given("", contents=base64.b64encode(b"message=\xff").decode()), "UTF-8"),
    ],
)
def test_what_is_wrong_keeps_none_of_the_others_back(modules: Modules, wanted: dict[str, JSON], words: str) -> None:
    good = given("message=hi")
    results = {each["id"]: each for each in apply(modules, wanted, good)}
    assert results[wanted["id"]]["status"] == "ERROR"
    assert words in str(results[wanted["id"]]["message"])
    assert results[good["id"]]["status"] == "OK"
    assert {each["id"]: each["status"] for each in listed(modules)} == {wanted["id"]: "ERROR", good["id"]: "OK"}


def test_applied_again_it_keeps_its_first_time(modules: Modules) -> None:
    wanted = given("message=hi")
    (before,), (after,) = apply(modules, wanted), apply(modules, {**wanted, **given("message=ho", id=str(wanted["id"]))})
    assert (after["created"], after["message"]) == (before["created"], "ho")
    assert str(after["updated"]) > str(before["updated"])
    assert len(listed(modules)) == 1


def test_the_job_of_a_new_instance_fails_with_the_name_of_the_module_that_is_wrong(modules: Modules) -> None:
    steps: list[str] = []
    good, bad = given("message=hi"), given("nothing", name="bad one")
    told = modules.apply_all({"modules": [good]}, lambda step, _percent: steps.append(step))
    assert told == {"applied": {good["id"]: good["md5"]}}
    assert steps == ["applying module m"]
    with pytest.raises(GuestError, match=r"bad one.*message="):
        modules.apply_all({"modules": [good, bad]}, lambda _step, _percent: None)


@pytest.mark.parametrize("module_id", ["../../etc/passwd", "", "x", "../" + "0" * 33])
def test_no_id_leads_out_of_the_directory(modules: Modules, host: SandboxedHost, module_id: str) -> None:
    with pytest.raises(InvalidInput, match="UUID"):
        modules.remove({"module_id": module_id})
    with pytest.raises(InvalidInput, match="UUID"):
        apply(modules, given("message=hi", id=module_id))
    assert not list(host.private_dir.rglob("*.json"))


def test_a_file_that_is_no_module_is_left_alone(modules: Modules, host: SandboxedHost) -> None:
    (told,) = apply(modules, given("message=hi"))
    stray = host.private_dir / "modules" / f"{new_id()}.json"
    stray.write_text(json.dumps({"id": 7}))
    assert listed(modules) == [told]
    assert stray.exists()
