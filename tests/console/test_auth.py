import pytest

from console.api import TABLE
from console.auth import Keys
from console.routing import Row
from tests.console.conftest import KEY, Api

IDS = {
    "heartbeat": "0" * 12,
    "event": "1-0",
    "fleet": "0" * 12,
    "member": "sensor-1",
    "channel": "0" * 12,
    "incident": "0" * 12 + "-1",
    "delivery": "0" * 12 + "-1:" + "0" * 12,
    "person": "0" * 12,
    "oncall": "0" * 12,
    "policy": "0" * 12,
    "window": "0" * 12,
}
WRONG = [None, "x" * len(KEY), KEY[:-1], KEY + "x", KEY.upper()]


async def test_every_route_asks_for_the_key(api: Api) -> None:
    for row in TABLE:
        await asks_for_the_key(api, row)


async def asks_for_the_key(api: Api, row: Row) -> None:
    path = row.path.format(**IDS)
    if row.key == "open":
        assert (await api.call(row.method, path, key=None)).status == 200
        return
    for key in WRONG:
        refused = await api.call(row.method, path, key=key)
        assert (refused.status, refused.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert (refused.error["code"], refused.error["field"]) == ("unauthorized", None)
        assert KEY not in refused.error["message"]
    assert (await api.call(row.method, path)).status not in {401, 500}


SCHEMES: list[tuple[str, int]] = [
    (f"Bearer {KEY}", 200),
    (f"bearer {KEY}", 200),
    (f"BEARER  {KEY}", 200),
    (f"Basic {KEY}", 401),
    (KEY, 401),
    ("Bearer", 401),
    ("Bearer ", 401),
    (f"Bearer {KEY} {KEY}", 401),
]


async def test_the_scheme_is_bearer_in_any_case(api: Api) -> None:
    for authorization, status in SCHEMES:
        assert (await api.get("/api/heartbeats", key=None, headers={"Authorization": authorization})).status == status


async def test_the_key_is_taken_from_headers_only(api: Api) -> None:
    path = "/api/heartbeats"

    assert (await api.get(f"{path}?token={KEY}", key=None)).status == 401
    assert (await api.get(path, key=None, headers={"X-Notifly-Key": KEY})).status == 401


def test_an_empty_key_opens_nothing() -> None:
    with pytest.raises(ValueError, match="empty key"):
        Keys("")
