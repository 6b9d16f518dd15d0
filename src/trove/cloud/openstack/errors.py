"""From what the cloud answers to our errors: its own words, and whether it makes sense to try again."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from keystoneauth1 import exceptions as keystone
from openstack import exceptions as sdk

from trove.core.errors import CloudBusy, CloudError, NotFound, TroveError, Unavailable

_BUSY = frozenset({408, 409, 429, 500, 502, 503, 504})
_SPENT_STATUS = frozenset({403, 409, 413})
_SPENT = re.compile("quota", re.IGNORECASE)
"""How Nova (403), Neutron (409) and Cinder (413) say that a quota is spent."""
_DELAY = re.compile(r"\d{1,5}")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what openstacksdk raises inside into `NotFound`, `CloudBusy`, `CloudError` or `Unavailable`.

    `what` is what was tried, as in "make the volume". A quota that is spent is an error, not a reason to wait.
    """
    try:
        yield
    except TroveError:
        raise
    except sdk.NotFoundException as error:
        raise NotFound(f"The cloud cannot {what}: {words(error)}") from error
    except sdk.HttpException as error:
        raise _of_http(what, error) from error
    except (keystone.ConnectFailure, keystone.ConnectTimeout, keystone.RetriableConnectionFailure) as error:
        raise Unavailable(f"The cloud does not answer: cannot {what}.") from error
    except (keystone.Unauthorized, keystone.AuthorizationFailure) as error:
        raise CloudError(f"The cloud does not let the service log in: check [service_credentials]; cannot {what}.") from error
    except keystone.HttpError as error:
        if error.http_status in _BUSY:
            raise CloudBusy(f"The cloud cannot {what} now (HTTP {error.http_status}).") from error
        raise CloudError(f"The cloud refuses to {what} (HTTP {error.http_status}).") from error
    except (keystone.EndpointNotFound, keystone.CatalogException, sdk.EndpointNotFound) as error:
        raise CloudError(f"The cloud's catalogue lacks a service that is needed to {what}: {error}") from error
    except sdk.SDKException as error:
        raise CloudError(f"The cloud failed to {what}: {words(error)}") from error


@contextmanager
def reaching(service: str) -> Iterator[None]:
    """Turn what openstacksdk raises when it first looks for a service into errors of ours.

    One that does not answer then looks to it like one of no version that it knows.
    """
    what = f"reach the {service} service"
    with translated(what):
        try:
            yield
        except (sdk.NotSupported, keystone.DiscoveryFailure) as error:
            raise Unavailable(f"The cloud does not answer: cannot {what}.") from error


def words(error: Exception) -> str:
    """Return what the cloud says of an error, in a line."""
    told = getattr(error, "details", None) or getattr(error, "message", None) or str(error)
    return " ".join(str(told).split())[:500]


def _of_http(what: str, error: sdk.HttpException) -> TroveError:
    status = error.status_code
    if status in _SPENT_STATUS and _SPENT.search(words(error)):
        return CloudError(f"The cloud's quota is spent: cannot {what}: {words(error)}")
    if status in _BUSY:
        return CloudBusy(f"The cloud cannot {what} now: {words(error)}", retry_after_s=_delay(error))
    if status in {401, 403}:
        return CloudError(f"The cloud does not allow the service to {what}: {words(error)}")
    return CloudError(f"The cloud refuses to {what}: {words(error)}")


def _delay(error: sdk.HttpException) -> float | None:
    headers = getattr(error.response, "headers", None) or {}
    told = str(headers.get("Retry-After", ""))
    return float(told) if _DELAY.fullmatch(told) else None
