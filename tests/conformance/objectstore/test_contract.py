"""What every object store promises, on every object store."""

import hashlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.object_stores import s3_store, swift_store

from trove.core.errors import InvalidInput, NotFound, Unavailable
from trove.core.ids import new_id
from trove.objectstore.contract import ObjectStore
from trove.objectstore.file import FileObjectStore
from trove.objectstore.memory import MemoryObjectStore
from trove.objectstore.signing import Signer

SIGNER = Signer(b"k" * 32, "http://127.0.0.1:8780")

NAMES = [
    "a",
    "a/b",
    "a/b/c",
    "/",
    "//",
    "...",
    "/etc/passwd",
    "a%2Fb",
    "ü/é ☃",
    "x" * 512,
    "a.json",
    "%",
    "+",
]


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as made:
        yield Path(made) / "store"


@pytest.fixture(params=["memory", "file", "swift", "swift shared", "s3"])
def store(request: pytest.FixtureRequest, root: Path) -> ObjectStore:
    if request.param == "memory":
        return MemoryObjectStore()
    if request.param == "file":
        return FileObjectStore(root, SIGNER)
    there = request.getfixturevalue("object_servers")
    return s3_store(there) if request.param == "s3" else swift_store(there, shared=request.param == "swift shared")


def read(store: ObjectStore, container: str, name: str) -> bytes:
    return b"".join(store.get(container, name))


def test_what_is_put_comes_back(store: ObjectStore) -> None:
    chunks = [os.urandom(size) for size in (0, 1, 70_000, 3_000_000)]
    whole = b"".join(chunks)
    info = store.put("c", "n", iter(chunks), metadata={"a": "ü %"})
    assert (info.name, info.size, info.digest) == ("n", len(whole), hashlib.sha256(whole).hexdigest())
    assert info.metadata == {"a": "ü %"}
    assert store.info("c", "n") == info
    assert read(store, "c", "n") == whole


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert store.put("c", "n", []).size == 0
    assert read(store, "c", "n") == b""


def test_every_name_is_its_own_object(store: ObjectStore) -> None:
    for name in NAMES:
        store.put("c", name, [name.encode()])
    assert {name: read(store, "c", name) for name in NAMES} == {name: name.encode() for name in NAMES}
    assert [info.name for info in store.list("c")] == sorted(NAMES)
    assert [info.name for info in store.list("c", prefix="a/")] == ["a/b", "a/b/c"]
    for name in NAMES:
        store.delete("c", name)
    assert store.list("c") == []


@pytest.mark.parametrize("name", ["", "x" * 513, "a\0b", "\ud800", "..", "a/../b"])
def test_names_that_cannot_be_are_refused(store: ObjectStore, name: str) -> None:
    for verb in (store.get, store.info, store.delete):
        with pytest.raises(InvalidInput, match="object name"):
            verb("c", name)
    with pytest.raises(InvalidInput, match="object name"):
        store.put("c", name, [b""])


@pytest.mark.parametrize("container", ["", "a/b", "x" * 256, "a\0", ".."])
def test_containers_that_cannot_be_are_refused(store: ObjectStore, container: str) -> None:
    with pytest.raises(InvalidInput, match="container"):
        store.put(container, "n", [b""])
    with pytest.raises(InvalidInput, match="container"):
        store.list(container)


def test_containers_are_apart(store: ObjectStore) -> None:
    for container in ("c", "ü %2F", "d"):
        store.put(container, "n", [container.encode()])
    assert [read(store, container, "n") for container in ("c", "ü %2F", "d")] == [b"c", "ü %2F".encode(), b"d"]


def test_what_is_missing_is_told(store: ObjectStore) -> None:
    store.put("c", "n", [b"x"])
    for container, name in (("c", "other"), ("other", "n")):
        with pytest.raises(NotFound):
            store.get(container, name)
        with pytest.raises(NotFound):
            store.info(container, name)
        store.delete(container, name)
    assert store.list("other") == []


def test_a_put_that_fails_leaves_the_old_object(store: ObjectStore) -> None:
    def failing() -> Iterator[bytes]:
        yield b"half"
        raise RuntimeError("the source broke")

    store.put("c", "n", [b"old"])
    for name in ("n", "fresh"):
        with pytest.raises(RuntimeError, match="the source broke"):
            store.put("c", name, failing())
    assert read(store, "c", "n") == b"old"
    assert [info.name for info in store.list("c")] == ["n"]


