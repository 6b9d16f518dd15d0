"""The types of WSGI, and how a Paste filter factory is made from a function of an app."""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
App: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]
Headers: TypeAlias = list[tuple[str, str]]
Filter: TypeAlias = Callable[[App], App]


def header(headers: Headers, name: str) -> str | None:
    """Return a header's value by its lower-case name, None when it is absent."""
    for key, value in headers:
        if key.lower() == name:
            return value
    return None
