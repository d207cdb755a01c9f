"""Who is told when, set up in a real browser: people, a rotation, a policy, a nightly window."""

import json
from typing import Any, Final

import aiohttp
import pytest

from store import channels, plans
from store.database import Database
from tests.console.browser import LOOKS, Browser, Page, faults
from tests.console.house import SIGNED_IN
from tests.console.scenery import STRANGER

LONG: Final = "The whole team by mail, whose name does not end before the line of a small window does"


async def channel(db: Database, name: str) -> str:
    return (await channels.create(db, name, "webhook", {"url": "https://hooks.example.org/x"})).id


async def choose(page: Page, selector: str, text: str) -> None:
    """From a list, by the keyboard: the text is typed, as far as it tells the option from the others."""
    await page.until(f"document.querySelector({json.dumps(selector)}) !== null")
    await page.run(f"document.querySelector({json.dumps(selector)}).focus()")
    for letter in text:
        await page.press(letter)


async def is_chosen(page: Page, selector: str, text: str) -> None:
    option = f"document.querySelector({json.dumps(selector)})?.selectedOptions[0]?.text"
    await page.until(f"({option} ?? '').startsWith({json.dumps(text)})")


async def test_two_people_a_weekly_rotation_a_policy_and_a_nightly_window_are_made_by_hand(
    house: str, browser: Browser, store: Database
) -> None:
    phone, chat = await channel(store, "Phone"), await channel(store, "#ops")
    page = await browser.page(headers=SIGNED_IN)
    await page.call("Emulation.setTimezoneOverride", timezoneId="Asia/Kathmandu")
    await page.open(f"{house}/oncall")

    await page.click("a[href='/people/new']")
    await page.type("#name", "Ada")
    await choose(page, "#contacts-0-channel", "Ph")
    await is_chosen(page, "#contacts-0-channel", "Phone")
    await page.click("#add-contacts")
    await page.until("document.activeElement.id === 'contacts-1-channel'")
    await choose(page, "#contacts-1-channel", "#o")
    await is_chosen(page, "#contacts-1-channel", "#ops")
    await page.type("#contacts-1-wait", "5")
    await page.click("#save")
    await page.shows("Phone at once, #ops after 5 min")
    await page.click("a[href='/people/new']")
    await page.type("#name", "Bob")
    await choose(page, "#contacts-0-channel", "#o")
    await is_chosen(page, "#contacts-0-channel", "#ops")
    await page.press("Tab")
    await page.click("#save")
    await page.shows("Bob")

    await page.open(f"{house}/oncall/new")
    await page.until("document.getElementById('timezone').value.startsWith('Asia/Kat')")
    await page.type("#name", "Nights")
    await choose(page, "#people-0-person", "B")
    await page.click("#add-people")
    await choose(page, "#people-1-person", "A")
    await is_chosen(page, "#people-1-person", "Ada")
    await page.click("[aria-label='Move person 2 up']")
    await is_chosen(page, "#people-0-person", "Ada")
    await page.type("#timezone", "Europe/Berlin")
    await page.run("document.getElementById('start').value = '2020-01-06'")
    await page.click("#save")
    await page.shows("The next four weeks")
    assert await page.run("document.querySelectorAll('.lane svg rect.now').length") == 1
    ((schedule,), people) = [[*each.values()] for each in await planned(store)][:2]
    names = {person.id: person.name for person in people}
    assert [names[id_] for id_ in schedule.people] == ["Ada", "Bob"]
    assert (schedule.days, schedule.handover, schedule.timezone) == (7, "09:00", "Europe/Berlin")

    await page.open(f"{house}/policies/new")
    await page.type("#name", "Database")
    await choose(page, "#steps-0-targets", "#")
    await page.click("#steps-0-add")
    await page.until("document.querySelector('#steps .choices :checked') !== null")
    await page.click("#add-steps")
    await page.until("document.activeElement.id === 'steps-1-targets'")
    await page.click("#add-steps")
    await page.until("document.activeElement.id === 'steps-2-targets'")
    await page.click("[aria-label='Remove step 3']")
    await page.until("document.activeElement.id === 'add-steps'")
    await page.type("#steps-1-wait", "10")
    await choose(page, "#steps-1-targets", "N")
    await is_chosen(page, "#steps-1-targets", "Nights")  # what is chosen counts, also where Add was not pressed
    await page.type("#repeat", "2")
    await page.click("#save")
    await page.shows("At once: #ops. 10 min later: who is on call in Nights. 5 min later all again, twice.")
    policies = (await plans.plan(store)).policies
    (policy,) = policies.values()
    assert [(step.wait, step.channels, step.schedules) for step in policy.steps] == [
        (0, (chat,), ()),
        (600, (), (schedule.id,)),
    ]
    assert next(person for person in people if person.name == "Ada").contacts[0].channel == phone

    await page.click("a[href='/windows']")
    await page.click("a[href='/windows/new']")
    await page.type("#name", "Patches")
    await page.type("#tags", "db")
    assert await page.run("document.getElementById('start').checkVisibility()") is False
    await page.click("[name=kind][value=weekly]")
    for day in range(7):
        await page.click(f"[name=days][value='{day}']")
    await page.click("#save")
    await page.shows("Every day, 22:00 to 02:00 on the next day, Asia/Kat")
    (made,) = (await plans.plan(store)).windows
    assert (made.days, made.start, made.end, made.tags) == ((0, 1, 2, 3, 4, 5, 6), "22:00", "02:00", ("db",))
    assert page.complaints == []


