"""Creates, restarts and deletes on a whole stack while something is done to it, and the proof that each was done once."""

from collections.abc import Callable
from contextlib import suppress

from tests.support.stack import Stack, await_value

NAMES = ("old-a", "old-b", "old-c", "new-a", "new-b", "new-c")


def work_while(own: Stack, disturb_changes: Callable[[], None], disturb_deletes: Callable[[], None]) -> None:
    """Create, restart and delete, fourteen operations in all; disturb after six were accepted, and after the last five.

    All must succeed, each instance must have one server whose data are there, and nothing may be left of the deleted ones.
    """
    ids: dict[str, str] = {}
    try:
        for name in NAMES[:3]:
            ids[name] = own.create(name)
        for name in NAMES[:3]:
            own.await_healthy(ids[name])
        for name in NAMES[:2]:
            accepted = own.request("POST", f"/instances/{ids[name]}/action", {"restart": {}})
            assert accepted.status == 202, accepted.text
        own.delete(ids["old-c"])
        for name in NAMES[3:]:
            ids[name] = own.create(name)
        disturb_changes()
        own.await_gone(ids["old-c"])
        for name in (*NAMES[:2], *NAMES[3:]):
            own.await_healthy(ids[name])
            own.await_query(ids[name], password=f"secret-{name}")
            await_value(lambda name=name: _ended(own, ids[name]), 60.0, f"the operations on {name} do not end")
            kinds = sorted(one["kind"] for one in own.operations(ids[name]))
            assert kinds == ["instance.create", "instance.restart"][: 2 if name.startswith("old") else 1]
            assert {one["state"] for one in own.operations(ids[name])} == {"SUCCEEDED"}
            assert len(own.servers(ids[name])) == 1
    finally:
        for instance_id in ids.values():
            with suppress(OSError):
                own.delete(instance_id)
    disturb_deletes()
    for instance_id in ids.values():
        own.await_gone(instance_id)
    assert own.request("GET", "/instances").body == {"instances": []}


def _ended(own: Stack, instance_id: str) -> bool:
    return all(one["state"] not in {"PENDING", "RUNNING", "REVERTING"} for one in own.operations(instance_id))
