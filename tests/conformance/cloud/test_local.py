"""What the local cloud promises beyond the contract: processes, users, volumes, and that nothing is left behind."""

import ctypes
import os
import shutil
import signal
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conformance.cloud.conftest import Form, local_form, processes_of
from tests.conformance.cloud.test_contract import build, destroy
from tests.support.clouds import eventually, is_root, make_settings, make_spec, state_directory
from tests.support.standstill import stand_still

from trove.cloud.contract import NicRequest
from trove.cloud.local import LocalCloud, volumes
from trove.cloud.local.growth import grow_unmounted
from trove.cloud.local.locking import locked
from trove.cloud.local.mounts import is_mounted, share
from trove.cloud.local.privileges import nested_namespaces
from trove.cloud.local.settings import uid_range
from trove.core.errors import CloudError, InvalidInput, Unavailable
from trove.core.ids import new_id
from trove.core.status import ServerStatus


def boot(form: Form, **changes: object) -> str:
    """Build an instance and wait until its server listens."""
    one = new_id()
    build(form, one, **changes)
    wait_listening(form, one)
    return one


def wait_listening(form: Form, one: str) -> None:
    eventually((form.data(one) / "listening").exists, "the server listens")
    eventually(lambda: form.cloud.process_info(one).server_pid, "the server is seen")


def owner_of(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("Uid:"))
    return int(line.split()[1])


