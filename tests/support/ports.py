"""Ports for servers that tests start."""

import secrets
import socket

LOWEST, HIGHEST = 10_240, 32_000
"""Below those that the kernel gives to whoever connects, so that none is taken before the server has bound it."""


def free_port(host: str = "127.0.0.1") -> int:
    """Return a TCP port that nobody uses now, and that chance alone gives to another test."""
    while True:
        port = LOWEST + secrets.randbelow(HIGHEST - LOWEST)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
