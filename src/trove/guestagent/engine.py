"""What an agent looks after."""

from dataclasses import dataclass

from trove.datastores.contract import Driver, Host, Spec
from trove.guestagent.headstart import HeadStart


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """A database engine on its host. `head_start` is None when nothing was begun before the agent was up."""

    spec: Spec
    driver: Driver
    host: Host
    head_start: HeadStart | None = None
