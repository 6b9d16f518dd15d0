"""How buses are reached: TLS, several hosts, wrong passwords."""

import logging
import socket

import pytest
from tests.conformance.bus.conftest import Stage, TestKeys
from tests.support.rabbitmq import RabbitServer

from trove.bus import rpc
from trove.bus.contract import CONTROL
from trove.core.errors import Unavailable


def works(url: str) -> None:
    bus = rpc.connect(url, principal=CONTROL, keyring=TestKeys(), host_label="test")
    try:
        bus.serve("urls", lambda message: "pong")
        assert bus.call("urls", "ping", {}, timeout_s=30) == "pong"
    finally:
        bus.close()


def fails(url: str) -> str:
    bus = rpc.connect(url, principal=CONTROL, keyring=TestKeys(), host_label="test")
    try:
        with pytest.raises(Unavailable) as caught:
            bus.call("urls", "ping", {}, timeout_s=1)
        return str(caught.value)
    finally:
        bus.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_tls_with_a_known_authority_works(rabbitmq: RabbitServer) -> None:
    works(f"{rabbitmq.tls_url}?ssl_ca_certs={rabbitmq.folder / 'ca.pem'}")


def test_tls_with_an_unknown_authority_is_refused(rabbitmq: RabbitServer, caplog: pytest.LogCaptureFixture) -> None:
    fails(rabbitmq.tls_url)
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


def test_tls_with_another_host_name_is_refused(rabbitmq: RabbitServer, caplog: pytest.LogCaptureFixture) -> None:
    fails(f"{rabbitmq.tls_url.replace('127.0.0.1', '127.1')}?ssl_ca_certs={rabbitmq.folder / 'ca.pem'}")
    assert "CERTIFICATE_VERIFY_FAILED" in caplog.text


@pytest.mark.parametrize("form", ["amqp://{login}@127.0.0.1:{dead}/trove;{url}", "rabbit://{login}@127.0.0.1:{dead},{hosts}"])
def test_the_next_host_is_taken_when_one_is_dead(rabbitmq: RabbitServer, form: str) -> None:
    login, _, _ = rabbitmq.url.removeprefix("amqp://").partition("@")
    works(form.format(login=login, dead=free_port(), url=rabbitmq.url, hosts=rabbitmq.url.removeprefix("amqp://")))


def test_a_wrong_password_is_not_shown(broker: Stage, caplog: pytest.LogCaptureFixture) -> None:
    assert broker.server is not None
    caplog.set_level(logging.DEBUG)
    message = fails(broker.server.url.replace(broker.server.password, "sesame"))
    assert "sesame" not in message + caplog.text
    assert broker.server.password not in message + caplog.text
