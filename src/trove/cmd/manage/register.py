"""trove-manage datastore version register: an image that `contrib/image/build` has made, into Glance and on offer."""

import argparse
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from trove.cmd.manage.output import say
from trove.cmd.manage.parts import Context, Subparsers, add
from trove.core.datastores import DatastoreVersion
from trove.core.errors import InvalidInput
from trove.datastores import registry
from trove.store import datastores
from trove.store.session import Tx

if TYPE_CHECKING:
    from trove.cmd.manage.glance import Shelf, Upload

RECORD = "image.json"
FORMS = {"bare": {"disk.qcow2", "vmlinuz", "initrd"}, "qcow2": {"bootable.qcow2"}}
"""The files of each form; the first word of the help says what they are."""
VISIBILITIES = ("private", "shared", "community", "public")
TAG = "trove"

_GIB = 2**30
_DIGEST = re.compile(r"[0-9a-f]{64}")
_MACHINE = {
    "architecture": "x86_64",
    "os_type": "linux",
    "os_distro": "debian",
    "hw_disk_bus": "virtio",
    "hw_vif_model": "virtio",
    "hw_rng_model": "virtio",
}
"""What Nova is told of the machine that such an image is made for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """An image in a directory: what it is, and the SHA-256 of each file of the form."""

    folder: Path
    form: str
    datastore: str
    version: str
    manager: str
    engine_version: str
    root_bytes: int
    kernel_arguments: str
    digests: Mapping[str, str]


def commands(parsers: Subparsers) -> None:
    """Add `datastore version register`."""
    group = add(parsers, "version", "versions from images that were built").add_subparsers(metavar="COMMAND", required=True)
    command = add(
        group,
        "register",
        "upload an image that contrib/image/build has made to Glance, in the project of [service_credentials], and offer its "
        "version; may be repeated",
        register,
    )
    command.add_argument("directory", type=Path, metavar="DIR", help=f"what the build has filled, with {RECORD}")
    command.add_argument("--form", choices=tuple(FORMS), help="needed when DIR holds both")
    command.add_argument("--datastore", help="its name (default: the engine's)")
    command.add_argument("--name", help="name of the version (default: that of the engine, such as 10.11)")
    command.add_argument("--version", dest="number", help="precise number, such as 10.11.6 (default: the name)")
    command.add_argument(
        "--by-tags",
        action="store_true",
        help="offer the newest image with the tags trove, the datastore and the name, whichever that is, instead of this one",
    )
    command.add_argument("--visibility", choices=VISIBILITIES, default="private", help="of the image (default: %(default)s)")
    command.add_argument("--default", action="store_true", help="make it the datastore's default version")
    command.add_argument("--inactive", dest="active", action="store_false", help="hide it from tenants")


def register(context: Context, arguments: argparse.Namespace) -> None:
    """Upload an image and offer its version."""
    built = read(arguments.directory, arguments.form)
    datastore, name = arguments.datastore or built.datastore, arguments.name or built.version
    tags = (TAG, datastore, name)
    for field_name, value in (("--datastore", datastore), ("--name", name)):
        if "," in value or not value.strip():
            raise InvalidInput(f"{field_name} must be a name without commas.")
    shelf = _shelf(context)
    try:
        image_id, is_new = upload(shelf, built, tags, arguments.visibility)
        version, changed = context.database.run(
            offer, datastore, name, built.manager, image_id=image_id, tags=tags, arguments=arguments
        )
    except BaseException:
        shelf.withdraw()
        raise
    words = "was uploaded" if is_new else "was there already"
    offered = "is offered now" if changed else "was offered already"
    say(
        f"Image {image_id} {words}. Version {version.name} ({version.version}) of {version.datastore_name} is {version.id}; "
        f"it {offered}.",
        as_json=context.as_json,
        id=version.id,
        name=version.name,
        number=version.version,
        image_id=image_id,
        uploaded=is_new,
        changed=changed,
    )


def read(folder: Path, form: str | None) -> Built:
    """Return what is in a directory, all of it checked. Raises `InvalidInput`."""
    record = _record(folder / RECORD)
    forms = record["forms"]
    if form is None and len(forms) == 1:
        (form,) = forms
    if form is None:
        raise InvalidInput(f"{folder} holds the forms {', '.join(forms)}: choose one with --form.")
    if form not in forms:
        raise InvalidInput(f"{folder} does not hold the form {form}, only {', '.join(forms)}.")
    digests = {file["name"]: file["sha256"] for file in forms[form]}
    if set(digests) != FORMS[form] or not all(_DIGEST.fullmatch(digest) for digest in digests.values()):
        raise InvalidInput(f"{folder / RECORD} must name {', '.join(sorted(FORMS[form]))} with their SHA-256 for {form}.")
    registry.spec(record["manager"])
    for name, digest in digests.items():
        if _sha256(folder / name) != digest:
            raise InvalidInput(f"{folder / name} is not the file that was built: its SHA-256 is another one.")
    texts = {name: record[name] for name in ("datastore", "version", "manager", "engine_version", "kernel_arguments")}
    return Built(folder=folder, form=form, root_bytes=record["root_bytes"], digests=digests, **texts)


def upload(shelf: "Shelf", built: Built, tags: tuple[str, ...], visibility: str) -> tuple[str, bool]:
    """Have an image in Glance, with its kernel and initrd; return its id and whether it was uploaded now."""
    own = {"trove_engine_version": built.engine_version, **_MACHINE}
    disk = "bootable.qcow2"
    if built.form == "bare":
        disk = "disk.qcow2"
        for name, formats, key in (("vmlinuz", "aki", "kernel_id"), ("initrd", "ari", "ramdisk_id")):
            own[key] = shelf.ensure(_upload(built, name, (formats, formats), visibility))[0]
        own["os_command_line"] = built.kernel_arguments
    return shelf.ensure(_upload(built, disk, ("qcow2", "bare"), visibility, tags=tags, properties=own))


def _upload(built: Built, name: str, formats: tuple[str, str], visibility: str, **more: Any) -> "Upload":
    from trove.cmd.manage.glance import Upload

    kind = {"vmlinuz": "-kernel", "initrd": "-initrd"}.get(name, "")
    return Upload(
        name=f"trove-{built.datastore}-{built.version}{kind}",
        path=built.folder / name,
        sha256=built.digests[name],
        formats=formats,
        visibility=visibility,
        min_disk_gib=0 if kind else -(-built.root_bytes // _GIB),
        **more,
    )


def offer(  # noqa: PLR0913
    tx: Tx,
    datastore: str,
    name: str,
    manager: str,
    *,
    image_id: str,
    tags: tuple[str, ...],
    arguments: argparse.Namespace,
) -> tuple[DatastoreVersion, bool]:
    """Create or change a version, and its datastore when that is new; return it, and whether anything changed."""
    before = _offered(tx, datastore)
    datastores.put_datastore(tx, datastore)
    version = datastores.put_version(
        tx,
        datastore,
        name,
        manager=manager,
        version=arguments.number,
        active=arguments.active,
        image_id=None if arguments.by_tags else image_id,
        image_tags=tags if arguments.by_tags else (),
    )
    if arguments.default:
        datastores.put_datastore(tx, datastore, version.id)
    return version, _offered(tx, datastore) != before


def _offered(tx: Tx, datastore: str) -> Any:
    return next((each for each in datastores.all(tx, include_inactive=True) if each.name == datastore), None)


def _shelf(context: Context) -> "Shelf":
    if context.conf.cloud != "openstack":
        raise InvalidInput("An image is registered for cloud = openstack, which the configuration does not name.")
    from trove.cmd import clouds

    settings = clouds.openstack_settings(context.conf)
    from trove.cloud.openstack.session import connect
    from trove.cmd.manage.glance import Shelf

    return Shelf(connect(settings))


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text())
    except OSError as error:
        raise InvalidInput(f"{path.parent} is no image: {error}") from error
    except ValueError:
        raise InvalidInput(f"{path} is not JSON.") from None
    texts = ("datastore", "version", "manager", "engine_version", "kernel_arguments")
    good = isinstance(record, dict) and all(isinstance(record.get(name), str) and record[name] for name in texts)
    if not good or not isinstance(record.get("root_bytes"), int) or not _are_forms(record.get("forms")):
        raise InvalidInput(f"{path} is not the record of an image: it needs {', '.join(texts)}, root_bytes and forms.")
    assert isinstance(record, dict)
    return record


def _are_forms(forms: object) -> bool:
    return (
        isinstance(forms, dict)
        and bool(forms)
        and set(forms) <= set(FORMS)
        and all(isinstance(files, list) and all(_is_file(file) for file in files) for files in forms.values())
    )


def _is_file(file: object) -> bool:
    return isinstance(file, dict) and isinstance(file.get("name"), str) and isinstance(file.get("sha256"), str)


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error
