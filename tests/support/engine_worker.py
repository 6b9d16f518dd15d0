"""A driver on a host, in a process of its own that answers pickled calls: so that a test by root can drive it as nobody.

Started as `python engine_worker.py`; each request is `(path, args, kwargs)`, such as `("driver.start", (), {})`.
"""

import pickle
import sys
import traceback
from functools import reduce
from typing import Any

from trove.datastores import registry
from trove.guestagent import backups
from trove.guestagent.engine import Engine
from trove.guestagent.host import SandboxedHost


def main() -> None:
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    settings, manager = pickle.load(requests)

    class Roots:
        host = SandboxedHost(settings)
        driver = registry.driver(manager, host)
        engine = Engine(spec=registry.spec(manager), driver=driver, host=host)

        @staticmethod
        def prepare(config: str) -> list[tuple[str, int]]:
            steps: list[tuple[str, int]] = []
            Roots.driver.prepare(config=config, progress=lambda step, percent: steps.append((step, percent)))
            return steps

        @staticmethod
        def with_progress(verb: str, **kwargs: Any) -> Any:
            return getattr(Roots.driver, verb)(**kwargs, progress=lambda _step, _percent: None)

        @staticmethod
        def back_up(args: dict[str, Any]) -> Any:
            return backups.back_up(Roots.engine, args, lambda _step, _percent: None)

        @staticmethod
        def restore(wanted: dict[str, Any]) -> None:
            backups.restore(Roots.engine, wanted, lambda _step, _percent: None)

    while True:
        try:
            path, args, kwargs = pickle.load(requests)
        except EOFError:
            return
        try:
            found = reduce(getattr, path.split("."), Roots)
            answer = ("ok", found(*args, **kwargs) if callable(found) else found)
        except Exception as error:
            traceback.print_exc()
            answer = ("error", error)
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
