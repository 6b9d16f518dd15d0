"""The Puppet module says what our services know, ships our own files, and passes Puppet's own checks."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from keystoneauth1.loading import get_auth_plugin_conf_options
from keystonemiddleware.auth_token import AUTH_TOKEN_OPTS
from oslo_config import cfg
from oslo_log._options import list_opts as log_opts
from oslo_middleware import opts as middleware
from oslo_policy import opts as policy
from tests.puppet_module.machine import REPOSITORY

from trove.cmd import guestagent
from trove.config import opts

MODULE = REPOSITORY / "contrib/puppet/trove"
NAME = re.compile(r"^ *'([\w-]+)/([\w-]+)' +=> ", re.MULTILINE)
HOW_TO_INSTALL = "Puppet is missing: apt-get install --no-install-recommends puppet-agent puppet-lint ruby-rspec-puppet"


def written_options() -> dict[Path, list[tuple[str, str]]]:
    """Return the options that manifests set, as (section, option)."""
    found = {path: NAME.findall(path.read_text()) for path in (MODULE / "manifests").rglob("*.pp")}
    return {path: names for path, names in found.items() if names}


def known_options() -> dict[tuple[str, str], cfg.Opt]:
    """Return what our services read, by (section, option)."""
    groups = [
        *opts.list_opts(),
        *AUTH_TOKEN_OPTS,
        *log_opts(),
        ("keystone_authtoken", get_auth_plugin_conf_options("password")),
        *middleware.list_opts(),
        *policy.list_opts(),
    ]
    return {(str(group or "DEFAULT"), option.dest): option for group, options in groups for option in options}


def test_every_option_it_sets_is_known_and_not_deprecated() -> None:
    known = known_options()
    written = written_options()
    assert sum(map(len, written.values())) > 150
    for path, names in written.items():
        if path.name == "guestagent.pp":
            continue
        for section, name in names:
            option = known.get((section, name))
            assert option is not None, f"{path.name}: [{section}] {name} is no option of ours"
            assert not option.deprecated_for_removal, f"{path.name}: [{section}] {name} is deprecated"


def test_no_option_is_set_twice() -> None:
    names = [name for path, names in written_options().items() if path.name != "guestagent.pp" for name in names]
    assert len(names) == len(set(names))


def test_the_guest_agent_reads_what_is_set_for_it(tmp_path: Path) -> None:
    (names,) = [names for path, names in written_options().items() if path.name == "guestagent.pp"]
    assert {section for section, _ in names} == {"DEFAULT"}
    told = {"debug": "true", "log_file": "/var/log/agent.log", "log_json": "true"}
    assert {name for _, name in names} == set(told)
    identity = "guest_id = one\ndatastore_manager = mariadb\ninstance_rpc_encr_key = key\ntransport_url = rabbit://\n"
    places = "".join(f"{name}_dir = /srv/{name}\n" for name in ("data", "run", "config", "log"))
    (tmp_path / "guest_info.conf").write_text(f"[DEFAULT]\n{identity}[host]\naddress = 127.0.0.1\n{places}")
    (tmp_path / "operator.conf").write_text("[DEFAULT]\n" + "".join(f"{name} = {value}\n" for name, value in told.items()))
    settings = guestagent.read_settings(tmp_path)
    assert (settings.log.debug, settings.log.file, settings.log.as_json) == (True, Path("/var/log/agent.log"), True)


@pytest.mark.parametrize("path", sorted((MODULE / "files").iterdir()), ids=lambda path: path.name)
def test_files_are_the_ones_of_the_repository(path: Path) -> None:
    """A module is copied to machines without what is beside it, so it has copies."""
    original = REPOSITORY / ("contrib/systemd" if path.suffix == ".service" else "etc/trove") / path.name
    assert path.read_text() == original.read_text(), f"cp {original} {path}"


def test_each_unit_is_in_the_module() -> None:
    units = {path.name for path in (REPOSITORY / "contrib/systemd").glob("*.service")}
    assert units <= {path.name for path in (MODULE / "files").iterdir()}


def test_puppet_and_its_linter_accept_the_manifests() -> None:
    run("puppet", "parser", "validate", "manifests", "functions", "types", "examples")
    run("puppet-lint", "--fail-on-warnings", "--no-140chars-check", "manifests")


@pytest.mark.slow
def test_the_specs_of_the_classes(tmp_path: Path) -> None:
    """In a copy: rspec-puppet makes directories where it runs."""
    copy = shutil.copytree(MODULE, tmp_path / "trove")
    said = run("rspec", "--no-color", "spec", place=copy)
    assert re.search(r"\b([5-9]\d|\d{3}) examples, 0 failures", said), said


def run(*command: str, place: Path = MODULE) -> str:
    """Run a program of Debian's Puppet in the module; it has to succeed."""
    assert shutil.which(command[0]), HOW_TO_INSTALL
    # puppet-lint believes the environment about where it is.
    environment = os.environ | {"PWD": str(place)}
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done.stdout
