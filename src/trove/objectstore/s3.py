"""S3 as an object store: all objects in one bucket, guests with presigned URLs.

A presigned URL is for one name, so a ticket has a signature for each name that will be used. It cannot be taken back either:
those for putting are signed together with `If-None-Match: *`, so that they make objects but never replace one. What `seal`
promises holds by itself.

Source: "Authenticating requests: using query parameters (AWS Signature Version 4)" and "Conditional writes" in S3's manual.
"""

import hmac
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from tempfile import SpooledTemporaryFile
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote, urlencode, urlsplit

from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

from trove.core.clock import utcnow
from trove.core.errors import CloudError, InvalidInput, NotFound, Unavailable
from trove.core.tickets import Ticket, Verb
from trove.objectstore.contract import LONGEST_TICKET, ObjectInfo
from trove.objectstore.names import check_container, check_name
from trove.objectstore.spooling import IN_MEMORY, PLAIN, spool

if TYPE_CHECKING:
    from botocore.credentials import ReadOnlyCredentials

DIGEST = "sha256"
CHUNK = 256 * 1024
ONLY_NEW = {"If-None-Match": "*"}
TRY_AGAIN = frozenset({408, 409, 429})
LONGEST_KEY = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Where the bucket is, which must exist, and whose keys are used: without `access_key` what boto3 finds by itself."""

    endpoint: str
    bucket: str
    region: str = "us-east-1"
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    ca_file: str | None = None
    timeout_s: float = 60.0


class S3ObjectStore:
    """The objects of one project, or, without `project_id`, of none. Safe for threads."""

    needs_names = True

    def __init__(self, settings: S3Settings, *, project_id: str = "", client: Any = None) -> None:
        self._settings = settings
        self._project_id = project_id
        self._client = client or _client(settings)

    def __repr__(self) -> str:
        return f"<S3ObjectStore {self._project_id}>"

    def of(self, project_id: str) -> "S3ObjectStore":
        """Return the store with the objects of a project, whose keys begin with its id."""
        return S3ObjectStore(self._settings, project_id=project_id, client=self._client)

    def put(
        self, container: str, name: str, chunks: Iterable[bytes], *, metadata: Mapping[str, str] | None = None
    ) -> ObjectInfo:
        """Store an object whole or not at all. An error of `chunks` itself passes through and leaves the old object."""
        key = self._key(container, name)
        with SpooledTemporaryFile(max_size=IN_MEMORY) as file:
            digest, size = spool(file, chunks)
            told = {each: quote(text, safe=PLAIN) for each, text in (metadata or {}).items()} | {DIGEST: digest}
            file.seek(0)
            with _translated():
                self._client.put_object(Bucket=self._settings.bucket, Key=key, Body=file, ContentLength=size, Metadata=told)
        return ObjectInfo(name=name, size=size, digest=digest, metadata=dict(metadata or {}))

    def get(self, container: str, name: str) -> Iterator[bytes]:
        """Stream an object's bytes. Raises `NotFound` before the first chunk."""
        key = self._key(container, name)
        with _translated(f"Object {container}/{name}"):
            body = self._client.get_object(Bucket=self._settings.bucket, Key=key)["Body"]
        return _pieces(body)

    def info(self, container: str, name: str) -> ObjectInfo:
        """Return what is known of an object; raises `NotFound`."""
        key = self._key(container, name)
        with _translated(f"Object {container}/{name}"):
            told = self._client.head_object(Bucket=self._settings.bucket, Key=key)
        metadata = {each: unquote(text) for each, text in told["Metadata"].items()}
        digest = metadata.pop(DIGEST, None)
        return ObjectInfo(name=name, size=told["ContentLength"], digest=digest, metadata=metadata)

    def list(self, container: str, *, prefix: str = "") -> Sequence[ObjectInfo]:
        """Return the objects whose name starts with `prefix`, by name, without digests. A missing container is empty."""
        check_container(container)
        begin = self._begin(container)
        found: list[ObjectInfo] = []
        with _translated():
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._settings.bucket, Prefix=begin + prefix)
            for page in pages:
                rows = page.get("Contents", ())
                found += (ObjectInfo(name=row["Key"].removeprefix(begin), size=row["Size"], digest=None) for row in rows)
        return sorted(found, key=lambda info: info.name)

    def delete(self, container: str, name: str) -> None:
        """Delete an object. Missing is fine."""
        key = self._key(container, name)
        with _translated():
            self._client.delete_object(Bucket=self._settings.bucket, Key=key)

    def clear(self, container: str, prefix: str) -> None:
        """Delete all objects below `prefix`. May run twice."""
        check_name(prefix)
        for info in self.list(container, prefix=prefix):
            self.delete(container, info.name)

    def ticket(
        self,
        container: str,
        prefix: str,
        verb: Verb,
        *,
        expires: datetime,
        names: Sequence[str] | None = None,
        keep_s: int | None = None,
    ) -> Ticket:
        """Return presigned URLs for `names`; raises `InvalidInput` without any, or for a name that is not below `prefix`."""
        check_container(container)
        check_name(prefix)
        if names is None or not all(name.startswith(prefix) for name in names):
            raise InvalidInput("A ticket of S3 is for names that are told, all of them below its prefix.")
        now = utcnow().replace(microsecond=0)
        until = min(expires, now + LONGEST_TICKET)
        headers = ONLY_NEW if verb is Verb.PUT and keep_s is None else {}
        signer = _Signer(self._credentials(), self._settings, verb, (now, int((until - now).total_seconds())), headers)
        keys = {name: self._key(container, name) for name in names}
        return Ticket(
            verb=verb,
            base=f"{self._bucket_url()}/{quote(self._begin(container).removesuffix('/'))}",
            prefix=prefix,
            expires=until.astimezone(UTC),
            query=signer.query,
            signatures={name.removeprefix(prefix): signer.sign(key) for name, key in keys.items()},
            headers=headers,
            meta=None,  # A header that is not signed is not taken.
        )

    def seal(self, container: str, prefix: str) -> None:
        """Do nothing: what is there cannot be replaced by a ticket."""
        check_container(container)
        check_name(prefix)

    def publish(self, container: str, backup_id: str, parts: Sequence[ObjectInfo]) -> None:
        """Do nothing: S3 makes one object of several only by copying them."""

    def url(self, container: str, name: str) -> str:
        """Return the URL of an object."""
        return f"{self._bucket_url()}/{quote(self._key(container, name))}"

    def locate(self, url: str) -> tuple[str, str] | None:
        """Return container and name of an object by its URL; None when it is not one of this project."""
        begin = f"{self._bucket_url()}/{quote(self._project_id)}/" if self._project_id else f"{self._bucket_url()}/"
        if not url.startswith(begin):
            return None
        container, _, name = urlsplit("/" + url.removeprefix(begin)).path[1:].partition("/")
        return (unquote(container), unquote(name)) if container and name else None

    def holding(self, url: str) -> "S3ObjectStore | None":
        """Return this store for what is in it: other places need keys of their own."""
        return self if self.locate(url) else None

    def _begin(self, container: str) -> str:
        return f"{self._project_id}/{container}/" if self._project_id else f"{container}/"

    def _key(self, container: str, name: str) -> str:
        check_container(container)
        check_name(name)
        return self._begin(container) + name

    def _bucket_url(self) -> str:
        return f"{self._settings.endpoint.rstrip('/')}/{quote(self._settings.bucket)}"

    def _credentials(self) -> "ReadOnlyCredentials":
        with _translated():
            found = self._client._request_signer._credentials
            if found is None:
                raise NoCredentialsError
            return found.get_frozen_credentials()


