"""The units of the agent, and what it makes of a machine before it begins."""

import configparser
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.private_process import program
from tests.support.virtual_machines import UNIT, need_root, rights

AGENT = "/opt/trove-guestagent/bin/trove-guestagent"
SHUTDOWN = UNIT.with_name("trove-guestagent-shutdown.service")


def read(unit: Path) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(unit)
    return parser


def test_systemd_understands_them(tmp_path: Path) -> None:
    for unit in (UNIT, SHUTDOWN):
        (tmp_path / unit.name).write_text(unit.read_text().replace(AGENT, f"{Path(sys.executable).parent}/trove-guestagent"))
    analyze = program("systemd-analyze", "systemd")
    units = [tmp_path / unit.name for unit in (UNIT, SHUTDOWN)]
    done = subprocess.run([analyze, "verify", *units], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_server_outlives_its_agent_and_is_stopped_before_its_volume_goes() -> None:
    agent, shutdown = read(UNIT), read(SHUTDOWN)
    assert agent["Service"]["KillMode"] == "process"
    assert agent["Service"]["OOMPolicy"] == "continue"
    assert "PrivateTmp" not in agent["Service"]
    assert SHUTDOWN.name in agent["Unit"]["After"].split()
    assert SHUTDOWN.name in agent["Unit"]["Wants"].split()
    assert shutdown["Service"]["ExecStop"].split()[-1] == "--stop"
    assert "/var/lib/mysql" in shutdown["Unit"]["RequiresMountsFor"].split()
    # The volume is mounted for the whole machine, which the agent's own view of files is not.
    assert agent["Service"]["ExecStartPre"].startswith("-+/usr/bin/nsenter --target 1 --mount -- ")
    assert not {"CAP_SYS_PTRACE", "CAP_NET_ADMIN", "CAP_SYS_MODULE", "CAP_MKNOD"} & set(rights())


@pytest.mark.parametrize("gid_is_taken", [False, True])
def test_the_servers_user_is_made_where_it_is_missing(tmp_path: Path, gid_is_taken: bool) -> None:
    need_root()
    etc, uid = tmp_path / "etc", 61_874
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)
    shutil.copytree("/etc", etc, symlinks=True, ignore=lambda folder, names: names if folder.count("/") > 1 else [])
    if gid_is_taken:
        with (etc / "group").open("a") as file:
            file.write(f"somebody:x:{uid}:\n")
    script = (
        "from pathlib import Path; from trove.guestagent import readiness; from trove.guestagent.host import *; "
        "import pwd; p = Path('/nowhere'); "
        f"s = HostSettings(instance_id='i', address='127.0.0.1', data_dir=p, run_dir=p, config_dir=p, log_dir=p, uid={uid}); "
        "readiness._ensure_account(s); readiness._ensure_account(s); u = pwd.getpwuid(s.uid); print(u.pw_gid, u.pw_shell)"
    )
    line = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", 'mount --bind "$0" /etc; exec "$@"', str(etc)]
    done = subprocess.run([*line, sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, f"{uid} /usr/sbin/nologin\n"), done.stderr
    with pytest.raises(KeyError):
        pwd.getpwuid(uid)
