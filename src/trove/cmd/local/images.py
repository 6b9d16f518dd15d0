"""`trove-local image`: builds, lists and removes images, and tells a stack of it, whether it runs or not."""

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from trove.cloud.local.images.building import build as build_images
from trove.cloud.local.images.catalogue import Images
from trove.cloud.local.images.recipes import RECIPES, find_recipe
from trove.cmd.local import console, settings
from trove.cmd.local.layout import Layout, StackError, layout_at
from trove.core.errors import TroveError


def build(arguments: argparse.Namespace) -> int:
    """Build images, and offer them to the tenants of a stack that is there."""
    if bool(arguments.names) == arguments.all:
        raise StackError(f"name the images to build, or say --all; there are: {', '.join(RECIPES)}")
    with _translated():
        recipes = [find_recipe(name) for name in (RECIPES if arguments.all else dict.fromkeys(arguments.names))]
        build_images(Images(), recipes, mirror=arguments.mirror, say=console.say)
    _tell(layout_at(arguments.state_dir), [recipe.name for recipe in recipes])
    return 0


def show(arguments: argparse.Namespace) -> int:
    """List the images that are built, and those that could be."""
    images = Images()
    with _translated():
        there = {image.name: image for image in images.all()}
    names = [*RECIPES, *(name for name in there if name not in RECIPES)]
    rows = [
        {
            "name": name,
            "datastore": there[name].manager if name in there else RECIPES[name].manager,
            "built": name in there,
            "version": there[name].version if name in there else None,
            "bytes": there[name].bytes if name in there else None,
            "built_at": there[name].built_at if name in there else None,
            "suites": list(RECIPES[name].suites) if name in RECIPES else [],
        }
        for name in names
    ]
    if arguments.json:
        print(json.dumps({"directory": str(images.directory), "images": rows}, indent=2))
        return 0
    cells = [
        (
            str(row["name"]),
            str(row["datastore"]),
            str(row["version"] or "not built"),
            f"{there[str(row['name'])].bytes / 1e6:.0f} MB" if row["built"] else "-",
            str(row["built_at"] or "-"),
        )
        for row in rows
    ]
    print(console.table(("NAME", "DATASTORE", "VERSION", "SIZE", "BUILT AT"), cells))
    console.say(f"images are in {images.directory}")
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Remove images; tenants of a stack that is there cannot choose them any more."""
    for name in arguments.names:
        with _translated():
            Images().remove(name)
        console.say(f"{name}: removed")
    _tell(layout_at(arguments.state_dir), [])
    return 0


def _tell(layout: Layout, names: Sequence[str]) -> None:
    """Have the stack, if there is one, offer what is built now, and prepare the named images for their first instances."""
    if not layout.exists() or settings.load(layout) is None:
        return
    from trove.cmd.local import bringup, fleet, statedb

    offered = fleet.offers(layout)
    statedb.prepare(layout, offered)
    fresh = [offer for offer in offered if offer.image_id in names]
    if bringup.is_running(layout):
        fleet.warm_up(layout, fresh)
    for offer in fresh:
        console.say(f"{layout.root}: offers {offer.manager} {offer.version}")


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except TroveError as error:
        raise StackError(str(error)) from error
    except OSError as error:
        raise StackError(f"{error.filename or 'images'}: {error.strerror}") from error
