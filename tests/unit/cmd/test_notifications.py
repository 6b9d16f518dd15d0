"""From the configuration to notifications: off unless a driver is named, and nothing is loaded for them in vain."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from oslo_config import cfg

from trove.cmd import notifications
from trove.config import opts
from trove.core.clock import utcnow
from trove.core.errors import InvalidInput
from trove.core.notifications import Notification, Publisher

NEEDS_NOTHING = """
import sys
from trove.cmd import wiring
from trove.taskmanager import relay, reports
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
assert not loaded & {"oslo_messaging", "oslo_service", "eventlet"}, loaded
from trove.bus import notifications
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module is not None}
assert "oslo_messaging" in loaded
assert not loaded & {"eventlet"}, loaded
"""


def load(tmp_path: Path, text: str) -> cfg.ConfigOpts:
    path = tmp_path / "trove.conf"
    path.write_text(text)
    return opts.load(cfg.ConfigOpts(), [f"--config-file={path}"], prog="test", description="")


def on(more: str = "") -> str:
    return f"[DEFAULT]\nhost = h1\nbind_host = 192.0.2.9\n{more}\n[oslo_messaging_notifications]\ndriver = messagingv2\n"


def test_without_a_driver_nothing_is_stored_nor_published(tmp_path: Path):
    conf = load(tmp_path, "[DEFAULT]\nexists_notifications = true\nquota_notification_interval = 60\n")
    assert notifications.publisher(conf, "trove-api") is None
    assert notifications.transport(conf) is None
    settings = notifications.report_settings(conf)
    assert (settings.instances_every_s, settings.quotas_every_s) == (0, 0)


def test_the_driver_noop_counts_as_none(tmp_path: Path):
    conf = load(tmp_path, "[oslo_messaging_notifications]\ndriver = noop\n")
    assert notifications.transport(conf) is None


def test_an_unknown_driver_is_named(tmp_path: Path):
    conf = load(tmp_path, "[oslo_messaging_notifications]\ndriver = messagingv3\n")
    with pytest.raises(InvalidInput, match="'messagingv3' is none of"):
        notifications.transport(conf)


def test_the_driver_log_needs_no_broker(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    bus = "transport_url = valkey+unix:///run/bus.sock?password=s3cr3t"
    conf = load(tmp_path, f"[DEFAULT]\n{bus}\n[oslo_messaging_notifications]\ndriver = log\n")
    transport = notifications.transport(conf)
    assert transport is not None
    with caplog.at_level("INFO"):
        transport.publish(
            Notification(
                number=1, publisher_id="trove-api.h1", event_type="dbaas.quota", payload={"limit": 3}, created=utcnow()
            )
        )
    transport.close()
    (record,) = (each for each in caplog.records if each.name == "oslo.messaging.notification.dbaas.quota")
    told = json.loads(record.getMessage())
    assert (told["publisher_id"], told["event_type"], told["payload"]) == ("trove-api.h1", "dbaas.quota", {"limit": 3})


def test_services_publish_in_their_own_names(tmp_path: Path):
    conf = load(tmp_path, on("notification_service_id = mariadb:aa,postgresql:bb"))
    ids = {"mariadb": "aa", "postgresql": "bb"}
    assert notifications.publisher(conf, "trove-api") == Publisher(
        id="trove-api.h1", server_type="api", server_ip="192.0.2.9", service_ids=ids
    )
    assert notifications.publisher(conf, "trove-taskmanager") == Publisher(
        id="trove-taskmanager.h1", server_type="taskmanager", server_ip="192.0.2.9", service_ids=ids
    )
    assert notifications.publisher(conf, None) is None


@pytest.mark.parametrize(
    ("options", "every_s"),
    [
        ("", 0),
        ("exists_notifications = true", 3600),
        ("exists_notification_transformer = trove.extensions.mgmt.instances.models.NovaNotificationTransformer", 3600),
        ("exists_notifications = true\nexists_notification_interval = 60", 60),
    ],
)
def test_instances_are_told_to_exist_only_on_demand(tmp_path: Path, options: str, every_s: int):
    assert notifications.report_settings(load(tmp_path, on(options))).instances_every_s == every_s


def test_oslo_messaging_is_loaded_on_demand_and_never_brings_eventlet():
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:eventlet", "-c", NEEDS_NOTHING],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
