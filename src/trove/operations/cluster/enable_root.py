"""Enable the superuser of a cluster, with a given or a generated password."""

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.core.clusters import Cluster
from trove.operations.cluster.serving_member import serving_member
from trove.operations.doors import Doors
from trove.operations.root.enable import generate_password
from trove.store import roots
from trove.store.session import Tx


def start(doors: Doors, caller: Caller, cluster_id: str, password: str | None) -> User:
    """Return the superuser with its password, which is not kept anywhere. May run twice: each time the password is set anew.

    Raises `NotFound`, `NotReady`, `InvalidInput` (password, or clusters of the engine have no superuser), `Unavailable`.
    """
    cluster, found = serving_member(doors, caller, cluster_id)
    if password is None:
        password = generate_password(found.spec.default_password_length)
    found.spec.check_password(password)
    found.guest.enable_root(password)
    doors.database.run(_record, cluster, caller.user_id)
    return User(name=found.spec.root_name, password=password)


def _record(tx: Tx, cluster: Cluster, user: str) -> None:
    for member in cluster.members:
        roots.record_enabled(tx, member.id, user)
