"""What `contrib/image/try` gives a guest, and what it takes for the agent. The boot itself takes minutes."""

import socket
import uuid
from pathlib import Path

from contrib.image.imaging.trial import HEADER, Bus, guest_files

from trove.bus.sealing import key_from_text
from trove.cmd.guestagent import read_settings


def test_the_agent_can_read_its_files(tmp_path: Path) -> None:
    for name, content in guest_files("mariadb", "10.11", 5672, str(uuid.uuid4())).items():
        (tmp_path / name).write_bytes(content)
    settings = read_settings(tmp_path)
    assert settings.manager == "mariadb"
    assert settings.transport_url.startswith(f"amqp://guest-{settings.host.instance_id}:")
    assert settings.transport_url.endswith(":5672/")
    assert len(key_from_text(settings.key)) == 32


def test_only_a_client_of_rabbitmq_counts() -> None:
    bus = Bus()
    try:
        for said, counts in ((b"GET / HT", False), (HEADER, True)):
            with socket.create_connection(("127.0.0.1", bus.port), timeout=30) as peer:
                peer.sendall(said)
                peer.shutdown(socket.SHUT_WR)
                assert peer.recv(1) == b""
            assert bus.asked.is_set() is counts
    finally:
        bus.close()
