"""The data directory of a new instance: whole with its copy of the template, or not there at all."""

import os
import stat
from pathlib import Path

import pytest

from trove.cloud.local.templates import COPY, make_data_directory
from trove.core.errors import CloudError
from trove.guestagent.host import TEMPLATE_COPY


@pytest.fixture
def template(tmp_path: Path) -> Path:
    folder = tmp_path / "mariadb-1"
    (folder / "mysql").mkdir(parents=True)
    (folder / "mysql" / "db.opt").write_text("x")
    (folder / "link").symlink_to("/etc/passwd")
    return folder


def test_a_new_one_has_a_copy_of_the_template(tmp_path: Path, template: Path) -> None:
    target = tmp_path / "mount" / "data"
    target.parent.mkdir()
    make_data_directory(target, template=template, owner=os.geteuid())
    assert (target / COPY / "mysql" / "db.opt").read_text() == "x"
    assert (target / COPY / "link").is_symlink()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (target, target / COPY)] == [0o700, 0o700]
    assert [path.name for path in target.parent.iterdir()] == ["data"]


def test_the_half_of_a_copy_is_never_taken_for_one(tmp_path: Path, template: Path) -> None:
    half = tmp_path / ".data.new" / COPY
    half.mkdir(parents=True)
    (half / "torn").write_text("x")
    make_data_directory(tmp_path / "data", template=template, owner=None)
    assert sorted(path.name for path in (tmp_path / "data" / COPY).iterdir()) == ["link", "mysql"]
    assert not (tmp_path / ".data.new").exists()


def test_data_that_is_there_is_left_alone(tmp_path: Path, template: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "precious").write_text("x")
    make_data_directory(tmp_path / "data", template=template, owner=None)
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["precious"]


def test_a_copy_that_fails_leaves_no_data_directory(tmp_path: Path) -> None:
    with pytest.raises(CloudError, match="copy the template"):
        make_data_directory(tmp_path / "data", template=tmp_path / "missing", owner=None)
    assert not (tmp_path / "data").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_all_of_it_belongs_to_the_instance_and_no_link_is_followed(tmp_path: Path, template: Path) -> None:
    before = Path("/etc/passwd").stat().st_uid
    make_data_directory(tmp_path / "data", template=template, owner=61999)
    owners = {path.lstat().st_uid for path in (tmp_path / "data", *(tmp_path / "data").rglob("*"))}
    assert owners == {61999}
    assert Path("/etc/passwd").stat().st_uid == before


def test_the_agent_looks_where_the_cloud_puts_it() -> None:
    assert COPY == TEMPLATE_COPY
