"""The endpoint of the `trove-conductor` topic: the only writer of what guests report, many reports in one transaction."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from trove.bus.conductor import RootReport, parse
from trove.bus.contract import Message
from trove.core.errors import InvalidInput, NotFound, Refused
from trove.core.instances import Heartbeat, Job
from trove.store import guests, instances, roots
from trove.store.session import Database, Tx

LOG = logging.getLogger(__name__)


@dataclass(slots=True)
class _Batch:
    heartbeats: list[Heartbeat]
    jobs: list[Job]
    root_reports: list[RootReport]


class Manager:
    """Stores batches of reports. What it returns from is stored; what it raises `Unavailable` for is delivered again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, messages: Sequence[Message]) -> None:
        """Store what the messages report, all in one transaction. May run twice.

        Reports that make no sense, or come from a sender that is no live instance, are logged and dropped.
        Raises `Unavailable`.
        """
        batch = _sort(messages)
        unknown = self._database.run(_store, batch)
        if unknown:
            LOG.info("Dropped reports of instances that do not exist: %s", ", ".join(sorted(unknown)))


def _sort(messages: Iterable[Message]) -> _Batch:
    batch = _Batch([], [], [])
    for message in messages:
        try:
            report = parse(message)
        except (InvalidInput, Refused) as error:
            LOG.warning("Dropped a report %r of %s: %s", message.method, message.sender, error.message)
            continue
        match report:
            case Heartbeat():
                batch.heartbeats.append(report)
            case Job():
                batch.jobs.append(report)
            case RootReport():
                batch.root_reports.append(report)
    return batch


def _store(tx: Tx, batch: _Batch) -> frozenset[str]:
    unknown: frozenset[str] = frozenset()
    if batch.heartbeats:
        unknown |= guests.apply_heartbeats(tx, batch.heartbeats)
    if batch.jobs:
        unknown |= guests.apply_jobs(tx, batch.jobs)
    for report in batch.root_reports:
        try:
            instances.get(tx, report.instance_id)
        except NotFound:
            unknown |= {report.instance_id}
        else:
            roots.record_enabled(tx, report.instance_id, report.user)
    return unknown
