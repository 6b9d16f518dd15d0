"""Bring Keystone to what the service needs: a JSON request on standard input, the differences found on standard output."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

import openstack
from keystoneauth1 import session
from keystoneauth1.exceptions import ClientException, Unauthorized
from keystoneauth1.identity import v3

INTERFACES = ("public", "internal", "admin")


class Missing(Exception):
    """Keystone lacks what others have to make."""


def differences(conn: Any, wanted: dict[str, Any], password: str | None) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield what is missing or different, each with what puts it right, to be done before the next is asked for."""
    if wanted.get("user"):
        yield from _user(conn, wanted["user"], password)
    if wanted.get("service"):
        yield from _service(conn, wanted["service"])
    if wanted.get("endpoints"):
        yield from _endpoints(conn, wanted["service_type"], wanted["service_name"], wanted["endpoints"])


def _user(conn: Any, wanted: dict[str, Any], password: str | None) -> Iterator[tuple[str, Callable[[], object]]]:
    domain = _domain(conn, wanted["user_domain"])
    project_domain = _domain(conn, wanted["project_domain"])
    name, project_name = wanted["name"], wanted["project"]

    def user() -> Any:
        return next(iter(conn.identity.users(name=name, domain_id=domain)), None)

    def project() -> Any:
        return next(iter(conn.identity.projects(name=project_name, domain_id=project_domain)), None)

    if project() is None:
        yield f"project {project_name}", lambda: conn.identity.create_project(name=project_name, domain_id=project_domain)
    given = {"password": password} if password else {}
    found = user()
    if found is None:
        email = {"email": wanted["email"]} if wanted.get("email") else {}
        yield f"user {name}", lambda: conn.identity.create_user(name=name, domain_id=domain, **email, **given)
    else:
        if wanted.get("email") and found.to_dict().get("email") != wanted["email"]:
            yield f"e-mail of {name}", lambda: conn.identity.update_user(found, email=wanted["email"])
        if password and not _lets_in(conn, found.id, password):
            yield f"password of {name}", lambda: conn.identity.update_user(found, **given)
    for role_name in wanted["roles"]:
        role = next(iter(conn.identity.roles(name=role_name)), None)
        if role is None:
            raise Missing(f"there is no role {role_name}")
        found, home = user(), project()
        if not (found and home and conn.identity.validate_user_has_project_role(home, found, role)):
            yield (
                f"role {role_name} of {name}",
                lambda role=role: conn.identity.assign_project_role_to_user(project(), user(), role),
            )


def _service(conn: Any, wanted: dict[str, Any]) -> Iterator[tuple[str, Callable[[], object]]]:
    found = _find_service(conn, wanted["type"], wanted["name"])
    if found is None:
        yield f"service {wanted['name']}", lambda: conn.identity.create_service(**wanted)
    elif found.description != wanted["description"]:
        yield (
            f"description of service {wanted['name']}",
            lambda: conn.identity.update_service(found, description=wanted["description"]),
        )


def _endpoints(
    conn: Any, service_type: str, service_name: str, wanted: dict[str, Any]
) -> Iterator[tuple[str, Callable[[], object]]]:
    region = wanted["region"]
    service = _find_service(conn, service_type, service_name)
    here = (
        [] if service is None else [each for each in conn.identity.endpoints(service_id=service.id) if each.region_id == region]
    )
    for interface in INTERFACES:
        url = wanted[interface]
        found = next((each for each in here if each.interface == interface), None)
        if found is None:

            def make(interface: str = interface, url: str = url) -> None:
                owner = _find_service(conn, service_type, service_name)
                if owner is None:
                    raise Missing(f"there is no service {service_name} of type {service_type}")
                if next((each for each in conn.identity.regions() if each.id == region), None) is None:
                    conn.identity.create_region(id=region)
                conn.identity.create_endpoint(service_id=owner.id, region_id=region, interface=interface, url=url)

            yield f"{interface} endpoint", make
        elif found.url != url:
            yield f"{interface} endpoint", lambda found=found, url=url: conn.identity.update_endpoint(found, url=url)


def _find_service(conn: Any, service_type: str, name: str) -> Any:
    return next((each for each in conn.identity.services(type=service_type) if each.name == name), None)


def _domain(conn: Any, name: str) -> str:
    found = conn.identity.find_domain(name)
    if found is None:
        raise Missing(f"there is no domain {name}")
    return str(found.id)


def _lets_in(conn: Any, user_id: str, password: str) -> bool:
    plugin = v3.Password(conn.config.get_auth_args()["auth_url"], user_id=user_id, password=password, unscoped=True)
    verify, cert = conn.config.get_requests_verify_args()
    probe = session.Session(auth=plugin, verify=verify, cert=cert)
    try:
        probe.get_token()
    except Unauthorized:
        return False
    return True


def main() -> int:
    """Answer one request; return the exit code."""
    request = json.load(sys.stdin)
    os.environ["OS_CLIENT_CONFIG_FILE"] = request["clouds_file"]
    found = []
    try:
        conn = openstack.connect(cloud=request["cloud"])
        for what, settle in differences(conn, request["wanted"], request["password"]):
            found.append(what)
            if request["apply"]:
                settle()
    except (Missing, ClientException, openstack.exceptions.SDKException) as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        return 1
    json.dump({"differences": found}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
