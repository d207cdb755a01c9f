"""The page that a message links to: who may open it, what it shows, and that only its buttons change anything."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import aiohttp
import pytest

from notifier.links import Links
from store import channels, heartbeats, incidents, threads
from store.database import Database
from store.records import Incident
from tests.console.conftest import Api
from tests.store.scene import make, send

NAME = "<script>alert(1)</script>"


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(aiohttp.ClientSession())


async def down(db: Database, **settings: object) -> Incident:
    heartbeat = await make(db, NAME, up_at=await db.now() - 10, **settings)
    await send(db, heartbeat, "fail", at=await db.now(), exit_status="3", output=b"</pre><b>disk full</b> \xff")
    found = (await heartbeats.get(db, heartbeat.id)).incident
    assert found
    return await incidents.get(db, found)


async def link(api: Api, store: Database, incident: Incident) -> str:
    channel = await channels.create(store, "phone", "gotify", {"url": "http://127.0.0.1", "token": "t"})
    return await Links(store, api.url).to(incident.id, channel.id)


async def test_it_shows_what_a_stranger_wrote_as_text(api: Api, store: Database, http: aiohttp.ClientSession) -> None:
    incident = await down(store, runbook_url="https://wiki.example/backup")

    async with http.get(await link(api, store, incident)) as answer:
        page = await answer.text()

    assert answer.status == 200
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "&lt;/pre&gt;&lt;b&gt;disk full&lt;/b&gt; \N{REPLACEMENT CHARACTER}" in page
    assert "<script" not in page
    assert '<a href="https://wiki.example/backup" rel="noreferrer">' in page
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; style-src 'self'")
    assert (answer.headers["cache-control"], answer.headers["referrer-policy"]) == ("no-store", "no-referrer")
    assert (answer.headers["x-robots-tag"], answer.headers["x-content-type-options"]) == ("noindex", "nosniff")


async def test_to_open_it_acknowledges_nothing_and_its_button_does(
    api: Api, store: Database, http: aiohttp.ClientSession
) -> None:
    incident = await down(store)
    page = await link(api, store, incident)

    for method in ("GET", "HEAD", "GET"):
        async with http.request(method, page) as answer:
            assert answer.status == 200
    assert (await incidents.get(store, incident.id)).acknowledged_at is None
    async with http.post(page, data={"name": "Ada\r\nBcc: all", "acknowledge": "1"}, allow_redirects=False) as answer:
        assert answer.status == 303
    async with http.get(page) as answer:
        shown = await answer.text()

    found = await incidents.get(store, incident.id)
    assert found.acknowledged_by == "Ada Bcc: all (by phone)"
    assert "Ada Bcc: all (by phone)" in shown
    assert "<form" not in shown


async def test_a_snooze_has_an_end(api: Api, store: Database, http: aiohttp.ClientSession) -> None:
    incident = await down(store)

    async with http.post(await link(api, store, incident), data={"snooze": "3600"}) as answer:
        shown = await answer.text()

    found = await incidents.get(store, incident.id)
    assert found.acknowledged_at is None
    assert found.snoozed_until is not None
    assert 3_590_000 < found.snoozed_until - await store.now() <= 3_600_000
    assert "Snoozed until" in shown


async def test_what_was_told_together_is_acknowledged_together(
    api: Api, store: Database, http: aiohttp.ClientSession
) -> None:
    told = [await down(store) for _ in range(60)]
    page = await link(api, store, told[0])
    await threads.join(store, page.partition("by=")[2].partition("&")[0], told[0].id, [each.id for each in told])

    async with http.get(page) as answer:
        shown = await answer.text()
    assert "59 more were told with it." in shown
    assert "Acknowledge all 60" in shown
    async with http.post(page, data={"acknowledge": "1"}) as answer:
        assert answer.status == 200

    assert {(await incidents.get(store, each.id)).acknowledged_by for each in told} == {"phone"}


async def test_without_the_right_signature_there_is_nothing(
    api: Api, store: Database, http: aiohttp.ClientSession
) -> None:
    incident, other = await down(store), await down(store)
    page = await link(api, store, incident)
    wrong = [
        page[:-1] + ("A" if page[-1] != "A" else "B"),
        page.partition("?")[0],
        page.partition("&sig=")[0] + "&sig=",
        page.replace(incident.id, other.id),
        page.replace(incident.id, "0" * 12 + "-1"),
        page.replace("by=", "by=x"),
    ]

    for url in wrong:
        for method in ("GET", "POST"):
            async with http.request(method, url) as answer:
                assert answer.status == 404
                assert NAME not in await answer.text()
    assert (await incidents.get(store, incident.id)).acknowledged_at is None


async def test_a_form_is_bounded(api: Api, store: Database, http: aiohttp.ClientSession) -> None:
    incident = await down(store)

    async with http.post(await link(api, store, incident), data={"name": "x" * 70_000}) as answer:
        assert answer.status == 400
    assert (await incidents.get(store, incident.id)).acknowledged_at is None


async def test_the_style_comes_from_us(api: Api, store: Database, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{api.url}/static/flatline.css") as answer:
        assert (answer.status, answer.content_type) == (200, "text/css")


async def test_the_api_acknowledges_and_snoozes_too(api: Api, store: Database) -> None:
    incident = await down(store)
    path = f"/api/incidents/{incident.id}"

    said = (await api.post(f"{path}/snooze", {"for": 60, "by": "Ada"})).body
    assert said["snoozed_until"]
    assert said["acknowledged_at"] is None
    said = (await api.post(f"{path}/acknowledge", {"by": "Bob"})).body
    assert (said["acknowledged_by"], said["snoozed_until"]) == ("Bob", None)
    assert (await api.post(f"{path}/snooze", {"for": 59})).status == 422
    assert (await api.post(f"{path}/snooze", {})).error["message"] == "send either for or until"
    assert (await api.post(f"{path}/snooze", {"until": "2001-01-01T00:00:00Z"})).error["field"] == "until"
    assert (await api.post(f"/api/incidents/{'0' * 12}-1/acknowledge")).status == 404
