"""JSON documents as XML and back, without loss: the mapping that doc/api.md describes.

A key is an element, an item of a list is an element named by the list's singular, null is `xsi:nil`. The types of values
stand in the route's schema; where that leaves a choice, the attribute `j:type` makes it. No DTD and so no entity is accepted.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from xml.etree import ElementTree

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import DefusedXMLParser

from trove.api.schemas.scalars import Schema
from trove.core.errors import InvalidInput
from trove.core.json import JSON

NAMESPACE = "http://docs.openstack.org/database/api/v1.0"
HINTS = "urn:openstack:trove:json"
XSI = "http://www.w3.org/2001/XMLSchema-instance"

DOCUMENT = "document"
"""The root of a document that has not just one key to be named by."""
ENTRY = "entry"
"""The element of a key that is no XML name; the attribute `j:key` has it."""
ITEM = "item"
MAX_LEVELS = 40

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_UNSAFE = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,399})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]{0,399})(\.[0-9]{1,400})?([eE][+-]?[0-9]{1,3})?")
_KINDS = ("string", "object", "array", "boolean", "integer", "number", "null")


def write(document: JSON, schema: Schema | None = None) -> bytes:
    """Return `document` as XML. `schema` is what a reader will know of it; without one, the types stand in the elements."""
    root = _root(document, schema)
    root.set("xmlns", NAMESPACE)
    root.set("xmlns:j", HINTS)
    root.set("xmlns:xsi", XSI)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode").encode()


def read(raw: bytes, schema: Schema | None = None) -> JSON:
    """Return the document that `raw` holds, its types guided by `schema`; what does not fit it stays text.

    Raises `InvalidInput`: no XML, a DTD, too deep, another namespace, a key twice, text between elements.
    """
    root = _parse(raw)
    name = _local(root)
    if name == DOCUMENT:
        return _value(root, DOCUMENT, schema)
    own: list[ElementTree.Element] = []
    others: list[ElementTree.Element] = []
    key = _key(root)
    inner = _property(schema, key)
    if _read_kind(root, inner) == "array":
        _no_text(root, name)
        for child in root:
            (own if _local(child) in _item_names(name) else others).append(child)
        items: JSON = [_value(child, _local(child), _items(inner)) for child in own]
        return {key: items, **_keys(others, schema)}
    return {key: _value(root, name, inner)}


def singular(name: str) -> str:
    """Return how an item of the list `name` is called."""
    if name.endswith("ies") and len(name) > 3:
        return name[:-3] + "y"
    if name.endswith(("sses", "xes")):
        return name[:-2]
    return name[:-1] if name.endswith("s") and len(name) > 1 else ITEM


# Writing


def _root(document: JSON, schema: Schema | None) -> ElementTree.Element:
    if not isinstance(document, Mapping) or not document or DOCUMENT in document:
        return _element(DOCUMENT, document, schema)
    (name, value), *others = document.items()
    if not others:
        return _element(name, value, _property(schema, name))
    if not isinstance(value, list | tuple) or not _NAME.fullmatch(name) or name == ENTRY:
        return _element(DOCUMENT, document, schema)
    if not _item_names(name).isdisjoint(key for key, _ in others):
        return _element(DOCUMENT, document, schema)
    root = _element(name, value, _property(schema, name))
    root.extend(_element(key, each, _property(schema, key)) for key, each in others)
    if _read_kind(root, _property(schema, name)) != "array":
        root.set("j:type", "array")
    return root


def _element(name: str, value: JSON, schema: Schema | None) -> ElementTree.Element:
    if _NAME.fullmatch(name) and name != ENTRY:
        element = ElementTree.Element(name)
    else:
        element = ElementTree.Element(ENTRY, {"j:key": json.dumps(name)[1:-1]})
        name = ENTRY
    if value is None:
        element.set("xsi:nil", "true")
        return element
    if isinstance(value, Mapping):
        kind = "object"
        element.extend(_element(key, each, _property(schema, key)) for key, each in value.items())
    elif isinstance(value, list | tuple):
        kind = "array"
        element.extend(_element(singular(name), each, _items(schema)) for each in value)
    else:
        kind = _write_scalar(element, value)
    if not _reads_as(element, schema, kind, value):
        element.set("j:type", kind)
    return element


def _write_scalar(element: ElementTree.Element, value: Any) -> str:
    if isinstance(value, str):
        if _UNSAFE.search(value):
            element.set("j:escaped", "true")
            value = json.dumps(value)[1:-1]
        element.text = value
        return "string"
    element.text = json.dumps(value)
    return "boolean" if isinstance(value, bool) else "integer" if isinstance(value, int) else "number"


def _reads_as(element: ElementTree.Element, schema: Schema | None, kind: str, value: JSON) -> bool:
    guessed = _kind(element, schema)
    if kind in {"object", "array"}:
        return guessed == kind
    if kind == "string":
        return guessed == "string"
    found = _scalar(element.text or "", guessed)
    return type(found) is type(value) and found == value


# Reading


class _Bounded(ElementTree.TreeBuilder):
    """Builds the tree, but no deep one."""

    level = 0

    def start(self, tag: Any, attrs: Any, /) -> Any:
        self.level += 1
        if self.level > MAX_LEVELS:
            raise InvalidInput(f"The request body is nested deeper than {MAX_LEVELS} elements.")
        return super().start(tag, attrs)

    def end(self, tag: Any, /) -> Any:
        self.level -= 1
        return super().end(tag)


def _parse(raw: bytes) -> ElementTree.Element:
    parser = DefusedXMLParser(target=_Bounded(), forbid_dtd=True)
    try:
        parser.feed(raw)
        root: ElementTree.Element = parser.close()
    except DefusedXmlException:
        raise InvalidInput("The request body has a document type declaration, which is not accepted in XML here.") from None
    except ElementTree.ParseError as error:
        raise InvalidInput(f"The request body is not XML: {error}.") from None
    except (ValueError, LookupError):
        raise InvalidInput("The request body is not XML: its encoding is not known or not kept.") from None
    return root


def _local(element: ElementTree.Element) -> str:
    """Return the name without the namespace, which is ours or none."""
    namespace, brace, name = element.tag[1:].partition("}") if element.tag.startswith("{") else ("", "", element.tag)
    if brace and namespace != NAMESPACE:
        raise InvalidInput(f"The element {name[:100]!r} is in the namespace {namespace[:100]!r}, not in {NAMESPACE!r}.")
    return name


def _value(element: ElementTree.Element, name: str, schema: Schema | None) -> JSON:
    kind = _read_kind(element, schema)
    if kind == "null":
        return None
    if kind == "object":
        found = _attributes(element, schema)
        _no_text(element, name)
        below = _keys(element, schema)
        for key in found.keys() & below.keys():
            raise _twice(key)
        return {**found, **below}
    if kind == "array":
        _no_text(element, name)
        return [_item(child, name, schema) for child in element]
    if len(element) or _plain_attributes(element):
        raise InvalidInput(f"The element {name[:100]!r} may hold text only.")
    text = element.text or ""
    if _hint(element, "escaped") == "true":
        try:
            return str(json.loads(f'"{text}"'))
        except ValueError:
            raise InvalidInput(f"The element {name[:100]!r} has wrong escapes.") from None
    return _scalar(text, kind)


def _item(child: ElementTree.Element, name: str, schema: Schema | None) -> JSON:
    called = _local(child)
    if called not in _item_names(name):
        raise InvalidInput(f"The element {name[:100]!r} may hold {singular(name)!r} only, not {called[:100]!r}.")
    return _value(child, called, _items(schema))


def _keys(children: Iterable[ElementTree.Element], schema: Schema | None) -> dict[str, JSON]:
    found: dict[str, JSON] = {}
    for child in children:
        key = _key(child)
        if key in found:
            raise _twice(key)
        found[key] = _value(child, _local(child), _property(schema, key))
    return found


def _key(element: ElementTree.Element) -> str:
    name = _local(element)
    hinted = _hint(element, "key")
    if name != ENTRY or hinted is None:
        return name
    try:
        return str(json.loads(f'"{hinted}"'))
    except ValueError:
        raise InvalidInput(f"The element {ENTRY!r} has a key with wrong escapes.") from None


def _attributes(element: ElementTree.Element, schema: Schema | None) -> dict[str, JSON]:
    """Return the plain attributes, which older clients write in place of elements."""
    found: dict[str, JSON] = {}
    for key, text in _plain_attributes(element):
        found[key] = _scalar(text, _kind_of_text(text, _types(_property(schema, key))))
    return found


def _plain_attributes(element: ElementTree.Element) -> list[tuple[str, str]]:
    return [(key, text) for key, text in element.items() if not key.startswith("{") and ":" not in key]


def _no_text(element: ElementTree.Element, name: str) -> None:
    if (element.text or "").strip() or any((child.tail or "").strip() for child in element):
        raise InvalidInput(f"The element {name[:100]!r} may hold elements only, not text.")


def _twice(key: str) -> InvalidInput:
    return InvalidInput(f"The request body has the key {key[:100]!r} twice in one object.")


def _item_names(name: str) -> frozenset[str]:
    return frozenset({singular(name), ITEM})


# Types: what the element says, else what its schema says


def _read_kind(element: ElementTree.Element, schema: Schema | None) -> str:
    if element.get(f"{{{XSI}}}nil", element.get("xsi:nil")) in {"true", "1"}:
        return "null"
    hinted = _hint(element, "type")
    if hinted is not None and hinted not in _KINDS:
        raise InvalidInput(f"The type {hinted[:100]!r} is not one of {', '.join(_KINDS)}.")
    return hinted or _kind(element, schema)


def _hint(element: ElementTree.Element, name: str) -> str | None:
    return element.get(f"{{{HINTS}}}{name}", element.get(f"j:{name}"))


def _kind(element: ElementTree.Element, schema: Schema | None) -> str:
    types = _types(schema)
    if len(element) or _plain_attributes(element):
        return "array" if "array" in types and "object" not in types else "object"
    return _kind_of_text(element.text or "", types)


def _kind_of_text(text: str, types: frozenset[str]) -> str:
    if not types or "string" in types:
        return "string"
    bare = text.strip()
    if not bare:
        return next((kind for kind in ("object", "array") if kind in types), "string")
    if "boolean" in types and bare in {"true", "false"}:
        return "boolean"
    if _INTEGER.fullmatch(bare) and not types.isdisjoint({"integer", "number"}):
        return "integer"
    return "number" if "number" in types and _NUMBER.fullmatch(bare) else "string"


def _scalar(text: str, kind: str) -> JSON:
    bare = text.strip()
    if kind == "boolean" and bare in {"true", "false"}:
        return bare == "true"
    if kind in {"integer", "number"} and _NUMBER.fullmatch(bare):
        number: int | float = json.loads(bare)
        return number
    return text


def _alternatives(schema: Schema | None) -> Iterator[Schema]:
    if schema is None:
        return
    yield schema
    for word in ("anyOf", "oneOf", "allOf"):
        for each in schema.get(word, ()):
            yield from _alternatives(each)


def _types(schema: Schema | None) -> frozenset[str]:
    found: set[str] = set()
    for each in _alternatives(schema):
        wanted = each.get("type", ())
        found.update([wanted] if isinstance(wanted, str) else wanted)
        if "type" not in each:
            found.update(_type_of(value) for value in each.get("enum", ()))
            found.update(kind for word, kind in (("properties", "object"), ("items", "array")) if word in each)
    return frozenset(found)


def _type_of(value: Any) -> str:
    if value is None:
        return "null"
    names = ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (list, "array"))
    return next((name for kind, name in names if isinstance(value, kind)), "object")


def _property(schema: Schema | None, key: str) -> Schema | None:
    found = []
    for each in _alternatives(schema):
        inner = each.get("properties", {}).get(key)
        if inner is None:
            inner = next((part for form, part in each.get("patternProperties", {}).items() if re.search(form, key)), None)
        if inner is None:
            inner = each.get("additionalProperties")
        if isinstance(inner, dict):
            found.append(inner)
    return _one(found)


def _items(schema: Schema | None) -> Schema | None:
    return _one([each["items"] for each in _alternatives(schema) if isinstance(each.get("items"), dict)])


def _one(schemas: list[Schema]) -> Schema | None:
    return None if not schemas else schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
