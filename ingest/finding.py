"""From what a request addresses to the heartbeat or member that it means, and what is known of it."""

from hmac import compare_digest
from typing import NamedTuple

from ingest.answers import AMBIGUOUS, NO_STORE, Refused, answer
from ingest.node import Node
from rules.tokens import id_of
from store import projects
from store.changes import FLEET, Known
from store.errors import TooMany


class Found(NamedTuple):
    """`heartbeat`: its id, or a member's slug, and then `fleet` is its fleet."""

    heartbeat: str
    known: Known
    fleet: str = ""


async def by_token(node: Node, token: str) -> Found | None:
    """Raises Unavailable or Overloaded, as all of these."""
    heartbeat = id_of(token)
    known = node.cache.peek(heartbeat) or await node.cache.load(heartbeat)
    if known is None or not compare_digest(known.token, token):
        return None
    return Found(heartbeat, known)


async def by_slug(node: Node, ping_key: str, slug: str) -> Found | None:
    """Raises Refused for a slug that two heartbeats have."""
    cache, addresses = node.cache, node.addresses
    kind, name = addresses.owners.peek(ping_key) or await addresses.owners.load(ping_key) or ("", "")
    if kind == "fleet":
        known = cache.peek(FLEET + name) or await cache.load(FLEET + name)
        if known is None or not compare_digest(known.token, ping_key):
            return None
        return Found(slug, known, name)
    same = await addresses.slugs.load((name, slug)) if kind else []
    if len(same) > 1:
        raise Refused("bad_request", AMBIGUOUS)
    known = (cache.peek(same[0]) or await cache.load(same[0])) if same else None
    return None if known is None else Found(same[0], known)


async def provision(node: Node, ping_key: str, slug: str, *, period: int | None, grace: int | None) -> bool:
    """Makes the heartbeat that a ping by slug asks for; whether it was made now. Raises Refused."""
    kind, project = await node.addresses.owners.load(ping_key) or ("", "")
    if kind != "project":
        return False
    try:
        made = await projects.provision(node.db, project, slug, period=period, grace=grace)
    except TooMany as error:
        raise Refused("refused", answer(403, str(error), NO_STORE)) from None
    node.addresses.slugs.forget((project, slug))
    node.cache.forget(made.heartbeat)
    return made.now
