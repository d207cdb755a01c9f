"""A real browser, spoken to over the DevTools protocol: Debian's chromium without a window.

async with chromium() as browser:
    page = await browser.page(width=1440)
    await page.open(url)
    await page.click("text or selector")

A page collects whatever it complains of (exceptions, console errors, violations of its content security policy), so a
test can hold `page.complaints` against [].
"""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import aiohttp

from tests.conftest import eventually

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
AXE: Final = (Path(__file__).parent / "vendor" / "axe-4.14.1.min.js").read_text()
LOOKS: Final = [(1440, False), (1440, True), (360, False), (360, True)]  # width, dark
WAIT_S: Final = 20.0
CLICKS: Final = 3
MESSAGE_MAX: Final = 64 * 1024 * 1024  # bytes; a screenshot is one message


class Page:
    """One tab."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loads = 0
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._listener = asyncio.create_task(self._listen())

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        async with asyncio.timeout(WAIT_S):
            found: dict[str, Any] = await answer
            return found

    async def prepare(self, *, width: int, height: int, dark: bool, headers: Mapping[str, str]) -> None:
        for domain in ("Page", "Runtime", "Log", "Network", "Audits"):
            await self.call(f"{domain}.enable")
        await self.call("Network.setExtraHTTPHeaders", headers=dict(headers))
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])

    async def open(self, url: str) -> None:
        before = self._loads
        found = await self.call("Page.navigate", url=url)
        assert "errorText" not in found, found

        async def loaded() -> bool:
            return self._loads > before

        await eventually(loaded, within_s=WAIT_S)

    async def run(self, script: str) -> Any:
        """The value of an expression; a promise is awaited."""
        found = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    async def until(self, script: str) -> Any:
        """Waits until an expression is true, over whatever pages come meanwhile."""

        async def probe() -> Any:
            with contextlib.suppress(AssertionError, KeyError):
                return await self.run(script)

        try:
            return await eventually(probe, within_s=WAIT_S)
        except TimeoutError:
            text = await self.run("location.pathname + '\\n' + document.body.innerText")
            raise AssertionError(f"never true: {script}\n{text}") from None

    async def shows(self, text: str) -> None:
        await self.until(f"document.body.innerText.includes({json.dumps(text)})")

    async def click(self, selector: str) -> None:
        """With the mouse, where it is: what lies over it gets the click. Again if it was exchanged under the mouse."""
        wanted = json.dumps(selector)
        for _ in range(CLICKS):
            found = await self.until(
                f"(() => {{ const it = document.querySelector({wanted}); if (!it) return null;"
                "const once = {capture: true, once: true}; window.missed = false;"
                "addEventListener('pointerdown', () => { window.missed = true; }, once);"
                f"addEventListener('click', (event) => {{ window.missed = !event.target.closest({wanted}); }},"
                " once);"
                "it.scrollIntoView({block: 'center', behavior: 'instant'}); const box = it.getBoundingClientRect();"
                "return box.width ? [box.x + box.width / 2, box.y + box.height / 2] : null; })()"
            )
            at = {"x": found[0], "y": found[1], "button": "left", "clickCount": 1}
            await self.call("Input.dispatchMouseEvent", type="mousePressed", **at)
            await self.call("Input.dispatchMouseEvent", type="mouseReleased", **at)
            if not await self._missed():
                return

    async def _missed(self) -> bool:
        """Whether the last click went elsewhere. A page that came since knows of none, nor does one without scripts."""
        with contextlib.suppress(AssertionError):  # it goes just now
            return bool(await self.run("window.missed === true"))
        return False

    async def type(self, selector: str, text: str) -> None:
        await self.until(f"document.querySelector({json.dumps(selector)}) !== null")
        await self.run(f"(it => {{ it.focus(); it.select?.(); }})(document.querySelector({json.dumps(selector)}))")
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.call("Input.dispatchKeyEvent", type=kind, key=key, text=key if len(key) == 1 else "")

    async def text(self, selector: str = "body") -> str:
        return str(await self.run(f"document.querySelector({json.dumps(selector)}).innerText"))

    async def picture(self) -> bytes:
        """A PNG of what the window shows."""
        return base64.b64decode((await self.call("Page.captureScreenshot", format="png"))["data"])

    async def aclose(self) -> None:
        self._listener.cancel()
        await asyncio.wait({self._listener})
        await self._socket.close()

    async def _listen(self) -> None:
        async for message in self._socket:
            told = json.loads(message.data)
            if "id" in told:
                answer = self._waiting.pop(told["id"])
                if "error" in told:
                    answer.set_exception(AssertionError(told["error"]))
                else:
                    answer.set_result(told["result"])
            else:
                self._take(told["method"], told["params"])

    def _take(self, event: str, params: dict[str, Any]) -> None:
        match event:
            case "Page.loadEventFired":
                self._loads += 1
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                self.complaints.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")
            case "Audits.issueAdded" if params["issue"]["code"] == "ContentSecurityPolicyIssue":
                self.complaints.append(str(params["issue"]))
            case _:
                pass


class Browser:
    """One chromium; each page is in a window of its own, without the cookies and the storage of the others."""

    def __init__(self, session: aiohttp.ClientSession, address: str, main: Page) -> None:
        self._session = session
        self._address = address
        self._main = main
        self._pages: list[Page] = []

    async def page(
        self, *, width: int = 1440, height: int = 900, dark: bool = False, headers: Mapping[str, str] | None = None
    ) -> Page:
        context = (await self._main.call("Target.createBrowserContext"))["browserContextId"]
        target = await self._main.call("Target.createTarget", url="about:blank", browserContextId=context)
        address = f"ws://{self._address}/devtools/page/{target['targetId']}"
        page = Page(await self._session.ws_connect(address, max_msg_size=MESSAGE_MAX))
        self._pages.append(page)
        await page.prepare(width=width, height=height, dark=dark, headers=headers or {})
        return page

    async def aclose(self) -> None:
        """All of its processes end by themselves: to kill the first would leave the others with their connections."""
        for page in self._pages:
            await page.aclose()
        await self._main.call("Browser.close")
        await self._main.aclose()


@contextlib.asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    assert CHROMIUM, "no chromium on this machine"
    folder = Path(tempfile.mkdtemp(prefix="flatline-browser-"))
    process = await asyncio.create_subprocess_exec(
        CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
        "--disable-background-networking", "--disable-extensions", "--hide-scrollbars", "--lang=en-GB",
        "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank",
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "DevToolsActivePort"

        async def lines() -> list[str]:
            found = told.read_text().splitlines() if told.exists() else []
            return found if len(found) == 2 else []

        port, path = await eventually(lines, within_s=WAIT_S)
        async with aiohttp.ClientSession() as session:
            socket = await session.ws_connect(f"ws://127.0.0.1:{port}{path}", max_msg_size=MESSAGE_MAX)
            browser = Browser(session, f"127.0.0.1:{port}", Page(socket))
            try:
                yield browser
            finally:
                await browser.aclose()
                async with asyncio.timeout(WAIT_S):
                    await process.wait()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        shutil.rmtree(folder, ignore_errors=True)


async def faults(page: Page) -> list[Any]:
    """What axe finds to be serious, with the elements."""
    await page.run(AXE)
    script = """axe.run({resultTypes: ['violations']}).then(found => found.violations
        .filter(each => ['serious', 'critical'].includes(each.impact))
        .map(each => [each.id, each.nodes.map(node => node.html + ' ' + node.failureSummary)]))"""
    found: list[Any] = await page.run(script)
    return found
