"""HTTP basic authentication for a stack without Keystone: an htpasswd file with bcrypt hashes, and a JSON file of roles.

bcrypt is slow on purpose, so a verified password is remembered as an HMAC under a key of this process: the next request costs
microseconds. Who guesses waits: after three failures for one name from one address, refusals come without looking at the
password, for a time that doubles. Who is remembered already is not held up by another's guessing.
"""

import base64
import binascii
import hashlib
import hmac
import json
import logging
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import bcrypt

from trove.api import faults
from trove.api.filters.faultwrapper import send
from trove.api.filters.identity import BASIC, IDENTITY_HEADERS
from trove.api.filters.wsgi import App, Environ, Filter, StartResponse
from trove.api.settings import installed

LOG = logging.getLogger(__name__)

CHALLENGE = {"WWW-Authenticate": 'Basic realm="trove", charset="UTF-8"'}
LOOK_AT_FILES_EVERY_S = 1.0
FREE_FAILURES = 3
LONGEST_WAIT_S = 30.0
MAX_REMEMBERED = 10_000
BCRYPT_MAX_BYTES = 72


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """One user of the files."""

    name: str
    user_id: str
    project_id: str
    roles: tuple[str, ...]
    hashed: bytes


class Accounts:
    """The two files, read again when one changed. A broken new version is logged and the last good one stays."""

    def __init__(self, user_file: Path, roles_file: Path) -> None:
        self._files = (user_file, roles_file)
        self._by_name: Mapping[str, Account] = {}
        self._stamp: object = None
        self._look_at = 0.0
        self._by_name, self._stamp = self._read(), self._stamps()

    def find(self, name: str) -> Account | None:
        """Return the account of this name, None when there is none."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_AT_FILES_EVERY_S
            self._reload()
        return self._by_name.get(name)

    def hashes(self) -> list[bytes]:
        """Return all password hashes."""
        return [account.hashed for account in self._by_name.values()]

    def _stamps(self) -> tuple[tuple[int, int], ...]:
        return tuple((found.st_mtime_ns, found.st_size) for found in (path.stat() for path in self._files))

    def _reload(self) -> None:
        try:
            stamp = self._stamps()
            if stamp != self._stamp:
                self._by_name, self._stamp = self._read(), stamp
        except (OSError, ValueError) as error:
            LOG.error("Keeping the accounts as they were: %s", error)

    def _read(self) -> Mapping[str, Account]:
        user_file, roles_file = self._files
        grants = json.loads(roles_file.read_text("utf-8"))
        if not isinstance(grants, dict):
            raise ValueError(f"{roles_file}: must be an object of users")
        accounts = {}
        for number, line in enumerate(user_file.read_text("utf-8").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            name, colon, hashed = line.strip().partition(":")
            if not colon or not hashed.startswith(("$2a$", "$2b$", "$2y$")):
                raise ValueError(f"{user_file}:{number}: not a user:bcrypt-hash line (htpasswd -B makes them)")
            if name in grants:
                accounts[name] = _account(name, hashed, grants[name], roles_file)
            else:
                LOG.warning("User %r of %s has no entry in %s and cannot log in", name, user_file, roles_file)
        return accounts


def _account(name: str, hashed: str, grant: object, source: Path) -> Account:
    roles = grant.get("roles") if isinstance(grant, dict) else None
    if not isinstance(grant, dict) or not isinstance(grant.get("project"), str) or not isinstance(roles, list):
        raise ValueError(f'{source}: the entry of {name!r} must be {{"project": id, "roles": [role, …]}}')
    user_id = str(grant.get("user_id") or name)
    roles = tuple(str(role) for role in roles)
    return Account(name=name, user_id=user_id, project_id=grant["project"], roles=roles, hashed=hashed.encode())


class Throttle:
    """Counts failures by name and address and says how long to wait. Thread-safe, bounded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures: dict[tuple[str, str], tuple[int, float]] = {}

    def wait_s(self, who: tuple[str, str]) -> float:
        """Return the seconds until `who` may try again, 0 when now."""
        _, until = self._failures.get(who, (0, 0.0))
        return max(0.0, until - time.monotonic())

    def failed(self, who: tuple[str, str]) -> None:
        """Note a failure."""
        with self._lock:
            count = self._failures.pop(who, (0, 0.0))[0] + 1
            wait = min(LONGEST_WAIT_S, 2.0 ** (count - FREE_FAILURES - 1)) if count > FREE_FAILURES else 0.0
            self._failures[who] = (count, time.monotonic() + wait)
            while len(self._failures) > MAX_REMEMBERED:
                del self._failures[next(iter(self._failures))]

    def succeeded(self, who: tuple[str, str]) -> None:
        """Forget earlier failures."""
        with self._lock:
            self._failures.pop(who, None)


