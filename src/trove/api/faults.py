"""The only place that knows HTTP status codes of errors, and the shape of an error reply (contract 1.3)."""

import json
import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from uuid import uuid4

import falcon

from trove.core import errors

LOG = logging.getLogger(__name__)

JSON_TYPE = "application/json"
RETRY_AFTER_S = 5
"""What `Retry-After` says of a part that does not answer now and does not say itself when it will."""

KEYS: Mapping[int, str] = {
    400: "badRequest",
    401: "unauthorized",
    403: "forbidden",
    404: "itemNotFound",
    406: "notAcceptable",
    408: "requestTimeout",
    409: "conflict",
    413: "overLimit",
    415: "badMediaType",
    422: "unprocessableEntity",
    500: "instanceFault",
    501: "notImplemented",
    503: "serviceUnavailable",
}

STATUS_OF: Mapping[type[errors.TroveError], int] = {
    errors.InvalidInput: 400,
    errors.GuestError: 400,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Cancelled: 409,
    errors.QuotaExceeded: 413,
    errors.NotReady: 422,
    errors.Unprocessable: 422,
    errors.Unsupported: 501,
    errors.Unavailable: 503,
    errors.CloudError: 503,
    errors.DeadlineExceeded: 503,
    errors.Refused: 503,
}


class UnsupportedMediaType(errors.TroveError):
    """The body is neither JSON nor XML by its Content-Type (415)."""


class TooLarge(errors.TroveError):
    """The body is larger than the API reads (413)."""


class RequestTimeout(errors.TroveError):
    """The client did not send its request in time (408)."""


class NotAcceptable(errors.TroveError):
    """The Accept header asks for a version of the API that does not exist (406)."""


_STATUS_HERE: Mapping[type[errors.TroveError], int] = {
    UnsupportedMediaType: 415,
    TooLarge: 413,
    NotAcceptable: 406,
    RequestTimeout: 408,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """An error as it goes out."""

    code: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status_line(self) -> str:
        """Return the WSGI status line."""
        return f"{self.code} {HTTPStatus(self.code).phrase}"


def reply(code: int, message: str, *, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the reply with `message` under the key of `code`."""
    key = KEYS.get(code) or ("badRequest" if code < 500 else "instanceFault")
    body = json.dumps({key: {"code": code, "message": message}}).encode()
    return Reply(code=code, body=body, headers=headers or {})


def over_rate(retry_after_s: int, *, message: str, details: str) -> Reply:
    """Return the reply to a client that asks too often."""
    fault = {"code": 413, "message": message, "details": details, "retryAfter": str(retry_after_s)}
    return Reply(code=413, body=json.dumps({"overLimit": fault}).encode(), headers={"Retry-After": str(retry_after_s)})


def of(error: Exception) -> Reply:
    """Return the reply to any exception. What is not expected is logged with a reference, which is all the client sees."""
    if isinstance(error, errors.TroveError):
        code = _code_of(type(error))
        if code is not None:
            if code >= 503:
                LOG.warning("Answering %d: %s: %s", code, type(error).__name__, error)
            return reply(code, error.message or HTTPStatus(code).phrase, headers=_retry_after(error))
    elif isinstance(error, falcon.HTTPError):
        return _of_falcon(error)
    return _unexpected(error)


def _retry_after(error: errors.TroveError) -> dict[str, str]:
    """Return `Retry-After` in whole seconds for what is worth another try, else nothing."""
    if not error.retryable:
        return {}
    return {"Retry-After": str(math.ceil(getattr(error, "retry_after_s", None) or RETRY_AFTER_S))}


def _code_of(kind: type[errors.TroveError]) -> int | None:
    for ancestor in kind.__mro__:
        code = STATUS_OF.get(ancestor) or _STATUS_HERE.get(ancestor)
        if code is not None:
            return code
    return None


def _of_falcon(error: falcon.HTTPError) -> Reply:
    code = error.status_code
    if code in {404, 405}:
        return reply(404, "There is nothing at this path for this method.")
    return reply(code, error.description or error.title or HTTPStatus(code).phrase)


def _unexpected(error: Exception) -> Reply:
    reference = str(uuid4())
    LOG.error("Unexpected failure, support reference %s", reference, exc_info=error)
    return reply(500, f"The service failed unexpectedly. Give this reference to its operators: {reference}")
