"""A page of a longer list."""

from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page(Generic[T]):
    """Some items in the order asked for. `next_marker` is None on the last page, also on one that is exactly full."""

    items: tuple[T, ...]
    next_marker: str | None = None
