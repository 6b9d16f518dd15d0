"""Reads what the bodies of requests about instances mean, in all the forms that clients send."""

from collections.abc import Mapping, Sequence
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any

from trove.cloud.contract import NicRequest
from trove.core.errors import InvalidInput, NotFound
from trove.core.ids import is_id
from trove.core.instances import Access

SIZES: Mapping[str, str] = {"flavorRef": "flavor", "flavor": "flavor", "volume": "volume"}
INHERITED: Mapping[str, str] = {"datastore": "datastore version", "locality": "locality"}
"""What a replica has from its source, so that a request for one must not say it; of `SIZES` see `says_sizes`."""


def source_ref(wanted: Mapping[str, Any]) -> str | None:
    """Return the id of the instance that is to be replicated, None for a plain instance. `slave_of` is its old name.

    Raises `InvalidInput` for two different ones, and for what cannot be said together with it.
    """
    given = {wanted[name] for name in ("replica_of", "slave_of") if wanted.get(name)}
    count = wanted.get("replica_count") or 1
    if not given:
        if count > 1:
            raise InvalidInput("replica_count: more than one needs replica_of")
        return None
    if len(given) > 1:
        raise InvalidInput("slave_of: is another instance than replica_of, whose old name it is")
    for field in ("users", "databases"):
        if wanted.get(field):
            raise InvalidInput(f"{field}: a replica has the {field} of its source")
    for field, what in {**({} if says_sizes(wanted) else SIZES), **INHERITED}.items():
        if wanted.get(field):
            raise InvalidInput(f"{field}: a replica has the {what} of its source")
    if wanted.get("restorePoint"):
        raise InvalidInput("restorePoint: a replica has the data of its source")
    source = str(given.pop()).lower()
    if not is_id(source):
        raise NotFound(f"Instance {source[:100]} was not found.")
    return source


def says_sizes(wanted: Mapping[str, Any]) -> bool:
    """Tell whether a request has flavor and volume: Heat leaves neither out, so for a replica they must be its source's."""
    return bool((wanted.get("flavorRef") or wanted.get("flavor")) and wanted.get("volume"))


def flavor_ref(wanted: Mapping[str, Any]) -> str | None:
    """Return the id of a flavor, given as id, link, number or object; None when none is given."""
    given = wanted.get("flavorRef", wanted.get("flavor"))
    if isinstance(given, dict):
        given = given.get("id")
    return None if given is None else str(given).rstrip("/").rpartition("/")[2]


def volume(given: Any) -> tuple[int | None, str | None]:
    """Return size in GiB and type of a volume, given as a number or an object."""
    if given is None:
        return None, None
    if isinstance(given, int):
        return given, None
    return int(given["size"]), given.get("type") or None


def nic(given: Sequence[Mapping[str, Any]], *, replica: bool) -> NicRequest:
    """Return what is asked of the instance's port, in Trove's names or in Heat's. Raises `InvalidInput`."""
    if not given:
        return NicRequest()
    wanted = given[0]
    request = NicRequest(
        network_id=wanted.get("network_id") or wanted.get("net-id"),
        subnet_id=wanted.get("subnet_id"),
        ip_address=wanted.get("ip_address") or wanted.get("v4-fixed-ip"),
        port_id=wanted.get("port-id"),
    )
    if request.port_id is not None:
        return request
    if request.network_id is None and request.subnet_id is None:
        raise InvalidInput("nics[0] needs a network_id or a subnet_id.")
    if request.ip_address is not None:
        if replica:
            raise InvalidInput("nics[0]['ip_address'] cannot be chosen for a replica.")
        # Heat has no key for a subnet: the cloud finds the one that the address is in.
        if request.subnet_id is None and wanted.get("v4-fixed-ip") is None:
            raise InvalidInput("nics[0]['ip_address'] needs a subnet_id beside it.")
        _check_network(request.ip_address, "nics[0]['ip_address']")
    return request


def access(given: Mapping[str, Any] | None) -> Access | None:
    """Return who may connect; what is not said is nobody from outside. None when nothing is given. Raises `InvalidInput`."""
    if given is None:
        return None
    networks = given.get("allowed_cidrs") or []
    for number, network in enumerate(networks):
        _check_network(network, f"access['allowed_cidrs'][{number}]")
    return Access(is_public=bool(given.get("is_public")), allowed_cidrs=tuple(networks))


def module_ids(given: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the ids of modules."""
    return tuple(str(each["id"]).lower() for each in given)


def _check_network(text: str, field: str) -> None:
    try:
        if "/" in text:
            IPv4Network(text, strict=False)
        else:
            IPv4Address(text)
    except (AddressValueError, NetmaskValueError, ValueError):
        raise InvalidInput(f"{field} {text!r} is not an IPv4 address or network.") from None
