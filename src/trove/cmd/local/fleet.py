"""The database servers of a stack: the local cloud as the generated trove.conf describes it, without any service running."""

import compileall
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

from oslo_config import cfg

import trove
from trove.cloud.local import DEFAULT_PACKAGES, LocalCloud, Processes
from trove.cloud.local.engines import host_engine
from trove.cloud.local.packages import HOST_IMAGE
from trove.cmd import clouds
from trove.cmd.local import console, processes, statedb
from trove.cmd.local.configure import DEFAULT_DATASTORE, config_files
from trove.cmd.local.layout import Layout, StackError
from trove.cmd.local.statedb import Offer
from trove.config import opts
from trove.core.errors import TroveError
from trove.core.ids import is_id
from trove.datastores import registry

T = TypeVar("T")

_WARMER = "warmer"


@cache
def cloud(layout: Layout) -> LocalCloud:
    """Return the local cloud of the stack. Raises `StackError` when its configuration cannot be read.

    When only the user's own options are broken it goes on without them, so that `down` and `reset` work.
    """
    try:
        return _cloud(config_files(layout))
    except StackError as error:
        if not layout.override.exists():
            raise
        console.complain(f"going on without {layout.override}: {error}")
        return _cloud((layout.conf,))


def _cloud(files: Sequence[Path]) -> LocalCloud:
    conf = cfg.ConfigOpts()
    words = [word for path in files for word in ("--config-file", str(path))]
    try:
        opts.load(conf, words, prog="trove-local", description="")
        made = clouds.cloud(conf)
    except (SystemExit, TroveError) as error:
        raise StackError(f"the local cloud cannot be used: {error}") from error
    assert isinstance(made, LocalCloud)
    return made


def offers(layout: Layout) -> tuple[Offer, ...]:
    """Return the datastores that this machine can run: from its own packages, and from the images that are built.

    The default datastore is offered also where it is not installed, with a word about what to install: its instances then tell
    the same. Where both have a version, it comes from the packages.
    """
    found = []
    for manager in registry.managers():
        try:
            number = host_engine(DEFAULT_PACKAGES, manager).version
        except TroveError as error:
            if manager == DEFAULT_DATASTORE:
                console.complain(f"warning: {error}")
                found.append(Offer(manager=manager, version=registry.spec(manager).usable_versions[0], number=None))
            continue
        found.append(_offer(manager, number, HOST_IMAGE))
    named = {(offer.manager, offer.version) for offer in found}
    images = _asking(cloud(layout).usable_images)
    more = [_offer(image.manager, image.version, image.name) for image in images if image.manager in registry.managers()]
    return (*found, *(offer for offer in more if (offer.manager, offer.version) not in named))


def _offer(manager: str, number: str, image_id: str) -> Offer:
    spec = registry.spec(manager)
    usable = next((each for each in spec.usable_versions if f"{number}.".startswith(f"{each}.")), None)
    if usable is None:
        console.complain(f"warning: {spec.title} {number} is here; Trove is made for {', '.join(spec.usable_versions)}")
    short = re.match(r"\d+\.\d+", number)
    return Offer(manager=manager, version=usable or (short[0] if short else number), number=number, image_id=image_id)


def servers(layout: Layout) -> tuple[str, ...]:
    """Return the ids of the instances that have a server, running or not."""
    return _asking(lambda: cloud(layout).leftovers().servers)


def pids(layout: Layout, instance_id: str) -> Processes:
    """Return the pids of an instance's agent and database server."""
    return _asking(lambda: cloud(layout).process_info(instance_id))


def start_all(layout: Layout) -> Mapping[str, str]:
    """Start every database server; return what went wrong, by instance id. May run twice."""
    return _said(_asking(cloud(layout).start_all))


def stop_all(layout: Layout, *, timeout_s: float) -> Mapping[str, str]:
    """Stop every database server cleanly within `timeout_s` seconds; return what went wrong, by instance id. May run twice."""
    return _said(_asking(lambda: cloud(layout).stop_all(timeout_s=timeout_s)))


def destroy_all(layout: Layout) -> list[str]:
    """Remove every server with its data; return what went wrong, for people. May run twice."""
    try:
        return [f"instance {instance_id}: {error}" for instance_id, error in _said(cloud(layout).destroy_all()).items()]
    except (TroveError, StackError) as error:
        return [str(error)]


def warm_up(layout: Layout, offered: Sequence[Offer]) -> None:
    """Begin to prepare the data directories that new instances copy, in the background; a first instance may overtake it."""
    stop_warming(layout)
    words = (f"{offer.manager}@{offer.image_id}" for offer in offered)
    argv = (sys.executable, "-m", "trove.cmd.local.fleet", str(layout.root), *words)
    with layout.log_of(_WARMER).open("ab") as log:
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd="/", start_new_session=True)
    identity = processes.identify(child.pid)
    child.returncode = 0  # Not waited for: it is init's to reap once this command has ended.
    if identity is not None:
        processes.save(layout.record(_WARMER), identity)


def stop_warming(layout: Layout) -> None:
    """End what `warm_up` began. May run twice."""
    identity = processes.load(layout.record(_WARMER))
    if identity is not None:
        processes.stop([identity], grace_s=2.0)
    layout.record(_WARMER).unlink(missing_ok=True)


def cool(layout: Layout) -> None:
    """End the making of data directories that a warmer or task manager left behind when it was killed. May run twice."""
    _asking(cloud(layout).cool)


def logs_of(layout: Layout, name_or_id: str) -> tuple[Path, ...]:
    """Return the log files of an instance given by id, or by name. Raises `StackError` when several have the name."""
    ids = [name_or_id] if is_id(name_or_id) else [row.id for row in statedb.living(layout) if row.name == name_or_id]
    if len(ids) > 1:
        raise StackError(f"several instances are called {name_or_id}; use an id: {', '.join(ids)}")
    folders = [layout.cloud / "servers" / instance_id / "log" for instance_id in ids]
    return tuple(sorted(path for folder in folders if folder.is_dir() for path in folder.iterdir() if path.is_file()))


def _asking(question: Callable[[], T]) -> T:
    try:
        return question()
    except TroveError as error:
        raise StackError(str(error)) from error


def _said(errors: Mapping[str, TroveError]) -> Mapping[str, str]:
    return {instance_id: error.message for instance_id, error in errors.items()}


def main(argv: Sequence[str]) -> int:
    """Prepare templates, each named `manager@image`, for the stack in a directory: the process that `warm_up` starts."""
    layout = Layout(root=Path(argv[0]))
    # Agents may not write beside their own modules, and would compile them at each start.
    compileall.compile_dir(Path(trove.__file__).parent, quiet=2)
    for word in argv[1:]:
        manager, _, image_id = word.partition("@")
        try:
            cloud(layout).warm(manager, image_id)
        except (TroveError, StackError) as error:
            console.complain(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
