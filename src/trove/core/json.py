"""The type of plain JSON values, which is what crosses the bus and the API."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union

JSON: TypeAlias = Union[bool, int, float, str, Sequence["JSON"], Mapping[str, "JSON"], None]
