"""The verbs of a member of a cluster. Each may run twice, also after a crash in the middle."""

import threading
from collections.abc import Mapping
from typing import cast

from trove.core.errors import Unsupported
from trove.core.json import JSON
from trove.datastores.contract import Clustering, Facet
from trove.guestagent import arguments
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work


class Clustered:
    """Does them. `turn` is held meanwhile: they may start and stop the server."""

    def __init__(self, engine: Engine, turn: threading.RLock) -> None:
        self._engine = engine
        self._turn = turn

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {
            "install_cluster": self.install,
            "update_cluster": self.update,
            "leave_cluster": self.leave,
            "cluster_complete": self.complete,
        }

    def install(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Have the server found the cluster, or join it."""
        membership = arguments.membership(args)
        with self._turn:
            progress("founding the cluster" if membership.founder else "joining the cluster", 10)
            self._facet().install_cluster(membership)
        return {}

    def update(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Take note of who belongs to the cluster from now on."""
        membership = arguments.membership(args)
        with self._turn:
            progress("taking note of the members", 10)
            self._facet().update_cluster(membership)
        return {}

    def leave(self, _args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Leave in good order."""
        with self._turn:
            progress("leaving the cluster", 10)
            self._facet().leave_cluster()
        return {}

    def complete(self, _args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Settle into the cluster, which is whole now."""
        with self._turn:
            progress("settling into the cluster", 10)
            self._facet().cluster_complete()
        return {}

    def _facet(self) -> Clustering:
        spec = self._engine.spec
        if Facet.CLUSTERING not in spec.facets:
            raise Unsupported(f"{spec.title} has no {Facet.CLUSTERING.value}.")
        return cast("Clustering", self._engine.driver)
