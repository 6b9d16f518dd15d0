"""The accounts of a stack with HTTP basic authentication, made once: `admin`, and `demo` without administrator's rights."""

import json
import secrets

import bcrypt

from trove.cmd.local.layout import Layout, StackError, write_private
from trove.cmd.local.settings import StackSettings

ADMIN = "admin"
DEMO = "demo"
ROLES = {ADMIN: ("admin", "member", "reader"), DEMO: ("member", "reader")}
ACCOUNTS = tuple(ROLES)


def password_of(layout: Layout, account: str) -> str:
    """Return an account's password; raises `StackError` when it was never made."""
    try:
        return (layout.keys / f"{account}.password").read_text().strip()
    except OSError as error:
        raise StackError(f"the password of {account} cannot be read ({error.strerror}); run `trove-local up`") from error


def project_of(settings: StackSettings, account: str) -> str:
    """Return the project id of an account: each has its own."""
    return settings.project if account == ADMIN else account


def ensure_accounts(layout: Layout, settings: StackSettings) -> None:
    """Make passwords that are missing (random, readable by their owner only) and the files the API checks. May run twice."""
    hashes = layout.keys / "htpasswd"
    fresh = False
    for account in ACCOUNTS:
        path = layout.keys / f"{account}.password"
        if not path.exists():
            write_private(path, secrets.token_urlsafe(18) + "\n")
            fresh = True
    grants = {
        account: {"project": project_of(settings, account), "roles": list(roles), "user_id": account}
        for account, roles in ROLES.items()
    }
    write_private(layout.keys / "roles.json", json.dumps(grants, indent=1))
    if fresh or not hashes.exists():
        lines = [
            f"{account}:{bcrypt.hashpw(password_of(layout, account).encode(), bcrypt.gensalt(10)).decode()}\n"
            for account in ACCOUNTS
        ]
        write_private(hashes, "".join(lines))


def ensure_secret(layout: Layout, name: str) -> str:
    """Return a random secret of this stack, made at first use and readable by its owner only."""
    path = layout.keys / name
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()
