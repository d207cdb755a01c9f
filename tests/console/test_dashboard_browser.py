"""The dashboard in a real browser, on a real house: all four roles, their own port, jobs that really ping."""

import json

import pytest

from store import channels, deliveries, fleets, heartbeats, incidents
from store.database import Database
from store.fleets import FleetSettings
from store.records import Settings
from tests.conftest import eventually
from tests.console.browser import LOOKS, Browser, faults
from tests.console.house import KEY, SIGNED_IN, ping, shell
from tests.console.scenery import STRANGER, fill
from tests.notifier.sinks import http_sink


async def named(db: Database, name: str) -> str:
    """The id of a heartbeat."""
    ((heartbeat, *_), _) = await heartbeats.page(db, prefix=name)
    return heartbeat.id


async def test_from_the_first_sign_in_to_an_incident_that_somebody_has_seen(house: str, browser: Browser) -> None:
    """By nothing but clicks and one line for the shell; the silence is a real one."""
    page = await browser.page()
    await page.open(house)
    await page.type("#key", KEY)
    await page.click("form:has(#key) button")
    await page.shows("Nothing is watched yet")

    await page.type("#name", "Nightly copy")
    await page.click("form button.main")
    await page.shows("Waiting for the first ping")
    assert await shell(await page.text("#curl")) == "OK"
    await page.until(status("up"))
    await page.shows("Ping")

    await page.click("a[href$='/settings']:not(nav a)")
    for field in ("period", "grace"):
        await page.type(f"#{field}", "1")
        await page.run(f"document.querySelector('[name={field}_unit]').value = 'seconds'")
    await page.click(".sticky .main")
    await page.until(status("down"))
    await page.shows("No ping came in time")

    await page.click("#pause")
    await page.until(status("paused"))
    await page.click("#resume")
    await page.until(status("up"))
    await page.until(status("down"))

    await page.click("nav a[href='/incidents']")
    await page.shows("No ping came in time")
    await page.click("form[action$=acknowledge] button")
    await page.shows("Acknowledged by admin")
    assert page.complaints == []


def status(name: str) -> str:
    """That the page of a heartbeat says so."""
    return f"document.querySelector('.heading .status.{name}') !== null"


