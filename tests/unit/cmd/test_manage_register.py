"""trove-manage datastore version register: images in Glance, versions on offer, and nothing by halves."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.glance import Glance, running
from tests.support.guest_images import fake_image

from trove.cloud.openstack import session
from trove.cmd.manage import main

pytestmark = pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
"""openstacksdk warns of what it calls itself."""

Manage = Callable[..., tuple[int, str, str]]
KERNEL, INITRD, DISK = "trove-mariadb-10.11-kernel", "trove-mariadb-10.11-initrd", "trove-mariadb-10.11"


@pytest.fixture
def glance(monkeypatch: pytest.MonkeyPatch) -> Iterator[Glance]:
    with running() as found:
        monkeypatch.setattr(session, "connect", lambda settings: found.connection())
        yield found


@pytest.fixture
def manage(conf_file: Path, capsys: pytest.CaptureFixture[str]) -> Manage:
    account = "[service_credentials]\nauth_url = http://127.0.0.1:1/v3\nusername = trove\npassword = of-no-use\n"
    conf_file.write_text(conf_file.read_text().replace("cloud = memory", "cloud = openstack") + account)

    def run(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([f"--config-file={conf_file}", *words])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    assert run("db", "upgrade")[0] == 0
    return run


def registered(manage: Manage, *words: str | Path) -> dict[str, object]:
    code, out, err = manage("--json", "datastore", "version", "register", *map(str, words))
    assert (code, err) == (0, "")
    return json.loads(out)


def refused(manage: Manage, *words: str | Path) -> str:
    code, out, err = manage("datastore", "version", "register", *map(str, words))
    assert (code, out) == (1, "")
    return err


def refused_for_now(manage: Manage, *words: str | Path) -> str:
    code, out, err = manage("datastore", "version", "register", *map(str, words))
    assert (code, out) == (75, "")
    return err


def offered(manage: Manage) -> list[dict[str, object]]:
    return json.loads(manage("--json", "datastore", "list")[1])


def test_a_bare_image_is_three_images_of_which_one_has_the_tags(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    told = registered(manage, fake_image(tmp_path / "image", "bare"), "--default")
    (kernel,), (initrd,), (disk,) = (glance.named(name) for name in (KERNEL, INITRD, DISK))
    assert [(each["disk_format"], each["container_format"]) for each in (kernel, initrd, disk)] == [
        ("aki", "aki"),
        ("ari", "ari"),
        ("qcow2", "bare"),
    ]
    assert (disk["kernel_id"], disk["ramdisk_id"]) == (kernel["id"], initrd["id"])
    assert [each["tags"] for each in (kernel, initrd, disk)] == [[], [], ["trove", "mariadb", "10.11"]]
    assert (disk["min_disk"], disk["visibility"], disk["hw_disk_bus"]) == (2, "private", "virtio")
    assert disk["os_command_line"].startswith("root=LABEL=trove-root")
    assert [glance.contents[each["id"]] for each in (kernel, initrd, disk)] == [b"vmlinuz", b"initrd", b"disk.qcow2"]
    (row,) = offered(manage)
    assert told["image_id"] == row["image"] == disk["id"]
    assert (row["datastore"], row["version"], row["manager"], row["default"], row["active"]) == (
        "mariadb",
        "10.11",
        "mariadb",
        True,
        True,
    )


def test_a_second_run_changes_nothing(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    image = fake_image(tmp_path / "image", "bare", "qcow2")
    words = (image, "--form", "bare", "--default")
    first = registered(manage, *words)
    glance.changes.clear()
    before = offered(manage)
    assert registered(manage, *words) == {**first, "uploaded": False, "changed": False}
    assert (glance.changes, offered(manage)) == ([], before)


def test_a_newer_build_is_a_newer_image_of_the_same_version(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    first = registered(manage, fake_image(tmp_path / "image", "qcow2"))
    second = registered(manage, fake_image(tmp_path / "image", "qcow2", content="newer"))
    assert (second["id"], second["uploaded"], second["changed"]) == (first["id"], True, True)
    assert [row["image"] for row in offered(manage)] == [second["image_id"]]
    assert {each["id"] for each in glance.named(DISK)} == {first["image_id"], second["image_id"]}


def test_what_an_image_lacks_is_added_and_what_others_added_stays(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    image = fake_image(tmp_path / "image", "qcow2")
    told = registered(manage, image)
    found = glance.images[str(told["image_id"])]
    found["tags"] = ["theirs", "trove"]
    del found["hw_disk_bus"]
    found["os_distro"] = "other"
    assert registered(manage, image, "--visibility", "community")["uploaded"] is False
    assert set(found["tags"]) == {"theirs", "trove", "mariadb", "10.11"}
    assert (found["hw_disk_bus"], found["os_distro"], found["visibility"]) == ("virtio", "debian", "community")


def test_a_version_may_be_found_by_its_tags(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    registered(
        manage, fake_image(tmp_path / "image", "qcow2"), "--by-tags", "--inactive", "--datastore", "shop", "--name", "v1"
    )
    (row,) = offered(manage)
    assert (row["image"], row["active"], row["default"], row["manager"]) == ("trove,shop,v1", False, False, "mariadb")
    assert glance.named(DISK)[0]["tags"] == ["trove", "shop", "v1"]


def test_an_upload_that_fails_leaves_no_image_and_no_version(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    glance.fail_upload_of = DISK
    assert "upload the image trove-mariadb-10.11" in refused_for_now(manage, fake_image(tmp_path / "image", "bare"))
    assert (glance.images, offered(manage)) == ({}, [])
    assert glance.changes.count(f"upload {KERNEL}") == 1


def test_what_was_there_before_stays_when_an_upload_fails(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    registered(manage, fake_image(tmp_path / "image", "bare"))
    before = dict(glance.images)
    glance.fail_upload_of = DISK
    refused_for_now(manage, fake_image(tmp_path / "image", "bare", content="newer"))
    assert glance.images == before


def test_a_file_that_is_not_the_one_that_was_built_is_refused(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    image = fake_image(tmp_path / "image", "bare")
    (image / "initrd").write_bytes(b"cut off")
    assert "SHA-256 is another one" in refused(manage, image)
    assert glance.images == {}


def test_what_a_killed_upload_left_is_replaced(glance: Glance, manage: Manage, tmp_path: Path) -> None:
    image = fake_image(tmp_path / "image", "qcow2")
    first = registered(manage, image)
    glance.images[str(first["image_id"])]["status"] = "saving"
    second = registered(manage, image)
    assert second["uploaded"] is True
    assert [each["id"] for each in glance.named(DISK)] == [second["image_id"]] != [first["image_id"]]


def test_a_database_that_refuses_leaves_no_image(
    glance: Glance, manage: Manage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trove.cmd.manage import register
    from trove.core.errors import Unavailable

    def away(*words: object, **more: object) -> None:
        raise Unavailable("The state database does not answer.")

    monkeypatch.setattr(register, "offer", away)
    assert "state database" in refused_for_now(manage, fake_image(tmp_path / "image", "bare"))
    assert glance.images == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"manager": "nosuch"}, "nosuch"),
        ({"forms": {}}, "not the record of an image"),
        ({"forms": {"tape": []}}, "not the record of an image"),
        ({"forms": {"qcow2": [{"name": "../x", "sha256": "0" * 64}]}}, "must name bootable.qcow2"),
        ({"forms": {"qcow2": [{"name": "bootable.qcow2", "sha256": "1"}]}}, "SHA-256"),
        ({"root_bytes": "many"}, "root_bytes"),
        ({"version": ""}, "version"),
    ],
)
def test_a_record_that_is_wrong_is_refused(
    glance: Glance, manage: Manage, tmp_path: Path, change: dict[str, object], words: str
) -> None:
    image = fake_image(tmp_path / "image", "qcow2")
    record = json.loads((image / "image.json").read_text())
    (image / "image.json").write_text(json.dumps({**record, **change}))
    assert words in refused(manage, image)
    assert (glance.images, offered(manage)) == ({}, [])


def test_what_cannot_be_registered_is_told(glance: Glance, manage: Manage, tmp_path: Path, conf_file: Path) -> None:
    image = fake_image(tmp_path / "image", "bare", "qcow2")
    assert "--form" in refused(manage, image)
    assert "is no image" in refused(manage, tmp_path / "nosuch")
    assert "without commas" in refused(manage, image, "--form", "bare", "--name", "a,b")
    (image / "initrd").unlink()
    assert "initrd cannot be read" in refused(manage, image, "--form", "bare")
    assert "does not hold the form bare" in refused(manage, fake_image(tmp_path / "one", "qcow2"), "--form", "bare")
    (image / "image.json").write_text("{")
    assert "not JSON" in refused(manage, image)
    conf_file.write_text(conf_file.read_text().replace("cloud = openstack", "cloud = local"))
    assert "cloud = openstack" in refused(manage, fake_image(tmp_path / "two", "qcow2"))
    assert (glance.images, offered(manage)) == ({}, [])
