"""Small records of the control plane: one hash per project and kind, id -> JSON."""

from collections.abc import Callable, Mapping
from secrets import token_hex
from typing import Any, Final, Generic, TypeVar

import orjson

from store.database import Database
from store.errors import NotFound, TooMany
from store.keys import DEFAULT_PROJECT

ID_BYTES: Final = 6
RECORDS_MAX: Final = 1_000  # of one kind in a project

R = TypeVar("R")


class Collection(Generic[R]):
    """Records of one kind. `key`: of the project's hash; `name`: what a 404 calls it; `read`: a record from its id and
    its JSON; what is stored is the dataclass itself, so `read` meets its fields and an `id` that it may ignore.
    """

    def __init__(self, key: str, name: str, read: Callable[[str, Mapping[str, Any]], R]) -> None:
        self._key = key
        self._name = name
        self._read = read

    async def create(self, db: Database, make: Callable[[str], R], project: str = DEFAULT_PROJECT) -> R:
        """Makes one under a new id. Raises TooMany."""
        if await db.execute("HLEN", self._key + project) >= RECORDS_MAX:
            raise TooMany(f"a project may have {RECORDS_MAX:,} of these at most")
        drawn = token_hex(ID_BYTES)
        record = make(drawn)
        await db.execute("HSET", self._key + project, drawn, orjson.dumps(record))
        return record

    async def put(self, db: Database, id_: str, record: R, project: str = DEFAULT_PROJECT) -> None:
        """Writes one anew. Raises NotFound when it was deleted meanwhile: it must not come back."""
        key = self._key + project

        def check(stored: dict[bytes, bytes]) -> None:
            if id_.encode() not in stored:
                raise NotFound(f"no such {self._name}")

        await db.write_checked(key, check, [("HSET", key, id_, orjson.dumps(record))])

    async def get(self, db: Database, id_: str, project: str = DEFAULT_PROJECT) -> R:
        """Raises NotFound."""
        text = await db.execute("HGET", self._key + project, id_)
        if text is None:
            raise NotFound(f"no such {self._name}")
        return self._read(id_, orjson.loads(text))

    async def all(self, db: Database, project: str = DEFAULT_PROJECT) -> dict[str, R]:
        """By id, in the order of ids."""
        found = await db.execute("HGETALL", self._key + project)
        return {id_.decode(): self._read(id_.decode(), orjson.loads(text)) for id_, text in sorted(found.items())}

    async def delete(self, db: Database, id_: str, project: str = DEFAULT_PROJECT) -> None:
        """Raises NotFound."""
        if not await db.execute("HDEL", self._key + project, id_):
            raise NotFound(f"no such {self._name}")
