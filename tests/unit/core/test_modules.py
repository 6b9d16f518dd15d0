"""Modules: their order, and that what a guest says of them is held against their form."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from trove.core.modules import Module, ModuleResult, ModuleStatus, digest, in_turn

NOW = datetime(2030, 1, 1, tzinfo=UTC)
MODULE = Module(
    id="m",
    name="m",
    type="ping",
    description=None,
    project_id="p",
    datastore_id=None,
    datastore_name=None,
    version_id=None,
    version_name=None,
    auto_apply=False,
    visible=True,
    live_update=False,
    priority_apply=False,
    apply_order=5,
    is_admin=False,
    md5=digest(b""),
    created=NOW,
    updated=NOW,
)
RESULT = ModuleResult(
    id="m", name="m", type="ping", md5=digest(b"x"), status=ModuleStatus.OK, message="", created=NOW, updated=NOW
)


def test_important_ones_come_first_then_by_order_then_by_name() -> None:
    last = replace(MODULE, name="a", apply_order=9)
    first, second = replace(MODULE, name="b", apply_order=1), replace(MODULE, name="c", apply_order=1)
    important = replace(MODULE, name="z", apply_order=9, priority_apply=True)
    assert in_turn([last, second, important, first]) == (important, first, second, last)


def test_a_digest_is_what_md5sum_prints() -> None:
    assert digest(b"message=hi") == "84d6fd7a139ceb0f1e3e36c0d083a1da"


def test_a_result_crosses_the_bus_and_hides_its_contents() -> None:
    told = replace(RESULT, contents="c2VjcmV0")
    assert ModuleResult.from_json(told.to_json()) == told
    assert "c2VjcmV0" not in repr(told)


@pytest.mark.parametrize(
    "changes",
    [{"md5": "x" * 5000}, {"md5": None}, {"md5": digest(b"x").upper()}, {"status": "FINE"}, {"created": "now"}, {"updated": 7}],
)
def test_what_is_malformed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r".*"):
        ModuleResult.from_json({**RESULT.to_json(), **changes})
