"""When the machine is in trouble the instance says what to do, and nothing is left behind."""

import os
import shutil
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pymysql
import pytest
from tests.support.stack import Stack, stack

ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs mounts, and so root")


def test_two_deletes_at_once_end_in_one_deletion(shared: Stack) -> None:
    instance_id = shared.create("deleted-twice")
    shared.await_healthy(instance_id)
    with ThreadPoolExecutor(2) as pool:
        answers = list(pool.map(lambda _: shared.request("DELETE", f"/instances/{instance_id}").status, range(2)))
    assert 202 in answers
    assert set(answers) <= {202, 404, 422}
    shared.await_gone(instance_id)


def test_deleting_a_building_instance_cancels_the_build_and_leaves_nothing(shared: Stack) -> None:
    instance_id = shared.create("changed-my-mind")
    reply = shared.request("DELETE", f"/instances/{instance_id}")
    assert reply.status == 202, reply.text
    shared.await_gone(instance_id)
    assert shared.request("GET", "/limits").status == 200


def test_a_name_may_be_given_twice(shared: Stack) -> None:
    ids = [shared.create("same-name") for _ in range(2)]
    for instance_id in ids:
        shared.await_healthy(instance_id)
    refused = shared.trove_local("logs", "same-name", check=False)
    assert refused.returncode == 1
    assert all(instance_id in refused.stderr for instance_id in ids)
    for instance_id in ids:
        shared.delete(instance_id)
    for instance_id in ids:
        shared.await_gone(instance_id)


def test_a_port_taken_on_every_address_is_told_on_the_instance() -> None:
    with ExitStack() as holders:
        for number in range(8):
            holder = holders.enter_context(socket.socket())
            holder.bind((f"127.93.7.{number}", 3306))
            holder.listen()
        with stack(config="[local]\naddress_pool = 127.93.7.0/29\n") as own:
            instance_id = own.create("no-port")
            fault = own.await_error(instance_id)
            assert "3306" in fault
            own.delete(instance_id)
            own.await_gone(instance_id)
            holders.close()
            second = own.create("port-again")
            own.await_healthy(second)


@ROOT_ONLY
def test_a_full_disk_is_told_on_the_instance_and_the_next_one_works_when_there_is_room() -> None:
    def tiny(root: Path) -> None:
        (root / "cloud").mkdir(mode=0o711)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m,mode=0711", "tmpfs", root / "cloud"], check=True)

    with stack(prepare=tiny) as own:
        instance_id = own.create("no-room")
        fault = own.await_error(instance_id)
        assert "space" in fault.lower() or "full" in fault.lower() or "disk" in fault.lower(), fault
        own.delete(instance_id)
        own.await_gone(instance_id)
        subprocess.run(["mount", "-o", "remount,size=2g", own.root / "cloud"], check=True)
        second = own.create("room-again")
        own.await_healthy(second)


@ROOT_ONLY
def test_a_full_volume_harms_only_its_own_instance(shared: Stack) -> None:
    instance_id = shared.create("filled")
    neighbour = shared.create("neighbour")
    try:
        shown = shared.await_healthy(instance_id)
        mount = shared.root / "cloud" / "volumes" / instance_id / "mount"
        if not mount.is_mount():
            pytest.skip("this machine has no loop-mounted volumes: sizes are watched, not enforced")
        with (mount / "filler").open("wb") as filler:
            os.posix_fallocate(filler.fileno(), 0, os.statvfs(mount).f_bavail * os.statvfs(mount).f_frsize - 20 * 2**20)
        with shared.connect(shown, password="secret-filled") as connection, connection.cursor() as cursor:
            cursor.execute("CREATE TABLE big (id INT AUTO_INCREMENT PRIMARY KEY, stuff LONGBLOB) ENGINE=InnoDB")
            with pytest.raises(pymysql.err.MySQLError):
                cursor.executemany("INSERT INTO big (stuff) VALUES (REPEAT(%s, 4000000))", [("x",)] * 50)
        assert shared.show(instance_id) is not None
        shared.await_query(neighbour, password="secret-neighbour")
    finally:
        for one in (instance_id, neighbour):
            shared.delete(one)
    for one in (instance_id, neighbour):
        shared.await_gone(one)


@ROOT_ONLY
def test_a_missing_package_is_told_with_the_command_that_installs_it(tmp_path: Path) -> None:
    hidden = [
        found for name in ("mariadbd", "mysqld") if (found := shutil.which(name, path="/usr/sbin:/usr/bin:/usr/local/bin"))
    ]
    empty = tmp_path / "empty"
    empty.touch(mode=0o600)
    script = "".join(f"mount --bind {empty} {path} && " for path in {os.path.realpath(path) for path in hidden})
    # Each command gets a mount namespace of its own, in which the server program is an empty file.
    with stack(prefix=("unshare", "--mount", "--propagation", "private", "sh", "-c", f'{script}exec "$@"', "sh")) as own:
        instance_id = own.create("no-package")
        fault = own.await_error(instance_id)
        assert "apt-get install mariadb-server-core" in fault
        own.delete(instance_id)
        own.await_gone(instance_id)


def test_after_everything_nothing_runs_that_nobody_asked_for(shared: Stack) -> None:
    with suppress(FileNotFoundError):
        assert list((shared.root / "cloud" / "volumes").iterdir()) == []
        assert list((shared.root / "cloud" / "ports").iterdir()) == []
