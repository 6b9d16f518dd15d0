"""One valid body per route that takes one, and one thing per placeholder of a path: what the abuse tests start from.

A route or a placeholder that is missing here fails them: add yours.
"""

import itertools
import re
from collections.abc import Callable
from typing import Any

from tests.support.http_api import USERS, Api

from trove.api.routes import Route

SMALL = {"name": "orders", "flavorRef": "2", "volume": {"size": 1}}
NUMBERS = itertools.count(1)
DATASTORE = {"type": "everything", "version": "1.0"}


def placeholders(route: Route) -> list[str]:
    """Return the names of what the path leaves open."""
    return re.findall(r"\{(\w+)\}", route.path)


class Things:
    """Things of the project of `user`, each made when it is first named; `things["backup_id"]` is the id of one."""

    def __init__(self, api: Api, user: str = "member") -> None:
        self.api = api
        self.user = user
        self._made: dict[str, str] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._made:
            self._made[name] = MAKERS[name](self)
        return self._made[name]

    @property
    def project(self) -> str:
        return USERS[self.user]["project"]

    def make(self, path: str, key: str) -> str:
        """Make something by its `POST` route and return its id."""
        result = self.api.post(path, BODIES[f"POST {path}"](self), user=self.user)
        assert result.status_code < 300, (path, result.text)
        return result.json[key]["id"]

    def address(self, route: Route) -> str:
        return route.path.format_map(self)

    def body(self, route: Route) -> Any:
        return BODIES[f"{route.method} {route.path}"](self) if route.schema is not None else None


def _operation(things: Things) -> str:
    made = things.api.post("/instances", {"instance": SMALL}, user=things.user)
    return made.headers["x-trove-operation-id"].partition(",")[0]


def _group(things: Things) -> str:
    groups = things.api.get("/security-groups", user=things.user).json["security_groups"]
    return next(each["id"] for each in groups if each["instance_id"] == things["instance_id"])


def _rule(things: Things) -> str:
    body = BODIES["POST /security-group-rules"](things)
    return things.api.post("/security-group-rules", body, user=things.user).json["security_group_rule"][0]["id"]


MAKERS: dict[str, Callable[[Things], str]] = {
    "instance_id": lambda things: things.api.active(
        project_id=things.project, version_id=things.api.offer_everything()[0], guest=True
    ),
    "operation_id": _operation,
    "backup_id": lambda things: things.make("/backups", "backup"),
    "configuration_id": lambda things: things["instance_id"] and things.make("/configurations", "configuration"),
    "cluster_id": lambda things: things["instance_id"] and things.make("/clusters", "cluster"),
    "module_id": lambda things: things.make("/modules", "module"),
    "group_id": lambda things: things["instance_id"] and _group(things),
    "rule_id": _rule,
    "version_id": lambda things: things.api.version_id,
    "flavor_id": lambda _: "1",
    "datastore": lambda _: "mariadb",
    "version": lambda _: "10.11",
    "name": lambda _: "shop",
    "user": lambda _: "app",
    "database": lambda _: "shop",
    "project": lambda _: "p9",
    "host": lambda _: "local",
}

