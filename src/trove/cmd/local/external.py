"""Whether bus, locks and Keystone that the user named can be used: asked by `up`, because the services would wait for them."""

import os

from trove.cmd.local.layout import StackError
from trove.cmd.local.settings import DATABASE, EMBEDDED, FILE, KEYSTONE, StackSettings

TIMEOUT_S = 15.0


def check(settings: StackSettings) -> None:
    """Log in once at each of them. Raises `StackError` telling what is wrong; nothing to do for what is embedded."""
    if settings.bus != EMBEDDED:
        _check_bus(settings.bus)
    if settings.locks not in {FILE, DATABASE}:
        _check_locks(settings.locks)
    if settings.auth == KEYSTONE:
        _check_keystone(settings)


def _check_bus(url: str) -> None:
    from trove.bus.links import Endpoint
    from trove.core.errors import InvalidInput

    try:
        Endpoint(url).open(name="trove-local").close()
    except InvalidInput as error:
        raise StackError(f"--bus: {error.message}") from error
    except Exception as error:  # whatever the broker's client raises; its words name no password
        said = getattr(error, "reply_text", None) or getattr(error, "strerror", None) or str(error)
        raise StackError(
            f"the message bus cannot be used ({type(error).__name__}: {said}): "
            "check host, user, password and virtual host of --bus"
        ) from error


def _check_locks(url: str) -> None:
    from trove.core.errors import TroveError
    from trove.workflow.locks import Locks

    try:
        Locks(url, f"trove-local:{os.getpid()}").close()
    except (TroveError, ImportError) as error:
        raise StackError(f"--locks: the lock service cannot be used: {error}") from error


def _check_keystone(settings: StackSettings) -> None:
    from keystoneauth1 import exceptions
    from keystoneauth1.identity import Password
    from keystoneauth1.session import Session

    login = Password(
        auth_url=settings.auth_url or "",
        username=settings.auth_user,
        password=settings.auth_password,
        project_name=settings.auth_project,
        user_domain_name=settings.auth_domain,
        project_domain_name=settings.auth_domain,
    )
    try:
        Session(auth=login, timeout=TIMEOUT_S).get_token()
    except exceptions.Unauthorized as error:
        raise StackError(
            f"Keystone at {settings.auth_url} refuses user {settings.auth_user} of project {settings.auth_project} "
            f"(domain {settings.auth_domain}): check --auth-user, --auth-project, --auth-domain and the password"
        ) from error
    except exceptions.ClientException as error:
        raise StackError(
            f"Keystone does not answer at {settings.auth_url} ({type(error).__name__}): check --auth-url"
        ) from error
