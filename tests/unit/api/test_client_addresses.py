"""Where a request came from is known to who tells of it, and makes no difference to what its author may do."""

from dataclasses import replace

from tests.support.http_api import oslo_conf

from trove.api.filters import identity
from trove.api.policies.enforcement import Policy
from trove.core.callers import Caller

PROVEN = {
    "PATH_INFO": "/p1/instances",
    "HTTP_X_IDENTITY_STATUS": "Confirmed",
    "HTTP_X_PROJECT_ID": "p1",
    "HTTP_X_USER_ID": "u1",
    "HTTP_X_ROLES": "member",
    identity.KEYSTONE: object(),
}


def test_the_caller_has_the_address_of_the_client():
    seen: list[Caller] = []

    def app(environ, _start_response):
        seen.append(environ[identity.CALLER])
        return []

    filtered = identity.authorize(identity.with_caller(app, Policy(oslo_conf())))
    filtered({**PROVEN, "REMOTE_ADDR": "198.51.100.7"}, lambda *_: None)
    filtered(dict(PROVEN), lambda *_: None)
    assert [caller.client_ip for caller in seen] == ["198.51.100.7", ""]


def test_one_answer_of_the_policy_is_remembered_for_all_addresses_of_a_caller():
    policy = Policy(oslo_conf())
    caller = Caller(project_id="p1", user_id="u1", request_id="req-1", roles=("member",), client_ip="198.51.100.7")
    assert policy.allows("instance:show", caller)
    remembered = len(policy._current().answers)
    for number in range(20):
        assert policy.allows("instance:show", replace(caller, client_ip=f"198.51.100.{number}"))
    assert len(policy._current().answers) == remembered
