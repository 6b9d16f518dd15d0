"""Prepares the data directory that new instances copy."""

from trove.core.errors import GuestError
from trove.datastores.contract import Host
from trove.datastores.families.redis import datadir
from trove.datastores.valkey.driver import KIN


def make_template(host: Host) -> None:
    """Make a data directory without users and without data in `host.template_dir`. One that is there is kept."""
    if host.template_dir is None:
        raise GuestError("There is no template directory to make.")
    KIN.server(host)
    if not datadir.is_made(host.template_dir):
        datadir.make(host, host.template_dir)
