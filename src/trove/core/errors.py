"""The one tree of errors.

Every error has a stable `code` (shown to programs) and says whether trying again may help (`retryable`).
Doors translate foreign exceptions into these at once. Only `trove.api.faults` knows HTTP status codes.
Messages are for the tenant: they name what was wrong and what is allowed, and never hold a secret.
"""


class TroveError(Exception):
    """Anything that Trove itself raises on purpose."""

    code = "trove_error"
    retryable = False

    @property
    def message(self) -> str:
        """Return the sentence for the user."""
        return str(self)


class InvalidInput(TroveError):
    """The request is wrong in itself; the message names the field and what is allowed (400)."""

    code = "invalid_input"


class Unauthorized(TroveError):
    """The caller is known but is not an administrator where one is needed (the contract's 401)."""

    code = "unauthorized"


class Forbidden(TroveError):
    """Policy denies the request (403)."""

    code = "forbidden"


class NotFound(TroveError):
    """The thing is absent, or belongs to another project (404)."""

    code = "not_found"


class Conflict(TroveError):
    """The request contradicts the state of another resource (409)."""

    code = "conflict"


class QuotaExceeded(TroveError):
    """A quota or a size limit would be exceeded (413)."""

    code = "quota_exceeded"


class NotReady(TroveError):
    """The resource is busy or in a state that does not allow the action; the message names the state (422)."""

    code = "not_ready"


class Unprocessable(TroveError):
    """The request is well-formed, but the datastore's rules forbid what it asks for; the message names each of it (422)."""

    code = "unprocessable"


class Unsupported(TroveError):
    """The datastore or the cloud cannot do this (501)."""

    code = "unsupported"


class GuestError(TroveError):
    """The guest agent received the request and refused or failed it; the message is the guest's (400)."""

    code = "guest_error"


class Unavailable(TroveError):
    """A part that is needed (bus, state DB, cloud, guest) does not answer now (503)."""

    code = "unavailable"
    retryable = True


class GuestTimeout(Unavailable):
    """The guest agent did not answer within the deadline."""

    code = "guest_timeout"


class CloudBusy(Unavailable):
    """The cloud cannot do it now: it is overloaded, limits our rate, or holds the thing busy (HTTP 409, 429, 5xx).

    `retry_after_s` is how long the cloud wants us to wait; None when it does not say.
    """

    code = "cloud_busy"

    def __init__(self, message: str = "The cloud is busy now; try again.", *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Overloaded(Unavailable):
    """More is asked than the service takes on now; nothing was begun. `retry_after_s` is when trying again makes sense.

    Trying again at once would only add to the load: `Database.run` does not.
    """

    code = "overloaded"

    def __init__(self, message: str, *, retry_after_s: float = 5.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class CloudError(TroveError):
    """The cloud refused or failed; the message carries the cloud's own words."""

    code = "cloud_error"


class DeadlineExceeded(TroveError):
    """A task or an operation did not end in time; says what was waited for and what was last heard."""

    code = "deadline_exceeded"


class Cancelled(TroveError):
    """The operation was cancelled, for instance because its resource is being deleted."""

    code = "cancelled"


class Fenced(TroveError):
    """This runner no longer owns the operation: another took it over. It must stop and write nothing more."""

    code = "fenced"


class Refused(TroveError):
    """A message on the bus did not prove who sent it, was replayed, or is malformed."""

    code = "refused"
