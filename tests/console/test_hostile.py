"""What strangers wrote is text wherever it is shown: on every page, in a mail, in what an assistant is told."""

import json
from collections.abc import Iterator
from email.message import EmailMessage
from html.parser import HTMLParser
from typing import Final

import pytest

from console.dashboard.app import TABLE
from notifier.channels.smtp import compose
from rules import limits
from store import heartbeats
from store.database import Database
from tests.console.conftest import Api, member_signal, signal
from tests.console.test_mcp import call, over_http
from tests.notifier.messages import message
from tests.notifier.test_smtp import SENDER

HOSTILE: Final = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "javascript:alert(1)//",
    "{{ 7 * 7 }}{% include 'x' %}<b>alert(1)</b>",
)
ADDRESSES: Final = frozenset({"href", "src", "action", "formaction", "hx-get", "hx-post"})


class Shown(HTMLParser):
    """Text and attributes of a page as a browser reads them, and what in it could run."""

    def __init__(self) -> None:
        super().__init__()
        self.text = ""
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            self.text += f"\n{value or ''}"
            runs = name.startswith("on") or name == "style"
            if runs or (name in ADDRESSES and "script:" in (value or "").lower()):
                self.faults.append(f"<{tag} {name}={value}>")
        if tag in {"img", "b"} or (tag == "script" and not (dict(attrs).get("src") or "").startswith("/static/")):
            self.faults.append(f"<{tag}>")

    def handle_data(self, data: str) -> None:
        self.text += data


def shown(page: str) -> Shown:
    read = Shown()
    read.feed(page)
    return read


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest) -> str:
    text: str = request.param
    return text


async def fill(api: Api, store: Database, text: str) -> dict[str, str]:
    """A project in which this text stands wherever somebody else may write; the ids that paths name."""
    body = text.encode()
    channel = (
        await api.post("/api/channels", {"name": text, "kind": "webhook", "settings": {"url": "https://x.example/"}})
    ).body
    texts = {"alert_text": text, "recovery_text": text, "tags": [text[: limits.TAG_MAX]]}
    heartbeat = (await api.heartbeat(text, channels=[channel["id"]], **texts))["id"]
    await signal(store, heartbeat, age_s=60, output=body, agent=body)
    await signal(store, heartbeat, signal="fail", output=body, agent=body)
    fleet = (await api.fleet(text, tags=texts["tags"]))["id"]
    await member_signal(store, fleet, "member", signal="fail")
    (incident,) = (await api.get("/api/incidents?status=open")).body["incidents"]
    await api.post(f"/api/incidents/{incident['id']}/notes", {"text": text, "by": text})
    person = (await api.post("/api/people", {"name": text, "contacts": [{"channel": channel["id"]}]})).body
    duty = {"name": text, "people": [person["id"]], "days": 7, "handover": "09:00", "start": "2026-01-05"}
    oncall = (await api.post("/api/oncall", duty)).body
    policy = (await api.post("/api/policies", {"name": text, "steps": [{"people": [person["id"]]}]})).body
    window = (await api.post("/api/windows", {"name": text, "tags": texts["tags"]})).body
    user = (await api.post("/api/users", {"login": "eve", "password": "long enough, surely"})).body
    key = (await api.post("/api/keys", {"name": text, "scopes": ["read"]})).body
    delivery = (await api.post(f"/api/channels/{channel['id']}/test")).body["delivery"]
    (event, *_) = (await api.get(f"/api/heartbeats/{heartbeat}/events")).body["events"]
    return {
        "heartbeat": heartbeat, "fleet": fleet, "incident": incident["id"], "channel": channel["id"],
        "person": person["id"], "oncall": oncall["id"], "policy": policy["id"], "window": window["id"],
        "user": user["id"], "key": key["id"], "delivery": delivery, "event": event["id"], "project": "default",
    }  # fmt: skip


def pages(ids: dict[str, str]) -> Iterator[str]:
    for method, path, _, _ in TABLE:
        if method == "GET":
            yield path.format(**ids)


async def test_on_every_page(api: Api, store: Database, hostile: str) -> None:
    ids = await fill(api, store, hostile)
    found = set()
    for path in pages(ids):
        answer = await api.get(path)
        assert answer.status < 500, path
        page = shown(answer.body.decode())
        assert page.faults == [], path
        if hostile in page.text:
            found.add(path)

    lists = {"/", "/incidents", "/channels", "/fleets", "/oncall", "/people", "/policies", "/windows", "/settings/keys"}
    own = {f"/{kind}/{ids[id_]}" for kind, id_ in OWN.items()}
    assert lists | own <= found


#: Pages of one thing, which show its name.
OWN: Final = {
    "heartbeats": "heartbeat", "channels": "channel", "fleets": "fleet", "oncall": "oncall", "people": "person",
    "policies": "policy", "windows": "window",
}  # fmt: skip


async def test_in_the_answers_to_assistants(api: Api, store: Database, hostile: str) -> None:
    """Text stays the value that it is; what monitored machines wrote stands between fences."""
    ids = await fill(api, store, hostile)
    async with over_http(api) as client:
        told = await call(client, "explain_incident", incident=ids["incident"])
        listed = await call(client, "list_heartbeats")

    assert json.loads(json.dumps(told)) == told
    assert told["heartbeat"]["name"] == hostile
    assert [each["name"] for each in listed["heartbeats"]] == [hostile]
    for fenced in (told["output"], told["notes"][0]["text"]):
        first, text, last = fenced.split("\n")
        assert "not instructions" in first
        assert text == hostile
        assert last.startswith(first.partition(":")[0])


async def test_in_a_mail(hostile: str) -> None:
    mail: EmailMessage = compose(
        message(title=hostile, text=hostile, output=hostile.encode()), ("ops@example.org",), SENDER
    )
    assert mail.get_content_type() == "text/plain"
    assert mail["Subject"] == hostile
    assert mail.get_content().count(hostile) == 2


async def test_the_check_itself_sees_what_would_run() -> None:
    for bad in HOSTILE:
        wrapped = f"<title></title><input value='{bad}'><a href=\"{bad}\">{bad}</a>"
        assert shown(wrapped).faults, bad


async def test_a_name_is_kept_as_it_was_sent(api: Api, store: Database, hostile: str) -> None:
    made = await api.heartbeat(hostile)
    assert (await heartbeats.get(store, made["id"])).settings.name == hostile
