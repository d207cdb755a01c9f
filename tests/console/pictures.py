"""Makes the pictures of the README and the guides from the real pages: python -m tests.console.pictures

They show a house with a past (tests/console/scenery.py) in Debian's chromium, so they never show what is no longer so.
"""

import asyncio
from pathlib import Path
from typing import Final

from store import heartbeats
from store.database import opened
from tests.console.browser import Browser, chromium
from tests.console.house import SIGNED_IN, house
from tests.console.scenery import fill
from tests.servers import binaries, running
from tests.system.processes import ROOT

FOLDER: Final = ROOT / "docs" / "pictures"
SETTLE_S: Final = 2.0  # for the counts that come over the open connection
#: Name -> width, height, dark, page of which heartbeat ("" = the list).
PICTURES: Final = {
    "list-light": (1280, 760, False, ""),
    "list-dark": (1280, 760, True, ""),
    "list-phone": (390, 780, False, ""),
    "heartbeat-light": (1280, 1000, False, "nightly"),
    "heartbeat-dark": (1280, 1000, True, "nightly"),
}


async def main() -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes") as server:
        await fill(server.url, strangers=False)
        async with house(server.url) as url, opened(server.url) as db, chromium() as browser:
            for name, (width, height, dark, of) in PICTURES.items():
                path = f"/heartbeats/{(await heartbeats.page(db, prefix=of))[0][0].id}" if of else "/"
                taken = await _picture(browser, url + path, width=width, height=height, dark=dark)
                _write(FOLDER / f"{name}.png", taken)


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
