"""MariaDB as the control plane sees it."""

from trove.datastores.contract import ConfigInputs, Facet, Spec
from trove.datastores.mariadb import naming


def _render_config(inputs: ConfigInputs) -> str:
    from trove.datastores.mariadb.config import render_config  # noqa: PLC0415  the guest side reads the spec, not the template

    return render_config(inputs)


SPEC = Spec(
    manager="mariadb",
    title="MariaDB",
    tcp_ports=(3306,),
    facets=frozenset({Facet.DATABASES, Facet.USERS, Facet.ROOT}),
    root_name="root",
    default_password_length=36,
    usable_versions=("10.11",),  # what the tests ran; others start with a warning
    check_database=naming.check_database,
    check_user=naming.check_user,
    check_password=naming.check_password,
    render_config=_render_config,
)
