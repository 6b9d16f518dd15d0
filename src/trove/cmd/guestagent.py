"""`trove-guestagent`: runs beside one database server and does what the control plane asks of it.

It reads its few options with the standard library alone, because its memory is the tenant's. A tenant waits while it is
loaded, too: what a new database server can start without is imported where it is used.
"""

import configparser
import contextlib
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import trove
from trove.core.errors import GuestError, InvalidInput, TroveError
from trove.core.trail import REQUEST_ID
from trove.guestagent.host import HostSettings, SandboxedHost, SandboxKind
from trove.guestagent.volume import FILE_SYSTEMS, VolumeSettings

if TYPE_CHECKING:
    import argparse

    from trove.bus.contract import Bus

LOG = logging.getLogger("trove.guestagent")

STOP_TIMEOUT_S = 120.0
STRANDED_S = 60.0
"""How long an agent says that its machine is not ready before it ends, to be started again and look anew."""

_M_ARENA_MAX = -8
_TURN_S = 0.0005
_TEXT = "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """How to log. No file means standard error."""

    file: Path | None = None
    as_json: bool = False
    debug: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the files in the configuration directory say."""

    manager: str
    transport_url: str = field(repr=False)
    key: str = field(repr=False)
    report_interval_s: float
    host: HostSettings
    log: LogSettings
    ca_file: Path | None = None


class _Trail(logging.Filter):
    """Gives every record the id of the request it belongs to, `-` for none."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = getattr(record, "request_id", None) or REQUEST_ID.get() or "-"
        return True


class _JSONFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        import json

        from trove.core.clock import utcnow

        fields = {
            "time": utcnow().isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "request_id": record.__dict__.get("request_id"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    options = _options(sys.argv[1:] if argv is None else argv)
    os.umask(0o077)
    try:
        if options.make_template is not None:
            return _make_template(options.make_template.absolute(), options.manager, options.root)
        settings = read_settings(options.config_dir)
        _share_one_heap()
        start_logging(settings.log)
        if options.stop:
            return _stop_server(settings)
        if options.make_ready:
            return _make_ready(settings)
        return _serve(settings, options.config_dir)
    except (TroveError, OSError) as error:
        print(f"trove-guestagent: {error}", file=sys.stderr)
        return 1


def read_settings(folder: Path) -> Settings:
    """Read all `*.conf` files of a directory. Raises `InvalidInput` naming the option that is missing or wrong."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(sorted(folder.glob("*.conf")), encoding="utf-8")
    except configparser.Error as error:
        raise InvalidInput(f"{folder}: {type(error).__name__}: the configuration cannot be read.") from None
    defaults = dict(parser.defaults())
    host = dict(parser.items("host")) if parser.has_section("host") else {}
    return Settings(
        manager=_required(defaults, "datastore_manager"),
        transport_url=_required(defaults, "transport_url"),
        key=_required(defaults, "instance_rpc_encr_key"),
        report_interval_s=_number(defaults, "report_interval", 30.0),
        host=_host_settings(_required(defaults, "guest_id"), host),
        log=LogSettings(
            file=Path(defaults["log_file"]) if defaults.get("log_file") else None,
            as_json=_flag(defaults, "log_json"),
            debug=_flag(defaults, "debug"),
        ),
        # Beside the other files unless it is a whole path.
        ca_file=folder / defaults["ca_file"] if defaults.get("ca_file") else None,
    )


def start_logging(settings: LogSettings) -> None:
    """Log as configured; again when the configuration was read again."""
    handler: logging.Handler = logging.StreamHandler() if settings.file is None else logging.FileHandler(settings.file)
    handler.addFilter(_Trail())
    handler.setFormatter(_JSONFormatter() if settings.as_json else logging.Formatter(_TEXT))
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
        old.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    logging.getLogger("trove").setLevel(logging.DEBUG if settings.debug else logging.INFO)
    for name in ("amqp", "kombu"):
        logging.getLogger(name).setLevel(logging.WARNING)


