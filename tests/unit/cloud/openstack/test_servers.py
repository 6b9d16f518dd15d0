"""Servers that Nova is at already when it is asked again, on a stand-in for openstacksdk."""

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import requests
from openstack.exceptions import ConflictException

from trove.cloud.contract import ServerSpec
from trove.cloud.openstack.servers import Servers
from trove.cloud.openstack.settings import OpenStackSettings
from trove.core.errors import CloudBusy
from trove.core.flavors import Flavor
from trove.core.ids import new_id

FLAVOR = Flavor(id="1", name="small", ram_mib=512, disk_gib=4, vcpus=1)


@dataclass
class Compute:
    """One server. A rebuild is done when it has been looked at once more."""

    server: SimpleNamespace
    asked: list[str] = field(default_factory=list)

    def rebuild_server(self, server: SimpleNamespace, image: str, *, name: str, user_data: str) -> None:
        """Begin, unless it is at it already: Nova refuses that."""
        if self.server.status == "REBUILD":
            refusal = requests.Response()
            refusal.status_code = 409
            raise ConflictException(message="it is in task_state rebuilding", response=refusal)
        assert name
        assert user_data
        self.asked.append(image)
        self.server.status, self.server.task_state, self.server.image = "REBUILD", "rebuilding", SimpleNamespace(id=image)

    def get_server(self, server_id: str) -> SimpleNamespace:
        """Return it, done."""
        assert server_id == self.server.id
        self.server.status, self.server.task_state = "ACTIVE", None
        return self.server


def rebuilt(status: str, image: str) -> Compute:
    """Have a server that is in this state, of this image, made anew from the image `new`."""
    task = "rebuild_spawning" if status == "REBUILD" else None
    compute = Compute(SimpleNamespace(id="s1", status=status, task_state=task, image=SimpleNamespace(id=image)))
    connection: Any = SimpleNamespace(compute=compute)
    servers = Servers(connection, OpenStackSettings(auth={}), lambda: [FLAVOR])
    spec = ServerSpec(
        instance_id=new_id(),
        name="one",
        project_id=new_id(),
        image_id="new",
        image_tags=(),
        flavor=FLAVOR,
        manager="mariadb",
        tcp_ports=(3306,),
    )
    assert servers.rebuild(compute.server, spec, image_id="new").status == "ACTIVE"
    return compute


@pytest.mark.parametrize(("status", "image"), [("ACTIVE", "old"), ("ACTIVE", "new"), ("SHUTOFF", "old"), ("ERROR", "new")])
def test_a_server_is_made_anew(status: str, image: str) -> None:
    assert rebuilt(status, image).asked == ["new"]


def test_a_server_that_is_being_made_anew_is_waited_for() -> None:
    assert rebuilt("REBUILD", "new").asked == []


def test_a_server_that_is_being_made_anew_from_another_image_is_not_taken_for_it() -> None:
    with pytest.raises(CloudBusy, match="task_state rebuilding"):
        rebuilt("REBUILD", "old")
