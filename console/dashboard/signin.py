"""/login and /logout: who comes with a password, the server's API key or the link of the start gets a session.

A wrong login and a wrong password are answered alike and cost the same. The link of the start stands on a terminal, not
in a message that servers open for a preview, so opening it may sign in; it does so once.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route

from console.attempts import checked_attempt, site_of
from console.auth import is_ours, must_be_ours
from console.dashboard.forms import value
from console.dashboard.page import PLAIN, form_of, own_path, rendered
from console.errors import ApiError, Forbidden, NotFound
from console.routing import Context
from console.users import LOGIN, PASSWORD_MAX
from runtime.forwarded import client_of
from store import errors, sessions, users

WRONG: Final = "That is not right. Check what you typed; after some tries you have to wait."
USED: Final = (
    "This link was used before, or is more than an hour old. Sign in with the API key, or start flatline again: "
    "as long as there are no users, each start prints a new link."
)


class SignIn:
    """Routes to mount."""

    def __init__(self, context: Context) -> None:
        self._db = context.db
        self._keys = context.keys
        self._passwords = context.passwords
        self._proxies = context.proxies
        self.routes: list[BaseRoute] = [
            Route("/login", _guarded(self._open), methods=["GET"], name="sign-in page"),
            Route("/login", _guarded(self._sign_in), methods=["POST"], name="sign in"),
            Route("/login/project", _guarded(self._switch), methods=["POST"], name="switch project"),
            Route("/logout", _guarded(self._sign_out), methods=["POST"], name="sign out"),
        ]

    async def _open(self, request: Request) -> Response:
        token = request.query_params.get("token")
        target = own_path(request.query_params.get("next", ""))
        if token is None or request.method == "HEAD":
            return _page(200, target)
        await self._count(request)
        if not await sessions.use_token(self._db, token):
            return _page(403, target, USED)
        return await self._welcome(request, target, None)

    async def _sign_in(self, request: Request) -> Response:
        if is_ours(request.headers) is not None:  # a program does not say, and brings its own key
            must_be_ours(request.headers)
        form = await form_of(request)
        target = own_path(value(form, "next"))
        await self._count(request)
        if key := value(form, "key").strip():
            is_right, user = self._keys.is_admin_key(key), None
        else:
            user = await self._user(value(form, "login").strip().lower(), value(form, "password"))
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
        response = RedirectResponse(target, 303, PLAIN)
        await sessions.end(self._db, request.cookies.get(self._keys.cookie, ""))
        await self._keys.sign_in(response, user)
        return response

    async def _switch(self, request: Request) -> Response:
        visitor = await self._keys.visitor(request)
        if visitor is None:
            return RedirectResponse("/login", 303, PLAIN)
        form = await form_of(request)
        await self._keys.switch(visitor, value(form, "project"))
        return RedirectResponse(own_path(value(form, "next")), 303, PLAIN)

    async def _sign_out(self, request: Request) -> Response:
        must_be_ours(request.headers)
        response = RedirectResponse("/login", 303, PLAIN)
        await self._keys.sign_out(request, response)
        return response

    async def _count(self, request: Request) -> None:
        """Raises SlowDown."""
        forwarded = ",".join(request.headers.getlist("x-forwarded-for")).encode("latin-1")
        address = client_of(request.client.host if request.client else "", forwarded, self._proxies)
        await checked_attempt(self._db, "address", site_of(address))


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


def _page(status: int, target: str, text: str = "", headers: Mapping[str, str] | None = None) -> Response:
    return rendered("login.html", status, {**PLAIN, **(headers or {})}, text=text, next=target)


def _sorry(status: int, text: str) -> Response:
    return rendered("sorry.html", status, PLAIN, text=text[0].upper() + text[1:])
