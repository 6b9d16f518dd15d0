"""Replication between database servers: what a replica needs in order to follow its source, and how far it has come."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from trove.core.json import JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """With what one replica logs in at its source. It is made for the replica alone, and anew whenever it gets a source."""

    name: str
    password: str = field(repr=False)

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON. It holds a secret: only sealed messages and encrypted columns may carry it."""
        return {"name": self.name, "password": self.password}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Account":
        """Read it from JSON."""
        return cls(name=str(data["name"]), password=str(data["password"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Whom a replica follows, and as whom it logs in there."""

    host: str
    port: int
    account: Account

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON; the same as for its account holds."""
        return {"host": self.host, "port": self.port, "account": self.account.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Source":
        """Read it from JSON."""
        port, account = data["port"], data["account"]
        assert isinstance(port, int)
        assert isinstance(account, Mapping)
        return cls(host=str(data["host"]), port=port, account=Account.from_json(account))


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """How far a replica has received the writes of its source, whether or not it has applied them yet.

    `origin` names the history that `position` counts in: positions of different origins cannot be compared. Greater is later.
    """

    origin: str
    position: int

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"origin": self.origin, "position": self.position}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "Received":
        """Read it from JSON."""
        origin, position = data["origin"], data["position"]
        assert isinstance(origin, str)
        assert isinstance(position, int)
        return cls(origin=origin, position=position)


MAX_PROBLEM = 1000
"""Characters of what is wrong with a replica that are reported."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaState:
    """How a replica follows its source.

    `lag_s`: for how many seconds it is behind, 0.0 when it has all that it knows of, None when that cannot be told. `problem`
    is why it does not follow, in the server's own words without secrets; None while it does.
    """

    following: bool
    lag_s: float | None = None
    problem: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Return it as JSON."""
        return {"following": self.following, "lag_s": self.lag_s, "problem": self.problem}

    @classmethod
    def from_json(cls, data: Mapping[str, object]) -> "ReplicaState":
        """Read it from JSON."""
        lag_s, problem = data.get("lag_s"), data.get("problem")
        assert lag_s is None or isinstance(lag_s, int | float)
        return cls(
            following=bool(data["following"]),
            lag_s=None if lag_s is None else float(lag_s),
            problem=None if problem is None else str(problem),
        )


def account_name(replica_id: str) -> str:
    """Return the name of the account with which a replica logs in at its source: the same whoever that is."""
    return f"replica_{replica_id.replace('-', '')[:16]}"
