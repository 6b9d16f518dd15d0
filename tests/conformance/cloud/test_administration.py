"""What every cloud promises to administrators: reboot, rebuild, migration, images, hosts and storage."""

import pytest
from tests.conformance.cloud.conftest import Form
from tests.conformance.cloud.test_contract import build, built, destroy
from tests.support.clouds import eventually, make_spec

from trove.cloud.contract import NicRequest
from trove.core.errors import CloudError, NotFound, Unsupported
from trove.core.ids import new_id
from trove.core.status import ServerStatus


def keep_rows(form: Form, one: str) -> None:
    """Put something on the volume, where the form has a real one."""
    if form.settings is not None:
        eventually((form.data(one) / "listening").exists, "the server listens")
        (form.data(one) / "kept").write_text("rows")
        (form.home(one) / "config" / "of-this-server").touch()


def test_a_reboot_starts_what_ran_and_what_was_stopped(form: Form) -> None:
    one = new_id()
    build(form, one)
    keep_rows(form, one)
    before = form.cloud.process_info(one) if form.settings else None
    assert form.cloud.reboot_server(one, timeout_s=10).status is ServerStatus.ACTIVE
    form.cloud.stop_server(one, timeout_s=10)
    assert form.cloud.reboot_server(one, timeout_s=10).status is ServerStatus.ACTIVE
    if before is not None:
        eventually((form.data(one) / "kept").exists, "the data are there")
        eventually(lambda: form.cloud.process_info(one).server_pid not in {None, before.server_pid}, "a new process")
        assert (form.data(one) / "clean").exists()
    with pytest.raises(NotFound):
        form.cloud.reboot_server(new_id(), timeout_s=1)


def test_a_rebuilt_server_is_new_and_has_its_volume_and_address(form: Form) -> None:
    one = new_id()
    build(form, one)
    keep_rows(form, one)
    address = form.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses
    for image in ("host", None):
        server = form.cloud.rebuild_server(make_spec(one, image_id=image))
        assert (server.instance_id, server.status, server.fault) == (one, ServerStatus.ACTIVE, None)
        if form.settings is not None:
            eventually((form.data(one) / "kept").exists, "the data are there")
            assert not (form.home(one) / "config" / "of-this-server").exists()
    assert form.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses == address
    form.cloud.delete_server(one)
    assert form.cloud.rebuild_server(make_spec(one)).status is ServerStatus.ACTIVE
    if form.settings is not None:
        eventually((form.data(one) / "kept").exists, "the data are there")
    destroy(form, one)


def test_a_rebuild_that_cannot_be_changes_nothing(form: Form) -> None:
    one = new_id()
    build(form, one)
    with pytest.raises(CloudError, match="ghost"):
        form.cloud.rebuild_server(make_spec(one, image_id="ghost"))
    assert form.cloud.find_server(one).status is ServerStatus.ACTIVE
    two = new_id()
    form.cloud.ensure_port(two, NicRequest(), None, (3306,))
    form.cloud.ensure_server(make_spec(two))
    built(form, two)
    with pytest.raises(CloudError, match="no volume"):
        form.cloud.rebuild_server(make_spec(two))
    assert form.cloud.find_server(two).status is ServerStatus.ACTIVE


def test_a_server_moves_where_there_is_another_host(form: Form) -> None:
    one = new_id()
    build(form, one)
    names = [host.name for host in form.cloud.hosts()]
    here = form.cloud.find_server(one).host
    assert here in names
    if len(names) == 1:
        with pytest.raises(Unsupported, match=here):
            form.cloud.migrate_server(one, here)
        return
    other = next(name for name in names if name != here)
    for _ in range(2):
        assert form.cloud.migrate_server(one, other).host == other
    assert [one in host.instance_ids for host in form.cloud.hosts()] == [name == other for name in names]
    assert form.cloud.rebuild_server(make_spec(one)).host == other
    with pytest.raises(CloudError, match="ghost"):
        form.cloud.migrate_server(one, "ghost")
    with pytest.raises(NotFound):
        form.cloud.migrate_server(new_id(), other)


def test_images_are_found_by_id_or_by_all_their_tags(form: Form) -> None:
    host = form.cloud.find_image("host", ())
    assert form.cloud.find_image(host, ()) == form.cloud.find_image(None, ("trove", "host")) == host
    for image_id, tags in (("ghost", ()), (None, ("trove", "ghost")), (None, ())):
        with pytest.raises(NotFound):
            form.cloud.find_image(image_id, tags)


def test_hosts_and_storage_tell_what_servers_take(form: Form) -> None:
    one = new_id()
    (before, *_), pool = form.cloud.hosts(), form.cloud.storage()[0]
    assert (before.instance_ids, before.used_ram_mib, pool.provisioned_gib) == ((), 0, 0)
    assert before.total_ram_mib > 0
    assert pool.total_gib >= pool.free_gib > 0
    build(form, one)
    host = form.cloud.hosts()[0]
    assert (host.instance_ids, host.used_ram_mib) == ((one,), form.cloud.flavor("1").ram_mib)
    # Cinder counts once a minute.
    eventually(lambda: form.cloud.storage()[0].provisioned_gib == 1, "the volume is counted", 120)
    assert form.cloud.find_server(one).host == host.name
