"""Admission: each guest gets a broker user of its own, which reaches its own queue and the conductor's, nothing else.

The broker's rights are the first fence; who wrote a message is proven by its seal alone.
"""

import base64
import hashlib
import hmac
import logging
import ssl
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from typing import TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit, urlunsplit

from trove.bus import resp
from trove.bus.contract import CONDUCTOR_TOPIC, CONTROL, GuestCredential, Keyring, guest_topic
from trove.bus.inbox import INBOX_SUFFIX
from trove.bus.links import AMQP_SCHEMES, POISON_SUFFIX, REPLY_EXCHANGE, Endpoint, LeaderMissingError, Link, guest_exchange
from trove.bus.management import ManagementApi, segment
from trove.bus.resp import Reply, RespConnection, ServerError
from trove.bus.streams import Connection as StreamsConnection
from trove.core.errors import InvalidInput, Unavailable
from trove.core.ids import is_id

LOG = logging.getLogger(__name__)

T = TypeVar("T")

USER_PREFIX = "guest-"

_TIMEOUT_S = 15.0
_ELECTION_S = 20.0
_QUEUE_COMMANDS = "+xreadgroup +xack +xdel +xautoclaim +xclaim +xpending +xadd"


def admission(
    transport_url: str,
    *,
    keyring: Keyring,
    management_url: str | None = None,
    guest_url: str | None = None,
    management_tls: ssl.SSLContext | None = None,
) -> "ValkeyAdmission | RabbitAdmission | SharedAdmission":
    """Return the admission that fits a transport URL.

    `guest_url` says how guests reach the bus when that differs from `transport_url`; its user is replaced by the guest's own.
    RabbitMQ needs `management_url` (`http://user:password@host:15672`) to make users; without it all guests share one, which is
    logged loudly. `management_tls` says whom to trust there.
    """
    passwords = _Passwords(keyring)
    if transport_url.partition("://")[0] not in AMQP_SCHEMES:
        return ValkeyAdmission(transport_url, guest_url or transport_url, passwords)
    topology = _RabbitTopology(Endpoint(transport_url))
    if management_url:
        return RabbitAdmission(
            topology, ManagementApi(management_url, tls=management_tls), guest_url or transport_url, passwords
        )
    return SharedAdmission(topology, guest_url or transport_url)


def user_name(instance_id: str) -> str:
    """Return the broker's user of a guest."""
    return f"{USER_PREFIX}{instance_id}"


class _Passwords:
    """Derives each guest's password from the control key, so that none is stored."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def of(self, instance_id: str) -> str:
        digest = hmac.new(self._keyring.key(CONTROL), f"trove bus password of {instance_id}".encode(), hashlib.sha256).digest()
        return base64.urlsafe_b64encode(digest).decode().rstrip("=")


def _checked(instance_id: str) -> str:
    if not is_id(instance_id):
        raise InvalidInput("an instance id has the form of a UUID")
    return instance_id


def guest_rights(instance_id: str) -> list[str]:
    """Return the ACL rules of a guest: append to the conductor's inbox and to replies, consume its own, nothing else.

    Selectors (in parentheses) keep the rights apart: what is allowed on its own stream is not allowed on the conductor's.
    """
    own = guest_topic(instance_id)
    return [
        "-@all",
        "+ping",
        f"(+rpush %W~{CONDUCTOR_TOPIC}{INBOX_SUFFIX})",
        "(+xadd %W~reply.*)",
        f"({_QUEUE_COMMANDS} ~{own} ~{own}{POISON_SUFFIX})",
    ]


class ValkeyAdmission:
    """Users in Valkey's ACL, kept over its restarts when the server has an ACL file."""

    def __init__(self, url: str, guest_url: str, passwords: _Passwords) -> None:
        self._url = url
        self._guest_url = guest_url
        self._passwords = passwords
        resp.parse_address(url)

    def admit(self, instance_id: str) -> GuestCredential:
        """Ensure the guest's stream and user; see the contract."""
        self.readmit([instance_id])
        return GuestCredential(url=_with_user(self._guest_url, user_name(instance_id), self._passwords.of(instance_id)))

    def readmit(self, instance_ids: Iterable[str]) -> None:
        """Ensure the streams and users of many guests, for instance after the server lost its data. Raises `Unavailable`."""
        wanted = [_checked(instance_id) for instance_id in instance_ids]
        _translated(lambda: self._ensure(wanted))

    def _ensure(self, instance_ids: Sequence[str]) -> None:
        with closing(StreamsConnection(self._url)) as connection, closing(connection.channel()) as channel:
            for topic in (CONDUCTOR_TOPIC, *map(guest_topic, instance_ids)):
                channel.queue_declare(topic + POISON_SUFFIX)
                channel.queue_declare(topic)
            for instance_id in instance_ids:
                digest = hashlib.sha256(self._passwords.of(instance_id).encode()).hexdigest()
                rules = guest_rights(instance_id)
                connection.command("ACL", "SETUSER", user_name(instance_id), "reset", "on", f"#{digest}", *rules)
            _save_users(connection.command)

    def expel(self, instance_id: str) -> None:
        """Remove the guest's user, its connections and its stream; see the contract."""
        _translated(lambda: self._remove(_checked(instance_id)))

    def _remove(self, instance_id: str) -> None:
        with closing(RespConnection(resp.parse_address(self._url)[0], timeout_s=_TIMEOUT_S)) as connection:
            connection.command("ACL", "DELUSER", user_name(instance_id))
            _save_users(connection.command)
            topic = guest_topic(instance_id)
            connection.command("DEL", topic, topic + POISON_SUFFIX)

    def held(self) -> frozenset[str]:
        """Return the ids of the instances whose guests have a user; see the contract."""

        def users() -> Reply:
            with closing(RespConnection(resp.parse_address(self._url)[0], timeout_s=_TIMEOUT_S)) as connection:
                return connection.command("ACL", "USERS")

        found = _translated(users)
        assert isinstance(found, list)
        return _guests_among(name.decode() if isinstance(name, bytes) else str(name) for name in found)


