"""The address of an incident's page, signed for the channel that is told it."""

from urllib.parse import urlencode

from rules.signing import sign
from store import projects
from store.database import Database


class Links:
    """`public_url` "": nobody told us where we can be reached, so there are no links."""

    def __init__(self, db: Database, public_url: str) -> None:
        self._db = db
        self._public_url = public_url
        self._key = b""

    async def to(self, incident: str, channel: str) -> str:
        if not self._public_url:
            return ""
        if not self._key:
            self._key = await projects.signing_key(self._db)
        query = urlencode({"by": channel, "sig": sign(self._key, "incident", incident, channel)})
        return f"{self._public_url}/incidents/{incident}?{query}"
