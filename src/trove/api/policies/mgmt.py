"""Policy of the management API, ours: rules by which operators may delegate parts of it.

Who is denied a rule that begins with `mgmt:` is answered 401, as the contract has it for everybody who is no administrator.
Whom a rule admits acts on the instances of all projects.
"""

from trove.api.policies.rules import ADMIN, READER, rule

_INSTANCE = "/mgmt/instances/{instance_id}"
_ACTION = f"POST {_INSTANCE}/action"
_VERSIONS = "/mgmt/datastore-versions"
_QUOTAS = "/mgmt/quotas/{project}"
_HOST = "/mgmt/hosts/{host}"

RULES = (
    rule("mgmt:instance:index", ADMIN, "List the instances of all projects, deleted ones too.", "GET /mgmt/instances"),
    rule("mgmt:instance:show", ADMIN, "Show an instance of any project.", f"GET {_INSTANCE}"),
    rule("mgmt:instance:root", ADMIN, "Tell who enabled the superuser.", f"GET {_INSTANCE}/root"),
    rule("mgmt:instance:diagnostics", ADMIN, "Show figures of the database server's process.", f"GET {_INSTANCE}/diagnostics"),
    rule("mgmt:instance:hwinfo", ADMIN, "Show memory and processors of the guest.", f"GET {_INSTANCE}/hwinfo"),
    rule("mgmt:instance:rpc_ping", ADMIN, "Tell whether the guest agent answers.", f"GET {_INSTANCE}/rpc_ping"),
    rule("mgmt:instance:stop", ADMIN, "Stop the database server.", _ACTION),
    rule("mgmt:instance:reboot", ADMIN, "Reboot the server.", _ACTION),
    rule("mgmt:instance:migrate", ADMIN, "Move the server to another host.", _ACTION),
    rule("mgmt:instance:reset_task_status", ADMIN, "Free an instance from a task that hangs.", _ACTION),
    rule("mgmt:instance:rebuild", ADMIN, "Make the server anew from an image.", _ACTION),
    rule("mgmt:instance:upgrade", ADMIN, "Update the guest agent.", _ACTION, f"POST {_INSTANCE}/upgrade"),
    rule("quota:show", READER, "Show the quotas of the own project.", f"GET {_QUOTAS}"),
    rule("quota:show:all_projects", ADMIN, "Show the quotas of any project.", f"GET {_QUOTAS}"),
    rule("mgmt:quota:update", ADMIN, "Set the quotas of a project.", f"PUT {_QUOTAS}"),
    rule("mgmt:datastore_version:index", ADMIN, "List all datastore versions.", f"GET {_VERSIONS}"),
    rule("mgmt:datastore_version:create", ADMIN, "Create a datastore version.", f"POST {_VERSIONS}"),
    rule("mgmt:datastore_version:show", ADMIN, "Show a datastore version.", f"GET {_VERSIONS}/{{version_id}}"),
    rule("mgmt:datastore_version:update", ADMIN, "Change a datastore version.", f"PATCH {_VERSIONS}/{{version_id}}"),
    rule("mgmt:datastore_version:delete", ADMIN, "Delete a datastore version.", f"DELETE {_VERSIONS}/{{version_id}}"),
    rule("mgmt:account:index", ADMIN, "List projects that have instances.", "GET /mgmt/accounts"),
    rule("mgmt:account:show", ADMIN, "List the instances of a project.", "GET /mgmt/accounts/{project}"),
    rule("mgmt:host:index", ADMIN, "List the cloud's hosts.", "GET /mgmt/hosts"),
    rule("mgmt:host:show", ADMIN, "Show a host with its instances.", f"GET {_HOST}"),
    rule("mgmt:host:update", ADMIN, "Update all guest agents of a host.", f"POST {_HOST}/instances/action"),
    rule("mgmt:storage:index", ADMIN, "Show where volumes are kept.", "GET /mgmt/storage"),
    rule("mgmt:flavor:create", ADMIN, "Create a flavor.", "POST /mgmt/flavors"),
)
