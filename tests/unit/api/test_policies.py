import pytest
from tests.support.http_api import oslo_conf

from trove.api.policies import list_rules
from trove.api.policies.enforcement import Policy
from trove.core.callers import Caller
from trove.core.errors import Forbidden

LEGACY = {  # the names that operators' policy files use, as far as this version has the routes
    *(f"instance:{verb}" for verb in ("create", "delete", "force_delete", "index", "detail", "show", "update", "restart")),
    *(f"instance:{verb}" for verb in ("resize_volume", "resize_flavor", "promote_to_replica_source", "eject_replica_source")),
    "instance:reset_status",
    *(f"instance:extension:root:{verb}" for verb in ("create", "delete", "index")),
    *(f"instance:extension:user:{verb}" for verb in ("create", "delete", "index", "show", "update", "update_all")),
    *(f"instance:extension:user_access:{verb}" for verb in ("update", "delete", "index")),
    *(f"instance:extension:database:{verb}" for verb in ("create", "delete", "index", "show")),
    *(f"datastore:{verb}" for verb in ("index", "show", "version_show", "version_show_by_uuid", "version_index")),
    "datastore:list_associated_flavors",
    "datastore:list_associated_volume_types",
    "flavor:index",
    "flavor:show",
    "limits:index",
    "context_is_admin",
    "admin",
    "admin_or_owner",
    "default",
}


@pytest.fixture(scope="module")
def policy():
    return Policy(oslo_conf())


def caller(*roles, is_admin=False):
    return Caller(project_id="p1", user_id="u1", request_id="r", roles=roles, is_admin=is_admin)


def test_the_names_are_troves():
    assert {rule.name for rule in list_rules()} >= LEGACY


def test_each_rule_is_there_once_and_documented():
    names = [rule.name for rule in list_rules()]
    assert len(names) == len(set(names))
    assert all(rule.description for rule in list_rules())


@pytest.mark.parametrize(
    ("roles", "reads", "changes", "resets"),
    [
        ((), False, False, False),
        (("reader",), True, False, False),
        (("member",), True, True, False),
        (("Member",), True, True, False),
        (("admin",), True, True, True),
        (("something",), False, False, False),
    ],
)
def test_personas(policy, roles, reads, changes, resets):
    who = caller(*roles, is_admin=policy.is_admin(roles))
    assert policy.allows("instance:show", who) is reads
    assert policy.allows("instance:delete", who) is changes
    assert policy.allows("instance:reset_status", who) is resets
    assert policy.allows("flavor:index", who) is True


def test_answers_are_remembered_for_the_same_question_only(policy):
    for _ in range(2):
        assert policy.allows("instance:delete", caller("member"))
        assert not policy.allows("instance:delete", caller("reader"))


def test_refusals_name_the_rule(policy):
    with pytest.raises(Forbidden, match="instance:delete"):
        policy.enforce("instance:delete", caller())