async def test_a_row_tells_by_itself_that_its_job_failed_and_came_back(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(house)
    dump = await named(store, "nightly")
    token = (await heartbeats.get(store, dump)).token
    await page.until(f"document.querySelector('#row-{dump}.up') !== null")
    await page.until("document.title.startsWith('▼ 1 down')")

    await ping(f"{house}/ping/{token}/fail")
    await page.until(f"document.querySelector('#row-{dump}.down') !== null")
    await page.until("document.title.startsWith('▼ 2 down')")
    assert (await page.run("document.querySelector('link[rel=icon]').href")).startswith("data:image/svg+xml")
    assert await page.text("[data-count=down]") == "2"
    await ping(f"{house}/ping/{token}")
    await page.until(f"document.querySelector('#row-{dump}.up') !== null")
    assert page.complaints == []


async def test_the_head_tells_by_itself_that_a_fleet_is_down_and_is_up_again(
    house: str, browser: Browser, store: Database
) -> None:
    fleet = await fleets.create(store, FleetSettings(name="sensors", period=300, grace=60))
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/settings")
    flat = "document.documentElement.classList.contains('has-down')"
    assert await page.run(f"[document.title, {flat}]") == ["Settings", False]

    await ping(f"{house}/ping/{fleet.ping_key}/sensor-1/fail")
    await page.until(f"{flat} && document.title === '▼ 1 down · Settings'")
    assert (await page.run("document.querySelector('link[rel=icon]').href")).startswith("data:image/svg+xml")
    await page.open(f"{house}/fleets")
    assert await page.run(f"[document.title, {flat}]") == ["▼ 1 down · Fleets", True]
    await ping(f"{house}/ping/{fleet.ping_key}/sensor-1")
    await page.until(f"!{flat} && document.title === 'Fleets'")
    assert page.complaints == []


async def test_the_title_of_a_heartbeats_page_says_that_it_went_down_and_came_back(
    house: str, browser: Browser, store: Database
) -> None:
    heartbeat = await heartbeats.create(store, Settings(name="Nightly copy"))
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/heartbeats/{heartbeat.id}")

    await ping(f"{house}/ping/{heartbeat.token}/fail")
    await page.until(status("down"))
    assert await page.run("document.title") == "▼ 1 down · Nightly copy"
    await ping(f"{house}/ping/{heartbeat.token}")
    await page.until(status("up"))
    assert await page.run("document.title") == "Nightly copy"
    assert page.complaints == []


async def test_the_button_in_a_row_pauses_and_resumes_it_there(house: str, browser: Browser, store: Database) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(house)
    sensor = await named(store, "greenhouse sensor 2")

    await page.click(f"#pause-{sensor}")
    await page.until(f"document.querySelector('#row-{sensor}.paused') !== null")
    await page.until("document.querySelector('[data-count=paused]').textContent === '2'")
    await page.click(f"#resume-{sensor}")
    await page.until(f"document.querySelector('#row-{sensor}.up') !== null")

    assert await page.run("location.pathname + location.search") == "/"
    assert page.complaints == []


async def test_the_list_is_searched_while_one_types_and_narrowed_by_status_and_tag(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(house)
    names = "[...document.querySelectorAll('#rows .name > a')].map(each => each.textContent).join()"

    await page.type("#q", "GREENhouse sensor ")
    await page.until(f"{names} === 'Greenhouse sensor 1,Greenhouse sensor 2,Greenhouse sensor 3'")
    await page.until("new URLSearchParams(location.search).get('q').trim() === 'GREENhouse sensor'")
    assert await page.run("document.activeElement.id") == "q"
    await page.open(house)
    await page.click(".filter.down")
    await page.until(f"{names} === 'Offsite copy'")
    await page.open(f"{house}/?tag=ops")
    await page.until(f"{names} === 'Certificates,Log rotation'")
    assert page.complaints == []


async def test_many_are_changed_at_once_after_a_question(house: str, browser: Browser, store: Database) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/?q=greenhouse")

    await page.click("#mark-all")
    await page.shows("3 marked")
    await page.click("#bulk .danger")
    await page.shows("Delete 3 heartbeats?")
    assert (await heartbeats.count(store))["up"] > 3
    await page.click("button.danger")
    await page.shows("Nothing here fits.")

    assert (await heartbeats.page(store, prefix="greenhouse"))[0] == []
    assert page.complaints == []


async def test_what_strangers_wrote_is_shown_as_text(house: str, browser: Browser, store: Database) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    strange = await named(store, "<img")

    await page.open(house)
    await page.shows(STRANGER)
    await page.shows("<b>bold</b>")
    await page.open(f"{house}/heartbeats/{strange}")
    assert (await page.text("#log ~ ol")).count(STRANGER) == 4  # as the user agent
    await page.open(f"{house}/heartbeats/{strange}/settings")
    assert await page.run("document.getElementById('name').value") == STRANGER
    await page.open(f"{house}/heartbeats/{await named(store, 'nightly')}")
    await page.click(".log details summary")
    await page.shows("<script>alert(1)</script> No space left on device")

    assert await page.run("document.querySelectorAll('main img, main b, .log script').length") == 0
    assert page.complaints == []


async def test_settings_say_beside_each_field_what_is_wrong_and_keep_what_was_typed(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    copy = await named(store, "offsite")
    await page.open(f"{house}/heartbeats/{copy}/settings")

    await page.type("#grace", "nine")
    await page.type("#priority", "11")
    await page.click(".sticky .main")
    await page.shows("2 fields below need another look")
    assert "whole number" in await page.text("#grace-fault")
    assert "between 0 and 10" in await page.text("#priority-fault")
    assert await page.run("document.getElementById('grace').getAttribute('aria-invalid')") == "true"
    assert await page.run("document.getElementById('grace').value") == "nine"
    await page.type("#grace", "90")
    await page.type("#priority", "3")
    await page.click(".sticky .main")
    await page.until(f"location.pathname === '/heartbeats/{copy}'")

    settings = (await heartbeats.get(store, copy)).settings
    assert (settings.grace, settings.priority, settings.tags, settings.period) == (90 * 3600, 3, ("backup",), 86_400)


async def test_a_schedule_shows_its_next_slots_while_one_types(house: str, browser: Browser, store: Database) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/heartbeats/{await named(store, 'offsite')}/settings")

    await page.click("[name=rhythm][value=schedule]")
    await page.type("#schedule", "15 4 * * *")
    await page.until("document.querySelectorAll('#preview tbody tr').length === 5")
    assert "04:15" in await page.text("#preview tbody tr")
    await page.type("#schedule", "61 4 * * *")
    await page.until("document.querySelector('#preview .fault') !== null")
    assert page.complaints == []


async def test_an_incident_is_acknowledged_under_ones_own_name(house: str, browser: Browser, store: Database) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/incidents?status=open")
    await page.shows("Offsite copy")

    await page.click("form[action$=snooze] button")
    await page.shows("Snoozed until")
    await page.click("form[action$=acknowledge] button")
    await page.shows("Acknowledged by ")

    ((incident, *_), _) = await incidents.page(store, status="open")
    assert incident.acknowledged_by in await page.text()
    assert await page.run("document.querySelector('form[action$=acknowledge]')") is None
    assert page.complaints == []


async def test_from_the_page_of_a_heartbeat_one_comes_to_its_incident_and_acknowledges_it(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    copy = await named(store, "offsite")
    incident = (await heartbeats.get(store, copy)).incident
    await page.open(f"{house}/heartbeats/{copy}")

    await page.click("li.open a")
    await page.until(f"document.querySelector('li.open:target')?.id === '{incident}'")
    await page.open(f"{house}/heartbeats/{copy}")
    await page.click("form[action$=acknowledge] button")
    await page.shows("Acknowledged by ")
    assert page.complaints == []


async def test_who_was_told_reads_as_one_sentence(house: str, browser: Browser, store: Database) -> None:
    async with http_sink() as sink:
        hook = {"url": f"http://127.0.0.1:{sink.port}/x", "secret": "whsec_" + "a" * 40}
        channel = await channels.create(store, "ops hook", "webhook", hook)
        heartbeat = await heartbeats.create(store, Settings(name="Nightly copy"))
        await ping(f"{house}/ping/{heartbeat.token}/fail")
        incident = (await heartbeats.get(store, heartbeat.id)).incident or ""

        async def is_told() -> bool:
            found = await deliveries.of_incident(store, incident, [channel.id])
            return any(each.latency_ms is not None for each in found)

        await eventually(is_told)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/incidents")
    await page.click("details[hx-get$=told] summary")
    await page.until("document.querySelector('.told li') !== null")
    sentence = await page.text(".told li")
    assert (sentence.startswith("ops hook: told, "), "\n" in sentence) == (True, False)


async def test_all_rows_of_what_happened_stand_equally_close(house: str, browser: Browser, store: Database) -> None:
    heartbeat = await heartbeats.create(store, Settings(name="Nightly copy"))
    await ping(f"{house}/ping/{heartbeat.token}")
    await heartbeats.edit(store, heartbeat.id, {"grace": 60})
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/heartbeats/{heartbeat.id}")

    rows = "[...document.querySelectorAll('.log li')]"
    assert await page.run(f"{rows}.some(each => each.classList.contains('plain'))")
    margins = await page.run(f"{rows}.map(each => getComputedStyle(each).margin)")
    assert set(margins) == {"0px"}


async def test_times_are_those_of_the_readers_zone_and_the_tooltip_says_utc(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")  # 5:45 ahead
    await page.open(f"{house}/heartbeats/{await named(store, 'nightly')}")

    shown, said, at = await page.run(
        "(it => [it.textContent, it.title, it.dateTime])(document.querySelector('.log li:nth-child(9) time'))"
    )
    local = f"new Date({json.dumps(at)}).toLocaleTimeString(undefined, {{timeStyle: 'medium'}})"
    assert shown.endswith(await page.run(local))
    assert said == at[:19].replace("T", " ") + " UTC"
    assert at[11:16] not in shown


async def test_a_key_goes_to_the_search_and_the_colours_can_be_chosen(
    house: str, browser: Browser, store: Database
) -> None:
    await fill(store.url)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(house)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = await page.run(paper)

    await page.press("/")
    assert await page.run("document.activeElement.id") == "q"
    await page.click("#theme")
    await page.until(f"{paper} !== '{light}'")
    dark = await page.run(paper)
    await page.open(f"{house}/new")
    assert await page.run(paper) == dark


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_is_whole_and_can_be_used_by_everybody(
    house: str, browser: Browser, store: Database, look: tuple[int, bool]
) -> None:
    """No complaint of the browser, nothing beside the window, no serious fault of accessibility."""
    width, dark = look
    page = await browser.page(headers=SIGNED_IN, width=width, dark=dark)
    await page.open(house)
    empty = await faults(page)
    await fill(store.url)
    ids = {name: await named(store, name) for name in ("nightly", "offsite", "quarterly", "certificates", "staging")}
    paths = [
        "/",
        "/?q=nobody",
        "/new",
        "/incidents",
        "/incidents?status=open",
        "/fleets",
        "/fleets/new",
        "/settings",
        "/settings/members",
        "/settings/keys",
        "/settings/users",
        "/settings/projects",
        "/system",
        "/channels",
        "/channels/new",
        "/channels/new?kind=webhook",
        "/deliveries",
        "/oncall",
        "/oncall/new",
        "/people",
        "/people/new",
        "/policies",
        "/policies/new",
        "/windows",
        "/windows/new",
        *(f"/heartbeats/{id_}" for id_ in ids.values()),
    ]
    paths += [f"/heartbeats/{ids['offsite']}/settings", f"/heartbeats/{ids['certificates']}/settings"]

    found = [("empty", empty)]
    for path in paths:
        await page.open(house + path)
        await page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        await page.until("[...document.querySelectorAll('.chart')].every(each => each.querySelector('canvas'))")
        wide = await page.run("document.documentElement.scrollWidth - innerWidth")
        found += [(path, await faults(page)), (path, [wide] if wide > 0 else [])]

    assert [each for each in found if each[1]] == []
    assert page.complaints == []
