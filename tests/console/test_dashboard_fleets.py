"""The pages of fleets without a browser: what they show, what they change, and that a large one costs no more."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from console.dashboard.fleets import PAGE
from store import channels, fleets, heartbeats
from store.database import Database
from store.errors import NotFound
from store.fleets import FleetSettings
from tests.console import cast
from tests.console.cast import Actor
from tests.console.conftest import PUBLIC_URL, Api, member_signal
from tests.store.scene import make

Form = dict[str, Any] | list[tuple[str, str]]


class Pages:
    """`ask` as the server's admin unless told otherwise; follows no redirects."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session = session
        self._url = url

    async def get(self, path: str, actor: Actor = cast.ADMIN) -> tuple[int, str]:
        async with self._session.get(self._url + path, headers=actor.headers, allow_redirects=False) as answer:
            return answer.status, await answer.text()

    async def post(self, path: str, form: Form | None = None, actor: Actor = cast.ADMIN) -> tuple[int, str]:
        """The status, and the page or where it leads."""
        asked = self._session.post(self._url + path, headers=actor.headers, data=form or {}, allow_redirects=False)
        async with asked as answer:
            return answer.status, answer.headers.get("Location") or await answer.text()


@pytest.fixture
async def pages(api: Api) -> AsyncIterator[Pages]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield Pages(session, api.url)


async def fleet_of(db: Database, name: str = "sensors", **settings: Any) -> fleets.Fleet:
    return await fleets.create(db, FleetSettings(name=name, **{"period": 300, "grace": 60, **settings}))


async def silence(db: Database, fleet: str, count: int, *, days: float = 0) -> None:
    """Members named m000 and on that fell silent one after the other, the last so many days ago."""
    last = await db.now() - int(days * 86_400_000)
    entries = [part for n in range(count) for part in (last - (count - n) * 1_000, f"m{n:03}")]
    await db.execute("ZADD", db.shards[0].fleet_down(fleet), *entries)


def slugs(page: str) -> list[str]:
    return re.findall(r'class="lead-cell"><code>([^<]*)', page)