def _guests_among(users: Iterable[str]) -> frozenset[str]:
    names = (name.removeprefix(USER_PREFIX) for name in users if name.startswith(USER_PREFIX))
    return frozenset(name for name in names if is_id(name))


def _save_users(command: Callable[..., object]) -> None:
    try:
        command("ACL", "SAVE")
    except ServerError as error:
        if "not configured to use an ACL file" not in str(error):
            raise
        LOG.warning("the Valkey server has no ACL file: guests must be readmitted after its restart")


class _RabbitTopology:
    """The queues and exchanges of guests, which the control plane alone declares."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._leaderless: dict[str, float] = {}

    def ensure(self, instance_id: str) -> None:
        topic = guest_topic(instance_id)

        def declare(link: Link) -> bool:
            own = guest_exchange(instance_id)
            link.declare_topic(CONDUCTOR_TOPIC)
            link.declare_topic(topic)
            link.declare_reply_exchange()
            link.channel.exchange_declare(own, "direct", durable=True, auto_delete=False)
            link.channel.queue_bind(CONDUCTOR_TOPIC, own, routing_key=CONDUCTOR_TOPIC)
            return link.answers(topic)

        try:
            answers = self._with_link(declare)
            self._leaderless.pop(topic, None)
        except LeaderMissingError:
            answers = not self._is_lost(topic)
            if answers:
                raise Unavailable(f"no node of RabbitMQ leads the queue {topic} now") from None
        if not answers:
            LOG.warning("the queue %s did not survive the death of the broker and is made anew", topic)
            self._with_link(lambda link: link.delete_queue(topic))
            self._with_link(declare)

    def _is_lost(self, topic: str) -> bool:
        """Tell whether a queue has had no leader for so long, in a cluster that works, that it will never have one.

        So is a queue whose leader was killed while it was made.
        """
        now = time.monotonic()
        if now - self._leaderless.setdefault(topic, now) < _ELECTION_S:
            return False
        self._with_link(lambda link: link.prove_majority())
        self._leaderless.pop(topic, None)
        return True

    def remove(self, instance_id: str) -> None:
        def delete(link: Link) -> None:
            topic = guest_topic(instance_id)
            link.channel.exchange_delete(guest_exchange(instance_id))
            link.delete_queue(topic)
            link.delete_poison(topic)

        self._with_link(delete)

    def _with_link(self, work: Callable[[Link], T]) -> T:
        def run() -> T:
            with closing(self._endpoint.open(name="admission")) as link:
                return work(link)

        return _translated(run)


class RabbitAdmission:
    """Users of RabbitMQ, made through its management API."""

    def __init__(self, topology: _RabbitTopology, api: ManagementApi, guest_url: str, passwords: _Passwords) -> None:
        self._topology = topology
        self._api = api
        self._guest_url = guest_url
        self._passwords = passwords
        self._vhost = unquote(urlsplit(guest_url.split(";", maxsplit=1)[0]).path[1:]) or "/"

    def admit(self, instance_id: str) -> GuestCredential:
        """Ensure the guest's queue, exchange and user; see the contract.

        It may configure nothing, write to its own exchange (bound to the conductor's queue only) and to the replies, and read
        its own queue. As the exchange is its own, a `CC` header reaches nothing more.
        """
        user, password = user_name(_checked(instance_id)), self._passwords.of(instance_id)
        self._topology.ensure(instance_id)
        self._api.put(f"/api/users/{segment(user)}", {"password": password, "tags": ""})
        writable = "|".join(_escaped(name) for name in (guest_exchange(instance_id), REPLY_EXCHANGE))
        rights = {"configure": "^$", "write": f"^({writable})$", "read": f"^{_escaped(guest_topic(instance_id))}$"}
        self._api.put(f"/api/permissions/{segment(self._vhost)}/{segment(user)}", rights)
        return GuestCredential(url=_with_user(self._guest_url, user, password))

    def readmit(self, instance_ids: Iterable[str]) -> None:
        """Ensure queues and users of many guests. May run twice. Raises `Unavailable`."""
        for instance_id in instance_ids:
            self.admit(instance_id)

    def expel(self, instance_id: str) -> None:
        """Remove the guest's user, its connections, its queue and exchange; see the contract."""
        user = user_name(_checked(instance_id))
        self._api.delete(f"/api/users/{segment(user)}")
        self._topology.remove(instance_id)

    def held(self) -> frozenset[str]:
        """Return the ids of the instances whose guests have a user; see the contract."""
        users = self._api.get("/api/users?columns=name")
        assert isinstance(users, list)
        return _guests_among(str(user["name"]) for user in users if isinstance(user, dict))


class SharedAdmission:
    """RabbitMQ without its management API: guests share one user, and only the seals keep them apart."""

    def __init__(self, topology: _RabbitTopology, guest_url: str) -> None:
        self._topology = topology
        self._guest_url = guest_url
        LOG.warning(
            "INSECURE BUS: no management_url is set, so all guests share one RabbitMQ user. A stolen guest can read, delete "
            "and flood the queues of all others, though it can open and forge nothing. Set management_url in production."
        )

    def admit(self, instance_id: str) -> GuestCredential:
        """Ensure the guest's queue; its credential is everybody's."""
        self._topology.ensure(_checked(instance_id))
        return GuestCredential(url=self._guest_url)

    def readmit(self, instance_ids: Iterable[str]) -> None:
        """Ensure the queues of many guests. May run twice. Raises `Unavailable`."""
        for instance_id in instance_ids:
            self.admit(instance_id)

    def expel(self, instance_id: str) -> None:
        """Remove the guest's queue and exchange; its connection stays, as it is everybody's."""
        self._topology.remove(_checked(instance_id))

    def held(self) -> None:
        """Return None: guests have no users of their own here."""
        return


def _escaped(name: str) -> str:
    return name.replace(".", "\\.")


def _with_user(url: str, user: str, password: str) -> str:
    """Return a transport URL with another user, for each of its hosts."""
    return ";".join(_one_with_user(part, user, password) for part in url.split(";"))


def _one_with_user(url: str, user: str, password: str) -> str:
    parts = urlsplit(url)
    if parts.scheme in resp.UNIX_SCHEMES:
        kept = [(name, value) for name, value in parse_qsl(parts.query) if name not in ("user", "password")]
        query = urlencode([*kept, ("user", user), ("password", password)], quote_via=quote)
        return f"{parts.scheme}://{parts.path}?{query}"
    login = f"{quote(user, safe='')}:{quote(password, safe='')}"
    hosts = ",".join(f"{login}@{host.rpartition('@')[2]}" for host in parts.netloc.split(","))
    return urlunsplit((parts.scheme, hosts, parts.path, parts.query, ""))


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except ServerError as error:
        raise Unavailable(f"Valkey refused to admit or expel a guest: {error.code}") from error
    except (InvalidInput, LeaderMissingError):
        raise
    except Exception as error:
        raise Unavailable(f"the message bus cannot be reached ({type(error).__name__})") from error
