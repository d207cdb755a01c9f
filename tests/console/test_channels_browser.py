"""Channels in a real browser, on a real house: made, tried and mended by clicks, told by a real notifier."""

from collections.abc import AsyncIterator

import pytest
from standardwebhooks import Webhook

from store import channels, deliveries
from store.database import Database
from tests.console.browser import LOOKS, Browser, Page, faults
from tests.console.house import SIGNED_IN
from tests.console.test_dashboard_channels import STRANGE, down, tell
from tests.notifier.sinks import Answer, HttpSink, http_sink


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as found:
        yield found


async def hook(store: Database, sink: HttpSink, name: str = "Ops") -> str:
    """The id of a webhook to the sink."""
    settings = {"url": f"http://127.0.0.1:{sink.port}/x", "secret": "whsec_" + "a" * 40, "fold": True}
    return (await channels.create(store, name, "webhook", settings)).id


async def shown(page: Page, selector: str) -> str:
    """Its text as one reads it, once there is some."""
    await page.until(f"document.querySelector({selector!r})?.innerText.trim().length > 0")
    return " ".join((await page.text(selector)).split())


async def test_a_webhook_is_made_tried_and_found_to_work_by_clicks_alone(
    house: str, browser: Browser, store: Database, sink: HttpSink
) -> None:
    page = await browser.page(headers=SIGNED_IN)
    await page.open(house)
    await page.click(".untold a")
    await page.shows("How should people be told?")
    await page.click("a[href$='kind=webhook']")
    await page.type("#name", "Night watch")
    await page.type("[id='settings.url']", f"http://127.0.0.1:{sink.port}/hook")
    await page.click("form.card button.main")
    await page.shows("it is not shown again")
    secret = (await page.text(".once pre")).strip()

    await page.click("form[action$='/test'] button")
    await page.shows("The answer: 200")
    outcome = await shown(page, ".outcome")
    (request,) = await sink.received(1)
    Webhook(secret).verify(request.body, dict(request.headers))
    await page.click("a[href^='/channels/']:not([href='/channels'])")
    await page.shows("What it was sent")
    ((made,), path) = await channels.of_project(store), await page.run("location.pathname")
    (told,) = await deliveries.log(store, made.id)
    assert path == f"/channels/{made.id}"
    assert outcome == f"Told in {told.latency_ms} ms. The answer: 200"
    assert "Works" in await shown(page, f"#state-{made.id}")
    assert await page.run("document.querySelectorAll('.log li').length") == 1
    assert secret not in await page.run("document.documentElement.outerHTML")

    await page.click("form[action$='/test'] button")
    await page.until("document.querySelectorAll('.log li').length === 2")  # by itself
    assert page.complaints == []


async def test_a_test_in_the_list_changes_what_the_list_says_and_can_be_pressed_by_a_key(
    house: str, browser: Browser, store: Database, sink: HttpSink
) -> None:
    ops, other = await hook(store, sink), await hook(store, sink, "Others")
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/channels")
    assert (await shown(page, f"#state-{ops}")).startswith("Never told")

    button = f"form[action='/channels/{ops}/test'] button"
    await page.run(f"document.querySelector({button!r}).focus()")
    await page.press(" ")
    await page.until(f"document.querySelector('#state-{ops} .up') !== null")

    assert "The answer: 200" in await shown(page, f"#outcome-{ops}")
    assert (await shown(page, f"#state-{other}")).startswith("Never told")
    assert await page.run(f"document.activeElement === document.querySelector({button!r})")
    assert await page.run("location.pathname") == "/channels"
    assert page.complaints == []


async def test_a_dead_letter_is_seen_and_sent_once_more(
    house: str, browser: Browser, store: Database, sink: HttpSink
) -> None:
    ops = await hook(store, sink)
    sink.answers.append(Answer(status=410))
    page = await browser.page(headers=SIGNED_IN)
    await page.open(f"{house}/channels/{ops}")

    await page.click("form[action$='/test'] button")
    await page.shows("It is not tried again.")
    assert "answered 410" in await shown(page, f"#outcome-{ops}")
    await page.until(f"document.querySelector('#state-{ops} .down') !== null")
    await page.open(f"{house}/channels")
    await page.click("a[href='/deliveries']")
    await page.shows("A test for Ops")

    await page.click("form[action$='/resend']:has([aria-label^='Resend to']) button")
    await page.shows("The answer: 200")
    await page.open(f"{house}/deliveries")
    await page.shows("None: all that was to be told")
    await page.open(f"{house}/channels/{ops}")
    assert (await shown(page, f"#state-{ops}")).startswith("Works")
    assert page.complaints == []


async def test_the_pages_are_whole_and_can_be_used_by_everybody(
    house: str, browser: Browser, store: Database, sink: HttpSink
) -> None:
    """In each look: no complaint of the browser, nothing beside the window, no serious fault of accessibility."""
    ops, odd = [await channels.get(store, await hook(store, sink, name)) for name in ("Ops", STRANGE + "x" * 60)]
    _, incident = await down(store, STRANGE)
    await tell(store, ops)
    await tell(store, odd, incident, result="dead", answer=STRANGE + "y" * 400, reason="client_error")
    await channels.set_broken(store, odd, STRANGE, gone=True)
    paths = ["/channels", "/channels/new", "/channels/new?kind=pushover", "/channels/new?kind=email", "/deliveries"]
    paths += [f"/channels/{each.id}" for each in (ops, odd)]

    for width, dark in LOOKS:
        page = await browser.page(headers=SIGNED_IN, width=width, dark=dark)
        for path in paths:
            await page.open(house + path)
            wide = await page.run("document.documentElement.scrollWidth - innerWidth")
            assert (path, await faults(page), max(wide, 0)) == (path, [], 0)
        assert page.complaints == []