def _share_one_heap() -> None:
    """Let all threads allocate from one heap (glibc's mallopt): several would keep some 4 MiB more, which are the tenant's."""
    if "MALLOC_ARENA_MAX" in os.environ:
        return
    import ctypes

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def _serve(settings: Settings, config_dir: Path) -> int:
    from trove.datastores import registry
    from trove.guestagent.headstart import HeadStart

    instance_id = settings.host.instance_id
    _trust(settings)
    if settings.host.sandbox is SandboxKind.USER:
        from trove.guestagent.readiness import make_ready

        try:
            make_ready(settings.host)
        except GuestError as error:
            return _serve_stranded(settings, error.message)
    host = SandboxedHost(settings.host)
    host.give_up_rights()
    driver = registry.driver(settings.manager, host)
    if settings.host.await_data_dir:
        host.await_data_dir()
    # The server starts while the larger half of this program is still being loaded. With Python's usual five milliseconds for
    # each thread, loading would hold up the start at every file that it touches.
    sys.setswitchinterval(_TURN_S)
    head_start = HeadStart(driver, host, config_dir)
    from trove.cmd.notify import Notifier
    from trove.guestagent.agent import Agent
    from trove.guestagent.engine import Engine

    engine = Engine(spec=registry.spec(settings.manager), driver=driver, host=host, head_start=head_start)
    bus = _bus(settings)
    agent = Agent(engine, bus, version=trove.__version__, report_interval_s=settings.report_interval_s)
    notifier = Notifier()
    ended = _told_to_end()
    signal.signal(signal.SIGHUP, lambda *_: _reread_logging(host, config_dir))
    os.chdir("/")
    LOG.info("guest agent %s for instance %s (%s) begins", trove.__version__, instance_id, settings.manager)
    try:
        agent.start()
        notifier.tell_ready()
        while not ended.wait(notifier.interval_s):
            notifier.tell_alive()
        notifier.tell_stopping()
        LOG.info("guest agent ends; the database server is left as it is")
        agent.stop()
    finally:
        bus.close()
    return 0


def _serve_stranded(settings: Settings, reason: str) -> int:
    """Say for a while why nothing can be done, and end as failed: who starts the agent again has all of it tried again."""
    from trove.cmd.notify import Notifier
    from trove.guestagent.stranded import StrandedAgent

    bus = _bus(settings)
    agent = StrandedAgent(
        settings.host.instance_id,
        bus,
        reason=reason,
        version=trove.__version__,
        report_interval_s=settings.report_interval_s,
    )
    notifier, ended, until = Notifier(), _told_to_end(), time.monotonic() + STRANDED_S
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        agent.start()
        notifier.tell_ready()
        while not ended.wait(min(notifier.interval_s or STRANDED_S, STRANDED_S / 10)) and time.monotonic() < until:
            notifier.tell_alive()
        notifier.tell_stopping()
        agent.stop()
    finally:
        bus.close()
    return 0 if ended.is_set() else 1


def _bus(settings: Settings) -> "Bus":
    from trove.bus import rpc
    from trove.bus.sealing import FixedKeys, key_from_text
    from trove.guestagent import trust

    instance_id = settings.host.instance_id
    keys = FixedKeys({instance_id: key_from_text(settings.key)})
    url = settings.transport_url if trust.ca_file is None else trust.trusting(settings.transport_url, trust.ca_file)
    return rpc.connect(url, principal=instance_id, keyring=keys, host_label="guestagent")


def _trust(settings: Settings) -> None:
    """Note whose certificates are trusted, before the agent gives up the right to read them where the cloud put them."""
    if settings.ca_file is None:
        return
    from trove.guestagent import trust

    apart = settings.host.sandbox is SandboxKind.USER
    trust.ca_file = trust.keep_within_reach(settings.ca_file, settings.host.run_dir.parent) if apart else settings.ca_file


def _told_to_end() -> threading.Event:
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    return ended


def _make_ready(settings: Settings) -> int:
    from trove.guestagent.readiness import make_ready

    make_ready(settings.host)
    return 0


def _stop_server(settings: Settings) -> int:
    from trove.datastores import registry

    host = SandboxedHost(settings.host)
    host.give_up_rights()
    registry.driver(settings.manager, host).stop(timeout_s=STOP_TIMEOUT_S)
    return 0


