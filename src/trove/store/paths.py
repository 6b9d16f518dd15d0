"""Where workflows keep their state: the table `workflow_items`."""

from collections.abc import Mapping

from sqlalchemy import bindparam, delete, select

from trove.core.operations import Fence
from trove.store import operations
from trove.store.session import Database, Tx
from trove.store.tables import workflow_items
from trove.store.upserts import upsert
from trove.workflow.persistence import Progress

_LOAD = select(workflow_items.c.path, workflow_items.c.value).where(workflow_items.c.flow_id == bindparam("flow"))
_FORGET = delete(workflow_items).where(workflow_items.c.flow_id == bindparam("flow"))


class Paths:
    """A `trove.workflow.persistence.PathStore` in the state database.

    With `fence`, every write first checks in its own transaction that the operation is still owned: a runner that was taken
    over meets `Fenced` and cannot overwrite what its successor wrote.
    """

    def __init__(self, database: Database, fence: Fence | None = None) -> None:
        self._database = database
        self._fence = fence

    def load(self, flow_id: str) -> dict[str, bytes]:
        """Return all items of a flow by path; empty for an unknown flow. Raises `Unavailable`."""
        if self._fence is not None and self._fence.number == 1:
            # The first claim: nobody can have stored anything.
            return {}
        with self._database.reading() as tx:
            return {path: bytes(value) for path, value in tx.execute(_LOAD, {"flow": flow_id})}

    def save(self, flow_id: str, items: Mapping[str, bytes], progress: Progress | None = None) -> None:
        """Store items of a flow, all or none, instead of those of the same path, and show `progress`. May run twice.

        Raises `Unavailable`, `Fenced`.
        """
        self._database.run(self._save, flow_id, items, progress)

    def forget(self, flow_id: str) -> None:
        """Remove all items of a flow. May run twice. Raises `Unavailable`."""
        self._database.run(_forget, flow_id)

    def _save(self, tx: Tx, flow_id: str, items: Mapping[str, bytes], progress: Progress | None) -> None:
        if self._fence is not None:
            if progress is None:
                operations.check(tx, self._fence)
            else:
                percent = min(99, 100 * progress.done // progress.total)
                operations.progress(tx, self._fence, step=progress.task, percent=percent)
        rows = [{"flow_id": flow_id, "path": path, "value": value} for path, value in sorted(items.items())]
        if rows:
            tx.execute(upsert(tx.dialect, workflow_items), rows)


def forget(tx: Tx, flow_id: str) -> None:
    """Remove all items of a flow, within a transaction of the caller. May run twice."""
    tx.execute(_FORGET, {"flow": flow_id})


_forget = forget
