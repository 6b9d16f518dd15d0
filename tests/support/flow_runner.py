"""A process that runs a flow of nine tasks and may kill itself with SIGKILL at a given point. Reads its orders from stdin."""

import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trove.core import errors
from trove.store.paths import Paths
from trove.store.session import Database
from trove.store.vault import Vault
from trove.workflow import engine


def main() -> None:
    """Run the flow `flow_id` on the database `url`; log deeds to file `log`; die at `die` = [task, moment]; print the end."""
    orders = json.load(sys.stdin)
    log = Path(orders["log"])

    def note(line: str) -> None:
        with log.open("a") as file:
            file.write(line + "\n")

    def do(number: int) -> Callable[[str], Any]:
        def deed(password: str) -> dict[str, int]:
            note(f"do {number}")
            if number == orders["fail"]:
                raise errors.CloudError(f"no room at {number}") from ValueError(password)
            return {"number": number}

        return deed

    def undo(number: int) -> Callable[[Any], None]:
        return lambda result: note(f"undo {number} {'' if result is None else result['number']}".rstrip())

    def flow() -> Any:
        return engine.linear("nine", *(engine.step(f"task-{n}", do(n), undo(n)) for n in range(1, 10)))

    def probe(task: str, moment: str) -> None:
        if [task, moment] == orders["die"]:
            os.kill(os.getpid(), signal.SIGKILL)

    database = Database(orders["url"], vault=Vault([Vault.new_key()]))
    outcome = engine.run(orders["flow_id"], flow, paths=Paths(database), store={"password": orders["password"]}, probe=probe)
    json.dump({"state": outcome.state, "error": str(outcome.error), "kind": type(outcome.error).__name__}, sys.stdout)
    database.close()


if __name__ == "__main__":
    main()
