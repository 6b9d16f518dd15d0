"""What happens behind Trove's back is told within rounds, what it left is cleared away, and what it does not know stays."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from oslo_config import cfg
from tests.support.stack import BIN, Stack, await_value, stack

from trove.cloud.contract import NicRequest
from trove.cloud.local import LocalCloud
from trove.cmd import clouds, logs
from trove.config import opts
from trove.core.ids import new_id

ROUNDS_S = 60.0


@pytest.fixture
def own() -> Iterator[Stack]:
    with stack(config="[reconciler]\ninterval = 1\n") as running:
        yield running


def cloud_of(own: Stack) -> LocalCloud:
    """Return the stack's cloud, as an operator or another program would reach it."""
    conf = cfg.ConfigOpts()
    logs.register(conf)
    opts.load(conf, [f"--config-file={path}" for path in config_files(own)], prog="test", description="")
    found = clouds.cloud(conf)
    assert isinstance(found, LocalCloud)
    return found


def config_files(own: Stack) -> list[str]:
    return [str(own.root / "etc" / name) for name in ("trove.conf", "override.conf")]


def orphans(own: Stack, *words: str) -> Any:
    """Run `trove-manage --json orphans …`; return what it prints."""
    files = [f"--config-file={path}" for path in config_files(own)]
    done = subprocess.run(
        [str(BIN / "trove-manage"), *files, "--json", "orphans", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_what_happens_behind_our_back_is_found_told_and_cleared_up(own: Stack) -> None:
    lives, loses = own.create("lives"), own.create("loses")
    for instance_id in (lives, loses):
        own.await_healthy(instance_id)
    cloud = cloud_of(own)

    cloud.delete_server(loses)
    await_value(lambda: (own.show(loses) or {})["status"] == "ERROR", ROUNDS_S, "the vanished server is not told")
    shown = own.show(loses)
    assert shown is not None
    assert "vanished from the cloud" in shown["fault"]["message"]

    unknown = new_id()
    cloud.ensure_volume(unknown, size_gib=1, volume_type=None)
    [orphan] = await_value(lambda: orphans(own, "list"), ROUNDS_S, "the unknown volume is not listed")
    assert (orphan["kind"], orphan["instance_id"], orphan["size_gib"]) == ("volume", unknown, 1)
    assert orphans(own, "clean", "--yes")["removed"] == [f"volume of {unknown}"]
    assert own.leftovers(unknown) == []
    assert orphans(own, "list") == []

    own.delete(loses)
    own.await_gone(loses)
    cloud.ensure_port(loses, NicRequest(), None, (3306,))  # as a call does that lands after the deletion
    await_value(lambda: loses not in cloud.leftovers().ports, ROUNDS_S, "what was left of a deleted instance stays")

    cloud.stop_server(lives, timeout_s=30)
    await_value(lambda: (own.show(lives) or {})["status"] == "SHUTDOWN", ROUNDS_S, "the stopped server is not told")
    cloud.start_server(lives)
    own.await_query(lives, password="secret-lives")
    recovered = await_value(lambda: _without_fault(own, lives), ROUNDS_S, "the started server is not told")
    assert recovered["status"] == "ACTIVE"
    own.delete(lives)
    own.await_gone(lives)


def _without_fault(own: Stack, instance_id: str) -> dict[str, Any] | None:
    shown = own.show(instance_id)
    assert shown is not None
    return None if "fault" in shown else shown
