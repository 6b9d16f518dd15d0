"""Whose certificates an agent trusts."""

from pathlib import Path

import pytest

from trove.guestagent import trust

CA = Path("/run/trove/ca.pem")


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqps://u:p%40@a:5671/v", "amqps://u:p%40@a:5671/v?ssl_ca_certs=/run/trove/ca.pem"),
        ("rabbit://u:p@a,u:p@b/v?ssl=1&ssl_ca_certs=/x", "rabbit://u:p@a,u:p@b/v?ssl=1&ssl_ca_certs=/run/trove/ca.pem"),
        ("rabbit://u:p@a/", "rabbit://u:p@a/"),
        (
            "amqps://u:p@a/;amqps://u:p@b/",
            "amqps://u:p@a/?ssl_ca_certs=/run/trove/ca.pem;amqps://u:p@b/?ssl_ca_certs=/run/trove/ca.pem",
        ),
        ("valkey+unix:///s.sock?user=u", "valkey+unix:///s.sock?user=u"),
    ],
)
def test_a_bus_that_is_reached_with_tls_is_reached_with_our_certificates(url: str, expected: str) -> None:
    assert trust.trusting(url, CA) == expected


def test_certificates_are_kept_where_they_can_be_read(tmp_path: Path) -> None:
    source = tmp_path / "source.pem"
    source.write_bytes(b"PEM")
    source.chmod(0o600)
    for _ in range(2):
        copy = trust.keep_within_reach(source, tmp_path / "run" / "trove")
        assert (copy.read_bytes(), copy.stat().st_mode & 0o777) == (b"PEM", 0o644)
        assert copy.parent.stat().st_mode & 0o111 == 0o111
