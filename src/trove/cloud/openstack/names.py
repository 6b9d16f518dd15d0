"""Names of instances as Designate's recordsets: known by their description, in whatever zone of the service's project."""

from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address
from typing import Any

from openstack import exceptions as sdk
from openstack.dns.v2.recordset import Recordset

from trove.cloud.contract import resolved
from trove.cloud.openstack.errors import translated
from trove.cloud.openstack.naming import instance_tagged, tag_of
from trove.cloud.openstack.settings import OpenStackSettings
from trove.cloud.openstack.waiting import wait_until
from trove.core.errors import CloudError
from trove.core.instances import Address

_KINDS = {4: "A", 6: "AAAA"}


class DesignateNames:
    """The names of instances: `<instance id>.<zone>`, with a recordset for each kind of address."""

    def __init__(self, connection: Any, settings: OpenStackSettings) -> None:
        self._dns = connection.dns
        self._settings = settings
        with translated("log in"):
            self._own = str(connection.current_project_id)

    def ensure(self, instance_id: str, addresses: Sequence[Address]) -> str:
        """Make the name mean the addresses, wait until the name servers say so, and return it without a dot at its end."""
        zone = self._zone()
        name = f"{instance_id}.{zone.name}"
        wanted = _records(addresses)
        for each in self._of(instance_id):
            if each.name != name or each.type not in wanted:
                self._delete(each)
        put = [
            self._changed(self._find(instance_id, name, kind) or self._make(zone, instance_id, name, (kind, records)), records)
            for kind, records in sorted(wanted.items())
        ]
        for each in put:
            self._settle(name.rstrip("."), each)
        return name.rstrip(".")

    def delete(self, instance_id: str) -> None:
        """Have the name forgotten. Missing is fine."""
        for each in self._of(instance_id):
            self._delete(each)

    def held(self) -> tuple[str, ...]:
        """Return the ids of all instances that have a name."""
        with translated("list names"):
            found = [instance_tagged([each.description]) for each in self._recordsets(tag_of("*"))]
        return tuple(sorted({each for each in found if each}))

    def _zone(self) -> Any:
        wanted = self._settings.zone
        named = f"{wanted.name.rstrip('.')}." if wanted.name else None
        with translated("look for the zone of names"):
            found = self._zone_of(wanted.id) if wanted.id else next(iter(self._dns.zones(name=named)), None)
        # One that is shared with the project can be seen, but the records in it are its owner's.
        if found is None or found.project_id != self._own or (named and found.name != named):
            told = " with the id ".join(each for each in (wanted.name, wanted.id) if each)
            raise CloudError(f"The service's project has no DNS zone {told}. The operator of the service must make it.")
        return found

    def _zone_of(self, zone_id: str) -> Any | None:
        try:
            return self._dns.get_zone(zone_id)
        except sdk.NotFoundException:
            return None

    def _make(self, zone: Any, instance_id: str, name: str, record: tuple[str, list[str]]) -> Any:
        kind, addresses = record
        described = {"ttl": self._settings.zone.ttl_s, "records": addresses, "description": tag_of(instance_id)}
        with translated("make the name"), suppress(sdk.ConflictException):
            return self._dns.create_recordset(zone, name=name, type=kind, **described)
        found = self._find(instance_id, name, kind)  # somebody who has died since may have made it
        if found is None:
            raise CloudError(f"The name {name.rstrip('.')} belongs to something else in DNS already.")
        return found

    def _changed(self, found: Any, addresses: list[str]) -> Any:
        ttl_s = self._settings.zone.ttl_s
        if sorted(found.records) == addresses and found.ttl == ttl_s:
            return found
        with translated("change the name"):
            return self._dns.update_recordset(found, records=addresses, ttl=ttl_s)

    def _settle(self, name: str, put: Any) -> None:
        seen = wait_until(
            lambda: self._look(put),
            lambda seen: seen.status != "PENDING",
            what=f"have its name servers know {name}",
            timeout_s=self._settings.timeouts.name_s,
            poll_s=self._settings.timeouts.poll_s,
        )
        if seen.status != "ACTIVE":
            raise CloudError(f"The cloud's name servers do not take the name {name}: it is in state {seen.status}.")

    def _look(self, put: Any) -> Any:
        with translated("look at the name"):
            return self._dns.get_recordset(put.id, put.zone_id)

    def _find(self, instance_id: str, name: str, kind: str) -> Any | None:
        return next((each for each in self._of(instance_id) if (each.name, each.type) == (name, kind)), None)

    def _of(self, instance_id: str) -> list[Any]:
        with translated("look for the name"):
            return self._recordsets(tag_of(instance_id))

    def _recordsets(self, description: str) -> list[Any]:
        """Return our recordsets with a description, in all zones, but those that are being deleted well."""
        found: list[Recordset] = []
        query = {"description": description, "limit": "max"}
        while True:
            # By hand: the library's own list of recordsets needs a zone (seen with openstacksdk 4.22).
            answer = self._dns.get("/recordsets", params=query)
            sdk.raise_from_response(answer)
            page = answer.json()
            found += [Recordset.existing(**each) for each in page["recordsets"]]
            if not page["links"].get("next"):
                return [each for each in found if each.project_id == self._own and not _goes(each)]
            query["marker"] = found[-1].id

    def _delete(self, found: Any) -> None:
        with translated("remove the name"):
            self._dns.delete_recordset(found, ignore_missing=True)


def _goes(found: Any) -> bool:
    return bool(found.action == "DELETE" and found.status != "ERROR")


def _records(addresses: Sequence[Address]) -> dict[str, list[str]]:
    """Return what the name means, by kinds of records, in order."""
    made: dict[str, list[str]] = {}
    for each in resolved(addresses):
        made.setdefault(_KINDS[ip_address(each).version], []).append(each)
    if not made:
        raise CloudError("An instance without an address can have no name.")
    return made
