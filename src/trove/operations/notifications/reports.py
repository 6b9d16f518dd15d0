"""What is told again and again: which instances exist (`trove.instance.exists`), and what projects use of their quotas."""

from collections.abc import Mapping

from trove.core.clock import utcnow
from trove.core.errors import TroveError
from trove.core.json import JSON
from trove.core.notifications import moment, usage_payload
from trove.operations.booking import quota_defaults
from trove.operations.doors import Doors
from trove.store import notifications, quotas, usage
from trove.store.session import Tx

EXISTS = "trove.instance.exists"
QUOTA = "dbaas.quota"
BATCH = 1000


def report_instances(tx: Tx, *, every_s: float) -> int | None:
    """Store that every live instance exists, once for a period of `every_s` seconds among all task managers.

    Returns how many; None when the period is not over, or another task manager has reported on it. What ran in no task manager
    is made up for by one longer period.
    """
    period = notifications.begin_period(tx, EXISTS, length_s=every_s)
    if period is None or tx.publisher is None:
        return None
    audit: dict[str, JSON] = {"audit_period_beginning": moment(period[0]), "audit_period_ending": moment(period[1])}
    told, last = 0, ""
    while batch := usage.page(tx, limit=BATCH, after=last):
        publisher = tx.publisher
        payloads = [{**usage_payload(each, publisher), **audit, "display_name": each.name} for each in batch]
        notifications.put_all(tx, EXISTS, payloads)
        told, last = told + len(batch), batch[-1].instance_id
    return told


def report_quotas(tx: Tx, doors: Doors, *, every_s: float) -> int | None:
    """Store use and limit of every quota of every project that uses something; once a period, as `report_instances`."""
    if notifications.begin_period(tx, QUOTA, length_s=every_s) is None:
        return None
    told, last, updated = 0, "", moment(utcnow())
    defaults = quota_defaults(doors.settings.limits)
    while projects := quotas.projects(tx, limit=BATCH, after=last):
        for project in projects:
            payloads: list[dict[str, JSON]] = [
                {
                    "tenant_id": project,
                    "resource": quota.resource.value,
                    "in_use": quota.in_use,
                    "reserved": quota.reserved,
                    "limit": quota.limit,
                    "updated": updated,
                }
                for quota in quotas.limits_of(tx, project, defaults)
            ]
            notifications.put_all(tx, QUOTA, payloads)
            told += len(payloads)
        last = projects[-1]
    return told


def with_flavor_name(doors: Doors, payload: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Return a usage payload with the name of its flavor, or its id where the cloud does not know it (any more).

    The cloud is asked outside of the transaction that stores the notification.
    """
    flavor_id = payload.get("instance_type_id")
    if flavor_id is None or payload.get("instance_type") is not None:
        return payload
    try:
        return {**payload, "instance_type": doors.cloud.flavor(str(flavor_id)).name}
    except TroveError:
        return {**payload, "instance_type": flavor_id}
