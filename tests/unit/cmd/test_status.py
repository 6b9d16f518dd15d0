"""trove-status upgrade check: 0 well, 1 warning, 2 do not upgrade."""

import json
from pathlib import Path

import pytest
from tests.support.rows import add_instance, add_version

from trove.cmd import manage, status
from trove.store.session import Database
from trove.store.vault import Vault


@pytest.fixture
def check(conf_file: Path, capsys: pytest.CaptureFixture[str]):
    def run() -> tuple[int, dict[str, str]]:
        capsys.readouterr()
        code = status.main([f"--config-file={conf_file}", "--json", "upgrade", "check"])
        found = json.loads(capsys.readouterr().out)
        return code, {finding["check"]: finding["result"] for finding in found}

    return run


def test_a_fresh_stack_lacks_its_keys_and_schema(check):
    code, found = check()
    assert code == 2
    assert found["secret keys"] == "FAILURE"
    assert found["schema of the state database"] == "FAILURE"


def test_a_ready_stack_passes(check, conf_file: Path):
    assert manage.main([f"--config-file={conf_file}", "db", "upgrade"]) == 0
    code, found = check()
    assert (code, set(found.values())) == (0, {"SUCCESS"})


def test_a_key_that_opens_nothing_fails(check, conf_file: Path):
    assert manage.main([f"--config-file={conf_file}", "db", "upgrade"]) == 0
    key_file = conf_file.parent / "secret.key"
    database = Database(f"sqlite:///{conf_file.parent}/trove.sqlite", vault=Vault.from_file(key_file, create=False))
    add_instance(database, add_version(database))
    database.close()
    code, found = check()
    assert (code, found["secret keys"]) == (0, "SUCCESS")

    key_file.write_bytes(Vault.new_key() + b"\n")
    code, found = check()
    assert (code, found["secret keys"]) == (2, "FAILURE")


def test_a_policy_file_in_json_fails(check, conf_file: Path):
    policy = conf_file.parent / "policy.yaml"
    policy.write_text('{"admin": "role:admin"}')
    code, found = check()
    assert code == 2
    assert found["policy file format"] == "FAILURE"


def test_people_get_lines(conf_file: Path, capsys: pytest.CaptureFixture[str]):
    assert status.main([f"--config-file={conf_file}", "upgrade", "check"]) == 2
    assert all(line.split()[0] in {"SUCCESS", "WARNING", "FAILURE"} for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize("words", [[], ["upgrade"], ["upgrade", "undo"]])
def test_wrong_arguments_end_with_2(words: list[str]):
    with pytest.raises(SystemExit) as caught:
        status.main(words)
    assert caught.value.code == 2
