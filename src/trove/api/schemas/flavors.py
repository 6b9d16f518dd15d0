"""How flavors are answered."""

from trove.api.schemas.scalars import INTEGER, LINKS, STRING, answer, listed

FLAVOR = answer(
    id={"type": ["integer", "null"]},
    str_id=STRING,
    name=STRING,
    ram=INTEGER,
    vcpus=INTEGER,
    disk=INTEGER,
    ephemeral=INTEGER,
    links=LINKS,
)
"""`ram` is in MiB, `disk` and `ephemeral` in GiB."""

SHOWN = answer(flavor=FLAVOR)
LIST = answer(flavors=listed(FLAVOR))