def gone(pid: int) -> bool:
    """Tell whether a process has ended; one that init has not yet reaped has."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_agent_and_server_run_as_the_instances_own_user(local: Form) -> None:
    one, two = boot(local), boot(local)
    owners = []
    for instance_id in (one, two):
        pids = local.cloud.process_info(instance_id)
        assert owner_of(pids.agent_pid) == owner_of(pids.server_pid)
        owners.append(owner_of(pids.agent_pid))
    assert 0 not in owners
    if local.name.startswith("root"):
        assert len(set(owners)) == 2
        first, last = uid_range(Path("/proc/self/uid_map").read_text())
        assert all(first <= owner <= last for owner in owners)
        template_maker = int((local.data(one) / "template-maker").read_text())
        assert template_maker not in {0, *owners}


def test_the_agents_files_are_its_own(local: Form) -> None:
    one = boot(local)
    owner = owner_of(local.cloud.process_info(one).agent_pid)
    for path in (local.home(one) / "conf.d").iterdir():
        assert (path.stat().st_mode & 0o777, path.stat().st_uid) == (0o600, owner)
    assert "SeCrEt" not in (local.home(one) / "server.json").read_text()


def test_a_killed_agent_is_started_again_and_the_server_stays(local: Form) -> None:
    one = boot(local)
    before = local.cloud.process_info(one)
    os.kill(before.agent_pid, signal.SIGKILL)
    eventually(lambda: local.cloud.process_info(one).agent_pid not in {None, before.agent_pid}, "another agent runs")
    eventually(lambda: len((local.data(one) / "agents").read_text().splitlines()) == 2, "the agent is up again")
    assert local.cloud.process_info(one).server_pid == before.server_pid
    assert local.cloud.find_server(one).status is ServerStatus.ACTIVE
    assert (local.data(one) / "starts").read_text() == "x"


def test_a_killed_supervisor_is_replaced_and_the_server_stays(local: Form) -> None:
    one = boot(local)
    before = local.cloud.process_info(one)
    loops = [entry for entry in Path("/proc").iterdir() if entry.name.isdigit() and is_supervisor(entry, one)]
    for entry in loops:
        os.kill(int(entry.name), signal.SIGKILL)
    eventually(lambda: local.cloud.find_server(one).status is ServerStatus.SHUTDOWN, "the dead supervisor is noticed")
    assert local.cloud.start_server(one).status is ServerStatus.ACTIVE
    eventually(lambda: len((local.data(one) / "agents").read_text().splitlines()) == 2, "another agent is up")
    after = local.cloud.process_info(one)
    assert after.agent_pid != before.agent_pid
    assert after.server_pid == before.server_pid


def is_supervisor(entry: Path, instance_id: str) -> bool:
    try:
        words = (entry / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0] == b"/bin/sh" and b"trove-supervisor" in words and any(instance_id.encode() in word for word in words)


def test_sandboxes_are_made_while_volumes_of_another_cloud_come_and_go(tmp_path: Path) -> None:
    """Bubblewrap goes through all mounts below what it shows, and fails at one that is gone by then."""
    if not is_root():
        pytest.skip("needs root")
    theirs = tmp_path / "volumes"
    (theirs / "one").mkdir(parents=True)
    enough = threading.Event()
    libc = ctypes.CDLL(None)  # the programs are too slow for many rounds
    point, nosuid_nodev, lazily = os.fsencode(theirs / "one"), ctypes.c_ulong(6), 2

    def come_and_go() -> None:
        share(theirs)
        try:
            while not enough.is_set():
                assert libc.mount(b"none", point, b"tmpfs", nosuid_nodev, None) == 0
                assert libc.umount(point) == 0
        finally:
            assert libc.umount2(os.fsencode(theirs), lazily) == 0

    whole = ("bwrap", "--dev-bind", "/", "/")  # as an agent starts whose runtime lies in a closed directory
    with ThreadPoolExecutor() as pool:
        other = pool.submit(come_and_go)
        try:
            found = {nested_namespaces(whole) for _ in range(60)}
        finally:
            enough.set()
            other.result(timeout=30)
    assert found == {nested_namespaces(())}


def test_stop_ends_the_server_cleanly_and_data_stay(local: Form) -> None:
    one = boot(local)
    pids = local.cloud.process_info(one)
    local.cloud.stop_server(one, timeout_s=20)
    assert gone(pids.server_pid)
    assert local.cloud.process_info(one) == replace(pids, agent_pid=None, server_pid=None)
    assert not is_mounted(local.root / "volumes" / one / "mount")
    local.cloud.start_server(one)
    eventually(lambda: (local.data(one) / "starts").read_text() == "xx", "the server is started again on its data")
    assert (local.data(one) / "clean").read_text() == "x"


def test_all_are_stopped_and_started_together(local: Form) -> None:
    ids = [boot(local) for _ in range(3)]
    assert local.cloud.stop_all(timeout_s=20) == {}
    assert [line for line in processes_of(local.root) if "trove-supervisor" in line] == []
    assert local.cloud.start_all() == {}
    for one in ids:
        eventually(lambda one=one: (local.data(one) / "starts").read_text() == "xx", "each is back")


def test_a_server_that_was_stopped_for_itself_is_not_started_with_all_others(local: Form) -> None:
    fenced, other = boot(local), boot(local)
    local.cloud.stop_server(fenced, timeout_s=20)
    for starts in ("xx", "xxx"):
        assert local.cloud.stop_all(timeout_s=20) == {}
        assert local.cloud.start_all() == {}
        assert local.cloud.find_server(fenced).status is ServerStatus.SHUTDOWN
        assert local.cloud.process_info(fenced).server_pid is None
        eventually(lambda: (local.data(other) / "starts").read_text() == starts, "the other is back")  # noqa: B023
    local.cloud.start_server(fenced)
    eventually(lambda: (local.data(fenced) / "starts").read_text() == "xx", "it is back")
    assert local.cloud.stop_all(timeout_s=20) == {}
    assert local.cloud.start_all() == {}
    eventually(lambda: (local.data(fenced) / "starts").read_text() == "xxx", "it is back with all others")


def test_an_agent_that_cannot_start_is_a_fault_without_secrets(local: Form) -> None:
    one = new_id()
    conf = b"[DEFAULT]\nfake_die = yes\ninstance_rpc_encr_key = SeCrEtKeY1234567\ntransport_url = redis://u:hush@h/0\n"
    build(local, one, files={"guest_info.conf": conf})
    eventually(lambda: local.cloud.find_server(one).status is ServerStatus.ERROR, "the fault is seen")
    fault = local.cloud.find_server(one).fault
    assert "told to die" in fault
    assert "exit code 3" in fault
    assert "SeCrEt" not in fault
    repaired = make_spec(one)
    local.cloud.ensure_server(repaired)
    eventually(lambda: local.cloud.find_server(one).status is ServerStatus.ACTIVE, "new files mend it")


def test_changed_files_reach_the_agent(local: Form) -> None:
    one = boot(local)
    before = local.cloud.process_info(one)
    local.cloud.ensure_server(make_spec(one))
    assert local.cloud.process_info(one) == before
    local.cloud.ensure_server(make_spec(one, files={"guest_info.conf": b"[DEFAULT]\nguest_id = y\n"}))
    eventually(lambda: local.cloud.process_info(one).agent_pid not in {None, before.agent_pid}, "the agent is started again")
    assert local.cloud.process_info(one).server_pid == before.server_pid


def test_delete_leaves_nothing_of_the_instance(local: Form) -> None:
    one = boot(local)
    pids = local.cloud.process_info(one)
    destroy(local, one)
    for pid in (pids.agent_pid, pids.server_pid):
        assert gone(pid)
    assert [line for line in processes_of(local.root) if one in line] == []
    assert list(local.root.rglob(f"*{one}*")) == []
    assert not list(Path("/sys/fs/cgroup").glob(f"*/trove/{one}"))


def test_a_server_that_will_not_end_is_killed(local: Form) -> None:
    one = boot(local)
    pid = local.cloud.process_info(one).server_pid
    stand_still(pid)
    local.cloud.stop_server(one, timeout_s=0.5)
    assert gone(pid)


def test_networks_images_and_managers_that_are_not_there_are_told(local: Form) -> None:
    one = new_id()
    with pytest.raises(InvalidInput, match="network_id"):
        local.cloud.ensure_port(one, NicRequest(network_id="net"), None, (3306,))
    with pytest.raises(InvalidInput, match="is not in"):
        local.cloud.ensure_port(one, NicRequest(ip_address="10.0.0.1"), None, (3306,))
    local.cloud.ensure_port(one, NicRequest(), None, (3306,))
    with pytest.raises(CloudError, match=r"ubuntu.*host"):
        local.cloud.ensure_server(make_spec(one, image_id="ubuntu"))
    with pytest.raises(CloudError, match="oracle"):
        local.cloud.ensure_server(make_spec(one, manager="oracle"))
    assert local.cloud.find_server(one) is None
    assert local.cloud.ensure_server(make_spec(one, image_id="host")).status is ServerStatus.ACTIVE


def test_a_taken_port_makes_it_take_the_next_address(local: Form) -> None:
    first = local.cloud.ensure_port(new_id(), NicRequest(), None, (3306,)).addresses[0].address
    beside = first.rpartition(".")[0] + f".{int(first.rpartition('.')[2]) + 1}"
    with socket.create_server((beside, 3306)):
        second = local.cloud.ensure_port(new_id(), NicRequest(), None, (3306,)).addresses[0].address
    assert second not in {first, beside}


def test_a_port_taken_on_all_addresses_is_told(local: Form) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(CloudError, match=rf"Port {port} is taken on every address.*0\.0\.0\.0"):
            local.cloud.ensure_port(new_id(), NicRequest(), None, (port,))


def test_a_port_that_was_taken_meanwhile_is_told_at_start(local: Form) -> None:
    one = boot(local)
    address = local.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses[0].address
    local.cloud.stop_server(one, timeout_s=20)
    with socket.create_server((address, 3306)), pytest.raises(CloudError, match=r"Port 3306 .* is taken by another program"):
        local.cloud.start_server(one)
    assert local.cloud.start_server(one).status is ServerStatus.ACTIVE


def test_a_full_loop_volume_is_full_for_its_server_only(root_loop: Form) -> None:
    one = boot(root_loop)
    space = os.statvfs(root_loop.data(one))
    assert space.f_blocks * space.f_frsize < 1024**3
    with pytest.raises(OSError, match="No space left"), (root_loop.data(one) / "big").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 2 * 1024**3)
    assert (root_loop.root / "volumes" / one / "volume.img").stat().st_size == 1024**3


def test_a_grown_loop_volume_has_room_for_more_data_and_keeps_what_it_holds(root_loop: Form) -> None:
    one = boot(root_loop)
    kept = root_loop.data(one) / "kept"
    kept.write_bytes(b"rows" * 1000)
    root_loop.cloud.grow_volume(one, size_gib=3)
    eventually(root_loop.data(one).is_dir, "the volume is mounted")
    space = os.statvfs(root_loop.data(one))
    assert space.f_blocks * space.f_frsize > 2.5 * 1024**3
    assert kept.read_bytes() == b"rows" * 1000
    eventually(lambda: root_loop.cloud.process_info(one).server_pid, "the server runs")
    if root_loop.cloud.capabilities().growth_stops_server:
        eventually(lambda: (root_loop.data(one) / "starts").read_text() == "xx", "the server is started again")
        assert (root_loop.data(one) / "clean").read_text() == "x"
    else:
        assert (root_loop.data(one) / "starts").read_text() == "x"


def test_a_volume_that_somebody_else_uses_is_not_grown_under_him(root_loop: Form) -> None:
    if not root_loop.cloud.capabilities().growth_stops_server:
        pytest.skip("this machine grows mounted file systems")
    one = boot(root_loop)
    with (root_loop.data(one) / "held").open("wb"), pytest.raises(Unavailable, match="cannot be unmounted"):
        root_loop.cloud.grow_volume(one, size_gib=2)
    assert root_loop.cloud.find_volume(one).size_gib == 1
    assert root_loop.cloud.find_server(one).status is ServerStatus.ACTIVE
    root_loop.cloud.grow_volume(one, size_gib=2)
    assert root_loop.cloud.find_volume(one).size_gib == 2


def test_a_file_system_that_is_mounted_anywhere_is_never_changed_as_if_it_were_not(root_loop: Form) -> None:
    one = boot(root_loop)
    with pytest.raises(Unavailable, match="in use by /dev/loop"):
        grow_unmounted(root_loop.root / "volumes" / one / "volume.img")


def test_a_program_that_outlived_its_cloud_ends_its_work_on_a_file_system_before_anybody_else_touches_it(
    root_loop: Form,
) -> None:
    one = boot(root_loop)
    before = root_loop.cloud.process_info(one)
    image = root_loop.root / "volumes" / one / "volume.img"
    with locked(image.with_name("growing.lock")):
        with pytest.raises(Unavailable, match="being grown"):
            root_loop.cloud.grow_volume(one, size_gib=2)
        assert root_loop.cloud.process_info(one) == before
        root_loop.cloud.stop_server(one, timeout_s=20)
        with pytest.raises(Unavailable, match="being grown"):
            root_loop.cloud.start_server(one)
        with pytest.raises(Unavailable, match="being grown"):
            grow_unmounted(image)
    root_loop.cloud.grow_volume(one, size_gib=2)
    assert root_loop.cloud.start_server(one).status is ServerStatus.ACTIVE


def test_a_volume_larger_than_the_disk_is_refused_and_nothing_is_stopped(local: Form) -> None:
    one = boot(local)
    before = local.cloud.process_info(one)
    with pytest.raises(CloudError, match="no room"):
        local.cloud.grow_volume(one, size_gib=10**6)
    assert local.cloud.find_volume(one).size_gib == 1
    assert local.cloud.process_info(one) == before


def test_the_agent_of_a_directory_volume_learns_its_new_size_and_the_server_stays() -> None:
    with local_form("user-process") as form:
        one = boot(form)
        before = form.cloud.process_info(one)
        form.cloud.grow_volume(one, size_gib=2)
        assert f"volume_bytes = {2 * 1024**3}" in (form.home(one) / "conf.d" / "host.conf").read_text()
        eventually(lambda: form.cloud.process_info(one).agent_pid not in {None, before.agent_pid}, "the agent starts again")
        assert form.cloud.process_info(one).server_pid == before.server_pid


def test_a_cloud_that_dies_while_a_volume_grows_is_taken_up_again(root_loop: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    one = boot(root_loop)
    (root_loop.data(one) / "kept").write_text("rows")

    def die(_image: Path) -> None:
        raise CloudDiedError

    def leave(*_words: object, **_more: object) -> None:
        raise CloudDiedError

    with monkeypatch.context() as patched:
        for way in ("grow_mounted", "grow_unmounted"):
            patched.setattr(volumes, way, die)
        patched.setattr(root_loop.cloud, "_launch", leave)
        with pytest.raises(CloudDiedError):
            root_loop.cloud.grow_volume(one, size_gib=2)
    (root_loop.home(one) / "stop").touch()
    assert root_loop.cloud.find_volume(one).size_gib == 1
    assert root_loop.cloud.grow_volume(one, size_gib=2).size_gib == 2
    root_loop.cloud.start_server(one)
    eventually((root_loop.data(one) / "kept").exists, "the data are back")
    space = os.statvfs(root_loop.data(one))
    assert space.f_blocks * space.f_frsize > 1.5 * 1024**3


def test_a_volume_in_use_by_a_stranger_does_not_hold_up_a_delete(root_loop: Form) -> None:
    one = boot(root_loop)
    with (root_loop.data(one) / "held").open("wb"):
        destroy(root_loop, one)
        assert not is_mounted(root_loop.root / "volumes" / one / "mount")
    eventually(lambda: str(root_loop.root) not in Path("/proc/self/mountinfo").read_text(), "nothing is mounted")


def test_the_flavors_memory_is_a_limit(root_loop: Form) -> None:
    version = root_loop.cloud.capabilities().memory_limit
    if version is None:
        pytest.skip("this machine lets nobody limit memory")
    one = boot(root_loop)
    base = Path("/sys/fs/cgroup") if version == "v2" else Path("/sys/fs/cgroup/memory")
    group = base / "trove" / one
    limit = (group / ("memory.max" if version == "v2" else "memory.limit_in_bytes")).read_text()
    assert int(limit) == (256 + 96) * 1024**2
    larger = root_loop.cloud.flavor("2")
    root_loop.cloud.resize_server(one, larger)
    resized = (group / ("memory.max" if version == "v2" else "memory.limit_in_bytes")).read_text()
    assert int(resized) == (larger.ram_mib + 96) * 1024**2
    members = (group / "cgroup.procs").read_text().split()
    pids = root_loop.cloud.process_info(one)
    assert {str(pids.agent_pid), str(pids.server_pid)} <= set(members)


def test_after_a_reboot_everything_comes_back(root_loop: Form) -> None:
    one = boot(root_loop)
    home = root_loop.home(one)
    assert root_loop.cloud.stop_all(timeout_s=20) == {}
    (home / "stop").unlink()
    shutil.rmtree(home / "run")
    assert root_loop.cloud.find_server(one).status is ServerStatus.SHUTDOWN
    assert root_loop.cloud.start_all() == {}
    eventually(lambda: (root_loop.data(one) / "starts").read_text() == "xx", "it is back")


def test_a_state_directory_with_a_long_path_works() -> None:
    with state_directory() as parent:
        long = parent / ("deep" * 30)
        cloud = LocalCloud(make_settings(long))
        one = new_id()
        form = Form(name="long", cloud=cloud, settings=make_settings(long))
        try:
            boot(form)
            build(form, one)
            told = (form.home(one) / "conf.d" / "host.conf").read_text()
            run_dir = Path(next(line for line in told.splitlines() if line.startswith("run_dir")).partition("= ")[2])
            assert len(str(run_dir)) < 80
            assert run_dir.is_dir()
            destroy(form, one)
            assert not run_dir.exists()
        finally:
            assert cloud.destroy_all() == {}


def test_a_state_directory_that_cannot_be_written_is_told() -> None:
    with state_directory() as parent:
        (parent / "file").write_text("")
        cloud = LocalCloud(make_settings(parent / "file" / "s"))
        with pytest.raises(CloudError, match=r"state directory .* cannot be used"):
            cloud.ensure_volume(new_id(), size_gib=1, volume_type=None)


def test_an_engine_that_is_not_installed_is_told() -> None:
    with state_directory() as parent:
        settings = make_settings(parent / "s")
        missing = replace(settings.packages["fake"], programs=("no-such-program",), install="apt-get install it")
        cloud = LocalCloud(replace(settings, packages={"fake": missing}))
        one = new_id()
        cloud.ensure_port(one, NicRequest(), None, (3306,))
        with pytest.raises(CloudError, match=r"no-such-program is not installed.*apt-get install it"):
            cloud.ensure_server(make_spec(one))
        assert cloud.destroy_all() == {}


@pytest.mark.skipif(not is_root(), reason="needs root")
def test_a_state_directory_below_a_closed_one_works() -> None:
    with state_directory() as parent:
        closed = parent / "closed"
        closed.mkdir(mode=0o700)
        settings = make_settings(closed / "s")
        cloud = LocalCloud(settings)
        form = Form(name="closed", cloud=cloud, settings=settings)
        try:
            one = boot(form)
            assert owner_of(cloud.process_info(one).server_pid) != 0
            cloud.stop_server(one, timeout_s=20)
            cloud.start_server(one)
            eventually(lambda: (form.data(one) / "starts").read_text() == "xx", "it is back")
        finally:
            assert cloud.destroy_all() == {}


@pytest.mark.skipif(not is_root(), reason="needs root")
def test_an_agent_below_a_closed_directory_works() -> None:
    with state_directory() as parent:
        closed = parent / "closed"
        (closed / "real").mkdir(parents=True)
        closed.chmod(0o700)
        shutil.copy(Path(__file__).with_name("fake_agent.py"), closed / "real" / "agent.py")
        (closed / "link").symlink_to("real/../real")
        (parent / "agent").symlink_to(closed / "link")
        (closed / "secret").write_text("not for agents")
        settings = make_settings(parent / "s")
        settings = replace(settings, agent_command=(settings.agent_command[0], str(parent / "agent" / "agent.py")))
        cloud = LocalCloud(settings)
        form = Form(name="closed", cloud=cloud, settings=settings)
        try:
            one = boot(form)
            agent = cloud.process_info(one).agent_pid
            assert not Path(f"/proc/{agent}/root{closed}/secret").exists()
            assert Path(f"/proc/{agent}/root{closed}/real/agent.py").exists()
        finally:
            assert cloud.destroy_all() == {}


def test_the_forms_differ() -> None:
    if not is_root():
        pytest.skip("needs root")
    with local_form("root-loop-bwrap") as one, local_form("root-directory-process") as two:
        kinds = [(form.cloud.capabilities().volumes, form.cloud.capabilities().sandbox) for form in (one, two)]
    assert kinds == [("loop", "bwrap"), ("directory", "process")]


class CloudDiedError(BaseException):
    """The cloud's process ended: nothing that it would still have done is done."""


