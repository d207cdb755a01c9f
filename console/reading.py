"""From a request to a checked model: a bounded body, JSON, then the model; errors name the field and its limit."""

from difflib import get_close_matches
from typing import Any, Final, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from console.errors import BadRequest, Invalid, TooLarge
from console.schemas import Body
from rules import limits

BODY_MAX: Final = 64 * 1024  # bytes

M = TypeVar("M", bound=BaseModel)


async def read(request: Request, model: type[M]) -> M:
    """The body or the query string, whichever the model describes. Raises BadRequest, TooLarge or Invalid."""
    if issubclass(model, Body):
        return checked(model, _object(await body_of(request), required=model.required))
    return checked(model, dict(request.query_params))


def checked(model: type[M], raw: dict[str, Any]) -> M:
    try:
        return model.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        # A mistyped name is the cause of what else is missing, so it is told first.
        first = min(errors, key=lambda found: found["type"] != "extra_forbidden")
        raise _invalid(model, first) from None


def faults_of(model: type[BaseModel], raw: dict[str, Any]) -> dict[str, str]:
    """What is wrong with each field, "" = with the whole; empty if nothing is. The API tells one at a time."""
    try:
        model.model_validate(raw)
    except ValidationError as error:
        faults: dict[str, str] = {}
        for found in error.errors(include_url=False, include_input=False):
            told = _invalid(model, found)
            faults.setdefault(told.field or "", str(told))
        return faults
    return {}


async def body_of(request: Request, most: int = BODY_MAX) -> bytes:
    """Raises TooLarge."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise TooLarge(f"the body must have at most {most} bytes")
    return bytes(body)


def _object(body: bytes, *, required: bool) -> dict[str, Any]:
    if not required and not body.strip():
        return {}
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    if value is None and not required:
        return {}
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def _invalid(model: type[BaseModel], error: ErrorDetails) -> Invalid:
    if not error["loc"]:
        return Invalid(str(error["ctx"]["error"]))
    field = str(error["loc"][0])
    shown = field + "".join(f"[{index}]" for index in error["loc"][1:])
    match error["type"]:
        case "extra_forbidden":
            return _unknown(model, limits.clean(field)[: limits.NAME_MAX])
        case "missing":
            return Invalid(f"{field} is required", field=field)
        case "value_error":
            return Invalid(f"{shown} {error['ctx']['error']}", field=field)
    message = error["msg"].replace("Input should be", f"{shown} must be")
    return Invalid(message.replace("dictionary", "object").replace("tuple", "list"), field=field)


def _unknown(model: type[BaseModel], field: str) -> Invalid:
    known = [info.alias or name for name, info in model.model_fields.items()]
    close = get_close_matches(field, known, n=1)
    hint = f'did you mean "{close[0]}"?' if close else f"known are {', '.join(known)}"
    return Invalid(f'unknown field "{field}"; {hint}', field=field)
