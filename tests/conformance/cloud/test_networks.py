"""The one network of the local cloud: clients that must name a network can, and another is refused before anything is made."""

from dataclasses import replace

import pytest
from tests.conformance.cloud.conftest import Form

from trove.cloud.contract import NicRequest
from trove.cloud.local.addresses import NETWORK_ID, SUBNET_ID
from trove.core.errors import InvalidInput
from trove.core.ids import new_id


def test_the_network_that_addresses_show_can_be_asked_for(local: Form) -> None:
    one, two = new_id(), new_id()
    (address,) = local.cloud.ensure_port(one, NicRequest(), None, (3306,)).addresses
    assert address.network == NETWORK_ID
    wanted = NicRequest(network_id=NETWORK_ID.upper(), subnet_id=SUBNET_ID)
    local.cloud.check_nic(wanted, "project")
    (other,) = local.cloud.ensure_port(two, wanted, None, (3306,)).addresses
    assert other == replace(address, address=other.address)


@pytest.mark.parametrize(
    "nic", [NicRequest(network_id=SUBNET_ID), NicRequest(subnet_id=NETWORK_ID), NicRequest(port_id=NETWORK_ID)]
)
def test_any_other_network_is_refused_by_name(local: Form, nic: NicRequest) -> None:
    with pytest.raises(InvalidInput, match="nics"):
        local.cloud.check_nic(nic, "project")
    assert local.cloud.leftovers().ports == ()
