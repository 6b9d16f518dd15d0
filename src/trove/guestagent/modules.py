"""The modules of a guest: applied by the driver of their type, and kept, contents and all, in the agent's private directory."""

import base64
import binascii
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from trove.core.clock import utcnow
from trove.core.errors import GuestError, InvalidInput, TroveError
from trove.core.ids import is_id
from trove.core.json import JSON
from trove.core.modules import ModuleResult, ModuleStatus
from trove.datastores.contract import Host
from trove.guestagent import arguments
from trove.guestagent.jobs import Progress, Work
from trove.guestagent.module_drivers import driver

LOG = logging.getLogger(__name__)


class Modules:
    """Applies, lists and removes modules, one after the other. Thread-safe. Every verb may run twice."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._folder: Path = host.private_dir / "modules"
        self._turn = threading.Lock()

    def kinds(self) -> Mapping[str, Work]:
        """Return what may be started as a job."""
        return {"apply_modules": self.apply_all}

    def methods(self) -> Mapping[str, Callable[[Mapping[str, JSON]], JSON]]:
        """Return what may be called."""
        return {"module_list": self.list, "module_apply": self.apply, "module_remove": self.remove}

    def apply_all(self, args: Mapping[str, JSON], progress: Progress) -> Mapping[str, JSON]:
        """Do the job that gives a new instance its modules; tell the MD5 of each by id.

        Raises `GuestError` naming the one that cannot be applied.
        """
        wanted = _wanted(args)
        for number, each in enumerate(wanted):
            progress(f"applying module {each.name}", 100 * number // len(wanted))
            result = self._apply(each)
            if result.status is ModuleStatus.ERROR:
                raise GuestError(f"Module {each.name} ({each.id}) cannot be applied: {result.message}")
        return {"applied": {each.id: each.md5 for each in wanted}}

    def apply(self, args: Mapping[str, JSON]) -> JSON:
        """Apply modules in the order given; return how it went with each. One that fails keeps none of the others back."""
        return [self._apply(each).to_json() | {"contents": None} for each in _wanted(args)]

    def list(self, args: Mapping[str, JSON]) -> JSON:
        """Return what became of each module that is here, in the order in which they came; with contents if asked."""
        with_contents = args.get("include_contents") is True
        with self._turn:
            found = self._all()
        return [each.to_json() | ({} if with_contents else {"contents": None}) for each in found]

    def remove(self, args: Mapping[str, JSON]) -> JSON:
        """Take a module away. One that is not here is fine."""
        module_id = arguments.text(args, "module_id")
        with self._turn:
            record = self._read(self._path(module_id))
            if record is None:
                return None
            driver(record.type).remove(self._host)
            self._host.remove_file(self._path(module_id))
            # Another one of its type may have been in effect before it.
            for each in self._all():
                if each.type == record.type and each.status is ModuleStatus.OK:
                    driver(each.type).apply(self._host, _decoded(each))
        return None

    def _apply(self, wanted: ModuleResult) -> ModuleResult:
        with self._turn:
            before = self._read(self._path(wanted.id))
            now = utcnow()
            status, message = ModuleStatus.OK, ""
            try:
                message = driver(wanted.type).apply(self._host, _decoded(wanted))
            except TroveError as error:
                LOG.warning("module %s (%s) cannot be applied: %s", wanted.id, wanted.type, error)
                status, message = ModuleStatus.ERROR, error.message
            result = ModuleResult(
                id=wanted.id,
                name=wanted.name,
                type=wanted.type,
                md5=wanted.md5,
                status=status,
                message=message,
                created=now if before is None else before.created,
                updated=now,
                contents=wanted.contents,
            )
            self._host.make_dir(self._folder)
            self._host.write_file(self._path(wanted.id), json.dumps(result.to_json()).encode())
            return result

    def _all(self) -> Sequence[ModuleResult]:
        read = (self._read(path) for path in self._host.files_in(self._folder, "*.json"))
        return sorted((each for each in read if each is not None), key=lambda each: (each.updated, each.id))

    def _path(self, module_id: str) -> Path:
        if not is_id(module_id):
            raise InvalidInput("The id of a module is a UUID.")
        return self._folder / f"{module_id}.json"

    def _read(self, path: Path) -> ModuleResult | None:
        content = self._host.read_file(path)
        if content is None:
            return None
        try:
            return ModuleResult.from_json(json.loads(content))
        except (ValueError, KeyError):
            LOG.error("%s is no module: it is left alone", path.name)
            return None


def _wanted(args: Mapping[str, JSON]) -> Sequence[ModuleResult]:
    """Return the modules that are to be applied; of a `ModuleResult` they have id, name, type, md5 and contents."""
    now = utcnow()
    return [
        ModuleResult(
            **{key: arguments.text(each, key) for key in ("id", "name", "type", "md5", "contents")},
            status=ModuleStatus.OK,
            message="",
            created=now,
            updated=now,
        )
        for each in arguments.objects(args, "modules")
    ]


def _decoded(module: ModuleResult) -> bytes:
    try:
        return base64.b64decode(module.contents or "", validate=True)
    except binascii.Error:
        raise InvalidInput("The contents of a module must be base64.") from None
