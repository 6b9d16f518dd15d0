"""Which images can be built, and that each has an element that Debian's shell can read."""

import os
import subprocess
from pathlib import Path

import pytest
from contrib.image.imaging.editions import EDITIONS, Edition, find
from contrib.image.imaging.elements import ELEMENTS

from trove.cloud.local.images.recipes import RECIPES
from trove.datastores import registry

HOOKS = [path for path in ELEMENTS.glob("*/*.d/*") if path.is_file()]


def told(edition: Edition) -> dict[str, str]:
    """Return what the element of an edition sets, read by bash in the order in which diskimage-builder does."""
    files = [*(ELEMENTS / "trove-guest/environment.d").iterdir(), *(ELEMENTS / edition.element / "environment.d").iterdir()]
    names = [file.name for file in files]
    assert names == sorted(names)
    script = "set -eu; " + "; ".join(f". {file}" for file in files) + "; env -0"
    done = subprocess.run(
        ["bash", "-c", script],
        env={"PATH": os.defpath, "TROVE_VERSION": edition.version},
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.split("\0") if line)


@pytest.mark.parametrize("edition", EDITIONS, ids=str)
def test_an_edition_is_of_an_engine_and_its_element_says_what_to_install(edition: Edition) -> None:
    assert edition.manager in registry.managers()
    assert (ELEMENTS / edition.element / "element-deps").read_text().split() == ["trove-guest"]
    values = told(edition)
    packages = values["TROVE_GUEST_PACKAGES"].split()
    assert {"cloud-init", "systemd", "linux-image-cloud-amd64"} < set(packages)
    assert len(packages) == len(set(packages))
    assert values["TROVE_PROGRAM"].startswith("/usr/")
    assert values["TROVE_MASKED_UNITS"].split()
    assert not {"openssh-server", "unattended-upgrades", "sudo"} & set(packages)


@pytest.mark.parametrize("name", RECIPES)
def test_what_the_local_cloud_has_as_an_image_is_an_edition_of_the_same_suites(name: str) -> None:
    recipe = RECIPES[name]
    edition = find(recipe.manager, recipe.version)
    values = told(edition)
    assert edition.suites == recipe.suites
    assert values["TROVE_PROGRAM"] == recipe.program
    servers = {package for package in recipe.packages if package.startswith(("postgresql-", f"{recipe.manager}-server"))}
    assert servers
    assert servers <= set(values["TROVE_GUEST_PACKAGES"].split())


def test_what_there_is_is_told_of_what_is_not_there() -> None:
    with pytest.raises(LookupError, match="mariadb, mysql, postgresql, redis, valkey"):
        find("oracle", "1")
    with pytest.raises(LookupError, match=r"10\.11, 11\.8"):
        find("mariadb", "9")


def test_there_are_hooks() -> None:
    assert len(HOOKS) >= 11


@pytest.mark.parametrize("hook", HOOKS, ids=lambda path: str(path.relative_to(ELEMENTS)))
def test_a_hook_can_be_run(hook: Path) -> None:
    subprocess.run(["bash", "-n", hook], check=True)
    if hook.parent.name != "environment.d":
        assert os.access(hook, os.X_OK)
        assert "set -euo pipefail" in hook.read_text()
