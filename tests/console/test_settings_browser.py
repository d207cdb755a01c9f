"""Settings, fleets and notes in a real browser: by clicks, as people do it."""

from typing import Any

import pytest

from store import api_keys, channels, fleets, heartbeats, incidents, members, users
from store.database import Database
from tests.console.browser import LOOKS, Browser, Page, faults
from tests.console.house import KEY, ping, shell
from tests.store.scene import make, send

PASSWORD = "correct horse battery"


async def admin(browser: Browser, house: str, **look: Any) -> Page:
    """A page of somebody who signed in with the server's key."""
    page = await browser.page(**look)
    await page.open(f"{house}/login")
    await page.type("#key", KEY)
    await page.click("form:last-of-type button")
    await page.until("location.pathname === '/'")
    return page


async def filled(db: Database) -> tuple[str, str]:
    """One of everything, each with a long name; the ids of a fleet and a user."""
    long = "quite a long name that has no end " * 2 + "x" * 30
    await members.create_project(db, long)
    user = await users.create(db, "a.user.whose.login.is.long@" + "x" * 60 + ".example.org", "no hash", operator=True)
    await members.set_role(db, "default", user.id, "owner")
    await api_keys.create(db, "default", long, ("read", "write", "admin"), "a")
    await channels.create(db, long, "webhook", {"url": "https://hooks.example.org/x", "secret": "whsec_" + "x" * 32})
    fleet = (await fleets.create(db, fleets.FleetSettings(name=long, tags=("iot", "x" * 50)))).id
    now, shard = await db.now(), db.shard(fleet)
    await db.execute("ZADD", shard.fleet_down(fleet), now - 5_000, "x" * 100, now - 9_000_000, "short")
    await db.execute("ZADD", shard.fleet_deadlines(fleet), now + 90_000_000, "well")
    incident = await fleets.look(db, fleet) or ""
    await incidents.add_note(db, incident, "ada", "a note " * 20 + "\n" + "x" * 120)
    await db.execute("ZADD", shard.deaf, now - 60_000, now - 90_000)
    return fleet, user.id


async def test_a_key_is_made_copied_and_used_with_curl(house: str, browser: Browser, store: Database) -> None:
    await make(store, "Nightly copy")
    page = await admin(browser, house)
    await page.open(f"{house}/settings/keys")
    offered = await page.run("[...document.querySelectorAll('[name=scopes]')].map(each => each.value).join()")
    assert offered == "read,write,admin"  # a key for pings alone would open nothing
    await page.type("#name", "ci")
    await page.click("#scope-write")
    await page.click(".card button.main")
    await page.shows("it is not shown again")

    line = await page.text("#try")
    assert '"name":"Nightly copy"' in await shell(f"{line} -fsS")
    await page.click("#try + .copy")
    await page.shows("Copied")
    key = await page.text("#key")
    await page.open(f"{house}/settings/keys")
    await page.shows("read, write")
    assert key not in await page.run("document.documentElement.outerHTML")
    await page.click("[aria-label='Delete ci']")
    await page.click("button.danger")
    await page.shows("There are no keys yet")
    assert await shell(f"{line} -sS -o /dev/null -w '%{{http_code}}'") == "401"
    assert page.complaints == []


async def test_a_user_is_made_joins_as_a_reader_and_sees_no_buttons(
    house: str, browser: Browser, store: Database
) -> None:
    heartbeat = await make(store, "Nightly copy")
    await send(store, heartbeat, "fail", at=await store.now())
    await fleets.create(store, fleets.FleetSettings(name="Sensors"))
    page = await admin(browser, house)
    await page.open(f"{house}/settings/users")
    await page.type("#login", "rita")
    await page.type("#password", PASSWORD)
    await page.click(".card button.main")
    await page.until("document.querySelector('.roll a')?.textContent === 'rita'")

    other = await browser.page()
    await other.open(f"{house}/login")
    await other.type("#login", "rita")
    await other.type("#password", PASSWORD)
    await other.click("form button.main")
    await other.shows("You are a member of no project yet.")
    await page.open(f"{house}/settings/members")
    await page.type("#login", "rita")
    await page.run("document.getElementById('role').value = 'reader'")
    await page.click(".card button.main")
    await page.shows("rita")

    buttons = "[...document.querySelectorAll('main button:not(.copy), main .button')].map(each => each.innerText)"
    for path in ("/", "/fleets", "/incidents", f"/heartbeats/{heartbeat.id}"):
        await other.open(house + path)
        await other.until("document.querySelector('h1').innerText !== 'Sorry'")
        assert [text for text in await other.run(buttons) if text not in await tabs(other)] == [], path
        await page.open(house + path)
        assert await page.run(buttons) != [], path
    await other.open(f"{house}/settings")
    assert await other.run("[...document.querySelectorAll('.subpages a')].map(each => each.innerText)") == ["Project"]
    assert page.complaints == []


