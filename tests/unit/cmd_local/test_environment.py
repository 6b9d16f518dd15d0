"""`trove-local env` is safe to evaluate and leads the clients to this stack."""

import subprocess
from pathlib import Path

import pytest

from trove.cmd.local import accounts, environment
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.settings import StackSettings


def test_basic_authentication_needs_five_variables(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    chosen = StackSettings(port=9001, project="abc")
    accounts.ensure_accounts(layout, chosen)
    values = environment.variables(layout, chosen, accounts.ADMIN)
    password = values.pop("OS_PASSWORD")
    assert password == accounts.password_of(layout, accounts.ADMIN)
    assert values == {
        "OS_AUTH_TYPE": "http_basic",
        "OS_USERNAME": "admin",
        "OS_ENDPOINT": "http://127.0.0.1:9001/v1.0/abc",
        "OS_REGION_NAME": "RegionOne",
    }


def test_a_shell_gets_exactly_the_values_whatever_is_in_them() -> None:
    nasty = "a'b\"c $(touch x) `id` \\ é"
    text = environment.shell_text({"OS_PASSWORD": nasty}, {})
    done = subprocess.run(["sh", "-c", f'{text}printf %s "$OS_PASSWORD"'], capture_output=True, check=True)
    assert done.stdout.decode() == nasty


def test_what_an_earlier_cloud_left_in_the_shell_is_unset() -> None:
    text = environment.shell_text({"OS_ENDPOINT": "x"}, {"OS_CLOUD": "old", "OS_ENDPOINT": "old", "PATH": "/bin"})
    assert text == "unset OS_CLOUD\nexport OS_ENDPOINT=x\n"
    assert environment.shell_text({"A": "b"}, {}) == "export A=b\n"


def test_with_keystone_the_clients_ask_keystone(tmp_path: Path) -> None:
    chosen = StackSettings(auth="keystone", auth_url="http://k/v3", auth_user="u", auth_password="p", auth_project="x")
    values = environment.variables(Layout(root=tmp_path), chosen, accounts.ADMIN)
    assert values["OS_AUTH_TYPE"] == "password"
    assert values["OS_AUTH_URL"] == "http://k/v3"
    assert "OS_ENDPOINT" not in values


def test_without_a_password_file_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="trove-local up"):
        accounts.password_of(Layout(root=tmp_path), accounts.ADMIN)


def test_accounts_are_made_once_and_only_hashes_are_shown_to_the_api(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "s")
    layout.create()
    chosen = StackSettings()
    accounts.ensure_accounts(layout, chosen)
    before = {path.name: path.read_text() for path in layout.keys.iterdir()}
    accounts.ensure_accounts(layout, chosen)
    assert {path.name: path.read_text() for path in layout.keys.iterdir()} == before
    assert accounts.password_of(layout, "admin") not in before["htpasswd"]
    assert {path.stat().st_mode & 0o777 for path in layout.keys.iterdir()} == {0o600}
    assert accounts.project_of(chosen, "demo") != accounts.project_of(chosen, "admin")