async def planned(db: Database) -> tuple[Any, Any]:
    plan = await plans.plan(db)
    return plan.schedules, plan.people


async def test_without_scripts_rows_are_added_and_removed_and_the_rest_stays(
    house: str, browser: Browser, store: Database
) -> None:
    await channel(store, "#ops")
    page = await browser.page(headers=SIGNED_IN)
    await page.call("Emulation.setScriptExecutionDisabled", value=True)
    await page.open(f"{house}/policies/new")

    await page.type("#name", "By hand")
    await page.click("#add-steps")
    await page.until("document.getElementById('steps-1-wait') !== null")
    assert await page.run("document.getElementById('name').value") == "By hand"
    await page.type("#steps-1-wait", "7")
    await choose(page, "#steps-1-targets", "#")
    await page.click("#steps-1-add")
    await page.until("document.querySelector('[name=steps-1-targets]:checked') !== null")
    await page.click("[aria-label='Remove step 1']")
    await page.until("document.getElementById('steps-1-wait') === null")
    await page.click("#save")
    await page.shows("After 7 min: #ops.")

    assert [policy.name for policy in (await plans.plan(store)).policies.values()] == ["By hand"]
    assert page.complaints == []


async def test_enter_in_a_field_saves_and_deleting_asks_first(house: str, browser: Browser, store: Database) -> None:
    ids = await full(house, store)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/policies/{ids['policies']}")

    await page.type("#name", "Renamed")
    await page.call("Input.dispatchKeyEvent", type="keyDown", key="Enter", text="\r", windowsVirtualKeyCode=13)
    await page.until("location.pathname === '/policies'")
    await page.shows("Renamed")
    await page.click("main li a")
    await page.click("section.apart .danger")
    await page.shows("Delete this policy?")
    assert len((await plans.plan(store)).policies) == 1
    await page.click("button.danger")
    await page.until("location.pathname === '/policies'")
    assert (await plans.plan(store)).policies == {}
    assert page.complaints == []


