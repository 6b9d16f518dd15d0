"""Policy of datastores, their versions and their parameters."""

from trove.api.policies.rules import ADMIN, OPEN, READER, rule

_ONE = "/datastores/{datastore}"
_VERSIONS = f"{_ONE}/versions"
_VERSION = f"{_VERSIONS}/{{version}}"
_BY_ID = "/datastores/versions/{version_id}"

RULES = (
    rule("datastore:index", OPEN, "List datastores.", "GET /datastores"),
    rule("datastore:show", OPEN, "Show a datastore.", f"GET {_ONE}"),
    rule("datastore:delete", ADMIN, "Delete a datastore that has no versions.", f"DELETE {_ONE}"),
    rule("datastore:version_index", OPEN, "List a datastore's versions.", f"GET {_VERSIONS}"),
    rule("datastore:version_show", OPEN, "Show a version of a datastore.", f"GET {_VERSION}"),
    rule("datastore:version_show_by_uuid", OPEN, "Show a version by its id.", f"GET {_BY_ID}"),
    rule("datastore:list_associated_flavors", OPEN, "List flavors that a version may use.", f"GET {_VERSION}/flavors"),
    rule(
        "datastore:list_associated_volume_types",
        OPEN,
        "List volume types that a version may use.",
        f"GET {_VERSION}/volume-types",
    ),
    rule("configuration-parameter:index", READER, "List a version's parameters.", f"GET {_VERSION}/parameters"),
    rule("configuration-parameter:show", READER, "Show a parameter.", f"GET {_VERSION}/parameters/{{name}}"),
    rule("configuration-parameter:index_by_version", READER, "List parameters by version id.", f"GET {_BY_ID}/parameters"),
    rule(
        "configuration-parameter:show_by_version",
        READER,
        "Show a parameter by version id.",
        f"GET {_BY_ID}/parameters/{{name}}",
    ),
)
