"""Logging of the control plane by oslo.log: request and operation in every line, JSON on demand, levels re-read on SIGHUP."""

import logging
from typing import Any

from oslo_log import log
from oslo_log.formatters import ContextFormatter

from trove.core.trail import OPERATION_ID, REQUEST_ID

FORMAT = "%(asctime)s.%(msecs)03d %(process)d %(levelname)s %(name)s [%(request_id)s %(operation_id)s] %(message)s"
QUIET = ("amqp", "kombu", "sqlalchemy", "tooz", "keystonemiddleware", "keystoneauth", "urllib3", "alembic", "filelock")


class Trail(logging.Filter):
    """Adds the request and the operation that a line belongs to, `-` for none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass, with `request_id` and `operation_id`."""
        record.request_id = REQUEST_ID.get() or "-"
        record.operation_id = OPERATION_ID.get() or "-"
        record.extra_keys = ("request_id", "operation_id")
        return True


class Lines(logging.Formatter):
    """Puts the beginning of a record's line before each of its lines: of tracebacks, and of messages with line ends."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of a record."""
        first, *rest = super().format(record).split("\n")
        if not rest:
            return first
        message = record.message.split("\n")[0]
        beginning = first[: len(first) - len(message)] if first.endswith(message) else ""
        return "\n".join([first, *(beginning + line for line in rest)])


def register(conf: Any) -> None:
    """Make the options of oslo.log known, with our line format. Before the configuration is read."""
    log.register_options(conf)
    log.set_defaults(
        logging_context_format_string=FORMAT, default_log_levels=[f"{name}=WARNING" for name in QUIET] + ["taskflow=ERROR"]
    )
    conf.set_default("logging_default_format_string", FORMAT)


def start(conf: Any) -> None:
    """Begin to log as configured, to standard error when nothing else is.

    Again after the configuration was re-read: levels and files change at once.
    """
    conf.set_default("use_stderr", not (conf.log_file or conf.log_dir or conf.use_syslog or conf.use_journal))
    log.setup(conf, "trove")
    for handler in logging.getLogger().handlers:
        # oslo.log's formatter would add whatever exception is being handled, and foreign texts may hold anything.
        if type(handler.formatter) is ContextFormatter:
            handler.setFormatter(Lines(conf.logging_default_format_string, conf.log_date_format))
        if not any(isinstance(each, Trail) for each in handler.filters):
            handler.addFilter(Trail())


def reread(conf: Any) -> None:
    """Read the configuration files again for what may change while running: the logging. A broken file changes nothing."""
    try:
        conf.reload_config_files()
        start(conf)
    except Exception:
        logging.getLogger(__name__).exception("The configuration could not be read again; logging stays as it is")
    else:
        logging.getLogger(__name__).info("Logging was configured again")
