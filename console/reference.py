"""The reference of the JSON API as a page without scripts, made from the OpenAPI document and so from the code.

Of the usual viewers only Swagger UI runs under the content security policy of our pages; RapiDoc, Redoc and Scalar
write inline styles. It was rejected, too: 1.9 MB to show folded boxes, which a browser's search does not look into.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from starlette.responses import Response

from console.dashboard.page import PLAIN, rendered
from console.openapi import ERRORS, REF

#: Where a topic's name is no title: as the page shows it.
TITLES: Final = {"api": "This reference", "oncall": "On-call schedules", "keys": "API keys"}
#: Shown with what all operations share.
COMMON: Final = ("Error", "Problem")
SAMPLES: Final[Mapping[str, Any]] = {"string": "…", "array": [], "object": {}, "boolean": True}

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some words of what a value must be. `looks`: code, link (to the schema of that name), or plain."""

    text: str
    looks: str = "plain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`required`: must be sent, if it is not in the path. `default` None: there is none."""

    name: str
    must_be: tuple[Piece, ...]
    required: bool
    default: str | None
    in_path: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """An object of requests or answers. `like`: it has the fields of this one, all of them optional."""

    name: str
    text: str
    fields: tuple[Field, ...]
    like: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """`answers`: status and the schema's name, or what is answered instead. `errors`: their statuses."""

    id: str
    method: str
    path: str
    summary: str
    needs: str
    fields: tuple[Field, ...]
    body: tuple[Piece, ...]
    answers: tuple[tuple[str, tuple[Piece, ...]], ...]
    errors: tuple[str, ...]
    example: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """Operations that belong together, and the objects that they are the first to use."""

    id: str
    title: str
    operations: tuple[Operation, ...]
    shapes: tuple[Shape, ...]


def page(document: Document, public_url: str) -> Response:
    """The whole page."""
    found = topics(document, public_url)
    common = tuple(_shape(name, document["components"]["schemas"][name], ()) for name in COMMON)
    version = document["info"]["version"]
    return rendered("reference.html", 200, PLAIN, topics=found, common=common, errors=ERRORS, version=version)


def topics(document: Document, public_url: str) -> tuple[Topic, ...]:
    """In the order in which the document names them."""
    by_tag: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            by_tag.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    schemas, shown, found = document["components"]["schemas"], set(COMMON), []
    for tag, operations in by_tag.items():
        names = [name for _, _, operation in operations for name in _used(operation, schemas) if name not in shown]
        shown |= set(names)
        found.append(
            Topic(
                id=tag,
                title=TITLES.get(tag, tag.capitalize()),
                operations=tuple(_operation(*each, schemas, public_url) for each in operations),
                shapes=_shapes(list(dict.fromkeys(names)), schemas),
            )
        )
    return tuple(found)


def must_be(schema: Mapping[str, Any]) -> tuple[Piece, ...]:
    """What a value must be, in words."""
    match schema:
        case {"$ref": str(ref)}:
            return (Piece(ref.removeprefix(REF), "link"),)
        case {"anyOf": [*choices]}:
            return _joined([must_be(choice) for choice in choices])
        case {"enum": [*values]}:
            return _joined([(Piece(str(value), "code"),) for value in values])
        case {"type": "array"}:
            return (Piece(f"{_how_many(schema)} of "), *must_be(schema["items"]))
        case {"type": "integer"}:
            return (Piece("whole number" + _between(schema, "minimum", "maximum", "")),)
        case {"type": "string"}:
            return _text_must_be(schema)
        case {"type": "boolean"}:
            return _joined([(Piece("true", "code"),), (Piece("false", "code"),)])
        case {"type": str(kind)}:
            return (Piece(kind, "code" if kind == "null" else "plain"),)
    return (Piece("anything"),)


def _text_must_be(schema: Mapping[str, Any]) -> tuple[Piece, ...]:
    match schema:
        case {"format": "date-time"}:
            return (Piece("time"),)
        case {"format": "date"}:
            return (Piece("day"),)
        case {"pattern": str(pattern)}:
            return (Piece("text "), Piece(pattern.removeprefix("^").removesuffix("$"), "code"))
    return (Piece("text" + _between(schema, "minLength", "maxLength", " characters")),)


def _operation(
    method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any], public_url: str
) -> Operation:
    parameters = [each for each in operation["parameters"] if each["in"] != "header"]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    good = {status: said for status, said in operation["responses"].items() if status < "4"}
    return Operation(
        id=operation["operationId"],
        method=method,
        path=path,
        summary=operation["summary"],
        needs=operation["description"],
        fields=tuple(_parameter(each) for each in parameters),
        body=must_be(body) if body else (),
        answers=tuple((status, _answered(said)) for status, said in good.items()),
        errors=tuple(status for status in operation["responses"] if status >= "4"),
        example=_example(method, public_url + path, operation, _sample(body, schemas) if body else None),
    )


