"""Users as the server's access control lists have them: their rights, and the file that outlives the server.

Source: "ACL" of Redis's and Valkey's manuals. Passwords are always given as their SHA-256, so no log, list of commands or file
ever holds one.
"""

import hashlib
from collections.abc import Iterable, Sequence

from trove.datastores.families.redis.naming import ADMIN, ROOT, is_replica

_EVERYWHERE = ("~*", "&*")
_AGENTS_OWN = [
    "acl",
    "bgrewriteaof",
    "bgsave",
    "cluster",
    "config",
    "debug",
    "failover",
    "migrate",
    "module",
    "monitor",
    "pfdebug",
    "pfselftest",
    "psync",
    "replconf",
    "replicaof",
    "save",
    "shutdown",
    "slaveof",
    "sync",
]
"""What would undo what Trove does, reach other machines, or show what is not the tenant's."""
_HARMLESS = ["flushall", "flushdb", "info", "keys", "restore", "role", "sort", "sort_ro", "swapdb"]
"""What is called dangerous only because it is slow or tells much: on a server of one's own that is one's own affair."""

ADMIN_RIGHTS = (*_EVERYWHERE, "+@all")
USER_RIGHTS = (*_EVERYWHERE, "+@all", "-@admin", "-@dangerous", *(f"+{each}" for each in _HARMLESS), "-cluster", "+acl|whoami")
ROOT_RIGHTS = (*_EVERYWHERE, "+@all", *(f"-{each}" for each in _AGENTS_OWN), "+acl|whoami", "+acl|cat", "+acl|genpass")
REPLICA_RIGHTS = ("resetkeys", "resetchannels", "-@all", "+psync", "+replconf", "+ping", "+info", "+acl|list")
"""A replica reads all data anyway; of the users it needs the hashes of their passwords, to let them in when it is promoted."""


def password_rule(password: str) -> str:
    """Return the rule that lets a user in with this password."""
    return "#" + hashlib.sha256(password.encode()).hexdigest()


def user_line(name: str, password: str | None, rights: Sequence[str]) -> str:
    """Return the line of a file for a user; without a password nobody gets in under that name."""
    state = ("off",) if password is None else ("on", password_rule(password))
    return " ".join(("user", name, "reset", *state, *rights))


def name_of(line: str) -> str:
    """Return whose line this is."""
    words = line.split(" ", 2)
    return words[1] if len(words) > 1 and words[0] == "user" else ""


def rules_of(line: str) -> list[str]:
    """Return what follows the name."""
    return line.split(" ")[2:]


def is_on(line: str) -> bool:
    """Tell whether the user may log in."""
    return "on" in rules_of(line)


def shared(lines: Iterable[str]) -> list[str]:
    """Return the lines of users that are the same on all servers of a set, and in backups: the tenant's, and the superuser."""
    return [line for line in lines if (name := name_of(line)) and name != ADMIN and not is_replica(name)]


def complete(lines: Iterable[str], admin_password: str) -> list[str]:
    """Return the lines of a file that a server can start with: the agent is let in, whoever names no user is not."""
    kept = [line for line in map(str.strip, lines) if name_of(line) not in {"", ADMIN}]
    if ROOT not in map(name_of, kept):
        kept.append(user_line(ROOT, None, ()))
    return [user_line(ADMIN, admin_password, ADMIN_RIGHTS), *kept]
