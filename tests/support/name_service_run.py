"""All of Designate in one process: API, central, producer, worker and mini-DNS, with no message broker between them.

Arguments: designate.conf, the port of the API on loopback, and pools.yaml.
"""

import ctypes
import signal
import sys

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

import waitress  # noqa: E402
from designate import rpc, utils  # noqa: E402
from designate.conf import CONF  # noqa: E402
from oslo_log import log  # noqa: E402
from sqlalchemy import event  # noqa: E402
from sqlalchemy.engine import Engine  # noqa: E402

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it ends with the tests, however these end


@event.listens_for(Engine, "connect")
def _connected(connection, _record):
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA busy_timeout=60000")


@event.listens_for(Engine, "before_cursor_execute", retval=True)
def _begun(_connection, _cursor, statement, parameters, _context, _executemany):
    # Its services share one file: who has read, and writes then, would not wait for another, but fail.
    return ("BEGIN IMMEDIATE" if statement == "BEGIN" else statement), parameters


def main():
    """Serve until killed."""
    CONF.import_group("keystone_authtoken", "keystonemiddleware.auth_token")
    utils.read_config("designate", ["designate", "--config-file", sys.argv[1]])
    log.setup(CONF, "designate")
    rpc.init(CONF)
    from designate.central import service as central
    from designate.manage import pool
    from designate.mdns import service as mdns
    from designate.producer import service as producer
    from designate.worker import service as worker

    central.Service().start()
    made = pool.PoolCommands()
    made.update(sys.argv[3], False, skip_verify_drivers=True)
    for service in (mdns, worker, producer):
        service.Service().start()
    from paste import deploy

    app = deploy.loadapp(f"config:{CONF['service:api'].api_paste_config}", name="osapi_dns")
    waitress.serve(app, host="127.0.0.1", port=int(sys.argv[2]), threads=4)


if __name__ == "__main__":
    main()
