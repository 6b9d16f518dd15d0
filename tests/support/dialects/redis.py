"""Redis, and Valkey beside it, as their tenants have them, by redis-py."""

import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, cast

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.retry import Retry
from tests.support.dialects import Denied, Dialect, Gone, LoginRefused, ReadOnly, ServerParameter, Setting, Tenant
from tests.support.guests import Machine, Worker

from trove.datastores import registry

_BOUNDS = re.compile(r"between (-?\d+) and (-?\d+) inclusive")
_CHOICES = re.compile("one of the following: (.+)")
_OUTSIDE = (-(2**63) + 1, 2**63 - 1)
"""No parameter may be as small, and few as large."""


class RedisSession:
    """Fields of hashes."""

    def __init__(self, address: str, tenant: Tenant) -> None:
        # One connection that logs in once, as a tenant's library would keep it.
        self.client = redis.Redis(
            host=address,
            port=6379,
            username=tenant.name,
            password=tenant.password,
            db=int(tenant.database or 0),
            socket_timeout=60,
            socket_connect_timeout=10,
            max_connections=1,
            retry=Retry(NoBackoff(), 0),
            decode_responses=True,
        )
        self._run(self.client.ping)

    def put(self, key: str, value: str) -> None:
        self._run(lambda: self.client.hset("kept", key, value))

    def get(self, key: str) -> str | None:
        return cast("str | None", self._run(lambda: self.client.hget("kept", key)))

    def keys(self) -> set[str]:
        return set(self._run(lambda: self.client.hkeys("kept")))

    def open_bank(self, accounts: int, balance: int) -> None:
        self._run(lambda: self.client.hset("bank", mapping=dict.fromkeys(map(str, range(accounts)), balance)))

    def transfer(self, source: int, target: int, amount: int) -> None:
        def move() -> None:
            with self.client.pipeline(transaction=True) as pipe:
                pipe.hincrby("bank", str(source), -amount)
                pipe.hincrby("bank", str(target), amount)
                pipe.execute()

        self._run(move)

    def balances(self) -> list[int]:
        found: dict[str, str] = self._run(lambda: self.client.hgetall("bank"))
        return [int(found[number]) for number in sorted(found, key=int)]

    def fill(self, mib: int) -> None:
        for _ in range(mib):
            self._run(lambda: self.client.rpush("filler", secrets.token_bytes(1 << 20)))

    def close(self) -> None:
        self.client.close()

    def run(self, *words: str) -> Any:
        """Run a command and return its reply."""
        return self._run(lambda: self.client.execute_command(*words))

    def _run(self, do: Callable[[], Any]) -> Any:
        with translated():
            return do()


class RedisKin:
    live = Setting(name="maxmemory-policy", value="allkeys-lru", shown="allkeys-lru")
    restart = Setting(name="tcp-backlog", value=333, shown="333")
    refused = Setting(name="appendfsync", value="sometimes", shown="")
    deadly = Setting(name="io-threads", value=9999, shown="")

    def __init__(self, manager: str) -> None:
        self._manager = manager

    def connect(self, address: str, tenant: Tenant) -> RedisSession:
        return RedisSession(address, tenant)

    def shown(self, guest: Machine, worker: Worker, name: str) -> str:
        with self.admin(guest) as server:
            return str(server.config_get(name)[name])

    def parameters(self, guest: Machine, worker: Worker) -> Mapping[str, ServerParameter]:
        """Ask for the values, and learn the bounds from what the server answers to a value that is outside."""
        names = {each.name for each in registry.spec(self._manager).parameters(guest.version)}
        with self.admin(guest) as server:
            values = {str(name): str(value) for name, value in server.config_get("*").items()}
            return {name: _told(server, name, value) for name, value in values.items() if name in names}

    def write_to_log(self, log: str, address: str, tenant: Tenant, mark: str) -> None:
        with closing(self.connect(address, tenant)) as session:
            session.run("EVAL", f"redis.log(redis.LOG_WARNING, '{mark}')", "0")

    @contextmanager
    def admin(self, guest: Machine) -> Iterator["redis.Redis"]:
        """Be the agent."""
        password = (guest.root / "config/agent/os_admin.password").read_text()
        socket = str(guest.root / "run" / f"{self._manager}.sock")
        with redis.Redis(unix_socket_path=socket, username="os_admin", password=password, decode_responses=True) as made:
            yield made


def _told(server: "redis.Redis", name: str, value: str) -> ServerParameter:
    answers = [_set(server, name, value), _set(server, name, "no-such-value")]
    numeric = re.fullmatch(r"-?\d+", value) is not None
    if numeric:
        answers += [_set(server, name, str(outside)) for outside in _OUTSIDE]
    if "" in answers[1:]:
        assert _set(server, name, value) == ""  # it took what was to be refused
    bounds = next((found for answer in answers if (found := _BOUNDS.search(answer))), None)
    choices = next((found for answer in answers if (found := _CHOICES.search(answer))), None)
    return ServerParameter(
        value=value,
        live=not any(words in answers[0] for words in ("immutable", "protected")),
        minimum=float(bounds[1]) if bounds else None,
        maximum=float(bounds[2]) if bounds else None,
        values=tuple(choices[1].split(", ")) if choices else (),
    )


def _set(server: "redis.Redis", name: str, value: str) -> str:
    """Return what the server has against a value, nothing when it took it."""
    try:
        server.config_set(name, value)
    except exceptions.ResponseError as error:
        return str(error)
    return ""


@contextmanager
def translated() -> Iterator[None]:
    """Raise the errors of dialects in place of the library's."""
    try:
        yield
    except exceptions.NoPermissionError as error:
        raise Denied(str(error)) from None
    except (exceptions.AuthenticationError, exceptions.AuthenticationWrongNumberOfArgsError) as error:
        raise LoginRefused(str(error)) from None
    except exceptions.ReadOnlyError as error:
        raise ReadOnly(str(error)) from None
    except (exceptions.ConnectionError, exceptions.TimeoutError, OSError) as error:
        raise Gone(str(error)) from None
    except exceptions.ResponseError as error:
        if "NOREPLICAS" in str(error):
            raise ReadOnly(str(error)) from None
        raise


DIALECT: Dialect = RedisKin("redis")
