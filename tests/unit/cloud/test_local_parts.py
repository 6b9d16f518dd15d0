"""The parts of the local cloud that need no processes of an instance."""

import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Network
from pathlib import Path

import pytest
from tests.support.clouds import is_root, make_settings, state_directory

from trove.cloud.local import packages
from trove.cloud.local.addresses import Addresses
from trove.cloud.local.commands import must, need_program, run
from trove.cloud.local.locking import is_locked, locked
from trove.cloud.local.privileges import Needs, launch_prefix, unreachable, user_prefix
from trove.cloud.local.processes import MARKER, ProcessSet, wait_until
from trove.cloud.local.records import (
    make_directory,
    read_record,
    read_untrusted,
    remove_file,
    remove_tree,
    write_file,
    write_record,
)
from trove.cloud.local.servers import run_directory
from trove.cloud.local.settings import DEFAULT_PACKAGES, NARROW_UIDS, WIDE_UIDS, HostPackages, LocalCloudSettings, uid_range
from trove.cloud.local.users import Users
from trove.core.errors import CloudError, InvalidInput, Unavailable


@pytest.fixture
def place() -> Iterator[Path]:
    with state_directory() as made:
        yield made


@pytest.mark.parametrize(
    ("uid_map", "wanted"),
    [
        ("         0          0 4294967295\n", WIDE_UIDS),
        ("         0     100000      65536\n", NARROW_UIDS),
        ("         0     100000      65536\n    65536     200000 2147400000\n", WIDE_UIDS),
        ("", NARROW_UIDS),
    ],
)
def test_user_ids_are_among_those_that_the_machine_knows(uid_map: str, wanted: tuple[int, int]) -> None:
    assert uid_range(uid_map) == wanted


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"state_dir": Path("relative")}, "state_dir"),
        ({"state_dir": Path("/a\nb")}, "state_dir"),
        ({"agent_command": ()}, "agent_command"),
        ({"sandbox": "jail"}, "sandbox"),
        ({"volumes": "lvm"}, "volumes"),
        ({"uid_range": (5, 4)}, "uid_range"),
        ({"restart_delays_s": ()}, "restart_delays_s"),
        ({"address_pool": "10.0.0.0/16"}, "address_pool"),
        ({"address_pool": "127.0.0.1"}, "address_pool"),
        ({"address_pool": "nonsense"}, "address_pool"),
    ],
)
def test_bad_settings_are_refused_by_name(changes: dict[str, object], told: str) -> None:
    settings = LocalCloudSettings(state_dir=Path("/s"), agent_command=("agent",))
    settings.check()
    with pytest.raises(InvalidInput, match=told):
        replace(settings, **changes).check()  # type: ignore[arg-type]


def test_a_lock_is_seen_and_its_file_may_go(place: Path) -> None:
    path = place / "lock"
    assert not is_locked(path)
    with locked(path, remove=True):
        assert is_locked(path)
    assert not path.exists()


def test_a_lock_excludes_although_its_file_is_removed_each_time(place: Path) -> None:
    path, inside, most = place / "lock", 0, 0

    def work() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(path, remove=True):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1


def test_a_lock_that_somebody_keeps_is_waited_for_with_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with locked(path), pytest.raises(Unavailable, match=r"a\.lock"), locked(path, timeout_s=0.05):
        pass
    with locked(path, shared=True), locked(path, shared=True, timeout_s=0.05):
        pass


def test_records_are_private_and_whole(place: Path) -> None:
    path = place / "a.json"
    assert read_record(path) is None
    write_record(path, {"a": 1})
    assert read_record(path) == {"a": 1}
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("{")
    with pytest.raises(CloudError, match="damaged"):
        read_record(path)
    remove_file(path)
    remove_file(path)


def test_a_planted_link_is_never_followed(place: Path) -> None:
    (place / "target").write_text("precious")
    (place / "link").symlink_to(place / "target")
    os.mkfifo(place / "pipe")
    (place / ".link.new").symlink_to(place / "target")
    assert read_untrusted(place / "link") == ""
    assert read_untrusted(place / "pipe") == ""
    assert read_untrusted(place / "target", tail=3) == "ous"
    write_file(place / "link", b"new")
    assert (place / "target").read_text() == "precious"
    with pytest.raises(OSError, match=r"Not a directory|Too many"):
        make_directory(place / "target" / ".." / "pipe")
    (place / "tree").symlink_to(place)
    remove_tree(place / "tree")
    assert (place / "target").exists()


def test_commands_end_in_time_with_their_words() -> None:
    assert run(["/bin/sh", "-c", "echo out; echo err >&2; exit 3"]) == (3, "out\nerr\n")
    assert run(["/no/such"])[0] == 127
    assert run(["/bin/sh", "-c", "sleep 60 & wait"], timeout_s=0.2)[0] == 124
    with pytest.raises(CloudError, match="Cannot try it: oh no"):
        must(["/bin/sh", "-c", "echo oh no; exit 1"], "try it")
    with pytest.raises(CloudError, match="apt-get install nothing"):
        need_program("no-such-program", "nothing")


def test_addresses_never_end_in_0_or_255_and_run_out_by_name(place: Path) -> None:
    ports = place / "ports"
    ports.mkdir()
    addresses = Addresses(ports, place / "lock", IPv4Network("127.70.0.248/29"))
    given = [addresses.ensure(f"i{number}", None, None, ()) for number in range(7)]
    assert len(set(given)) == 7
    assert not [one for one in given if one.endswith((".0", ".255"))]
    with pytest.raises(CloudError, match=r"No address is left in .*127\.70\.0\.248/29"):
        addresses.ensure("more", None, None, ())
    addresses.delete("i0")
    assert addresses.ensure("more", None, None, ()) == given[0]