async def tabs(page: Page) -> list[str]:
    """Of the lines to paste: they only show."""
    found: list[str] = await page.run("[...document.querySelectorAll('[role=tab]')].map(each => each.innerText)")
    return found


async def test_one_switches_to_another_project_in_the_head_of_any_page(
    house: str, browser: Browser, store: Database
) -> None:
    lab = await members.create_project(store, "Laboratory")
    await make(store, "at home")
    page = await admin(browser, house)
    await page.shows("at home")

    await page.click(".switch summary")
    await page.click(f".switch button[value='{lab.id}']")
    await page.shows("Nothing is watched yet")
    assert (await page.text(".switch summary")).split() == ["Project:", "Laboratory"]
    await page.type("#name", "in the laboratory")
    await page.click("form.card button.main")
    await page.shows("Waiting for the first ping")
    assert [each.settings.name for each in (await heartbeats.page(store, project=lab.id))[0]] == ["in the laboratory"]
    await page.open(f"{house}/settings")
    await page.click(".switch summary")
    await page.click(".switch button[value=default]")
    await page.shows("at home")
    assert page.complaints == []


async def test_a_fleet_is_made_joined_with_curl_and_forgotten(house: str, browser: Browser, store: Database) -> None:
    page = await admin(browser, house)
    await page.open(f"{house}/fleets")
    await page.click("a.button.main")
    await page.type("#name", "Sensors")
    await page.click("form.card button.main")
    await page.shows("Waiting for the first member")

    line = await page.text("#curl")
    assert await shell(f"{line} -sS") == "OK"
    await page.until("document.querySelector('.heading .status.up') !== null")
    await ping(line.removeprefix("curl ") + "-bad/fail")
    await page.click("#fleet a.filter.down")
    await page.shows("it said that it failed")
    await page.type("#q", "SENSOR-1")
    await page.click(".inline button")
    await page.until("document.querySelector('.roll .status.up') !== null")
    await page.click("#fleet .roll button")
    await page.shows("Forget this member?")
    await page.click("button.danger")
    await page.until("document.querySelector('.roll code')?.innerText === 'sensor-1-bad'")
    ((fleet,), _) = await fleets.page(store)
    assert await fleets.member(store, fleet.id, "sensor-1") is None
    assert page.complaints == []


async def test_a_note_is_written_and_stands_with_its_incident(house: str, browser: Browser, store: Database) -> None:
    heartbeat = await make(store, "Nightly copy")
    await send(store, heartbeat, "fail", at=await store.now())
    page = await admin(browser, house)
    await page.open(f"{house}/incidents?status=open")

    await page.click(".note summary")
    await page.type(".note textarea", "<b>Disk full</b>\nfreed some")
    await page.click(".note button")
    await page.shows("<b>Disk full</b>")

    incident = (await heartbeats.get(store, heartbeat.id)).incident or ""
    assert await page.run("location.pathname + location.search + location.hash") == f"/incidents?status=open#{incident}"
    (note,) = (await incidents.get(store, incident)).notes
    assert (note.by, note.text) == ("admin", "<b>Disk full</b>\nfreed some")
    assert page.complaints == []


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_is_whole_with_long_names_and_the_switch_in_its_head_open(
    house: str, browser: Browser, store: Database, look: tuple[int, bool]
) -> None:
    """No complaint of the browser, nothing beside the window, no serious fault of accessibility."""
    width, dark = look
    fleet, user = await filled(store)
    page = await admin(browser, house, width=width, dark=dark)
    paths = [
        "/settings", "/settings/members", "/settings/keys", "/settings/users", f"/settings/users/{user}",
        "/settings/projects", "/system", "/fleets", "/fleets/new", f"/fleets/{fleet}", f"/fleets/{fleet}/settings",
        f"/fleets/{fleet}?slug=nobody", "/incidents",
    ]  # fmt: skip
    found = []
    for path in paths:
        await page.open(house + path)
        await page.click(".switch summary")
        await page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        inside = "(box => box.left >= 0 && box.right <= innerWidth)"
        assert await page.run(f"{inside}(document.querySelector('.switch form').getBoundingClientRect())"), path
        wide = await page.run("document.documentElement.scrollWidth - innerWidth")
        found += [(path, await faults(page)), (path, [wide] if wide > 0 else [])]

    assert [each for each in found if each[1]] == []
    assert page.complaints == []
