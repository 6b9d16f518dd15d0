"""A cloud that is away when it is first asked is waited for, as one that goes away later."""

from collections.abc import Callable

import pytest
from tests.support.ports import free_port

from trove.cloud.openstack import OpenStackCloud, OpenStackSettings
from trove.core.errors import Unavailable
from trove.core.ids import new_id

_LOGIN = {"username": "trove", "password": "x", "project_name": "service"}
_DOMAINS = {"user_domain_name": "Default", "project_domain_name": "Default"}


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")
@pytest.mark.parametrize(
    "ask",
    [
        lambda cloud: cloud.find_server(new_id()),
        lambda cloud: cloud.find_volume(new_id()),
        lambda cloud: cloud.delete_port(new_id()),
        lambda cloud: cloud.find_image("image", ()),
        lambda cloud: cloud.flavors(),
    ],
)
def test_a_cloud_that_is_away_is_unavailable(ask: Callable[[OpenStackCloud], object]) -> None:
    auth = {"auth_url": f"http://127.0.0.1:{free_port()}/v3", **_LOGIN, **_DOMAINS}
    cloud = OpenStackCloud(OpenStackSettings(auth=auth))
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            ask(cloud)
