"""Who is signed in, by which link one may sign in, and how often it was tried. Secrets stand here as SHA-256 alone."""

import hashlib
import re
import secrets
from dataclasses import dataclass, replace
from typing import Final

import orjson

from store import keys
from store.api_keys import digest_of
from store.database import Database

IDLE_S: Final = 7 * 86_400
ABSOLUTE_S: Final = 30 * 86_400
TOUCH_S: Final = 60  # so often a session that is used is given more time
TOKEN_S: Final = 3_600  # for which the link of the start opens
WINDOW_S: Final = 900  # in which attempts are counted
ID_BYTES: Final = 32
ID: Final = re.compile(r"[A-Za-z0-9_-]{43}")
COUNTERS_DIGITS: Final = 4  # 65,536 counters of a kind at most, whatever strangers type


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """`user`: an id, "" = the admin of this server, who has no record. `epoch`: what must be so still of whoever signed
    in. `began_at`: ms.
    """

    user: str
    project: str
    epoch: str
    began_at: int


async def begin(db: Database, user: str, project: str, epoch: str) -> str:
    """The new session's id, for the browser alone."""
    id_ = secrets.token_urlsafe(ID_BYTES)
    session = Session(user=user, project=project, epoch=epoch, began_at=await db.now())
    await db.execute("SET", _key(id_), orjson.dumps(session), "EX", IDLE_S)
    return id_


async def find(db: Database, id_: str) -> Session | None:
    """The session, which may be idle anew; None = it ended, or never was."""
    if not ID.fullmatch(id_):
        return None
    text, ttl, (seconds, _) = await db.pipeline([("GET", _key(id_)), ("TTL", _key(id_)), ("TIME",)])
    if text is None:
        return None
    session = Session(**orjson.loads(text))
    left = min(IDLE_S, session.began_at // 1000 + ABSOLUTE_S - int(seconds))
    if left <= 0:
        await end(db, id_)
        return None
    if abs(left - ttl) >= TOUCH_S:
        await db.execute("EXPIRE", _key(id_), left)
    return session


async def switch(db: Database, id_: str, session: Session, project: str) -> None:
    """To another project."""
    await _rewrite(db, id_, replace(session, project=project))


async def survive(db: Database, id_: str, epoch: str) -> None:
    """The session in which the password was changed outlives the others."""
    session = await find(db, id_)
    if session is not None:
        await _rewrite(db, id_, replace(session, epoch=epoch))


async def end(db: Database, id_: str) -> None:
    await db.execute("DEL", _key(id_))


async def new_token(db: Database) -> str:
    """Signs in whoever opens its link first."""
    token = secrets.token_urlsafe(ID_BYTES)
    await db.execute("SET", keys.SIGN_IN + digest_of(token.encode()), 1, "EX", TOKEN_S)
    return token


async def use_token(db: Database, token: str) -> bool:
    """True once."""
    return bool(await db.execute("DEL", keys.SIGN_IN + digest_of(token.encode())))


async def attempt(db: Database, kind: str, who: str) -> tuple[int, int]:
    """Counts one more; how many it were in this window, and in how many seconds it ends.

    Strangers choose `who`, so it is hashed to one of few counters: memory stays bounded, and two may share one.
    """
    key = _counter(kind, who)
    _, count, ttl = await db.pipeline([("SET", key, 0, "EX", WINDOW_S, "NX"), ("INCR", key), ("TTL", key)])
    if ttl < 0:  # the window ended between the two
        await db.execute("EXPIRE", key, WINDOW_S)
        ttl = WINDOW_S
    return int(count), int(ttl)


async def forgive(db: Database, kind: str, who: str) -> None:
    """What was tried before counts no more."""
    await db.execute("DEL", _counter(kind, who))


async def _rewrite(db: Database, id_: str, session: Session) -> None:
    """Never brings back one that ended meanwhile."""
    await db.execute("SET", _key(id_), orjson.dumps(session), "XX", "KEEPTTL")


def _key(id_: str) -> str:
    return keys.SESSION + digest_of(id_.encode())


def _counter(kind: str, who: str) -> str:
    number = hashlib.sha256(who.encode(errors="replace")).hexdigest()[:COUNTERS_DIGITS]
    return f"{keys.ATTEMPTS}{kind}:{number}"
