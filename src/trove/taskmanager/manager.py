"""The endpoint of the `taskmanager` topic. Thin: it hands on."""

from trove.bus.contract import Message
from trove.core.errors import Refused
from trove.core.json import JSON
from trove.taskmanager.runner import Runner


class Manager:
    """Receives what the API casts."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __call__(self, message: Message) -> JSON:
        """Handle one message. Raises `Refused` for a method or arguments that it does not know."""
        operation_id = message.args.get("operation_id")
        if message.method != "run_operation" or not isinstance(operation_id, str):
            raise Refused(f"The task manager has no method {message.method!r} with these arguments.")
        self.run_operation(operation_id)
        return None

    def run_operation(self, operation_id: str) -> None:
        """Have an operation run soon. May come twice, or never: the sweep finds what was not announced."""
        self._runner.offer(operation_id)
