"""Values that a JSON Schema (draft 4, as the API's are) allows, for Hypothesis; and the strict form of an answer's schema."""

import math
from typing import Any

from hypothesis import strategies as st

TEXT = st.characters(exclude_categories=["Cs"], exclude_characters="\x00")
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(TEXT, max_size=8),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(TEXT, max_size=8), inner, max_size=2),
    max_leaves=4,
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Return what `schema` allows, if not all of it."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            return st.one_of([values({**{key: schema[key] for key in schema if key != word}, **each}) for each in schema[word]])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    types = schema.get("type") or ("object" if "properties" in schema else "array" if "items" in schema else None)
    if types is None:
        return ANYTHING
    return st.one_of([_OF_TYPE[kind](schema) for kind in ([types] if isinstance(types, str) else types)])


def strict(schema: Any) -> Any:
    """Return `schema` without the freedom to hold keys that it does not name."""
    if isinstance(schema, list):
        return [strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    found = {
        key: {name: strict(each) for name, each in value.items()}
        if key in {"properties", "patternProperties"}
        else strict(value)
        for key, value in schema.items()
        if key != "enum"
    }
    if "enum" in schema:
        found["enum"] = schema["enum"]
    if "properties" in schema:
        found.setdefault("additionalProperties", False)
    return found


def _string(schema: dict[str, Any]) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 30)
    if "pattern" in schema:
        matching = st.from_regex(schema["pattern"], alphabet=TEXT)
        return matching.filter(lambda text: least <= len(text) <= schema.get("maxLength", math.inf))
    return st.text(TEXT, min_size=least, max_size=min(most, least + 30))


def _number(schema: dict[str, Any]) -> st.SearchStrategy[float]:
    bounds = {"min_value": schema.get("minimum"), "max_value": schema.get("maximum")}
    return st.floats(allow_nan=False, allow_infinity=False, **bounds) | _integer(schema)


def _integer(schema: dict[str, Any]) -> st.SearchStrategy[int]:
    return st.integers(schema.get("minimum"), schema.get("maximum"))


def _array(schema: dict[str, Any]) -> st.SearchStrategy[list[Any]]:
    least = schema.get("minItems", 0)
    most = min(schema.get("maxItems", least + 2), least + 2)
    unique = repr if schema.get("uniqueItems") else None
    return st.lists(values(schema.get("items", {})), min_size=least, max_size=most, unique_by=unique)


def _object(schema: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    known = {name: values(each) for name, each in schema.get("properties", {}).items()}
    required = set(schema.get("required", ()))
    found = st.fixed_dictionaries(
        {name: known.get(name, ANYTHING) for name in sorted(required)},
        optional={name: each for name, each in known.items() if name not in required},
    )
    others = schema.get("additionalProperties", "properties" not in schema)
    if others is not False:
        more = st.dictionaries(st.text(TEXT, max_size=8), values(others) if isinstance(others, dict) else ANYTHING, max_size=3)
        found = st.builds(lambda extra, named: {**{k: v for k, v in extra.items() if k not in known}, **named}, more, found)
    least, most = schema.get("minProperties", 0), schema.get("maxProperties", math.inf)
    return found.filter(lambda document: least <= len(document) <= most)


_OF_TYPE = {
    "string": _string,
    "number": _number,
    "integer": _integer,
    "boolean": lambda _: st.booleans(),
    "null": lambda _: st.none(),
    "array": _array,
    "object": _object,
}