async def test_heartbeats_of_a_window_are_found_while_one_types(house: str, browser: Browser, store: Database) -> None:
    ids = await full(house, store)
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/windows/{ids['windows']}")
    boxes = "[...document.querySelectorAll('#covered label')].map(each => each.textContent).join()"

    await page.type("#q", "green")
    await page.until(f"{boxes} === 'Backup,Greenhouse'")
    assert await page.run("document.activeElement.id") == "q"
    await page.click("#covered label:nth-of-type(2) input")
    await page.type("#q", "nothing")
    await page.until(
        f"{boxes} === 'Backup,Greenhouse' && document.querySelector('#covered legend').textContent === 'Chosen'"
    )
    await page.click("#covered label:nth-of-type(1) input")
    await page.click("#save")
    await page.until("location.pathname === '/windows'")

    (made,) = (await plans.plan(store)).windows
    assert made.heartbeats == (ids["greenhouse"],)
    assert page.complaints == []


@pytest.mark.parametrize("look", LOOKS)
async def test_every_page_of_who_is_told_when_can_be_used_by_everybody(
    house: str, browser: Browser, store: Database, look: tuple[int, bool]
) -> None:
    """No complaint of the browser, nothing beside the window, no serious fault of accessibility."""
    width, dark = look
    page = await browser.page(headers=SIGNED_IN, width=width, dark=dark)
    ids = await full(house, store)
    paths = [
        path for kind in ("oncall", "people", "policies", "windows") for path in (f"/{kind}", f"/{kind}/{ids[kind]}")
    ]

    found = []
    for path in paths:
        await page.open(house + path)
        await page.shows(STRANGER if path.count("/") == 1 else "Save")
        await page.run("document.querySelectorAll('details').forEach(each => each.open = true)")
        wide = await page.run("document.documentElement.scrollWidth - innerWidth")
        found += [(path, await faults(page)), (path, [wide] if wide > 0 else [])]
        assert await page.run("document.querySelectorAll('main img').length") == 0
    for path in paths[1::2]:  # an empty form with all its faults
        await page.open(house + path)
        await page.run(
            "for (const it of document.querySelectorAll('#planned input:not([type=radio]), select')) it.value = ''"
        )
        await page.run("document.getElementById('planned').noValidate = true")
        await page.click("#save")
        await page.until("document.querySelector('.fault.summary') !== null")
        found.append((f"faults of {path}", await faults(page)))

    assert [each for each in found if each[1]] == []
    assert [each for each in page.complaints if "422" not in each] == []


async def full(house: str, store: Database) -> dict[str, str]:
    """One of each, with names that would do harm or do not fit; the ids of those, by path."""
    mail, chat = await channel(store, LONG), await channel(store, STRANGER)
    async with aiohttp.ClientSession(headers=SIGNED_IN) as session:

        async def made(path: str, **body: Any) -> str:
            async with session.post(f"{house}/api/{path}", json=body) as answer:
                assert answer.status == 201, await answer.text()
                return str((await answer.json())["id"])

        ada = await made("people", name=STRANGER, contacts=[{"channel": mail}, {"channel": chat, "wait": 300}])
        bob = await made("people", name=LONG, contacts=[{"channel": chat}])
        away = {"person": bob, "from": "2020-01-08T00:00:00Z", "until": "2199-01-09T00:00:00Z"}
        await made("oncall", name="Empty", people=[], start="2030-01-07")
        await made("oncall", name=LONG, people=[bob], start="2030-01-07", overrides=[away])
        daily = await made("oncall", name=STRANGER, people=[ada, bob], days=1, start="2020-01-06")
        steps = [{"channels": [mail]}, {"wait": 600, "people": [ada, bob], "schedules": [daily]}]
        policy = await made("policies", name=STRANGER, steps=steps, repeat=2)
        backup, green = await made("heartbeats", name="Backup"), await made("heartbeats", name="Greenhouse")
        times = {"days": [0, 3], "start": "22:00", "end": "02:00"}
        window = await made("windows", name=STRANGER, heartbeats=[backup], tags=[STRANGER, LONG[:50].strip()], **times)
    return {
        "people": ada, "oncall": daily, "policies": policy, "windows": window, "greenhouse": green, "backup": backup,
    }  # fmt: skip
