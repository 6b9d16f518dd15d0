"""The registry finds engines by folder."""

import pytest

from trove.core.errors import InvalidInput
from trove.datastores import registry


def test_every_manager_has_a_spec_of_its_name() -> None:
    assert "mariadb" in registry.managers()
    for manager in registry.managers():
        assert registry.spec(manager).manager == manager


@pytest.mark.parametrize(
    "manager", ["", "oracle", "contract", "registry", "../mariadb", "mariadb.driver", "__init__", "MariaDB"]
)
def test_a_manager_that_does_not_exist_is_refused_naming_those_that_do(manager: str) -> None:
    with pytest.raises(InvalidInput, match="mariadb"):
        registry.spec(manager)
