"""What OpenStack answers, as errors of ours: whose fault it is, and whether it makes sense to try again."""

import pytest
import requests
from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from trove.cloud.openstack.errors import translated
from trove.core.errors import CloudBusy, CloudError, NotFound, TroveError, Unavailable


def http(status: int, message: str, headers: dict[str, str] | None = None) -> sdk.HttpException:
    response = requests.Response()
    response.status_code = status
    response.headers.update(headers or {})
    kind = {404: sdk.NotFoundException, 409: sdk.ConflictException, 403: sdk.ForbiddenException}.get(status, sdk.HttpException)
    return kind(message=message, details=message, response=response)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        (http(404, "no such volume"), NotFound, "no such volume"),
        (http(400, "bad size"), CloudError, "refuses to make the volume: bad size"),
        (http(401, "who are you"), CloudError, "does not allow"),
        (http(403, "policy says no"), CloudError, "does not allow"),
        (http(403, "Quota exceeded for cores"), CloudError, "quota is spent"),
        (http(409, "Quota exceeded for resources: ['port']"), CloudError, "quota is spent"),
        (http(413, "VolumeSizeExceedsAvailableQuota"), CloudError, "quota is spent"),
        (http(409, "is in use"), CloudBusy, "now: is in use"),
        (http(429, "slow down"), CloudBusy, "slow down"),
        (http(500, "oops"), CloudBusy, "oops"),
        (http(503, "later"), CloudBusy, "later"),
        (keystone.ConnectFailure("http://10.0.0.1"), Unavailable, "does not answer"),
        (keystone.Unauthorized("no"), CloudError, "service_credentials"),
        (keystone.EndpointNotFound("compute"), CloudError, "catalogue"),
        (keystone.http.ServiceUnavailable(), CloudBusy, "HTTP 503"),
        (sdk.SDKException("strange"), CloudError, "strange"),
    ],
)
def test_each_answer_has_its_error(error: Exception, kind: type[TroveError], words: str) -> None:
    with pytest.raises(kind, match=words.replace("[", r"\[")) as raised, translated("make the volume"):
        raise error
    assert type(raised.value) is kind
    assert "make the volume" in raised.value.message


@pytest.mark.parametrize(("told", "delay_s"), [("7", 7.0), ("soon", None), ("", None)])
def test_a_busy_cloud_may_say_for_how_long(told: str, delay_s: float | None) -> None:
    with pytest.raises(CloudBusy) as raised, translated("boot the server"):
        raise http(429, "slow down", {"Retry-After": told})
    assert raised.value.retry_after_s == delay_s


def test_errors_of_ours_pass() -> None:
    with pytest.raises(NotFound, match="mine"), translated("boot the server"):
        raise NotFound("mine")