def _make_template(target: Path, manager: str, root: Path | None) -> int:
    """Build the template beside its place and put it there in one step; one that is there is kept."""
    import shutil
    import tempfile

    from trove.datastores import registry

    if target.exists():
        return 0
    work = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        host = SandboxedHost(
            HostSettings(
                instance_id=f"template-{manager}",
                address="127.0.0.1",
                data_dir=work / "volume",
                run_dir=work / "run",
                config_dir=work / "config",
                log_dir=work / "log",
                template_dir=work / "volume" / "template",
                sandbox=SandboxKind.AUTO,
                root_dir=None if root is None else root.absolute(),
            )
        )
        registry.make_template(manager, host)
        made = work / "volume" / "template"
        for path in (made, *made.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
        made.rename(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


def _reread_logging(host: SandboxedHost, config_dir: Path) -> None:
    try:
        with host.keeps_to_itself():
            start_logging(read_settings(config_dir).log)
        LOG.info("logging was configured again")
    except (TroveError, OSError) as error:
        LOG.error("the configuration could not be read again, logging stays as it is: %s", error)


def _host_settings(instance_id: str, values: dict[str, str]) -> HostSettings:
    sandbox = values.get("sandbox") or "auto"
    if sandbox not in list(SandboxKind):
        raise InvalidInput(f"[host] sandbox must be one of {', '.join(SandboxKind)}.")
    volume_bytes = _number(values, "volume_bytes", 0.0)
    return HostSettings(
        instance_id=instance_id,
        address=_required(values, "address"),
        data_dir=_path(values, "data_dir"),
        run_dir=_path(values, "run_dir"),
        config_dir=_path(values, "config_dir"),
        log_dir=_path(values, "log_dir"),
        template_dir=_optional_path(values, "template_dir"),
        sandbox=SandboxKind(sandbox),
        namespaces=_names(values, "namespaces"),
        await_data_dir=_flag(values, "await_data_dir"),
        hide=tuple(Path(path.strip()) for path in values.get("hide", "").replace(",", "\n").splitlines() if path.strip()),
        volume_bytes=int(volume_bytes) or None,
        root_dir=_optional_path(values, "root_dir"),
        agent_dir=_optional_path(values, "agent_dir"),
        uid=int(_number(values, "uid", 0)) or None,
        gid=int(_number(values, "gid", 0)) or None,
        volume=_volume_settings(values),
    )


def _volume_settings(values: dict[str, str]) -> VolumeSettings | None:
    """Return what volume the agent mounts itself; None where `[host]` names neither one's id nor a device."""
    volume_id, device = values.get("volume_id"), _optional_path(values, "device_path")
    if not volume_id and device is None:
        return None
    fstype = values.get("volume_fstype") or FILE_SYSTEMS[0]
    if fstype not in FILE_SYSTEMS:
        raise InvalidInput(f"[host] volume_fstype must be one of {', '.join(FILE_SYSTEMS)}.")
    return VolumeSettings(
        mount_point=_path(values, "mount_point"),
        agent_dir=_path(values, "agent_dir"),
        volume_id=volume_id or None,
        device=device,
        fstype=fstype,
        format_options=tuple(values.get("format_options", "").split()),
        mount_options=values.get("mount_options", ""),
        may_format=_flag(values, "may_format"),
    )


def _required(values: dict[str, str], name: str) -> str:
    if not values.get(name):
        raise InvalidInput(f"Option '{name}' is missing in the configuration.")
    return values[name]


def _path(values: dict[str, str], name: str) -> Path:
    path = Path(_required(values, name))
    if not path.is_absolute():
        raise InvalidInput(f"Option '{name}' must be an absolute path.")
    return path


def _optional_path(values: dict[str, str], name: str) -> Path | None:
    return _path(values, name) if values.get(name) else None


def _number(values: dict[str, str], name: str, default: float) -> float:
    if not values.get(name):
        return default
    with contextlib.suppress(ValueError):
        if 0 < float(values[name]) < float("inf"):
            return float(values[name])
    raise InvalidInput(f"Option '{name}' must be a positive number.")


def _flag(values: dict[str, str], name: str) -> bool:
    return values.get(name, "").lower() in {"1", "true", "yes", "on"}


def _names(values: dict[str, str], name: str) -> tuple[str, ...]:
    found = tuple(word.strip() for word in values.get(name, "").split(",") if word.strip())
    if not all(word.isalpha() for word in found):
        raise InvalidInput(f"Option '{name}' must be names with commas between them.")
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    config_dir: Path
    make_template: Path | None = None
    manager: str = ""
    root: Path | None = None
    stop: bool = False
    make_ready: bool = False


def _options(argv: Sequence[str]) -> "_Options | argparse.Namespace":
    """Read the command line; the one that every agent is started with without the library for it."""
    match argv:
        case ["--config-dir", folder] if not folder.startswith("-"):
            return _Options(config_dir=Path(folder))
        case _:
            return _parser().parse_args(argv)


def _parser() -> "argparse.ArgumentParser":
    import argparse

    parser = argparse.ArgumentParser(
        prog="trove-guestagent",
        description="Runs beside one database server: does what the control plane asks, reports how the server is, and brings "
        "it back when it dies. SIGTERM ends the agent and leaves the server running; SIGHUP reads the logging options again.",
        epilog="Exit codes: 0 done, 1 failed (the reason is on standard error), 2 wrong usage.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {trove.__version__}")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config-dir", type=Path, metavar="DIR", help="directory with guest_info.conf and trove-guestagent.conf")
    what.add_argument("--make-template", type=Path, metavar="DIR", help="prepare a data directory to copy from, and end")
    parser.add_argument("--manager", default="mariadb", help="the database engine of the template (default: %(default)s)")
    parser.add_argument("--root", type=Path, metavar="DIR", help="the image that the template's programs come from")
    parser.add_argument("--stop", action="store_true", help="stop the database server cleanly, and end")
    parser.add_argument("--make-ready", action="store_true", help="mount the data volume and so on, as root, and end")
    return parser


if __name__ == "__main__":
    sys.exit(main())
