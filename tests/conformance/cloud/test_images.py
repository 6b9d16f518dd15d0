"""Images of the local cloud: what is built is whole and runs, servers are made of it, and none is taken from under a server."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.cloud.conftest import FORMS, Form, local_form
from tests.conformance.cloud.test_contract import build, destroy
from tests.support.clouds import REPOSITORY, eventually, is_root, make_spec, state_directory
from tests.support.images import images_directory
from tests.support.ordinary_user import ordinary_user, python_and_tree

from trove.cloud.contract import NicRequest
from trove.cloud.local.images.building import build as build_images
from trove.cloud.local.images.catalogue import Images
from trove.cloud.local.images.recipes import RECIPES, Recipe
from trove.core.errors import CloudError, GuestError, NotFound
from trove.core.ids import new_id
from trove.core.status import ServerStatus
from trove.datastores.contract import Command
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind

SANDBOXED = [name for name in FORMS if name.endswith("bwrap")]
SMALL = "redis-8.0"

SHELL_RECIPE = Recipe(
    name="shell-5.2", manager="fake", version="5.2", suites=("trixie",), packages=("bash",), program="/usr/bin/bash"
)


@pytest.fixture
def images() -> Iterator[Images]:
    with images_directory("fake-1", "fake-2") as made:
        yield made


@pytest.fixture(params=SANDBOXED)
def sandboxed(request: pytest.FixtureRequest, images: Images) -> Iterator[Form]:
    """The local cloud in each form that can use images, with two of them."""
    with local_form(request.param, images_dir=images.directory) as made:
        yield made


def build_of(form: Form, one: str, image_id: str) -> None:
    form.cloud.ensure_volume(one, size_gib=1, volume_type=None)
    form.cloud.ensure_port(one, NicRequest(), None, (3306,))
    form.cloud.ensure_server(make_spec(one, image_id=image_id))
    eventually((form.data(one) / "listening").exists, "the server listens")


def told_root(form: Form, one: str) -> str | None:
    """Return the root that the agent of a server is told."""
    parser = ConfigParser(interpolation=None)
    parser.read(form.home(one) / "conf.d" / "host.conf")
    return parser["host"].get("root_dir")


def test_a_server_is_made_of_an_image_and_then_of_another_with_the_same_data(sandboxed: Form, images: Images) -> None:
    one = new_id()
    build_of(sandboxed, one, "fake-1")
    address = sandboxed.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses
    (sandboxed.data(one) / "kept").write_text("rows")
    assert sandboxed.cloud.find_server(one).image_id == "fake-1"
    assert told_root(sandboxed, one) == str(images.get("fake-1").root)
    for image_id in ("fake-2", "host", "fake-1"):
        server = sandboxed.cloud.rebuild_server(make_spec(one, image_id=image_id))
        assert (server.status, server.image_id) == (ServerStatus.ACTIVE, image_id)
        assert told_root(sandboxed, one) == (None if image_id == "host" else str(images.get(image_id).root))
        eventually((sandboxed.data(one) / "kept").exists, "the data are there")
    assert sandboxed.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses == address
    assert {"fake-1-1", "fake-2-2"} <= {path.name for path in (sandboxed.root / "templates").iterdir()}
    destroy(sandboxed, one)


def test_an_image_that_servers_are_made_of_is_not_removed(sandboxed: Form, images: Images) -> None:
    one = new_id()
    build_of(sandboxed, one, "fake-1")
    with pytest.raises(CloudError, match=f"used by instance {one}"):
        images.remove("fake-1")
    images.remove("fake-2")
    assert sandboxed.cloud.find_server(one).status is ServerStatus.ACTIVE
    with pytest.raises(CloudError, match="fake-2"):
        sandboxed.cloud.rebuild_server(make_spec(one, image_id="fake-2"))
    assert sandboxed.cloud.find_server(one).status is ServerStatus.ACTIVE
    destroy(sandboxed, one)
    images.remove("fake-1")
    assert [path.name for path in images.directory.iterdir() if path.is_dir()] == []
    with pytest.raises(NotFound):
        images.remove("fake-1")


def test_a_server_whose_image_is_lost_tells_so(sandboxed: Form, images: Images) -> None:
    one = new_id()
    build_of(sandboxed, one, "fake-1")
    sandboxed.cloud.stop_server(one, timeout_s=10)
    (images.directory / "fake-1").rename(images.directory / "lost")
    with pytest.raises(CloudError, match="trove-local image build fake-1"):
        sandboxed.cloud.start_server(one)
    (images.directory / "lost").rename(images.directory / "fake-1")
    assert sandboxed.cloud.start_server(one).status is ServerStatus.ACTIVE
    eventually(lambda: (sandboxed.data(one) / "starts").read_text() == "xx", "the server is started again")
    destroy(sandboxed, one)


def test_images_are_found_by_name_and_by_tags(sandboxed: Form) -> None:
    assert sandboxed.cloud.find_image("fake-1", ()) == "fake-1"
    assert sandboxed.cloud.find_image(None, ("trove", "fake")) == "host"
    assert sandboxed.cloud.find_image(None, ("trove", "fake", "1")) == "fake-1"
    for image_id, tags in ((SMALL, ()), ("../fake-1", ()), (None, ("fake", "3"))):
        with pytest.raises(NotFound, match="fake-2"):
            sandboxed.cloud.find_image(image_id, tags)
    one = new_id()
    sandboxed.cloud.ensure_port(one, NicRequest(), None, (3306,))
    with pytest.raises(CloudError, match=f"trove-local image build {SMALL}"):
        sandboxed.cloud.ensure_server(make_spec(one, image_id=SMALL))
    sandboxed.cloud.delete_port(one)


@pytest.mark.parametrize("name", [name for name in FORMS if name.endswith("process")])
def test_without_a_sandbox_no_image_is_used(name: str, images: Images) -> None:
    with local_form(name, images_dir=images.directory) as form:
        one = new_id()
        build(form, one)
        with pytest.raises(CloudError, match="needs bubblewrap"):
            form.cloud.rebuild_server(make_spec(one, image_id="fake-1"))
        assert form.cloud.find_server(one).status is ServerStatus.ACTIVE
        assert form.cloud.usable_images() == ()
        destroy(form, one)


BUILD = [sys.executable, "-c", "import sys; from trove.cmd.local.cli import main; sys.exit(main())", "image"]

# Killed while packages are being unpacked; then the same again, twice.
KILLED_BUILD = f"""
setsid "$@" build {SMALL} & builder=$!
until [ -d "$TROVE_IMAGES/.{SMALL}.tmp" ]; do kill -0 $builder; sleep 0.005; done
kill -9 -$builder; wait $builder || true
echo left: $(ls -A "$TROVE_IMAGES")
"$@" list --json
"$@" build {SMALL}; "$@" build {SMALL}
"""


def test_a_build_that_is_killed_leaves_nothing_that_counts_and_needs_no_root() -> None:
    """Everything as an ordinary user where root runs this."""
    if is_root():
        with ordinary_user() as user:
            words = ["env", f"TROVE_IMAGES={user.home}/images", "sh", "-euc", KILLED_BUILD, "sh", *BUILD]
            done = user.run(words, readable=python_and_tree(), timeout_s=300)
            assert done.returncode == 0, done.stdout
            check_small(Images(user.home / "images"), done.stdout)
        return
    with state_directory("ti-") as folder:
        environ = {**os.environ, "TROVE_IMAGES": str(folder / "images")}
        words = ["sh", "-euc", KILLED_BUILD, "sh", *BUILD]
        plain = subprocess.run(words, env=environ, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=300)
        assert plain.returncode == 0, plain.stderr
        check_small(Images(folder / "images"), plain.stdout + plain.stderr)


def check_small(images: Images, said: str) -> None:
    """Look at what came of a build that was killed and then made again, and at what it said."""
    (left,) = (line for line in said.splitlines() if line.startswith("left:"))
    assert f".{SMALL}.tmp" in left.split()
    assert SMALL not in left.split()
    assert f"{SMALL}: is there already" in said
    start = said.index("{")
    listed, _ = json.JSONDecoder().raw_decode(said[start:])
    assert [each["built"] for each in listed["images"] if each["name"] == SMALL] == [False]
    assert sorted(path.name for path in images.directory.iterdir()) == [".lock", SMALL]
    (image,) = images.all()
    assert (image.name, image.manager, image.version[:4]) == (SMALL, "redis", "8.0.")
    assert image.packages["redis-server"]
    assert image.bytes > 10_000_000
    for path in (image.root, *image.root.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            assert mode & 0o444 == 0o444, f"{path} cannot be read by all"
            assert mode & 0o6022 == 0, f"{path} may be written by others, or gives rights"


def test_what_cannot_be_built_is_told_and_leaves_nothing() -> None:
    with state_directory("ti-") as folder:
        images, said = Images(folder / "images"), list[str]()
        for recipe, mirror, words in (
            (SHELL_RECIPE, "file:///no-such-mirror", "lists of trixie from file:///no-such-mirror"),
            (replace(SHELL_RECIPE, version="4.9"), None, r"has version 5\.2.* none that begins with 4\.9"),
        ):
            with pytest.raises(CloudError, match=words):
                build_images(images, [recipe], mirror=mirror, say=said.append)
            assert [path.name for path in images.directory.iterdir()] == [".lock"]


def test_the_recipes_are_named_after_what_they_make() -> None:
    for name, recipe in RECIPES.items():
        assert name == recipe.name == f"{recipe.manager}-{recipe.version}"
        assert Path(recipe.program).is_absolute()


@pytest.fixture
def host(tmp_path: Path) -> SandboxedHost:
    """What a driver runs on, over an image that is built."""
    image = Images().get("valkey-8.1")
    settings = HostSettings(
        instance_id=new_id(),
        address="127.0.0.1",
        data_dir=tmp_path / "data",
        run_dir=tmp_path / "run",
        config_dir=tmp_path / "config",
        log_dir=tmp_path / "log",
        root_dir=image.root,
    )
    return SandboxedHost(settings)


def shell(host: SandboxedHost, script: str) -> str:
    return host.run(Command(argv=("/bin/sh", "-c", script))).stdout.decode().strip()


def test_programs_of_an_image_see_the_image_and_their_own_places(host: SandboxedHost) -> None:
    host.write_file(host.private_dir / "secret", b"x")
    host.write_file(host.config_dir / "told", b"config")
    assert host.find_program("valkey-server") == "/usr/bin/valkey-server"
    assert host.find_program("mariadbd", "/usr/sbin/mariadbd") is None
    assert shell(host, ". /etc/os-release; echo $VERSION_CODENAME") == "trixie"
    assert shell(host, "valkey-server --version").startswith("Valkey server v=8.1.")
    told, outside = host.config_dir / "told", host.data_dir.parent / "outside"
    outside.write_text("of the host")
    assert shell(host, f"cat {told}; ls {host.private_dir}; echo x > {told} || echo closed; ls {outside}") == "configclosed"
    assert shell(host, f"echo rows > {host.data_dir}/mine; echo done") == "done"
    assert (host.data_dir / "mine").read_text() == "rows\n"
    for place in ("/", "/usr/bin", "/etc", "/data"):
        assert shell(host, f"touch {place}/x && echo wrote") == ""
    assert shell(host, "touch /tmp/x /var/x /run/x && ls /tmp /var /run | grep -c x") == "3"
    assert shell(host, 'getent passwd $(id -u) | cut -d: -f6; test -n "$(id -un)" && echo named').splitlines() == [
        str(host.data_dir),
        "named",
    ]
    assert shell(host, "getent hosts localhost | grep -c localhost") == "1"


def test_an_image_is_never_used_without_a_sandbox(host: SandboxedHost, tmp_path: Path) -> None:
    settings = host._settings
    with pytest.raises(GuestError, match="needs bubblewrap"):
        SandboxedHost(replace(settings, sandbox=SandboxKind.PROCESS))
    with pytest.raises(GuestError, match="is not there"):
        SandboxedHost(replace(settings, root_dir=tmp_path / "lost" / "rootfs"))
