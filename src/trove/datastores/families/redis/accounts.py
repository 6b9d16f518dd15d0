"""Users and the superuser, as access control lists. Changes are made one at a time, and kept before they are acknowledged."""

import contextlib
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

from trove.core.accounts import User
from trove.core.errors import GuestError, InvalidInput, NotFound
from trove.core.pages import Page
from trove.datastores.families.redis import acl
from trove.datastores.families.redis.naming import ANYWHERE, ROOT, Names, is_system
from trove.datastores.families.redis.resp import ReplyError, Session


class Accounts(ABC):
    """The facets Users and Root."""

    names: Names

    def __init__(self) -> None:
        self._changing = threading.Lock()

    @abstractmethod
    def session(self, *, timeout_s: float = 12.0) -> AbstractContextManager[Session]:
        """Connect to the server; raises `Unavailable` when it does not answer."""

    @abstractmethod
    def check_space(self) -> None:
        """Raise `GuestError` when the volume is full."""

    @abstractmethod
    def check_own_users(self) -> None:
        """Raise `InvalidInput` where users are not changed, for they are those of another server."""

    def create_users(self, users: Sequence[User]) -> None:
        """Create users, all or none: one that exists raises `InvalidInput`."""
        names = [user.name for user in users]
        for user in users:
            self.names.check_user(user)
            if user.password is None:
                raise InvalidInput(f"User '{user.name}' needs a password.")
            if names.count(user.name) > 1:
                raise InvalidInput(f"User '{user.name}' is given more than once.")
        with self._change() as server:
            there = {acl.name_of(line) for line in lines(server)}
            for name in names:
                if name in there:
                    raise InvalidInput(f"User '{name}@{ANYWHERE}' exists already.")
            try:
                for user in users:
                    set_user(server, acl.user_line(user.name, user.password, acl.USER_RIGHTS))
                save(server)
            except BaseException:
                server.run("ACL", "DELUSER", *names)
                raise

    def list_users(self, *, limit: int, marker: str | None) -> Page[User]:
        """Return users by `name@host` after `marker` (exclusive), without passwords; system ones are hidden."""
        with self.session() as server:
            names = [name for line in lines(server) if (name := acl.name_of(line)) and not is_system(name)]
        keys = sorted(f"{name}@{ANYWHERE}" for name in names)
        rest = [key for key in keys if marker is None or key > marker]
        found = tuple(User(name=key.removesuffix(f"@{ANYWHERE}")) for key in rest[:limit])
        return Page(items=found, next_marker=rest[limit - 1] if len(rest) > limit else None)

    def get_user(self, name: str, host: str) -> User:
        """Return one user; raises `NotFound`."""
        with self.session() as server:
            _require(server, name, host)
        return User(name=name)

    def update_user(self, name: str, host: str, *, new_name: str | None, new_host: str | None, password: str | None) -> None:
        """Change what is not None. Raises `NotFound`, or `InvalidInput` when the new name is taken."""
        target = User(name=new_name or name, host=new_host or host, password=password)
        self.names.check_user(target)
        with self._change() as server:
            line = _require(server, name, host)
            if target.name != name and _find(server, target.name) is not None:
                raise InvalidInput(f"User '{target.name}@{target.host}' exists already.")
            rules = acl.rules_of(line)
            if password is not None:
                rules = [*rules, "resetpass", acl.password_rule(password)]
            set_user(server, " ".join(("user", target.name, "reset", *rules)))
            if target.name != name:
                server.run("ACL", "DELUSER", name)
            save(server)

    def delete_user(self, name: str, host: str) -> None:
        """Drop a user, which ends its connections; raises `NotFound`."""
        with self._change() as server:
            _require(server, name, host)
            server.run("ACL", "DELUSER", name)
            save(server)

    def list_access(self, name: str, host: str) -> Sequence[str]:
        """Return nothing: users reach all numbered databases. Raises `NotFound`."""
        return self.get_user(name, host).databases

    def grant_access(self, name: str, host: str, databases: Sequence[str]) -> None:
        """Refuse to grant what users have anyway; raises `NotFound` for the user."""
        self.get_user(name, host)
        self.names.check_user(User(name=name, databases=tuple(databases)))

    def revoke_access(self, name: str, host: str, database: str) -> None:
        """Raise `NotFound`: no right ends at a database."""
        self.get_user(name, host)
        raise NotFound(f"User '{name}@{host}' has no rights on database '{database}' alone: it reaches all numbered databases.")

    def enable_root(self, password: str) -> None:
        """Let the superuser log in from anywhere with this password. May be repeated with another one."""
        self.names.check_password(password)
        with self._change() as server:
            set_user(server, acl.user_line(ROOT, password, acl.ROOT_RIGHTS))
            save(server)

    def disable_root(self) -> None:
        """Take the superuser's log-in away and end its connections."""
        with self._change() as server:
            set_user(server, acl.user_line(ROOT, None, ()))
            save(server)
            server.run("CLIENT", "KILL", "USER", ROOT)

    def root_enabled(self) -> bool:
        """Tell whether the superuser may log in."""
        with self.session() as server:
            line = _find(server, ROOT)
        return line is not None and acl.is_on(line)

    @contextlib.contextmanager
    def _change(self) -> Iterator[Session]:
        self.check_own_users()
        self.check_space()
        with self._changing, self.session() as server:
            yield server


def lines(server: Session) -> list[str]:
    """Return all users of a server."""
    return server.texts("ACL", "LIST")


def set_user(server: Session, line: str) -> None:
    """Have a server know a user as its line says."""
    server.run("ACL", "SETUSER", acl.name_of(line), *acl.rules_of(line))


def save(server: Session) -> None:
    """Have a server keep its users. Raises `GuestError`."""
    try:
        server.run("ACL", "SAVE")
    except ReplyError as error:
        raise GuestError(f"The database server could not keep its users: {error.message}") from error


def take_over(server: Session, wanted: Sequence[str]) -> None:
    """Have a server know exactly these users beside its own ones: those of the agent and of replicas."""
    there = acl.shared(lines(server))
    changed = [line for line in wanted if line not in there]
    gone = {acl.name_of(line) for line in there} - {acl.name_of(line) for line in wanted} - {ROOT}
    for line in changed:
        set_user(server, " ".join(("user", acl.name_of(line), "reset", *acl.rules_of(line))))
    if gone:
        server.run("ACL", "DELUSER", *sorted(gone))
    if changed or gone:
        save(server)


def _find(server: Session, name: str) -> str | None:
    return next((line for line in lines(server) if acl.name_of(line) == name), None)


def _require(server: Session, name: str, host: str) -> str:
    line = None if is_system(name) or host != ANYWHERE else _find(server, name)
    if line is None:
        raise NotFound(f"User '{name}@{host}' does not exist.")
    return line
