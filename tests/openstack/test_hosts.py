"""Hosts of servers that die. Nova's fake driver does not start again on a host where it has been: these need real ones."""

import re

from tests.openstack.lab import need_lab, stopped
from tests.openstack.service import GONE_S, Deployment, until


def test_a_host_that_dies_while_it_is_needed_makes_the_server_or_a_fault(service: Deployment) -> None:
    need_lab()
    with stopped("nova_compute"):
        one = service.create("one")
        until(lambda: service.server(one), "a server was asked for")
        assert service.status_of(one) == "BUILD"

    def settled() -> bool:
        server = service.server(one)
        return service.status_of(one) == "ERROR" or (server is not None and server.status == "ACTIVE")

    # What a host was doing when it died Nova may give up; then it is to be told.
    until(settled, "the creation goes on or fails", GONE_S)
    if service.status_of(one) == "ERROR":
        assert re.search("server|[Hh]ost", service.await_error(one))