def _answered(said: Mapping[str, Any]) -> tuple[Piece, ...]:
    content = said.get("content", {})
    if "application/json" in content:
        return must_be(content["application/json"]["schema"])
    return (Piece(next(iter(content), "nothing")),)


def _example(method: str, url: str, operation: Mapping[str, Any], sample: object) -> str:
    """As one types it. Lists are asked for with GET, which curl needs no word for."""
    words = ["curl"]
    if operation["security"]:
        words.append("-H 'Authorization: Bearer …'")
    if method != "GET" and not (method == "POST" and sample is not None):
        words.append(f"-X {method}")
    asked = [each["name"] for each in operation["parameters"] if each["in"] == "query" and each["required"]]
    query = "&".join(f"{name}=…" for name in asked)
    words.append(f"'{url}{f'?{query}' if query else ''}'")
    if sample is not None:
        words.append(f"-d '{json.dumps(sample, ensure_ascii=False)}'")
    return " ".join(words)


def _sample(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """The least that can be sent; texts are left to the reader."""
    match schema:
        case {"$ref": str(ref)}:
            return _sample(schemas[ref.removeprefix(REF)], schemas)
        case {"anyOf": [first, *_]}:
            return _sample(first, schemas)
        case {"enum": [first, *_]}:
            return first
        case {"properties": _}:
            return {name: _sample(schema["properties"][name], schemas) for name in schema.get("required", [])}
        case {"type": "array", "minItems": int()}:
            return [_sample(schema["items"], schemas)]
        case {"type": "integer"}:
            return schema.get("minimum", 0)
    return SAMPLES.get(schema.get("type", ""), "…")


def _shapes(names: list[str], schemas: Mapping[str, Any]) -> tuple[Shape, ...]:
    shapes: list[Shape] = []
    for name in names:
        shapes.append(_shape(name, schemas[name], shapes))
    return tuple(shapes)


def _shape(name: str, schema: Mapping[str, Any], before: "list[Shape] | tuple[()]") -> Shape:
    """`before`: those that the page has shown; a change repeats the fields of what it changes."""
    # What is answered is always there; only what is sent knows fields that must be.
    required = schema.get("required", ()) if schema.get("additionalProperties") is False else ()
    fields = tuple(
        _field(field, about, required=field in required) for field, about in schema.get("properties", {}).items()
    )
    kinds = [(each.name, each.must_be) for each in fields]
    same = (each.name for each in before if [(field.name, field.must_be) for field in each.fields] == kinds)
    like = "" if required or not fields else next(same, "")
    return Shape(name=name, text=schema.get("description", ""), fields=fields, like=like)


def _parameter(found: Mapping[str, Any]) -> Field:
    """In a query there is no null: what is not asked for is left out."""
    choices = [choice for choice in found["schema"].get("anyOf", ()) if choice != {"type": "null"}]
    schema = {**found["schema"], **({"anyOf": choices} if choices else {})}
    return _field(found["name"], schema, required=found["required"], in_path=found["in"] == "path")


def _field(name: str, schema: Mapping[str, Any], *, required: bool, in_path: bool = False) -> Field:
    default = json.dumps(schema["default"]) if schema.get("default") is not None else None
    return Field(name=name, must_be=must_be(schema), required=required, default=default, in_path=in_path)


def _used(operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    """The names of the objects of a request and its answer, and of what is in them."""
    waiting: list[Any] = [operation.get("requestBody", {}), operation["responses"]]
    seen: set[str] = set()
    while waiting:
        match waiting.pop(0):
            case {"$ref": str(ref)}:
                name = ref.removeprefix(REF)
                if name not in seen:
                    seen.add(name)
                    waiting.append(schemas[name])
                    yield name
            case {**parts}:
                waiting += parts.values()
            case [*parts]:
                waiting += parts


def _joined(choices: list[tuple[Piece, ...]]) -> tuple[Piece, ...]:
    pieces = list(choices[0])
    for choice in choices[1:]:
        pieces += [Piece(" or "), *choice]
    return tuple(pieces)


def _how_many(schema: Mapping[str, Any]) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    if most is None:
        return "list"
    return f"{least} to {most:,}" if least else f"up to {most:,}"


def _between(schema: Mapping[str, Any], least: str, most: str, unit: str) -> str:
    low, high = schema.get(least), schema.get(most)
    if high is None:
        return ""
    return f", up to {high:,}{unit}" if low is None else f", {low:,} to {high:,}{unit}"