def test_an_agent_that_was_left_without_its_volume_is_started_anew(root_loop: Form, monkeypatch: pytest.MonkeyPatch) -> None:
    one = new_id()

    def die(_instance_id: str) -> Path:
        raise CloudDiedError

    with monkeypatch.context() as patched:
        patched.setattr(root_loop.cloud._volumes, "attach", die)
        with pytest.raises(CloudDiedError):
            build(root_loop, one)
    eventually(lambda: root_loop.cloud.process_info(one).agent_pid, "the agent waits")
    left = root_loop.cloud.process_info(one).agent_pid
    build(root_loop, one)
    wait_listening(root_loop, one)
    assert gone(left)
    assert (root_loop.data(one) / "starts").read_text() == "x"


def test_a_volume_that_cannot_be_mounted_leaves_no_agent(root_loop: Form) -> None:
    one = new_id()
    root_loop.cloud.ensure_volume(one, size_gib=1, volume_type=None)
    (root_loop.root / "volumes" / one / "volume.img").write_bytes(b"no file system")
    with pytest.raises(CloudError, match="mount a volume"):
        build(root_loop, one)
    assert [line for line in processes_of(root_loop.root) if one in line] == []
    destroy(root_loop, one)
    assert not is_mounted(root_loop.root / "volumes")


def test_instances_built_and_deleted_side_by_side_all_see_their_volumes(root_loop: Form) -> None:
    ids = [new_id() for _ in range(4)]

    def life(one: str) -> None:
        for _ in range(2):
            build(root_loop, one)
            wait_listening(root_loop, one)
            destroy(root_loop, one)

    with ThreadPoolExecutor(max_workers=4) as pool:
        list(pool.map(life, ids))
    assert not is_mounted(root_loop.root / "volumes")