BODIES: dict[str, Callable[[Things], Any]] = {
    "POST /instances": lambda _: {
        "instance": {
            **SMALL,
            "datastore": {"type": "mariadb", "version": "10.11"},
            "databases": [{"name": "shop", "character_set": "utf8mb4"}],
            "users": [{"name": "app", "password": "pw", "host": "%", "databases": [{"name": "shop"}]}],
            "access": {"is_public": False, "allowed_cidrs": ["10.0.0.0/8"]},
        }
    },
    "PUT /instances/{instance_id}": lambda _: {"instance": {"name": "mine now"}},
    "PATCH /instances/{instance_id}": lambda _: {"instance": {"name": "mine now"}},
    "POST /instances/{instance_id}/action": lambda _: {"restart": {}},
    "POST /instances/{instance_id}/databases": lambda _: {"databases": [{"name": "shop", "collate": "utf8mb4_bin"}]},
    "POST /instances/{instance_id}/users": lambda _: {"users": [{"name": "app", "password": "pw", "host": "%"}]},
    "PUT /instances/{instance_id}/users": lambda _: {"users": [{"name": "app", "password": "pw"}]},
    "POST /instances/{instance_id}/users/{user}": lambda _: {"users": {"name": "app", "password": "pw"}},
    "PUT /instances/{instance_id}/users/{user}": lambda _: {"user": {"name": "web", "password": "pw", "host": "%"}},
    "PUT /instances/{instance_id}/users/{user}/databases": lambda _: {"databases": [{"name": "shop"}]},
    "POST /instances/{instance_id}/root": lambda _: {"password": "pw"},
    "POST /instances/{instance_id}/log": lambda _: {"name": "general", "enable": 1},
    "POST /instances/{instance_id}/ssl": lambda _: {
        "ssl": {"enable": True, "container_ref": "http://keys.example.test/v1/containers/1", "mode": "basic"}
    },
    "POST /instances/{instance_id}/modules": lambda things: {"modules": [{"id": things["module_id"]}]},
    "POST /operations/{operation_id}/action": lambda _: {"cancel": {}},
    "POST /backups": lambda things: {"backup": {"name": "nightly", "description": "d", "instance": things["instance_id"]}},
    "POST /backup_strategies": lambda things: {
        "backup_strategy": {"instance_id": things["instance_id"], "swift_container": "mine"}
    },
    "POST /configurations": lambda _: {
        "configuration": {"name": "fast", "description": "d", "values": {}, "datastore": DATASTORE}
    },
    "PUT /configurations/{configuration_id}": lambda _: {"configuration": {"name": "faster", "values": {}}},
    "PATCH /configurations/{configuration_id}": lambda _: {"configuration": {"values": {}}},
    "POST /clusters": lambda _: {
        "cluster": {
            "name": "three",
            "datastore": DATASTORE,
            "instances": [{"flavorRef": "2", "volume": {"size": 1}} for _ in range(3)],
        }
    },
    "POST /clusters/{cluster_id}": lambda _: {"grow": [{"flavorRef": "2", "volume": {"size": 1}, "name": "fourth"}]},
    "POST /clusters/{cluster_id}/root": lambda _: {"password": "pw"},
    "POST /modules": lambda _: {
        "module": {
            "name": f"m{next(NUMBERS)}",
            "module_type": "ping",
            "contents": "bWVzc2FnZT1oaQ==",
            "apply_order": 5,
            "visible": 1,
        }
    },
    "PUT /modules/{module_id}": lambda _: {"module": {"name": "n", "description": "d"}},
    "PUT /modules/{module_id}/instances": lambda _: {"reapply": {"force": 0}},
    "POST /security-group-rules": lambda things: {
        "security_group_rule": {"group_id": things["group_id"], "cidr": "10.0.0.0/8"}
    },
    "POST /mgmt/instances/{instance_id}/action": lambda _: {"stop": {}},
    "POST /mgmt/instances/{instance_id}/upgrade": lambda _: {"upgrade": {}},
    "POST /mgmt/clusters/{cluster_id}/action": lambda _: {"reset-task": {}},
    "PUT /mgmt/quotas/{project}": lambda _: {"quotas": {"instances": 20, "volumes": None}},
    "POST /mgmt/datastore-versions": lambda _: {
        "version": {
            "name": "11",
            "datastore_name": "mariadb",
            "datastore_manager": "mariadb",
            "image": "host",
            "image_tags": [],
            "packages": ["p"],
            "active": True,
            "default": False,
        }
    },
    "PATCH /mgmt/datastore-versions/{version_id}": lambda _: {"image": "host", "active": True},
    "POST /mgmt/datastores/versions/{version_id}/parameters": lambda _: {
        "configuration-parameter": {
            "name": "made_up",
            "data_type": "integer",
            "restart_required": 0,
            "min_size": "0",
            "max_size": "10",
        }
    },
    "PUT /mgmt/datastores/versions/{version_id}/parameters/{name}": lambda _: {
        "configuration-parameter": {"data_type": "integer", "restart_required": 1}
    },
    "POST /mgmt/hosts/{host}/instances/action": lambda _: {"update": ""},
    "POST /mgmt/flavors": lambda _: {"flavor": {"name": "f"}},
}