def test_a_reader_is_not_disturbed_by_an_overwrite_or_a_delete(store: ObjectStore) -> None:
    old = os.urandom(5_000_000)
    store.put("c", "n", [old])
    stream = store.get("c", "n")
    begun = next(stream)
    store.put("c", "n", [b"new"])
    store.delete("c", "n")
    assert begun + b"".join(stream) == old


def test_many_writers_and_readers_see_whole_objects_only(store: ObjectStore) -> None:
    bodies = [bytes([number]) * 200_000 for number in range(4)]
    good = {hashlib.sha256(body).hexdigest() for body in bodies}
    store.put("c", "n", [bodies[0]])
    wrong: list[object] = []

    def write(body: bytes) -> None:
        for _ in range(10):
            store.put("c", "n", [body[:100_000], body[100_000:]])

    def look() -> None:
        seen = {hashlib.sha256(read(store, "c", "n")).hexdigest() for _ in range(30)}
        wrong.extend(seen - good)

    threads = [threading.Thread(target=write, args=(body,)) for body in bodies]
    threads += [threading.Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert len(store.list("c")) == 1


def files_of(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name not in {"writers", "commits"}]


def test_the_file_store_keeps_nothing_it_does_not_need(root: Path) -> None:
    store = FileObjectStore(root, SIGNER)
    for number in range(5):
        store.put("c", "n", [bytes([number])])
    assert len(files_of(root)) == 2
    store.delete("c", "n")
    assert files_of(root) == []


def test_the_file_store_is_private_and_stays_inside(root: Path) -> None:
    store = FileObjectStore(root, SIGNER)
    for name in NAMES:
        store.put("c", name, [b"x"])
    assert list(root.parent.iterdir()) == [root]
    for path in root.rglob("*"):
        assert path.stat().st_mode & 0o077 == 0


def test_marks_of_what_was_sealed_go_once_no_ticket_can_be_left(root: Path) -> None:
    old, new = f"{new_id()}/", f"{new_id()}/"
    FileObjectStore(root, SIGNER).seal("c", old)
    (mark,) = (root / "sealed").iterdir()
    days = 24 * 3600
    os.utime(mark, (mark.stat().st_mtime - 7 * days,) * 2)
    store = FileObjectStore(root, SIGNER)
    store.seal("c", new)
    assert store.is_sealed("c", old)
    os.utime(mark, (mark.stat().st_mtime - 2 * days,) * 2)
    again = FileObjectStore(root, SIGNER)
    again.seal("c", new)
    assert not again.is_sealed("c", old)
    assert again.is_sealed("c", new)


def test_a_killed_writer_leaves_nothing_visible_and_is_swept_away(root: Path) -> None:
    script = (
        "import os, signal, sys, pathlib\n"
        "from trove.objectstore.file import FileObjectStore\n"
        "number = iter(range(1000))\n"
        "def hook(event, args):\n"
        "    if event in ('os.rename', 'os.mkdir', 'os.remove', 'fcntl.flock', 'open') and next(number) == int(sys.argv[2]):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "store = FileObjectStore(pathlib.Path(sys.argv[1]), None)\n"
        "sys.addaudithook(hook)\n"
        "store.put('c', 'n', [b'new' * 1000])\n"
    )
    FileObjectStore(root, SIGNER).put("c", "n", [b"old"])
    for point in itertools.count():
        ended = subprocess.run([sys.executable, "-c", script, str(root), str(point)], check=False).returncode
        fresh = FileObjectStore(root, SIGNER)
        assert read(fresh, "c", "n") in {b"old", b"new" * 1000}
        fresh.put("c", "n", [b"old"])
        assert len(files_of(root)) == 2
        if ended == 0:
            break
        assert ended == -signal.SIGKILL
    assert point > 5


def test_a_store_that_cannot_be_written_is_unavailable(root: Path) -> None:
    root.write_text("not a directory")
    with pytest.raises(Unavailable, match="cannot write"):
        FileObjectStore(root, SIGNER).put("c", "n", [b"x"])
