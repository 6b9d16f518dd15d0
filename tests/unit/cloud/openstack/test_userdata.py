"""The cloud-config of a server: the agent's files for root alone, and what the operator adds."""

import base64
from typing import Any

import pytest
import yaml

from trove.cloud.openstack.userdata import userdata
from trove.core.errors import CloudError


def read(encoded: str) -> dict[str, Any]:
    text = base64.b64decode(encoded).decode()
    assert text.startswith("#cloud-config\n")
    made: dict[str, Any] = yaml.safe_load(text)
    return made


def test_files_are_for_root_alone_and_hold_any_bytes() -> None:
    (file,) = read(userdata({"a.conf": bytes(range(256))}, directory="/etc/x"))["write_files"]
    assert (file["path"], file["owner"], file["permissions"], file["encoding"]) == ("/etc/x/a.conf", "root:root", "0600", "b64")
    assert base64.b64decode(file["content"]) == bytes(range(256))


def test_what_the_operator_adds_follows_ours() -> None:
    extra = "#cloud-config\nwrite_files: [{path: /b}]\npackages: [vim]\n"
    made = read(userdata({"a": b"1"}, directory="/etc/x", extra=extra))
    assert [file["path"] for file in made["write_files"]] == ["/etc/x/a", "/b"]
    assert made["packages"] == ["vim"]


@pytest.mark.parametrize(("extra", "words"), [("a: [", "not YAML"), ("- a\n- b\n", "must be a mapping")])
def test_what_is_no_cloud_config_is_refused(extra: str, words: str) -> None:
    with pytest.raises(CloudError, match=words):
        userdata({}, directory="/etc/x", extra=extra)
