"""A consumer in a process of its own, for tests that kill it: `python -m … TOPIC MODE SEEN_FILE`, the URL in BUS_URL."""

import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from trove.bus import rpc
from trove.bus.contract import CONTROL, Message
from trove.bus.sealing import FixedKeys


def main(topic: str, mode: str, seen: Path) -> None:
    bus = rpc.connect(
        os.environ["BUS_URL"], principal=CONTROL, keyring=FixedKeys({CONTROL: b"c" * 32}), host_label=f"process-{os.getpid()}"
    )

    def note(messages: Sequence[Message]) -> None:
        with seen.open("a") as file:
            file.writelines(f"{message.method}\n" for message in messages)
            file.flush()
            os.fsync(file.fileno())

    def handle(message: Message) -> None:
        note([message])
        if mode == "hang":
            threading.Event().wait()
        if mode == "crash" and message.method == "crash":
            os._exit(1)

    def handle_batch(messages: Sequence[Message]) -> None:
        note(messages)
        if any(message.method == "crash" for message in messages):
            os._exit(1)

    if mode == "crash-batches":
        bus.serve_batches(topic, handle_batch)
    else:
        bus.serve(topic, handle, workers=2)
    threading.Event().wait()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
