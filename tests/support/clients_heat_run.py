"""Heat's engine and its API in one process: between them goes what else a message broker would carry.

Arguments: heat.conf and the port of the API on loopback.
"""

import ctypes
import signal
import sys

from oslo_service import backend

backend.init_backend(backend.BackendType.THREADING)

import oslo_i18n  # noqa: E402
import waitress  # noqa: E402
from heat import version  # noqa: E402
from heat.common import config, messaging  # noqa: E402
from heat.engine import service  # noqa: E402
from heat.rpc import api  # noqa: E402
from oslo_config import cfg  # noqa: E402
from oslo_log import log  # noqa: E402

ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it ends with the tests, however these end


def main():
    """Serve until killed."""
    oslo_i18n.enable_lazy()
    log.register_options(cfg.CONF)
    cfg.CONF(
        sys.argv[1:2] and ["--config-file", sys.argv[1]],
        project="heat",
        prog="heat-api",
        version=version.version_info.version_string(),
    )
    log.setup(cfg.CONF, "heat")
    messaging.setup()
    service.EngineService("heat", api.ENGINE_TOPIC).start()
    waitress.serve(config.load_paste_app("heat-api"), host="127.0.0.1", port=int(sys.argv[2]), threads=4)


if __name__ == "__main__":
    main()
