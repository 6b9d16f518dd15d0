"""The verbs of a member of a replicated set, over the driver's facet: each is a job that may run twice."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import cast

from trove.core.errors import InvalidInput, Unsupported
from trove.core.json import JSON
from trove.core.replication import Account, Source
from trove.datastores.contract import Facet, Replication
from trove.guestagent import arguments
from trove.guestagent.engine import Engine
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.ledger import Ledger, Prepared

STOP_TIMEOUT_S = 120.0


class Replicating:
    """Does the verbs. `turn` is held meanwhile, so that nobody starts or stops the server."""

    def __init__(self, engine: Engine, ledger: Ledger, turn: threading.RLock) -> None:
        self._engine = engine
        self._ledger = ledger
        self._turn = turn

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {
            "prepare_replica": self.prepare_replica,
            "get_replication_snapshot": self.get_replication_snapshot,
            "rejoin_replica": self.rejoin_replica,
            "attach_replica": self.attach_replica,
            "detach_replica": self.detach_replica,
            "make_read_only": self._simply(lambda facet, args: facet.make_read_only(_flag(args, "read_only"))),
            "enable_as_master": self._simply(lambda facet, args: facet.enable_as_master(_accounts(args))),
            "demote_replication_master": self._simply(lambda facet, _: facet.demote_replication_master()),
            "cleanup_source_on_replica_detach": self._simply(
                lambda facet, args: facet.cleanup_source_on_replica_detach(arguments.text(args, "account"))
            ),
            "get_latest_txn_id": lambda _, progress: {"txn": self._facet().get_latest_txn_id()},
            "get_last_txn": lambda _, progress: self._facet().get_last_txn().to_json(),
            "wait_for_txn": self.wait_for_txn,
        }

    def prepare_replica(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Make the instance from a snapshot of its source, and follow that. Done means that it follows, and is on disk.

        An instance that serves already has data that may be the only ones by now: it is left alone, whoever asks.
        """
        if self._ledger.facts.prepared is Prepared.YES:
            return {"version": self._engine.driver.version()}
        config, snapshot = arguments.text(args, "config"), arguments.mapping(args, "snapshot")
        source = _source(args)
        if source is None:
            raise InvalidInput("Argument 'source' must be given.")
        host = self._engine.host
        try:
            with self._taken():
                if args.get("restore") is not None:
                    self._restore(arguments.mapping(args, "restore"), progress)
                self._facet().prepare_replica(config=config, snapshot=snapshot, source=source, progress=progress)
            host.sync_tree(host.data_dir)
        except Exception:
            self._ledger.update(prepared=Prepared.FAILED)
            raise
        self._ledger.update(prepared=Prepared.YES, wanted=True)
        return {"version": self._engine.driver.version()}

    def _restore(self, wanted: Mapping[str, JSON], progress: Progress) -> None:
        """Make the data directory from the backup of the source. What an attempt that failed has left is removed first."""
        from trove.guestagent import backups  # noqa: PLC0415  few agents ever need it

        if self._ledger.facts.prepared is Prepared.FAILED:
            self._engine.driver.wipe()
            self._ledger.update(prepared=Prepared.NO)
        backups.restore(self._engine, wanted, progress)

    def get_replication_snapshot(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Make an account for a replica and a snapshot to build it from; the result must hold no secret: it is stored."""
        account = _account(arguments.mapping(args, "account"))
        return {"snapshot": dict(self._facet().get_replication_snapshot(account, progress=progress))}

    def attach_replica(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Follow a source; without one the last that was followed."""
        progress("following the source", 10)
        with self._taken():
            self._facet().attach_replica(_source(args))
        return {}

    def rejoin_replica(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Follow a source with the data of an earlier life, on a machine that was made anew, where nothing serves yet.

        Done means that it follows, and is on disk. Where that fails the server is stopped: it may have been a source itself.
        """
        config, source = arguments.text(args, "config"), _source(args)
        if source is None:
            raise InvalidInput("Argument 'source' must be given.")
        driver, host = self._engine.driver, self._engine.host
        progress("following the source", 10)
        with self._taken():
            try:
                driver.write_config(config)
                self._facet().attach_replica(source)
                host.sync_tree(host.data_dir)
            except Exception:
                driver.stop(timeout_s=STOP_TIMEOUT_S)
                raise
        self._ledger.update(prepared=Prepared.YES, wanted=True)
        return {"version": driver.version()}

    def detach_replica(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Apply what was received and follow nobody."""
        progress("parting from the source", 10)
        with self._taken():
            self._facet().detach_replica(for_failover=_flag(args, "for_failover"))
        return {}

    def wait_for_txn(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Wait until a write of the source is applied, at most `timeout_s` seconds."""
        timeout_s = args.get("timeout_s")
        if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s <= 0:
            raise InvalidInput("Argument 'timeout_s' must be a positive number.")
        progress("catching up with the source", 10)
        self._facet().wait_for_txn(arguments.text(args, "txn"), timeout_s=float(timeout_s))
        return {}

    def _simply(self, do: Callable[[Replication, Mapping[str, JSON]], None]) -> Work:
        def work(args: Mapping[str, JSON], _progress: Progress) -> Mapping[str, JSON]:
            with self._taken():
                do(self._facet(), args)
            return {}

        return work

    @contextmanager
    def _taken(self) -> Iterator[None]:
        if self._engine.head_start is not None:
            self._engine.head_start.wait()
        with self._turn:
            yield

    def _facet(self) -> Replication:
        if Facet.REPLICATION not in self._engine.spec.facets:
            raise Unsupported(f"{self._engine.spec.title} has no {Facet.REPLICATION.value}.")
        return cast("Replication", self._engine.driver)


def _flag(args: Mapping[str, JSON], name: str) -> bool:
    value = args.get(name)
    if not isinstance(value, bool):
        raise InvalidInput(f"Argument '{name}' must be true or false.")
    return value


def _account(data: Mapping[str, JSON]) -> Account:
    return Account(name=arguments.text(data, "name"), password=arguments.text(data, "password"))


def _accounts(args: Mapping[str, JSON]) -> tuple[Account, ...]:
    value = args.get("accounts")
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise InvalidInput("Argument 'accounts' must be a list of objects.")
    return tuple(_account(item) for item in value if isinstance(item, Mapping))


def _source(args: Mapping[str, JSON]) -> Source | None:
    if args.get("source") is None:
        return None
    data = arguments.mapping(args, "source")
    port = data.get("port")
    if isinstance(port, bool) or not isinstance(port, int):
        raise InvalidInput("Argument 'port' must be a whole number.")
    return Source(host=arguments.text(data, "host"), port=port, account=_account(arguments.mapping(data, "account")))
