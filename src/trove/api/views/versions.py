"""How the API's version looks (contract 3)."""

from trove.core.json import JSON


def version(base: str) -> dict[str, JSON]:
    """Return the one version there is."""
    return {
        "id": "v1.0",
        "status": "CURRENT",
        "updated": "2012-08-01T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base}/v1.0/"}],
    }