def test_user_ids_are_leased_once(place: Path) -> None:
    leases = place / "uids"
    leases.mkdir()
    users = Users(leases, place / "lock", (62000, 62003))
    maker = users.ensure_template_maker()
    given = {users.ensure(name) for name in ("a", "b", "c")}
    assert len(given | {maker}) == 4
    assert users.ensure("a") == users.find("a")
    with pytest.raises(CloudError, match="No user id is left"):
        users.ensure("d")
    users.release("a")
    users.release("a")
    assert users.ensure("d") in given
    assert users.held() == ("b", "c", "d")


def test_sockets_get_a_short_directory() -> None:
    assert run_directory(Path("/s/servers/x")) == Path("/s/servers/x/run")
    short = run_directory(Path("/" + "long/" * 30))
    assert len(str(short)) < 60
    assert short == run_directory(Path("/" + "long/" * 30))


def test_processes_are_found_by_their_marker_with_their_kin(place: Path) -> None:
    own = ProcessSet(marker=place, uid=None)
    other = ProcessSet(marker=place / "other", uid=None)
    parent = subprocess.Popen(
        ["/bin/sh", "-c", "setsid env -i sleep 60 & wait"], env={MARKER: str(place), "PATH": os.environ["PATH"]}
    )
    try:
        assert wait_until(lambda: {process.name for process in own.members()} >= {"sh", "sleep"}, 20)
        assert other.members() == ()
    finally:
        own.kill()
        parent.wait()
    assert own.members() == ()
    assert parent.returncode == -signal.SIGKILL


def test_the_caller_never_counts_as_a_process_of_an_instance(place: Path) -> None:
    script = (
        "import os, sys, pathlib\n"
        "from trove.cloud.local.processes import ProcessSet\n"
        "assert ProcessSet(marker=pathlib.Path(sys.argv[1]), uid=None).members() == ()\n"
    )
    subprocess.run([sys.executable, "-c", script, str(place)], env={MARKER: str(place)}, check=True)


def test_engines_are_found_or_named() -> None:
    known = {"shell": HostPackages(programs=("no-such", "sh"), install="apt-get install dash")}
    assert packages.find_server(known, "shell").endswith("/sh")
    with pytest.raises(CloudError, match="it knows: shell"):
        packages.find_server(known, "oracle")
    with pytest.raises(CloudError, match=r"image build mysql-9\.7"):
        packages.find_server(known, "mysql")
    assert "mariadb-server-core" in DEFAULT_PACKAGES["mariadb"].install


def test_of_several_versions_that_are_installed_the_highest_is_taken(tmp_path: Path) -> None:
    for version in ("9", "15", "13"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "server").write_text("#!/bin/sh\necho Server v=3.10.2 of 2026\n")
        (tmp_path / version / "server").chmod(0o755)
    known = {"ours": HostPackages(programs=("no-such", f"{tmp_path}/*/server"), install="make it")}
    found = packages.find_server(known, "ours")
    assert found == str(tmp_path / "15/server")
    assert packages.told_version(found) == "3.10.2"


def test_without_root_nothing_is_put_before_the_agent() -> None:
    assert user_prefix(None) == ()
    assert launch_prefix(None, Needs(read=(Path("/root"),))) == ()


@pytest.mark.skipif(not is_root(), reason="needs root")
def test_what_a_user_cannot_reach_is_found_and_shown_to_it(place: Path) -> None:
    closed = place / "closed"
    for name in ("read", "write", "reach"):
        (closed / name).mkdir(parents=True)
    closed.chmod(0o700)
    os.chown(closed / "write", 62000, 62000)
    (closed / "reach").chmod(0o711)
    needs = Needs(read=(closed / "read",), reach=(closed / "reach",), write=(closed / "write",))
    assert set(unreachable(user_prefix(62000), needs)) == {closed / "read", closed / "reach", closed / "write"}
    prefix = launch_prefix(62000, needs)
    assert unreachable(prefix, needs) == ()
    assert (
        run([*prefix, "/bin/sh", "-c", f"touch {closed}/write/x; touch {closed}/read/x; id -u"])[1].splitlines()[-1] == "62000"
    )
    assert (closed / "write" / "x").exists()
    assert not (closed / "read" / "x").exists()


@pytest.mark.skipif(not is_root(), reason="needs root")
def test_what_no_view_can_open_is_told(place: Path) -> None:
    (place / "file").write_text("")
    (place / "file").chmod(0o600)
    with pytest.raises(CloudError, match=r"file cannot be used .*chmod"):
        launch_prefix(62000, Needs(read=(place / "file",)))


def test_settings_of_tests_are_good(place: Path) -> None:
    make_settings(place).check()


@pytest.mark.skipif(not is_root(), reason="only root gives instances users of their own")
def test_a_trial_is_not_ended_with_what_else_its_user_runs() -> None:
    uid = WIDE_UIDS[1]
    found: list[tuple[Path, ...]] = []
    with tempfile.TemporaryDirectory(prefix="trove-trial-") as place:
        Path(place).chmod(0o755)
        waits = Path(place, "waits")
        os.mkfifo(waits)
        waits.chmod(0o666)
        prefix = (*user_prefix(uid), "/bin/sh", "-c", f'read line < {waits}; exec "$@"', "sh")
        trial = threading.Thread(target=lambda: found.append(unreachable(prefix, Needs(reach=(Path("/usr"),)))))
        trial.start()
        with waits.open("w") as line:  # it has begun
            ProcessSet(marker=Path(place, "templates"), uid=uid).kill()
            line.write("go on\n")
        trial.join()
    assert found == [()]