def next_page(page: str) -> str:
    return page.partition('rel="next"')[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")


async def test_a_fleet_is_made_and_its_page_shows_how_a_member_pings(pages: Pages, store: Database) -> None:
    told = await channels.create(store, "ops", "webhook", {"url": "https://hooks.example.org/x", "secret": "s"})
    assert "New fleet" in (await pages.get("/fleets"))[1]
    form = {
        "name": "Greenhouse", "tags": "iot, warm", "period": "5", "period_unit": "minutes", "grace": "90",
        "grace_unit": "seconds", "misses": "2", "cap": "5000", "told": "some", "channels": told.id,
    }  # fmt: skip

    status, to = await pages.post("/fleets/new", form)
    _, page = await pages.get(to)

    ((made,), _) = await fleets.page(store)
    expected = FleetSettings(
        name="Greenhouse", period=300, grace=90, misses=2, cap=5000, tags=("iot", "warm"), channels=(told.id,)
    )
    assert (status, to, made.settings) == (303, f"/fleets/{made.id}", expected)
    assert f'data-copy="curl {PUBLIC_URL}/ping/{made.ping_key}/sensor-1"' in page
    assert f'data-copy="{PUBLIC_URL}/ping/{made.ping_key}"' in page
    assert "Waiting for the first member" in page
    await member_signal(store, made.id, "sensor-1")
    assert "Waiting for the first member" not in (await pages.get(to))[1]


async def test_a_form_says_beside_each_field_what_is_wrong_and_keeps_what_was_typed(
    pages: Pages, store: Database
) -> None:
    fleet = await fleet_of(store, cap=10)
    form = {
        "name": "<b>", "period": "0", "period_unit": "hours", "grace": "soon", "cap": "99999999", "misses": "1",
        "told": "some", "channels": "0" * 12,
    }  # fmt: skip

    for path in ("/fleets/new", f"/fleets/{fleet.id}/settings"):
        status, page = await pages.post(path, form)
        assert (status, 'value="&lt;b&gt;"' in page, 'value="soon"' in page) == (422, True, True)
        assert {"period-fault", "grace-fault", "cap-fault"} == set(re.findall(r'id="(\w+-fault)"', page))
        status, page = await pages.post(path, {**form, "period": "1", "grace": "0", "cap": "10"})
        assert (status, re.findall(r'id="(\w+)-fault"', page)) == (422, ["channels"])
    assert ((await fleets.get(store, fleet.id)).settings, len((await fleets.page(store))[0])) == (fleet.settings, 1)


async def test_settings_change_what_the_form_has_and_nothing_else(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store, runbook_url="https://wiki.example/x", tags=("a",), durability="memory")
    _, page = await pages.get(f"/fleets/{fleet.id}/settings")
    assert 'value="https://wiki.example/x"' in page

    assert await pages.post(f"/fleets/{fleet.id}/settings", {"grace": "3", "grace_unit": "minutes"}) == (
        303,
        f"/fleets/{fleet.id}",
    )
    changed = (await fleets.get(store, fleet.id)).settings
    assert (changed.grace, changed.runbook_url, changed.tags) == (180, "https://wiki.example/x", ("a",))
    everything = {
        "name": "other", "tags": "", "cap": "7", "period": "1", "period_unit": "hours", "grace": "0", "misses": "3",
        "told": "all", "policy": "", "remind_every": "2", "remind_every_unit": "hours", "priority": "4",
        "alert_text": "a\r\nb", "recovery_text": "ok", "runbook_url": "", "durability": "",
    }  # fmt: skip
    await pages.post(f"/fleets/{fleet.id}/settings", everything)
    assert (await fleets.get(store, fleet.id)).settings == FleetSettings(
        name="other", cap=7, period=3600, grace=0, misses=3, remind_every=7200, priority=4, alert_text="a\nb",
        recovery_text="ok",
    )  # fmt: skip


async def test_the_silent_have_pages_and_each_stands_on_one(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    await silence(store, fleet.id, 2 * PAGE + 3)
    seen, path = [], f"/fleets/{fleet.id}"
    while path:
        _, page = await pages.get(path)
        seen.append(slugs(page))
        path = next_page(page) if 'rel="next"' in page else ""

    assert [len(each) for each in seen] == [PAGE, PAGE, 3]
    assert [slug for each in seen for slug in each] == [f"m{n:03}" for n in range(2 * PAGE + 3)]
    assert (await pages.get(f"/fleets/{fleet.id}?cursor=nonsense"))[0] == 422


async def test_members_are_counted_listed_by_status_and_found_by_their_slug(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    await member_signal(store, fleet.id, "good")
    await member_signal(store, fleet.id, "slow", age_s=310)
    await member_signal(store, fleet.id, "broken", signal="fail", exit_status="3")
    path = f"/fleets/{fleet.id}"
    found = {status: slugs((await pages.get(f"{path}?status={status}"))[1]) for status in ("down", "late", "up")}
    _, page = await pages.get(path)

    assert (found["down"], found["late"], set(found["up"])) == (["broken"], ["slow"], {"good"})
    assert "exit status 3" in page
    assert re.findall(r"<dt>([^<]*)</dt><dd>(\d+)", page) == [
        ("Members", "3"), ("Up", "2"), ("of these late", "1"), ("Silent", "1"),
    ]  # fmt: skip
    assert slugs((await pages.get(f"{path}?slug=%20GOOD"))[1]) == ["good"]
    assert slugs((await pages.get(f"{path}?slug=goo"))[1]) == []
    status, page = await pages.get(f"{path}?slug=%3Cb%3E")
    assert (status, "slug-fault" in page, "<b>" in page) == (200, True, False)


async def test_who_is_forgotten_is_asked_about_first_with_the_number(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    await silence(store, fleet.id, 1_203, days=40)
    await member_signal(store, fleet.id, "broken", signal="fail")
    path = f"/fleets/{fleet.id}"

    _, page = await pages.post(f"{path}/members/broken/forget")
    assert "Forget this member?" in page
    assert await fleets.member(store, fleet.id, "broken") is not None
    assert await pages.post(f"{path}/members/broken/forget", {"sure": "yes"}) == (303, path)
    assert await fleets.member(store, fleet.id, "broken") is None
    assert (await pages.post(f"{path}/members/broken/forget", {"sure": "yes"}))[0] == 404
    assert (await pages.post(f"{path}/members/Not%20a%20slug/forget", {"sure": "yes"}))[0] == 404

    days = {"silent_for": "30", "silent_for_unit": "days"}
    _, page = await pages.post(f"{path}/forget", days)
    assert "Forget 1,203 members?" in page
    assert (await fleets.counts(store, fleet.id))["down"] == 1_203
    status, page = await pages.post(f"{path}/forget", {**days, "silent_for": "41"})
    assert (status, "nobody has been silent for so long" in page) == (422, True)
    status, page = await pages.post(f"{path}/forget", {**days, "silent_for": "some"})
    assert (status, "silent_for-fault" in page) == (422, True)
    sent = dict(re.findall(r'type="hidden" name="(\w+)" value="(\w+)"', (await pages.post(f"{path}/forget", days))[1]))
    assert await pages.post(f"{path}/forget", sent) == (303, path)
    assert (await fleets.counts(store, fleet.id))["down"] == 0


async def test_a_fleet_is_paused_resumed_given_a_new_key_and_deleted(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    await member_signal(store, fleet.id, "one")
    path = f"/fleets/{fleet.id}"

    assert await pages.post(f"{path}/pause") == (303, path)
    _, page = await pages.get(path)
    assert (slugs(page), 'id="resume"' in page) == (["one"], True)
    assert await pages.post(f"{path}/resume") == (303, path)
    assert (await fleets.get(store, fleet.id)).status == "up"

    assert "A new ping URL for all members?" in (await pages.post(f"{path}/rotate"))[1]
    assert (await fleets.get(store, fleet.id)).ping_key == fleet.ping_key
    assert await pages.post(f"{path}/rotate", {"sure": "yes"}) == (303, path)
    assert (await fleets.get(store, fleet.id)).ping_key != fleet.ping_key
    assert "Delete this fleet?" in (await pages.post(f"{path}/delete"))[1]
    await fleets.get(store, fleet.id)
    assert await pages.post(f"{path}/delete", {"sure": "yes"}) == (303, "/fleets")
    with pytest.raises(NotFound):
        await fleets.get(store, fleet.id)
    assert (await pages.get(path))[0] == 404


async def test_the_open_incident_stands_on_the_page(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    assert "members silent" not in (await pages.get(f"/fleets/{fleet.id}"))[1]
    await silence(store, fleet.id, 12)
    incident = await fleets.look(store, fleet.id)

    _, page = await pages.get(f"/fleets/{fleet.id}")
    _, listed = await pages.get("/incidents?status=open")

    assert ("12 members silent" in page, f'href="/incidents?status=open#{incident}"' in page) == (True, True)
    assert (f'id="{incident}"' in listed, f'href="/fleets/{fleet.id}"' in listed) == (True, True)


async def test_the_list_has_pages_and_names_are_shown_as_text(pages: Pages, store: Database) -> None:
    for number in range(PAGE):
        await fleet_of(store, f"fleet {number:03}")
    await fleet_of(store, "z<script>", tags=("<i>",))

    _, first = await pages.get("/fleets")
    _, second = await pages.get(next_page(first))

    assert (first.count('class="lead-cell"'), second.count('class="lead-cell"')) == (PAGE, 1)
    assert "z&lt;script&gt;" in second
    assert (await pages.get("/fleets?cursor=nonsense"))[0] == 422


async def test_who_may_only_read_sees_no_buttons(pages: Pages, store: Database) -> None:
    fleet = await fleet_of(store)
    await silence(store, fleet.id, 3)
    reader = await cast.signed_in(store, "reader")

    for path in ("/fleets", f"/fleets/{fleet.id}"):
        status, page = await pages.get(path, reader)
        assert status == 200
        assert re.findall(r'method="post" action="([^"]*)"', page) == ["/logout"]
        assert "/new" not in page
        assert "/settings" not in page.replace('href="/settings"', "")


async def test_a_page_of_a_large_fleet_asks_the_store_for_no_more_than_that_of_a_small_one(
    pages: Pages, store: Database
) -> None:
    """The commands are counted, and none of them hands out a whole zset."""

    async def cost(members: int) -> tuple[int, int]:
        fleet = await fleet_of(store)
        now = await store.now()
        for zset, ahead in ((store.shards[0].fleet_deadlines, 350_000), (store.shards[0].fleet_down, -1_000)):
            for base in range(0, members, 5_000):
                some = range(base, min(base + 5_000, members))
                entries = [part for n in some for part in (now + ahead, f"{zset.__name__}-{n}")]
                await store.execute("ZADD", zset(fleet.id), *entries)
        await store.execute("CONFIG RESETSTAT")
        for path in ("", "?status=up", "?slug=nobody"):
            status, page = await pages.get(f"/fleets/{fleet.id}{path}")
            assert status == 200
            assert len(slugs(page)) <= PAGE + 20  # ZSCAN hands out about as many as it is asked for
        info = await store.execute("INFO", "all")
        commands = sum(int(figures["calls"]) for name, figures in info.items() if name.startswith("cmdstat_"))
        return commands, int(info["total_net_output_bytes"])

    small, large = await cost(200), await cost(50_000)

    assert large[0] <= small[0] + 5
    assert large[1] < small[1] + 20_000


async def test_a_heartbeat_is_no_fleet(pages: Pages, store: Database) -> None:
    heartbeat = await make(store)

    assert (await pages.get(f"/fleets/{heartbeat.id}"))[0] == 404
    assert (await pages.post(f"/fleets/{heartbeat.id}/delete", {"sure": "yes"}))[0] == 404
    assert await heartbeats.get(store, heartbeat.id) == heartbeat
