"""The OpenAPI 3.1 document, built from the table of the API and the models: what is not in the code is not in it."""

import re
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema
from starlette.responses import Response

from console.answers import Error
from console.auth import COOKIE, HEADERS, PROJECT_HEADER
from console.routing import IDS, Row
from console.schemas import Body

REF: Final = "#/components/schemas/"
SECURITY: Final[dict[str, list[dict[str, list[str]]]]] = {
    "open": [],
    "bearer": [{"bearer": []}, {"session": []}],
    "push": [{name: []} for name in ("bearer", *HEADERS)],
}
#: Of a module's operations where it is not the module's name.
TOPICS: Final = {"bulk": "heartbeats"}
PAGE: Final = {"text/html": {"schema": {"type": "string"}}}
PLAIN_TEXT: Final = {"text/plain": {"schema": {"type": "string", "format": "binary"}}}
ERRORS: Final = {
    400: "The body is not a JSON object.",
    401: "No key, or a wrong one.",
    403: "The caller may not do this; or there are as many as there may be.",
    404: "There is no such record.",
    409: "Others need it, and the message says who; or several have this slug.",
    413: "The body is too large.",
    422: "A value cannot be taken; `field` names it.",
    429: "Too many tries; wait as long as Retry-After says.",
    500: "An error of ours.",
    503: "Redis cannot be reached; try again.",
}


COOKIES: Final = f"A browser's session, from /login. Where the public URL is https its name is __Host-{COOKIE}."
NEEDS: Final = {
    "open": "Open to everybody.",
    "known": "For every key and every user.",
    "operator": "For operators of this server.",
}


def build(table: Sequence[Row]) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for row in table:
        paths.setdefault(row.path, {})[row.method.lower()] = _operation(row)
    bearer = {"bearer": {"type": "http", "scheme": "bearer"}}
    session = {"session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": COOKIES}}
    headers = {name: {"type": "apiKey", "in": "header", "name": header} for name, header in HEADERS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "flatline", "version": version("flatline"), "license": {"name": "BSD-3-Clause"}},
        "paths": paths,
        "components": {"schemas": _schemas(table), "securitySchemes": bearer | session | headers},
    }


def _operation(row: Row) -> dict[str, Any]:
    has_body = row.takes is not None and issubclass(row.takes, Body)
    operation: dict[str, Any] = {
        "operationId": "_".join(re.findall(r"\w+", f"{row.method.lower()} {row.path}")),
        "summary": (row.handler.__doc__ or "").partition("\n")[0],
        "description": NEEDS.get(row.needs, f"Needs the scope {row.needs}."),
        "tags": [_topic(row)],
        "security": SECURITY["open" if row.needs == "open" else row.key],
        "parameters": [*_path_parameters(row), *_header_parameters(row), *([] if has_body else _query_parameters(row))],
        "responses": {**_successes(row), **_errors(row, has_body=has_body)},
    }
    if row.takes and issubclass(row.takes, Body):
        schema = _ref(row.takes) if row.takes.required else {"anyOf": [_ref(row.takes), {"type": "null"}]}
        operation["requestBody"] = {"required": row.takes.required, "content": _json(schema)}
    return operation


def _topic(row: Row) -> str:
    module = row.handler.__module__.rpartition(".")[2]
    return TOPICS.get(module, module)


def _path_parameters(row: Row) -> list[dict[str, Any]]:
    patterns = {name: f"^{IDS[name]}$" for name in re.findall(r"\{(\w+)\}", row.path)}
    schemas = {name: {"type": "string", "pattern": pattern} for name, pattern in patterns.items()}
    return [{"name": name, "in": "path", "required": True, "schema": schema} for name, schema in schemas.items()]


def _header_parameters(row: Row) -> list[dict[str, Any]]:
    about = "Which project is meant; only for the server's own key. Without it: default."
    header = {"name": PROJECT_HEADER, "in": "header", "required": False, "description": about}
    return [] if row.needs == "open" else [{**header, "schema": {"type": "string"}}]


def _query_parameters(row: Row) -> list[dict[str, Any]]:
    schema = row.takes.model_json_schema() if row.takes else {"properties": {}}
    required, fields = schema.get("required", []), schema["properties"].items()
    return [{"name": name, "in": "query", "required": name in required, "schema": field} for name, field in fields]


def _successes(row: Row) -> dict[str, Any]:
    made = {"201": _response("Made: it was not there.", row.answers)} if row.may_make else {}
    return {str(row.status): _response("Done.", row.answers), **made}


def _errors(row: Row, *, has_body: bool) -> dict[str, Any]:
    keyed, checked = row.needs != "open", row.takes is not None
    can = {400: has_body, 401: keyed, 403: keyed, 404: keyed}
    can |= {409: row.method in {"DELETE", "PATCH"} or "{slug}" in row.path}
    can |= {413: has_body, 422: checked, 429: row.tries_password, 500: True, 503: keyed}
    return {str(status): _response(ERRORS[status], Error) for status in ERRORS if can[status]}


def _schemas(table: Sequence[Row]) -> dict[str, Any]:
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [(Error, "serialization")]
    models += [(row.takes, "validation") for row in table if row.takes and issubclass(row.takes, Body)]
    models += [(row.answers, "serialization") for row in table if row.answers and issubclass(row.answers, BaseModel)]
    _, definitions = models_json_schema(models, ref_template=REF + "{model}")
    return dict(definitions["$defs"])


def _response(description: str, answer: type[BaseModel | bytes | Response] | None) -> dict[str, Any]:
    if answer is None:
        return {"description": description}
    content = PAGE if issubclass(answer, Response) else PLAIN_TEXT
    if issubclass(answer, BaseModel):
        content = _json(_ref(answer))
    return {"description": description, "content": content}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"$ref": REF + model.__name__}