class Verifier:
    """Checks passwords: bcrypt the first time, then from memory."""

    def __init__(self, accounts: Accounts) -> None:
        self._accounts = accounts
        self._key = secrets.token_bytes(32)
        self._known: dict[bytes, None] = {}
        self._nobody = bcrypt.hashpw(secrets.token_hex(16).encode(), bcrypt.gensalt(rounds=_rounds(accounts)))

    def account(self, name: str) -> Account | None:
        """Return the account of this name."""
        return self._accounts.find(name)

    def remembers(self, account: Account, password: bytes) -> bool:
        """Tell whether this very password of this very account was verified before."""
        return self._digest(account, password) in self._known

    def verify(self, account: Account | None, password: bytes) -> bool:
        """Check with bcrypt, in the same time for an unknown user; remember success."""
        fits = len(password) <= BCRYPT_MAX_BYTES and b"\x00" not in password
        hashed = account.hashed if account else self._nobody
        try:
            right = bcrypt.checkpw(password if fits else b"", hashed) and fits and account is not None
        except ValueError:
            LOG.error("The hash of user %r is not valid bcrypt", account.name if account else "")
            return False
        if right and account:
            self._known[self._digest(account, password)] = None
            while len(self._known) > MAX_REMEMBERED:
                self._known.pop(next(iter(self._known)), None)
        return right

    def _digest(self, account: Account, password: bytes) -> bytes:
        # The hash is part of it: a changed password file makes what was remembered worthless.
        return hmac.digest(self._key, b"\x00".join((account.name.encode(), account.hashed, password)), hashlib.sha256)


def _rounds(accounts: Accounts) -> int:
    hashes = accounts.hashes()
    return int(hashes[0].split(b"$")[2]) if hashes else 12


def factory(_global_conf: dict[str, str], user_file: str = "", roles_file: str = "", **_local_conf: str) -> Filter:
    """Return the Paste filter `basicauth`. The files come from the ini file, else from the API's settings."""
    settings = installed().settings
    users = Path(user_file) if user_file else settings.basic_user_file
    roles = Path(roles_file) if roles_file else settings.basic_roles_file
    if users is None or roles is None:
        raise RuntimeError("HTTP basic authentication needs a user_file and a roles_file.")
    verifier, throttle = Verifier(Accounts(users, roles)), Throttle()

    def bound(app: App) -> App:
        return wrap(app, verifier, throttle)

    return bound


def wrap(app: App, verifier: Verifier, throttle: Throttle) -> App:
    """Return `app` behind HTTP basic authentication. Identity headers that the client sent are dropped."""

    def basicauth(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        for name in IDENTITY_HEADERS:
            environ.pop(name, None)
        credentials = _credentials(environ.get("HTTP_AUTHORIZATION", ""))
        if credentials is None:
            return send(start_response, faults.reply(401, "This request needs HTTP basic authentication.", headers=CHALLENGE))
        name, password = credentials
        account = verifier.account(name)
        if account is None or not verifier.remembers(account, password):
            refusal = _check(verifier, throttle, (name, str(environ.get("REMOTE_ADDR", ""))), account, password)
            if refusal:
                return send(start_response, refusal)
        assert account is not None
        _identify(environ, account)
        return app(environ, start_response)

    return basicauth


def _check(
    verifier: Verifier, throttle: Throttle, who: tuple[str, str], account: Account | None, password: bytes
) -> faults.Reply | None:
    wait = throttle.wait_s(who)
    if wait > 0:
        message = "Too many wrong passwords; wait before you try again."
        return faults.over_rate(int(wait) + 1, message=message, details="failed log-ins")
    if verifier.verify(account, password):
        throttle.succeeded(who)
        return None
    throttle.failed(who)
    LOG.warning("Refused HTTP basic log-in of %r from %s", who[0][:100], who[1])
    return faults.reply(401, "The user name or the password is wrong.", headers=CHALLENGE)


def _credentials(text: str) -> tuple[str, bytes] | None:
    scheme, _, encoded = text.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, colon, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
        return (name.decode("utf-8"), password) if colon else None
    except (binascii.Error, ValueError):
        return None


def _identify(environ: Environ, account: Account) -> None:
    environ[BASIC] = account.name
    environ["REMOTE_USER"] = account.name
    environ["HTTP_X_IDENTITY_STATUS"] = "Confirmed"
    environ["HTTP_X_PROJECT_ID"] = environ["HTTP_X_TENANT_ID"] = account.project_id
    environ["HTTP_X_USER_ID"] = account.user_id
    environ["HTTP_X_USER_NAME"] = account.name
    environ["HTTP_X_ROLES"] = environ["HTTP_X_ROLE"] = ",".join(account.roles)
