"""Places in the history of a MariaDB server: of each domain the last transaction, by its global id.

Source: "Global Transaction ID" of MariaDB's manual: `domain-server-number`; in strict mode the numbers of a domain grow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from trove.core.errors import GuestError

_GTID = re.compile(r"(\d+)-(\d+)-(\d+)", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gtid:
    """One transaction: the server that took it first, and its number in its domain."""

    domain: int
    server: int
    number: int

    def __str__(self) -> str:
        return f"{self.domain}-{self.server}-{self.number}"


Position = Mapping[int, Gtid]
"""The last transaction of each domain."""


def read(text: str | None) -> Position:
    """Return what a server says of a position; of a domain that it names more than once, the highest number."""
    return merged(*({each.domain: each} for each in read_all(text)))


def read_all(text: str | None) -> tuple[Gtid, ...]:
    """Return all ids of a list, such as `gtid_binlog_state`, which has one for each server of each domain."""
    found = []
    for part in filter(None, (each.strip() for each in (text or "").split(","))):
        match = _GTID.fullmatch(part)
        if match is None:
            raise GuestError("The database server told its position in a form that is not understood.")
        domain, server, number = map(int, match.groups())
        found.append(Gtid(domain=domain, server=server, number=number))
    return tuple(found)


def write(position: Position) -> str:
    """Return a position as servers write it."""
    return ",".join(str(position[domain]) for domain in sorted(position))


def merged(*positions: Position) -> Position:
    """Return the later of these positions in each domain."""
    found: dict[int, Gtid] = {}
    for position in positions:
        for domain, gtid in position.items():
            if domain not in found or gtid.number > found[domain].number:
                found[domain] = gtid
    return found


def reaches(position: Position, other: Position) -> bool:
    """Tell whether a position is at `other`, or after it."""
    return all(domain in position and position[domain].number >= gtid.number for domain, gtid in other.items())


def is_part(position: Position, state: str | None) -> bool:
    """Tell whether a server whose `gtid_binlog_state` this is has all that lies before a position of another one.

    It has if it knows, of the server that took the last transaction of each domain, that one or a later one.
    """
    known = {(each.domain, each.server): each.number for each in read_all(state)}
    return all(known.get((gtid.domain, gtid.server), -1) >= gtid.number for gtid in position.values())


def length(position: Position) -> int:
    """Return how many transactions lie before a position: the greater of two of one history is the later one."""
    return sum(gtid.number for gtid in position.values())
