"""Asks oslo.policy whether a caller may do something, at the cost of a few microseconds.

`Enforcer.enforce` looks at the policy files on each question. Here they are looked at every few seconds, and questions are
answered from a snapshot, so that no request ever sees rules half reloaded; the same question is answered from memory meanwhile.
"""

import logging
import threading
import time
from dataclasses import replace
from typing import Any

from oslo_policy import policy

from trove.api.policies import list_rules
from trove.core.callers import Caller
from trove.core.errors import Forbidden, Unauthorized

LOG = logging.getLogger(__name__)

RELOAD_EVERY_S = 5.0
MAX_ANSWERS = 10_000
MANAGEMENT = "mgmt:"
"""What rules of the management API begin with."""


class _Snapshot:
    """What a check of oslo.policy reads of its enforcer."""

    def __init__(self, enforcer: Any) -> None:
        self.conf = enforcer.conf
        self.rules = policy.Rules(dict(enforcer.rules), enforcer.default_rule)
        self.answers: dict[tuple[str, Caller | tuple[str, ...]], bool] = {}


class Policy:
    """The rules of `policy.yaml` over the defaults in code. Thread-safe."""

    def __init__(self, conf: Any) -> None:
        self._enforcer = policy.Enforcer(conf)
        self._enforcer.register_defaults(list(list_rules()))
        self._lock = threading.Lock()
        self._load()

    def _load(self) -> None:
        self._enforcer.load_rules()
        self._snapshot = _Snapshot(self._enforcer)
        self._fresh_until = time.monotonic() + RELOAD_EVERY_S

    def _current(self) -> _Snapshot:
        if time.monotonic() >= self._fresh_until and self._lock.acquire(blocking=False):
            try:
                self._load()
            except Exception:
                LOG.exception("Keeping the policy as it was: its files cannot be read")
                self._fresh_until = time.monotonic() + RELOAD_EVERY_S
            finally:
                self._lock.release()
        return self._snapshot

    def is_admin(self, roles: tuple[str, ...]) -> bool:
        """Tell whether these roles make an administrator."""
        answers = self._current().answers
        answer = answers.get(("context_is_admin", roles))
        if answer is None:
            answer = self._ask("context_is_admin", roles, {}, {"roles": list(roles), "is_admin": False})
        return answer

    def allows(self, rule: str, caller: Caller) -> bool:
        """Tell whether `caller` may do what `rule` guards, in the project of the request."""
        who = replace(caller, request_id="")
        answer = self._current().answers.get((rule, who))
        if answer is not None:
            return answer
        project = caller.project_id
        credentials = {
            "project_id": project,
            "tenant": project,
            "user_id": caller.user_id,
            "roles": list(caller.roles),
            "is_admin": caller.is_admin,
        }
        return self._ask(rule, who, {"tenant": project, "project_id": project}, credentials)

    def enforce(self, rule: str, caller: Caller) -> None:
        """Raise `Forbidden` unless `caller` may do what `rule` guards; `Unauthorized` for rules of the management API."""
        if not self.allows(rule, caller):
            refusal = Unauthorized if rule.startswith(MANAGEMENT) else Forbidden
            raise refusal(f"Policy does not allow {rule} to be performed by you.")

    def _ask(self, rule: str, who: Caller | tuple[str, ...], target: dict[str, Any], credentials: dict[str, Any]) -> bool:
        snapshot: Any = self._current()
        answer = bool(snapshot.rules[rule](target, credentials, snapshot, rule))
        if len(snapshot.answers) < MAX_ANSWERS:
            snapshot.answers[rule, who] = answer
        return answer
