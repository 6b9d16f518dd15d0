"""Prepares the data directory that new instances copy."""

from trove.core.errors import GuestError
from trove.datastores.contract import Host
from trove.datastores.postgresql.install import initialise
from trove.datastores.postgresql.programs import newest


def make_template(host: Host) -> None:
    """Make a data directory without tenants' accounts in `host.template_dir`, cleanly shut down, with no secret in it.

    `template_dir` must be below `data_dir`. One that is there is kept.
    """
    if host.template_dir is None:
        raise GuestError("There is no template directory to make.")
    if not host.template_dir.exists():
        initialise(host, host.template_dir, newest(host))
