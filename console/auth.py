"""Who calls: by a key in a header, or by a browser's session. Whoever sends a key is known by that alone.

A browser sends its cookie whoever made it ask, so an unsafe request that is known by a cookie must come from a page of
ours: browsers say so in Sec-Fetch-Site, and where they do not (plain http to another machine) in Origin.
"""

from dataclasses import replace
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from console.access import NOWHERE, ROLES, SCOPES, Principal
from console.errors import Forbidden, NotFound, Unauthorized
from store import api_keys, errors, members, sessions, users
from store.database import Database
from store.keys import DEFAULT_PROJECT
from store.sessions import Session

Access = Literal["bearer", "push"]

#: `push`: clients of push servers send their key in headers of their own.
HEADERS: Final = {"notifly": "X-Notifly-Key", "gotify": "X-Gotify-Key"}
PROJECT_HEADER: Final = "X-Flatline-Project"
COOKIE: Final = "flatline"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
OUR_PAGES: Final = frozenset({"same-origin", "none"})  # none: typed, or from a bookmark
ADMIN: Final = "admin"  # of this server: who has the bootstrap key, or opened the link of the start


class Keys:
    """The keys and sessions that open the console."""

    def __init__(self, admin_key: str, db: Database, public_url: str) -> None:
        if not admin_key:
            raise ValueError("an empty key would open the console to everybody")
        self._db = db
        self._admin = _digest(admin_key.encode())
        # Another key ends the admin's sessions, as another password ends a user's.
        self._admin_epoch = sha256(b"session" + self._admin).hexdigest()
        self._is_https = public_url.startswith("https://")
        self.cookie = f"__Host-{COOKIE}" if self._is_https else COOKIE

    async def visitor(self, request: Request) -> Principal | None:
        """Who opens a page; None = nobody that we know. Raises Forbidden when a page of others sent it."""
        return await self._known(request, "bearer")

    async def caller(self, request: Request, access: Access) -> Principal:
        """Who calls the API. Raises Unauthorized, Forbidden, or NotFound for a project that is not theirs."""
        found = await self._known(request, access)
        if found is None:
            raise Unauthorized(
                "a valid API key is needed, as in: Authorization: Bearer <key>", headers={"www-authenticate": "Bearer"}
            )
        return found

    async def sign_in(self, response: Response, user: users.User | None) -> None:
        """Begins a session; `user` None = the server's admin."""
        if user is None:
            id_ = await sessions.begin(self._db, "", DEFAULT_PROJECT, self._admin_epoch)
        else:
            home = await members.projects_of(self._db, user.id)
            id_ = await sessions.begin(self._db, user.id, home[0][0].id if home else NOWHERE, user.epoch)
        response.set_cookie(
            self.cookie, id_, sessions.ABSOLUTE_S, path="/", secure=self._is_https, httponly=True, samesite="lax"
        )

    async def sign_out(self, request: Request, response: Response) -> None:
        await sessions.end(self._db, request.cookies.get(self.cookie, ""))
        response.delete_cookie(self.cookie, "/", secure=self._is_https, httponly=True, samesite="lax")

    async def switch(self, principal: Principal, project: str) -> None:
        """To another project of theirs. Raises NotFound; Forbidden without a session."""
        session = await sessions.find(self._db, principal.session)
        if session is None:
            raise Forbidden("sign in to switch to another project")
        if not session.user:
            await members.project(self._db, project)
        elif await members.role_of(self._db, project, session.user) is None:
            raise NotFound("no such project")
        await sessions.switch(self._db, principal.session, session, project)

    def is_admin_key(self, key: str) -> bool:
        return compare_digest(_digest(key.encode(errors="replace")), self._admin)

    async def _known(self, request: Request, access: Access) -> Principal | None:
        given = _given(request.headers, access)
        found = await self._by_key(given) if given else await self._by_session(request)
        wanted = request.headers.get(PROJECT_HEADER)
        if found is None or wanted is None or wanted == found.project:
            return found
        if not (found.operator and found.user is None):
            raise NotFound("no such project")
        try:
            return replace(found, project=(await members.project(self._db, wanted)).id)
        except errors.NotFound:
            raise NotFound("no such project") from None

    async def _by_key(self, given: list[bytes]) -> Principal | None:
        """Which of the given keys is right does not matter."""
        right = [compare_digest(_digest(key), self._admin) for key in given]
        if any(right):
            return _admin_of(DEFAULT_PROJECT)
        for key in given:
            found = await api_keys.find(self._db, key)
            if found is not None:
                scopes = frozenset(scope for scope in SCOPES if scope in found.scopes)
                return Principal(name=found.name, project=found.project, scopes=scopes)
        return None

    async def _by_session(self, request: Request) -> Principal | None:
        id_ = request.cookies.get(self.cookie)
        if id_ is None:
            return None
        if request.method not in SAFE:
            must_be_ours(request.headers)
        session = await sessions.find(self._db, id_)
        if session is None:
            return None
        found = await (self._user_of(session) if session.user else self._admin_of(session))
        return replace(found, session=id_) if found else None

    async def _admin_of(self, session: Session) -> Principal | None:
        if session.epoch != self._admin_epoch:
            return None
        try:
            return _admin_of((await members.project(self._db, session.project)).id)
        except errors.NotFound:  # deleted since
            return _admin_of(DEFAULT_PROJECT)

    async def _user_of(self, session: Session) -> Principal | None:
        try:
            user = await users.get(self._db, session.user)
        except errors.NotFound:
            return None
        if user.epoch != session.epoch:
            return None
        project, role = session.project, await members.role_of(self._db, session.project, user.id)
        if role is None:  # no longer a member there
            home = await members.projects_of(self._db, user.id)
            project, role = (home[0][0].id, home[0][1]) if home else (NOWHERE, None)
        scopes = ROLES[role] if role else frozenset()
        return Principal(name=user.login, project=project, scopes=scopes, user=user.id, operator=user.operator)


def must_be_ours(headers: Headers) -> None:
    """Raises Forbidden when a page of others made the browser send this, or when it does not say."""
    if not is_ours(headers):
        raise Forbidden("this was not sent by a page of ours; send an API key, or sign in and try there")


def is_ours(headers: Headers) -> bool | None:
    """Whether a page of ours made the browser send this; None = it does not say, so it may be no browser at all."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site in OUR_PAGES
    return None if origin is None else _host(origin) == headers.get("host", "").lower() != ""


def _host(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _admin_of(project: str) -> Principal:
    return Principal(name=ADMIN, project=project, scopes=ROLES["owner"], operator=True)


def _given(headers: Headers, access: Access) -> list[bytes]:
    scheme, _, key = headers.get("authorization", "").partition(" ")
    given = [key.strip()] if scheme.lower() == "bearer" else []
    if access == "push":
        given += [headers.get(name, "") for name in HEADERS.values()]
    return [key.encode("latin-1") for key in given if key]  # latin-1: the bytes as they came


def _digest(key: bytes) -> bytes:
    return sha256(key).digest()
