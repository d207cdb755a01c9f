"""/login and /logout: who comes with a password, the server's API key or the link of the start gets a session.

A wrong login and a wrong password are answered alike and cost the same. The link of the start stands on a terminal, not
in a message that servers open for a preview, so opening it may sign in; it does so once.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from console import pages
from console.attempts import checked_attempt, site_of
from console.auth import must_be_ours
from console.errors import ApiError, Forbidden, NotFound
from console.reading import body_of
from console.routing import Context
from console.users import LOGIN, PASSWORD_MAX
from store import errors, sessions, users

FORM_MAX: Final = 16 * 1024  # bytes
FIELDS_MAX: Final = 20
PATH: Final = re.compile(r"/([!-.0-\[\]-~][!-\[\]-~]{0,1999})?")  # of ours: //host and /\host lead away
#: No referrer at all would make browsers send "Origin: null", which says nothing.
HEADERS: Final = {**pages.HEADERS, "referrer-policy": "same-origin"}
BY_BROWSERS: Final = frozenset({"sec-fetch-site", "origin"})
WRONG: Final = "That is not right. Check what you typed; after some tries you have to wait."
USED: Final = "This link was used before, or is more than an hour old. Sign in with the API key."

Form = Mapping[str, list[str]]


class SignIn:
    """Routes to mount."""

    def __init__(self, context: Context) -> None:
        self._db = context.db
        self._keys = context.keys
        self._passwords = context.passwords
        self.routes: list[BaseRoute] = [
            Route("/login", _guarded(self._open), methods=["GET"], name="sign-in page"),
            Route("/login", _guarded(self._sign_in), methods=["POST"], name="sign in"),
            Route("/login/project", _guarded(self._switch), methods=["POST"], name="switch project"),
            Route("/logout", _guarded(self._sign_out), methods=["POST"], name="sign out"),
        ]

    async def _open(self, request: Request) -> Response:
        token = request.query_params.get("token")
        target = _path(request.query_params.get("next", ""))
        if token is None or request.method == "HEAD":
            return _page(200, target)
        await self._count(request)
        if not await sessions.use_token(self._db, token):
            return _page(403, target, USED)
        return await self._welcome(request, target, None)

    async def _sign_in(self, request: Request) -> Response:
        if not BY_BROWSERS.isdisjoint(request.headers.keys()):  # a program says neither, and brings its own key
            must_be_ours(request.headers)
        form = await _form(request)
        target = _path(_field(form, "next"))
        await self._count(request)
        if key := _field(form, "key").strip():
            is_right, user = self._keys.is_admin_key(key), None
        else:
            user = await self._user(_field(form, "login").strip().lower(), _field(form, "password"))
            is_right = user is not None
        return await self._welcome(request, target, user) if is_right else _page(403, target, WRONG)

    async def _user(self, login: str, password: str) -> users.User | None:
        """Whose login and password this is. Whether there is such a user, neither the answer nor its time tells."""
        await checked_attempt(self._db, "account", login)
        user = await users.find(self._db, login if re.fullmatch(LOGIN, login) else "")
        is_right = await self._passwords.fits(user.password if user else None, password[: PASSWORD_MAX + 1])
        if user is None or not is_right:
            return None
        await sessions.forgive(self._db, "account", login)
        return user

    async def _welcome(self, request: Request, target: str, user: users.User | None) -> Response:
        """`user` None = the server's admin. The session before this one ends: no id survives a sign-in."""
        response = RedirectResponse(target, 303, HEADERS)
        await sessions.end(self._db, request.cookies.get(self._keys.cookie, ""))
        await self._keys.sign_in(response, user)
        return response

    async def _switch(self, request: Request) -> Response:
        visitor = await self._keys.visitor(request)
        if visitor is None:
            return RedirectResponse("/login", 303, HEADERS)
        form = await _form(request)
        await self._keys.switch(visitor, _field(form, "project"))
        return RedirectResponse(_path(_field(form, "next")), 303, HEADERS)

    async def _sign_out(self, request: Request) -> Response:
        must_be_ours(request.headers)
        response = RedirectResponse("/login", 303, HEADERS)
        await self._keys.sign_out(request, response)
        return response

    async def _count(self, request: Request) -> None:
        """Raises SlowDown."""
        await checked_attempt(self._db, "address", site_of(request.client.host if request.client else ""))


def _guarded(answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    async def guarded(request: Request) -> Response:
        try:
            return await answer(request)
        except ClientDisconnect:
            return Response(status_code=400)
        except (NotFound, errors.NotFound):
            return _sorry(404, "There is no such project.")
        except Forbidden as error:
            return _sorry(403, f"{error}.")
        except ApiError as error:
            return _page(error.status, "/", f"{error}.", error.headers)
        except errors.Unavailable:
            return _sorry(503, "The store cannot be reached. Nothing is lost: try again.")

    return guarded


async def _form(request: Request) -> Form:
    """Raises TooLarge, or Forbidden for what no form of ours sends."""
    body = await body_of(request, FORM_MAX)
    try:
        return parse_qs(body.decode(errors="replace"), max_num_fields=FIELDS_MAX)
    except ValueError:
        raise Forbidden("this form is none of ours") from None


def _field(form: Form, name: str) -> str:
    return form.get(name, [""])[0]


def _path(asked: str) -> str:
    """Where to go on: a page of ours."""
    return asked if PATH.fullmatch(asked) else "/"


def _page(status: int, target: str, text: str = "", headers: Mapping[str, str] | None = None) -> Response:
    return _rendered("login.html", status, headers or {}, text=text, next=target)


def _sorry(status: int, text: str) -> Response:
    return _rendered("sorry.html", status, {}, text=text[0].upper() + text[1:])


def _rendered(template: str, status: int, headers: Mapping[str, str], **values: Any) -> Response:
    page = pages.templates.get_template(template).render(values)
    return Response(page, status, {**HEADERS, **headers}, "text/html")
