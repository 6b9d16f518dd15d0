"""Addresses of instances: each has its own in the loopback network, so that every server listens on its standard port.

A reservation is a file `ports/<instance id>.json`; one lock file makes reserving safe across processes. The pool is entered
at a place that depends on the state directory, so that two stacks on a machine seldom want the same address.
"""

import hashlib
import socket
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from trove.cloud.contract import NicRequest, PortInfo
from trove.cloud.local.locking import locked
from trove.cloud.local.records import read_record, remove_file, write_record
from trove.core.errors import CloudError, InvalidInput, NotFound
from trove.core.instances import Access, Address

NETWORK_ID = "6c6f6361-6c00-4000-8000-6e6574776f72"
SUBNET_ID = "6c6f6361-6c00-4000-8000-7375626e6574"
"""The one network, with one subnet, that the pool of addresses is, for clients that must name some."""

ATTEMPTS = 16
"""Free addresses that are tried before a port counts as taken on all of them."""


def port_info(instance_id: str, address: str) -> PortInfo:
    """Return the port that an address of an instance stands for."""
    found = Address(address=address, network=NETWORK_ID)
    return PortInfo(id=f"port-{instance_id}", instance_id=instance_id, addresses=(found,))


class Addresses:
    """The reservations of one state directory. `directory` must exist."""

    def __init__(self, directory: Path, lock: Path, network: IPv4Network) -> None:
        self._directory = directory
        self._lock = lock
        self._network = network

    def find(self, instance_id: str) -> str | None:
        """Return the address of an instance, or None."""
        record = read_record(self._file(instance_id))
        return None if record is None else str(record["address"])

    def tcp_ports(self, instance_id: str) -> tuple[int, ...]:
        """Return the ports that the instance's server will listen on."""
        record = read_record(self._file(instance_id))
        return () if record is None else tuple(int(port) for port in record["tcp_ports"])

    def ensure(self, instance_id: str, wanted: str | None, access: Access | None, tcp_ports: Sequence[int]) -> str:
        """Reserve an address on which all of `tcp_ports` can be bound now, unless the instance has one.

        Raises `CloudError` when the wanted one cannot be had, when the pool is used up, or when a port is taken on every one.
        """
        with locked(self._lock):
            existing = self.find(instance_id)
            if existing is not None:
                return existing
            taken = self._taken()
            address = self._choose(taken, tcp_ports) if wanted is None else self._check_wanted(wanted, taken, tcp_ports)
            record: dict[str, object] = {"address": address, "tcp_ports": list(tcp_ports)}
            if access is not None:
                record["access"] = _access(access)
            write_record(self._file(instance_id), record)
            return address

    def update_access(self, instance_id: str, access: Access | None) -> str:
        """Note for whom the address of an instance is open, and return it. Raises `NotFound`."""
        with locked(self._lock):
            record = read_record(self._file(instance_id))
            if record is None:
                raise NotFound(f"Instance {instance_id} has no address.")
            record.pop("access", None)
            write_record(self._file(instance_id), {**record, **({} if access is None else {"access": _access(access)})})
            return str(record["address"])

    def covers(self, address: str) -> bool:
        """Tell whether an address is one of the pool's."""
        try:
            return IPv4Address(address) in self._network
        except ValueError:
            return False

    def check_nic(self, nic: NicRequest) -> None:
        """Raise `InvalidInput` for a port, and for another network or subnet than the one there is."""
        if nic.port_id is not None:
            raise InvalidInput("nics[0]['port-id']: the local cloud has no ports of tenants; leave it out.")
        for field, given, there in (("network_id", nic.network_id, NETWORK_ID), ("subnet_id", nic.subnet_id, SUBNET_ID)):
            if given is not None and given.lower() != there:
                raise InvalidInput(f"nics[0]['{field}']: {given} cannot be found; the local cloud has {there} only.")
        if nic.ip_address is not None and not self.covers(nic.ip_address):
            raise InvalidInput(f"nics[0]['ip_address']: {nic.ip_address} is not in {self._network}.")

    def delete(self, instance_id: str) -> None:
        """Give an address back. Missing is fine."""
        remove_file(self._file(instance_id))

    def held(self) -> tuple[str, ...]:
        """Return the ids of the instances that have an address."""
        return tuple(sorted(path.stem for path in self._directory.glob("[!.]*.json")))

    def _file(self, instance_id: str) -> Path:
        return self._directory / f"{instance_id}.json"

    def _taken(self) -> set[str]:
        return {address for address in (self.find(instance_id) for instance_id in self.held()) if address is not None}

    def _check_wanted(self, wanted: str, taken: set[str], tcp_ports: Sequence[int]) -> str:
        if not self.covers(wanted):
            raise CloudError(f"Address {wanted} is not in the local cloud's network {self._network}.")
        if wanted in taken:
            raise CloudError(f"Address {wanted} is taken by another instance.")
        port = busy_port(wanted, tcp_ports)
        if port is not None:
            raise CloudError(f"Port {port} is taken on address {wanted}.")
        return wanted

    def _choose(self, taken: set[str], tcp_ports: Sequence[int]) -> str:
        attempts = 0
        port: int | None = None
        for address in self._candidates():
            if address in taken:
                continue
            port = busy_port(address, tcp_ports)
            if port is None:
                return address
            attempts += 1
            if attempts == ATTEMPTS:
                break
        if port is None:
            raise CloudError(f"No address is left in the local cloud's network {self._network}.")
        raise CloudError(
            f"Port {port} is taken on every address of {self._network} that was tried: another program listens on all "
            f"addresses (0.0.0.0:{port}). Stop it, or let it listen on 127.0.0.1 only. "
            f"`ss -ltnp sport = :{port}` shows which one it is."
        )

    def _candidates(self) -> Iterator[str]:
        """Yield every usable address of the pool once; never one that ends in .0 or .255."""
        first, size = int(self._network.network_address), self._network.num_addresses
        entry = int.from_bytes(hashlib.sha256(str(self._directory).encode()).digest()[:4], "big") % size
        entry -= entry % 256
        for offset in range(size):
            address = first + (entry + offset) % size
            if address % 256 not in {0, 255}:
                yield str(IPv4Address(address))


def _access(access: Access) -> dict[str, object]:
    return {"is_public": access.is_public, "allowed_cidrs": list(access.allowed_cidrs)}


def busy_port(address: str, tcp_ports: Sequence[int]) -> int | None:
    """Return the first of `tcp_ports` that cannot be bound on `address` now, or None."""
    for port in tcp_ports:
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
                probe.listen(1)
            except OSError:
                return port
    return None
