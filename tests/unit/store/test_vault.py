"""The vault: sealed values tell nothing, keys rotate, and the key file is for its owner only."""

import stat
import threading
from pathlib import Path

import pytest

from trove.core import errors
from trove.store.vault import SealBroken, Vault


def test_what_was_sealed_opens_and_shows_nothing() -> None:
    vault = Vault([Vault.new_key()])
    sealed = vault.seal(b"hunter2")
    assert b"hunter2" not in sealed
    assert vault.open(sealed) == b"hunter2"
    assert vault.seal(b"hunter2") != sealed


def test_the_first_key_seals_and_all_open() -> None:
    old, new = Vault.new_key(), Vault.new_key()
    sealed = Vault([old]).seal(b"x")
    rotated = Vault([new, old])
    assert rotated.open(sealed) == b"x"
    assert Vault([new]).open(rotated.seal(b"x")) == b"x"
    with pytest.raises(SealBroken):
        Vault([new]).open(sealed)


def test_a_changed_value_does_not_open() -> None:
    vault = Vault([Vault.new_key()])
    sealed = bytearray(vault.seal(b"x"))
    sealed[20] ^= 1
    with pytest.raises(SealBroken):
        vault.open(bytes(sealed))


@pytest.mark.parametrize("keys", [[], [b"short"], [b"!" * 44]])
def test_keys_that_are_none_are_refused_untold(keys: list[bytes]) -> None:
    with pytest.raises(errors.InvalidInput) as caught:
        Vault(keys)
    assert "short" not in str(caught.value)


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "key"
    with pytest.raises(errors.InvalidInput):
        Vault.from_file(path)
    made: list[Vault] = []
    threads = [threading.Thread(target=lambda: made.append(Vault.from_file(path, create=True))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["key"]
    sealed = made[0].seal(b"x")
    assert all(vault.open(sealed) == b"x" for vault in made)


def test_a_key_file_open_to_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    Vault.from_file(path, create=True)
    path.chmod(0o640)
    with pytest.raises(errors.InvalidInput, match="0600"):
        Vault.from_file(path)


def test_a_key_file_may_hold_comments_and_several_keys(tmp_path: Path) -> None:
    old, new = Vault.new_key(), Vault.new_key()
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(b"# rotated in May\n" + new + b"\n\n" + old + b"\n")
    assert Vault.from_file(path).open(Vault([old]).seal(b"x")) == b"x"
