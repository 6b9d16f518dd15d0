"""Who a deployment on a cloud needs: the service's user with the least roles, a tenant, and the entry in the catalogue."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

SERVICE_ROLES = ("member", "service", "ResellerAdmin")
"""What the service's user is: who owns servers, who may check tokens, and who may write to the tenants' accounts of Swift."""
TENANT_ROLES = ("member",)


@dataclass(frozen=True, kw_only=True)
class Account:
    """A user with a project of its own, both of one name."""

    name: str
    project_id: str
    password: str = field(repr=False)

    def auth(self, auth_url: str) -> dict[str, str]:
        """Return how to log in, in keystoneauth's words."""
        return {
            "auth_url": auth_url,
            "username": self.name,
            "password": self.password,
            "project_name": self.name,
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }


@dataclass(frozen=True, kw_only=True)
class Accounts:
    """The service's own account and a tenant's."""

    service: Account
    tenant: Account


@contextmanager
def accounts(admin: Any, *, trove_url: str) -> Iterator[Accounts]:
    """Make both, and offer `trove_url` in the catalogue; afterwards all is removed again."""
    mark = secrets.token_hex(4)
    made: list[Account] = []
    offered = None
    try:
        for name, roles in (("trove", SERVICE_ROLES), ("tenant", TENANT_ROLES)):
            made.append(_account(admin, f"{name}-{mark}", roles))
        offered = _offer(admin, trove_url, f"trove-{mark}")
        yield Accounts(service=made[0], tenant=made[1])
    finally:
        if offered is not None:
            admin.identity.delete_service(offered)
        for account in made:
            _remove(admin, account)


def _account(admin: Any, name: str, roles: tuple[str, ...]) -> Account:
    password = secrets.token_urlsafe(16)
    project = admin.identity.create_project(name=name, domain_id="default")
    user = admin.identity.create_user(name=name, password=password, domain_id="default", default_project_id=project.id)
    for role in roles:
        there = admin.identity.find_role(role) or admin.identity.create_role(name=role)
        admin.identity.assign_project_role_to_user(project, user, there)
    return Account(name=name, project_id=str(project.id), password=password)


def _offer(admin: Any, url: str, name: str) -> Any:
    service = admin.identity.create_service(name=name, type="database")
    endpoint = {"service_id": service.id, "region_id": admin.config.region_name, "url": f"{url}/v1.0/%(tenant_id)s"}
    for interface in ("public", "internal"):
        admin.identity.create_endpoint(interface=interface, **endpoint)
    return service


def _remove(admin: Any, account: Account) -> None:
    # Neutron gives every project that it hears of a group of its own.
    for group in admin.network.security_groups(project_id=account.project_id):
        admin.network.delete_security_group(group)
    admin.identity.delete_user(admin.identity.find_user(account.name))
    admin.identity.delete_project(account.project_id)
