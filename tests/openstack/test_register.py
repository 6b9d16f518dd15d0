"""trove-manage datastore version register on a real Glance, which looks into what it is given."""

import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from tests.openstack.conftest import settings_of
from tests.support.guest_images import fake_image

from trove.cloud.openstack import OpenStackCloud
from trove.cmd.manage import main

Manage = Callable[..., tuple[int, str, str]]


@pytest.fixture
def datastore(admin: Any) -> Iterator[str]:
    """The name of a datastore that only this test knows; its images are deleted."""
    name = f"shop-{uuid4().hex[:8]}"
    yield name
    images = [image for image in admin.image.images() if name in image.name]
    for image in sorted(images, key=lambda each: not each.kernel_id):
        admin.image.delete_image(image.id)


@pytest.fixture
def manage(admin: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Manage:
    wanted = ("auth_url", "username", "password", "project_name", "user_domain_name", "project_domain_name")
    account = {name: admin.config.auth[name] for name in wanted} | {"region_name": admin.config.region_name}
    path = tmp_path / "trove.conf"
    path.write_text(
        "[DEFAULT]\ncloud = openstack\n"
        f"[database]\nconnection = sqlite:///{tmp_path}/trove.sqlite\n"
        f"[secrets]\nkey_file = {tmp_path}/secret.key\ncreate_key_file = true\n"
        "[service_credentials]\n" + "".join(f"{name} = {value}\n" for name, value in account.items())
    )

    def run(*words: str | Path) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([f"--config-file={path}", *map(str, words)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("db", "upgrade")[0] == 0
    return run


@pytest.fixture
def image(tmp_path: Path, datastore: str) -> Path:
    """A bare image whose disk is of the format that it is said to be."""
    folder = fake_image(tmp_path / "image", "bare")
    disk = folder / "disk.qcow2"
    disk.unlink()
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "64M"], check=True)
    change(folder, datastore=datastore)
    return folder


def change(folder: Path, **values: str) -> None:
    """Let the record of an image say what its files are."""
    record = json.loads((folder / "image.json").read_text()) | values
    for file in record["forms"]["bare"]:
        file["sha256"] = hashlib.sha256((folder / file["name"]).read_bytes()).hexdigest()
    (folder / "image.json").write_text(json.dumps(record))


def test_an_image_is_registered_once_and_found_by_the_cloud(admin: Any, manage: Manage, image: Path, datastore: str) -> None:
    words = ("--json", "datastore", "version", "register", image, "--default")
    code, out, err = manage(*words)
    assert (code, err) == (0, "")
    told = json.loads(out)
    assert (told["uploaded"], told["changed"]) == (True, True)
    disk = admin.image.get_image(told["image_id"])
    assert (disk.status, disk.visibility, set(disk.tags)) == ("active", "private", {"trove", datastore, "10.11"})
    assert (disk.size, disk.disk_format) == ((image / "disk.qcow2").stat().st_size, "qcow2")
    kernel, initrd = (admin.image.get_image(each) for each in (disk.kernel_id, disk.ramdisk_id))
    assert [(each.disk_format, each.status) for each in (kernel, initrd)] == [("aki", "active"), ("ari", "active")]
    found = OpenStackCloud(settings_of(admin))
    assert found.find_image(told["image_id"], ()) == disk.id
    assert found.find_image(None, ("trove", datastore, "10.11")) == disk.id
    before = {each.id: each.updated_at for each in admin.image.images() if datastore in each.name}
    assert len(before) == 3
    assert json.loads(manage(*words)[1]) == {**told, "uploaded": False, "changed": False}
    assert {each.id: each.updated_at for each in admin.image.images() if datastore in each.name} == before
    (row,) = json.loads(manage("--json", "datastore", "list")[1])
    assert (row["image"], row["datastore"], row["version"], row["default"]) == (disk.id, datastore, "10.11", True)


def test_an_upload_that_glance_refuses_leaves_nothing(admin: Any, manage: Manage, image: Path, datastore: str) -> None:
    (image / "disk.qcow2").write_bytes(b"no disk at all" * 1000)
    change(image)
    code, out, err = manage("datastore", "version", "register", image)
    assert (code != 0, out) == (True, "")
    assert f"upload the image trove-{datastore}-10.11" in err
    assert [each.name for each in admin.image.images() if datastore in each.name] == []
    assert json.loads(manage("--json", "datastore", "list")[1]) == []
