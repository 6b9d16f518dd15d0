"""Enable the superuser of a running instance, with a given or a generated password."""

import secrets
import string

from trove.core.accounts import User
from trove.core.callers import Caller
from trove.datastores.contract import Facet
from trove.operations.doors import Doors
from trove.operations.serving import serving
from trove.store import roots

ALPHABET = string.ascii_letters + string.digits


def start(doors: Doors, caller: Caller, instance_id: str, password: str | None) -> User:
    """Return the superuser with its password, which is not kept anywhere. May run twice: each time the password is set anew.

    Raises `NotFound`, `NotReady`, `InvalidInput` (password), `Unavailable`.
    """
    found = serving(doors, caller, instance_id, Facet.ROOT)
    if password is None:
        password = generate_password(found.spec.default_password_length)
    found.spec.check_password(password)
    found.guest.enable_root(password)
    doors.database.run(roots.record_enabled, found.instance.id, caller.user_id)
    return User(name=found.spec.root_name, password=password)


def generate_password(length: int) -> str:
    """Return `length` random letters and digits, with a lower-case and an upper-case letter and a digit among them."""
    while True:
        made = "".join(secrets.choice(ALPHABET) for _ in range(length))
        kinds = (str.islower, str.isupper, str.isdigit)
        if length < len(kinds) or all(any(kind(letter) for letter in made) for kind in kinds):
            return made
