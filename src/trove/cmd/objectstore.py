"""trove-objectstore: lets guests reach the object store `file` with the tickets that backups and restores give them."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trove.cmd import logs
from trove.cmd.service import Signals, run, say_ready

SERVICE = "trove-objectstore"
DESCRIPTION = """Serve the objects below [objectstore] path to guest agents, on [objectstore] bind_host:bind_port, by ticket
only. Needed where [objectstore] driver is `file`; one on each machine where path is mounted, if there are several. SIGTERM:
it ends at once, and guests try again. SIGHUP: logging is configured again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the service until it is told to stop; return its exit code."""
    return run(SERVICE, DESCRIPTION, _serve, argv)


def _serve(conf: Any, signals: Signals, began: float) -> None:
    from trove.cmd import objects
    from trove.objectstore.endpoint import Endpoint
    from trove.store.vault import Vault

    Vault.from_file(conf.secrets.key_file, create=conf.secrets.create_key_file)
    keys = Path(conf.secrets.key_file).read_bytes()
    where = (conf.objectstore.bind_host, conf.objectstore.bind_port)
    with Endpoint(where, objects.file_store(conf, keys), objects.signer(conf, keys)) as endpoint:
        thread = threading.Thread(target=endpoint.serve_forever, name="endpoint", daemon=True)
        thread.start()
        say_ready(SERVICE, began, f"http://{where[0]}:{where[1]}", signals)
        signals.run(reread=lambda: logs.reread(conf))
        endpoint.shutdown()


if __name__ == "__main__":
    sys.exit(main())
