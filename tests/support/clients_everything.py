"""The clients before a service whose engine can do everything: the real API and task manager in memory, with guests of tests.

What no real engine can do yet is asked of this one, so that every request of a client is seen to be understood.
"""

import queue
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import keystoneauth1.session
from keystoneauth1.http_basic import HTTPBasicAuth
from tests.support.clients import Clients
from tests.support.clients_recorder import recording
from tests.support.http_api import PASSWORD, PASTE_FILE, USERS, listening, oslo_conf, write_accounts
from tests.support.ports import free_port
from tests.support.world import World, world

from trove.api.app import load
from trove.api.settings import ApiSettings

ACCOUNTS = {"demo": "member", "demo_reader": "reader", "alt_demo": "stranger", "admin": "admin"}


@dataclass(kw_only=True)
class Everything(Clients):
    """The clients, with HTTP basic authentication; the datastore `everything` has the versions 1.0 and 2.0."""

    world: World = field(repr=False)

    def environment(self, user: str) -> dict[str, str]:
        """Return the variables for a user."""
        return {
            "OS_AUTH_TYPE": "http_basic",
            "OS_USERNAME": ACCOUNTS[user],
            "OS_PASSWORD": PASSWORD,
            "OS_ENDPOINT": f"http://127.0.0.1:{self.port}/v1.0/{self.project(user)}",
            "HOME": str(self.home),
        }

    def session(self, user: str) -> keystoneauth1.session.Session:
        """Return a session of a user."""
        environ = self.environment(user)
        auth = HTTPBasicAuth(endpoint=environ["OS_ENDPOINT"], username=environ["OS_USERNAME"], password=PASSWORD)
        return keystoneauth1.session.Session(auth=auth)

    def project(self, user: str = "demo") -> str:
        """Return the project of a user."""
        return str(USERS[ACCOUNTS[user]]["project"])

    def tails(self) -> str:
        """Return nothing: all happens in this process."""
        return ""


class _Doer:
    """Has every operation done by a task manager as soon as it is announced, one after the other."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[str | None] = queue.SimpleQueue()

    def announce(self, operation_id: str) -> None:
        self._wanted.put(operation_id)

    @contextmanager
    def working(self, here: World) -> Iterator[None]:
        """Work in a thread until the block ends."""

        def work() -> None:
            runner = here.runner()
            while (operation_id := self._wanted.get()) is not None:
                runner.run_now(operation_id)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            self._wanted.put(None)
            thread.join()


@contextmanager
def everything(service: Clients, directory: Path) -> Iterator[Everything]:
    """Serve such a service from `directory`; its clients record where those of `service` do."""
    doer, recorded = _Doer(), free_port()
    with ExitStack() as after:
        here = after.enter_context(world(directory))
        after.enter_context(doer.working(here))
        user_file, roles_file = write_accounts(directory)
        settings = ApiSettings(conf=oslo_conf(), auth="basic", basic_user_file=user_file, basic_roles_file=roles_file)
        app = load(replace(here.doors, announcer=doer), settings, PASTE_FILE)
        port = after.enter_context(listening(app))
        after.enter_context(recording(service.recorder, port=recorded, towards=port))
        yield Everything(
            stack=service.stack,
            keystone=service.keystone,
            recorder=service.recorder,
            port=recorded,
            home=service.home,
            peer=service.peer,
            world=here,
        )
