"""A network of its own between this machine and a network namespace, whose cable can be pulled. Needs root."""

import secrets
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from ipaddress import ip_network


@dataclass(frozen=True, kw_only=True)
class Cable:
    """`near` is the address of this machine on it, `far` that of the namespace."""

    namespace: str
    near: str
    far: str
    switch: str
    port: str

    def cut(self) -> None:
        """Let nothing pass any more: what is sent is lost, and nobody is told."""
        _ip("link", "set", self.port, "nomaster")

    def mend(self) -> None:
        """Let everything pass again, also on connections of before."""
        _ip("link", "set", self.port, "master", self.switch)


@cache
def may_lay_cables() -> bool:
    """Tell whether this machine lets us make namespaces, and bridges between them."""
    name = f"tc{secrets.token_hex(4)}"
    with suppress(OSError):
        if all(_ip(*words, check=False) for words in (("netns", "add", name), ("link", "add", name, "type", "bridge"))):
            _ip("link", "del", name)
            _ip("netns", "del", name)
            return True
        _ip("netns", "del", name, check=False)
    return False


@contextmanager
def cable() -> Iterator[Cable]:
    """Lay a cable, and take it away with its namespace. Whatever runs there has ended by then."""
    tag, net = secrets.token_hex(4), ip_network(f"198.18.{secrets.randbelow(256)}.{4 * secrets.randbelow(64)}/30")
    near, far = map(str, net.hosts())
    made = Cable(namespace=f"tn{tag}", near=near, far=far, switch=f"ts{tag}", port=f"tp{tag}")
    there = ("-n", made.namespace)
    try:
        _ip("netns", "add", made.namespace)
        _ip("link", "add", made.switch, "type", "bridge")
        _ip("link", "add", made.port, "type", "veth", "peer", "name", "eth0", "netns", made.namespace)
        made.mend()
        _ip("address", "add", f"{made.near}/30", "dev", made.switch)
        _ip(*there, "address", "add", f"{made.far}/30", "dev", "eth0")
        for name in (made.switch, made.port):
            _ip("link", "set", name, "up")
        for name in ("lo", "eth0"):
            _ip(*there, "link", "set", name, "up")
        yield made
    finally:
        for words in (("link", "del", made.port), ("link", "del", made.switch), ("netns", "del", made.namespace)):
            _ip(*words, check=False)


def inside(namespace: str, argv: Sequence[str]) -> list[str]:
    """Return the command line that runs `argv` in a network namespace, in this one where the name is empty."""
    return ["ip", "netns", "exec", namespace, *argv] if namespace else list(argv)


def _ip(*words: str, check: bool = True) -> bool:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or not check, f"ip {' '.join(words)}: {done.stderr}"
    return done.returncode == 0
