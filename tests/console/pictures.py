"""Makes the pictures of the README and the guides from the real pages: python -m tests.console.pictures

They show a house with a past (tests/console/scenery.py) in Debian's chromium, so they never show what is no longer so.
"""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from store import heartbeats
from store.database import Database, opened
from tests.console.browser import Browser, chromium
from tests.console.house import SIGNED_IN, house
from tests.console.scenery import fill
from tests.servers import binaries, running
from tests.system.processes import ROOT

FOLDER: Final = ROOT / "docs" / "pictures"
SETTLE_S: Final = 2.0  # for the counts that come over the open connection
STATIONS: Final = 240
#: Name -> width, height, dark, which page.
PICTURES: Final = {
    "list-light": (1280, 760, False, "list"),
    "list-dark": (1280, 760, True, "list"),
    "list-phone": (390, 780, False, "list"),
    "heartbeat-light": (1280, 1000, False, "heartbeat"),
    "heartbeat-dark": (1280, 1000, True, "heartbeat"),
    "fleet-light": (1280, 760, False, "fleet"),
    "oncall-light": (1280, 760, False, "oncall"),
    "policy-dark": (1280, 1000, True, "policy"),
}


async def main() -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes") as server:
        await fill(server.url, strangers=False)
        async with house(server.url) as url, opened(server.url) as db, chromium() as browser:
            pages = await _pages(url, db)
            for name, (width, height, dark, page) in PICTURES.items():
                taken = await _picture(browser, url + pages[page], width=width, height=height, dark=dark)
                _write(FOLDER / f"{name}.png", taken)


async def _pages(url: str, db: Database) -> Mapping[str, str]:
    """Where they are; whoever is told, and the fleet, is made first."""
    async with aiohttp.ClientSession(url, headers=SIGNED_IN) as http:

        async def make(what: str, /, **settings: Any) -> Any:
            async with http.post(f"/api/{what}", json=settings) as answer:
                assert answer.status == 201, await answer.text()
                return await answer.json()

        ops = await make("channels", name="#ops", kind="webhook", settings={"url": "https://hooks.example.org/ops"})
        phones = [
            await make("channels", name=f"{name}'s phone", kind="ntfy", settings={"topic": name})
            for name in ("ada", "grace")
        ]
        people = [
            await make("people", name=name, contacts=[{"channel": phone["id"]}, {"channel": ops["id"], "wait": 300}])
            for name, phone in zip(("Ada Lovelace", "Grace Hopper"), phones, strict=True)
        ]
        turns = {"days": 7, "handover": "09:00", "start": "2026-01-05", "timezone": "Europe/Berlin"}
        oncall = await make("oncall", name="Weekly", people=[person["id"] for person in people], **turns)
        steps = [{"channels": [ops["id"]]}, {"wait": 600, "schedules": [oncall["id"]]}]
        policy = await make("policies", name="Loud", steps=steps, repeat=2, repeat_after=900)
        fleet = await make("fleets", name="Weather stations", period=300, grace=60, channels=[], tags=["field"])
        for number in range(STATIONS):
            ending = "/fail" if number % 50 == 7 else ""
            async with http.get(f"/ping/{fleet['ping_key']}/station-{number:03}{ending}") as answer:
                assert answer.status == 200
    ((dump, *_), _) = await heartbeats.page(db, prefix="nightly")
    return {
        "list": "/",
        "heartbeat": f"/heartbeats/{dump.id}",
        "fleet": f"/fleets/{fleet['id']}",
        "oncall": f"/oncall/{oncall['id']}",
        "policy": f"/policies/{policy['id']}",
    }


async def _picture(browser: Browser, url: str, *, width: int, height: int, dark: bool) -> bytes:
    page = await browser.page(width=width, height=height, dark=dark, headers=SIGNED_IN)
    await page.open(url)
    await asyncio.sleep(SETTLE_S)
    return await page.picture()


def _write(path: Path, picture: bytes) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(picture)


if __name__ == "__main__":
    asyncio.run(main())