class _Signer:
    """Signs URLs that differ in their path alone."""

    def __init__(
        self,
        credentials: "ReadOnlyCredentials",
        settings: S3Settings,
        verb: Verb,
        when: tuple[datetime, int],
        headers: Mapping[str, str],
    ) -> None:
        now, seconds = when
        day, self._moment = now.strftime("%Y%m%d"), now.strftime("%Y%m%dT%H%M%SZ")
        self._scope = f"{day}/{settings.region}/s3/aws4_request"
        key = f"AWS4{credentials.secret_key}".encode()
        for part in (day, settings.region, "s3", "aws4_request"):
            key = hmac.digest(key, part.encode(), "sha256")
        self._key = key
        endpoint = urlsplit(settings.endpoint)
        signed = {"host": endpoint.netloc} | {name.lower(): text for name, text in headers.items()}
        values = {
            "X-Amz-Algorithm": "AWS4-HMAC-SHA256",
            "X-Amz-Credential": f"{credentials.access_key}/{self._scope}",
            "X-Amz-Date": self._moment,
            "X-Amz-Expires": str(seconds),
            "X-Amz-SignedHeaders": ";".join(sorted(signed)),
        }
        if credentials.token:
            values["X-Amz-Security-Token"] = credentials.token
        self.query = urlencode(sorted(values.items()), quote_via=quote, safe="-_.~")
        self._before = f"{verb.value}\n{endpoint.path.rstrip('/')}/{quote(settings.bucket)}/"
        lines = "".join(f"{name}:{signed[name]}\n" for name in sorted(signed))
        self._after = f"\n{self.query}\n{lines}\n{';'.join(sorted(signed))}\nUNSIGNED-PAYLOAD"

    def sign(self, key: str) -> str:
        """Return the signature of the URL of an object."""
        request = f"{self._before}{quote(key)}{self._after}".encode()
        text = f"AWS4-HMAC-SHA256\n{self._moment}\n{self._scope}\n{sha256(request).hexdigest()}"
        return hmac.new(self._key, text.encode(), sha256).hexdigest()


def _client(settings: S3Settings) -> Any:
    import boto3  # noqa: PLC0415  takes a while, and tests of signatures need none
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        signature_version="s3v4",
        s3={"addressing_style": "path"},
        connect_timeout=settings.timeout_s,
        read_timeout=settings.timeout_s,
        retries={"total_max_attempts": 2},
        # Not all servers know the newer checksums; each digest that counts is our own.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return boto3.session.Session().client(
        "s3",
        endpoint_url=settings.endpoint,
        region_name=settings.region,
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        verify=settings.ca_file or True,
        config=config,
    )


def _pieces(body: Any) -> Iterator[bytes]:
    with closing(body):
        while True:
            with _translated():
                piece: bytes = body.read(CHUNK)
            if not piece:
                return
            yield piece


@contextmanager
def _translated(what: str = "It") -> Iterator[None]:
    """Turn the errors of boto3 into ours."""
    try:
        yield
    except ClientError as error:
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        code = str(error.response.get("Error", {}).get("Code", ""))
        if status == 404 and code != "NoSuchBucket":
            raise NotFound(f"{what} cannot be found in the object store.") from error
        if status >= 500 or status in TRY_AGAIN:
            raise Unavailable(f"The object store cannot do it now: it answers {status}.") from error
        raise CloudError(f"The object store refuses the service: it answers {status} {code}.") from error
    except NoCredentialsError as error:
        raise CloudError("There are no keys for S3: set [objectstore] s3_access_key and s3_secret_key.") from error
    except (BotoCoreError, OSError) as error:
        raise Unavailable(f"The object store cannot be reached: {type(error).__name__}.") from error
