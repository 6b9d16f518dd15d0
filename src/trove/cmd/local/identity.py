"""Whether Keystone knows Trove's own user: asked by `up`, because the API itself would only find out at its first request."""

from trove.cmd.local.layout import StackError
from trove.cmd.local.settings import KEYSTONE, StackSettings

TIMEOUT_S = 15.0


def check(settings: StackSettings) -> None:
    """Log Trove's user in once. Raises `StackError` telling what is wrong; nothing to do without Keystone."""
    if settings.auth != KEYSTONE:
        return
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
