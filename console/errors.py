"""Every error as the API tells it: ``{"error": {"code", "message", "field"}}``.

ApiError
├── BadRequest        400  the body is not what JSON calls an object
├── Unauthorized      401  no key, or not ours
├── Forbidden         403  the caller is known and may not do this; the message names what it takes
├── TooMany           403  there are as many as there may be
├── NotFound          404  no such path, no such record
├── MethodNotAllowed  405  with Allow
├── InUse             409  others need it; the message says who
├── Ambiguous         409  the slug is that of several
├── TooLarge          413  the body is over its limit
├── Invalid           422  `field` says which value, the message says what it must be
├── SlowDown          429  too many tries to sign in; with Retry-After
├── Internal          500  our fault; the log says more
└── Unavailable       503  Redis is away: nothing is lost, try again
"""

from collections.abc import Mapping
from typing import ClassVar

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

NO_STORE = {"cache-control": "no-store"}  # answers hold ping URLs


class ApiError(Exception):
    """Base of all errors that are answered; the message never holds a secret."""

    status: ClassVar[int]
    code: ClassVar[str]

    def __init__(self, message: str, *, field: str | None = None, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.field = field
        self.headers = headers or {}

    def response(self) -> Response:
        body = {"error": {"code": self.code, "message": str(self), "field": self.field}}
        return Response(orjson.dumps(body), self.status, {**NO_STORE, **self.headers}, "application/json")


class BadRequest(ApiError):
    status, code = 400, "bad_request"


class Unauthorized(ApiError):
    status, code = 401, "unauthorized"


class Forbidden(ApiError):
    status, code = 403, "forbidden"


class TooMany(ApiError):
    status, code = 403, "too_many"


class NotFound(ApiError):
    status, code = 404, "not_found"


class MethodNotAllowed(ApiError):
    status, code = 405, "method_not_allowed"


class InUse(ApiError):
    status, code = 409, "in_use"


class Ambiguous(ApiError):
    status, code = 409, "ambiguous"


class TooLarge(ApiError):
    status, code = 413, "too_large"


class Invalid(ApiError):
    status, code = 422, "invalid"


class SlowDown(ApiError):
    status, code = 429, "slow_down"


class Internal(ApiError):
    status, code = 500, "internal"


class Unavailable(ApiError):
    status, code = 503, "unavailable"


def on_api_error(_: Request, error: Exception) -> Response:
    """For errors that a page lets through."""
    assert isinstance(error, ApiError)
    return error.response()


def on_http_error(_: Request, error: Exception) -> Response:
    """For Starlette's own errors, outside of our routes."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        return MethodNotAllowed("this method is not allowed here", headers=error.headers).response()
    return NotFound("there is nothing at this path").response()
