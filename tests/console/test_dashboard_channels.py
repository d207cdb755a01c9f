"""The pages of channels and of dead letters, without a browser: what they show, to whom, and what they change."""

import html
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import pytest

from console.access import Role
from console.dashboard.deliveries import FOLLOWED_MS, PAGE
from rules.channels import KINDS
from store import channels, deliveries, heartbeats, members, notifications
from store.database import Database
from store.deliveries import Result
from store.records import Channel, Heartbeat
from tests.console import cast
from tests.console.cast import OURS
from tests.console.conftest import Api
from tests.store.scene import make, send

STRANGE: Final = "<img src=x onerror=alert(1)>'\"&"
SECRETS: Final = ("s3cret-token", "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "pagertree://s3cret-key")
URL: Final = "https://hooks.example.org/T1/s3cret-path"
PART: Final = {"HX-Request": "true"}
#: Of each kind, what its form takes at least.
FORMS: Final[dict[str, dict[str, str]]] = {
    "webhook": {"settings.url": URL},
    "gotify": {"settings.url": "https://push.example.org", "settings.token": SECRETS[0]},
    "email": {"settings.to": "ops@example.org\r\ndba@example.org"},
    "slack": {"settings.url": URL},
    "discord": {"settings.url": URL},
    "telegram": {"settings.token": SECRETS[0], "settings.chat_id": "-100", "settings.topic": "7"},
    "teams": {"settings.url": URL},
    "ntfy": {"settings.topic": "alerts"},
    "pushover": {"settings.token": SECRETS[0], "settings.user": SECRETS[0], "settings.emergency": "1"},
    "pagerduty": {"settings.routing_key": SECRETS[0]},
    "alertmanager": {"settings.url": "https://alerts.example.org/am"},
    "apprise": {"settings.url": SECRETS[2]},
}


@dataclass(frozen=True)
class Page:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def words(self) -> str:
        """As one reads it: without tags, a space between words."""
        return " ".join(html.unescape(re.sub("<[^>]*>", " ", self.text)).split())

    @property
    def to(self) -> str:
        return self.headers.get("location", "")


@dataclass
class Visitor:
    """A browser that follows no redirects."""

    session: aiohttp.ClientSession
    url: str
    headers: dict[str, str]

    async def get(self, path: str, **headers: str) -> Page:
        return await self._ask("GET", path, headers, None)

    async def post(self, path: str, form: Any = None, **headers: str) -> Page:
        return await self._ask("POST", path, headers, form or {})

    async def _ask(self, method: str, path: str, headers: dict[str, str], form: Any) -> Page:
        sent = {**self.headers, **headers}
        async with self.session.request(
            method, self.url + path, headers=sent, data=form, allow_redirects=False
        ) as answer:
            found = {name.lower(): value for name, value in answer.headers.items()}
            return Page(answer.status, await answer.text(), found)


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as found:
        yield found


@pytest.fixture
async def owner(api: Api, store: Database, session: aiohttp.ClientSession) -> Visitor:
    return await visitor(api, store, session, "owner")


async def visitor(api: Api, store: Database, session: aiohttp.ClientSession, role: Role) -> Visitor:
    actor = await cast.signed_in(store, role)
    return Visitor(session, api.url, actor.headers)


async def channel(store: Database, name: str = "ops", *, project: str = "default", **settings: Any) -> Channel:
    given = {"url": URL, "secret": SECRETS[1], "fold": True} | settings
    return await channels.create(store, name, "webhook", given, project)


async def tell(
    store: Database,
    channel: Channel,
    incident: str = "",
    *,
    result: Result = "told",
    answer: str = "200",
    reason: str = "",
) -> str:
    """A message as a notifier tells it, of a test unless an incident is named; the id of the delivery."""
    if incident:
        await notifications.enlist(store, store.shard(incident), "", [(incident, channel.id)])
    else:
        incident = (await deliveries.send_test(store, channel.id, channel.project)).incident
    shard = store.shard(incident)
    leases = await deliveries.lease(store, shard, channel.id, [incident], owner="me", lease_ms=1_000)
    about = {"answer": answer, "reason": reason, "latency_ms": 124}
    await deliveries.outcome(
        store,
        shard,
        channel.id,
        leases,
        owner="me",
        result=result,
        **about,  # type: ignore[arg-type]  # told above
    )
    return f"{incident}:{channel.id}"


async def down(store: Database, name: str) -> tuple[Heartbeat, str]:
    """A heartbeat and its open incident."""
    heartbeat = await make(store, name)
    await send(store, heartbeat, "fail", at=await store.now())
    incident = (await heartbeats.get(store, heartbeat.id)).incident
    assert incident
    return heartbeat, incident


async def test_without_a_channel_the_pages_say_that_nobody_is_told(owner: Visitor, store: Database) -> None:
    hint = "Nobody is told yet : add a channel"
    assert hint in (await owner.get("/")).words
    heartbeat = await make(store)
    assert hint in (await owner.get(f"/heartbeats/{heartbeat.id}")).words
    empty = await owner.get("/channels")
    assert "nobody hears of an incident" in empty.words
    assert 'href="/channels/new"' in empty.text

    await channel(store)

    for path in ("/", f"/heartbeats/{heartbeat.id}"):
        assert "Nobody is told" not in (await owner.get(path)).words


async def test_the_list_says_of_each_channel_whether_it_works(owner: Visitor, store: Database) -> None:
    works, silent, tries, failed, broken, gone = [
        await channel(store, name) for name in ("a works", "b silent", "c tries", "d failed", "e broken", "f gone")
    ]
    await tell(store, works)
    await tell(store, tries)
    await tell(store, tries, result="retry", answer="hooks.example.org answered 503", reason="server_error")
    await tell(store, failed, result="dead", answer="hooks.example.org answered 413", reason="client_error")
    await tell(store, broken, result="dead", answer="hooks.example.org answered 404", reason="client_error")
    await channels.set_broken(store, broken, "hooks.example.org answered 404", gone=False)
    await tell(store, gone, result="dead", answer="hooks.example.org answered 410", reason="gone")
    await channels.set_broken(store, gone, "hooks.example.org answered 410", gone=True)

    page = await owner.get("/channels")

    items = [Page(200, item, {}).words for item in page.text.partition('<ul class="channels">')[2].split("<li>")[1:]]
    told = [re.sub(r"\d+ \w+ ago", "now", item).partition(" Send test")[0] for item in items]
    told = [item.partition(" It broke ")[0] for item in told]
    assert told == [
        "a works webhook Works told now in 124 ms",
        "b silent webhook Never told nothing was sent yet",
        "c tries webhook Trying again told now in 124 ms hooks.example.org answered 503",
        "d failed webhook Failed tried now hooks.example.org answered 413",
        "e broken webhook Broken tried now hooks.example.org answered 404",
        "f gone webhook Broken tried now hooks.example.org answered 410",
    ]
    assert "Dead letters 3" in page.words
    assert silent.id in page.text
    assert "It works again as soon as a message arrives" in (await owner.get(f"/channels/{broken.id}")).words
    assert "nothing but tests until the settings" in (await owner.get(f"/channels/{gone.id}")).words


def test_each_kind_has_its_form_in_these_tests() -> None:
    assert set(FORMS) == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
async def test_each_kind_is_made_by_the_form_that_its_fields_draw(owner: Visitor, store: Database, kind: str) -> None:
    assert f'href="/channels/new?kind={kind}"' in (await owner.get("/channels/new")).text
    form = await owner.get(f"/channels/new?kind={kind}")
    drawn = set(re.findall(r'name="settings\.(\w+)"', form.text))
    assert drawn == {field.name for field in KINDS[kind].fields}
    for field in KINDS[kind].fields:
        assert html.escape(field.doc, quote=False) in html.unescape(form.text).replace("&", "&amp;")

    sent = {"kind": kind, "name": "Дежурный", "settings.alert_priority": "9", "settings.recovery_priority": "off"}
    made = await owner.post("/channels/new", sent | FORMS[kind])

    (saved,) = await channels.of_project(store)
    assert (saved.name, saved.kind) == ("Дежурный", kind)
    for name, value in FORMS[kind].items():
        kept = saved.settings[name.removeprefix("settings.")]
        assert str(kept) in {value, "True"} or kept in (7, ["ops@example.org", "dba@example.org"])
    common = [saved.settings[name] for name in ("fold", "alert_priority", "recovery_priority")]
    assert common == [False, 9, "off"]
    if kind == "webhook":
        assert made.status == 200
    else:
        assert (made.status, made.to) == (303, f"/channels/{saved.id}")
    page = await owner.get(f"/channels/{saved.id}")
    assert not [secret for secret in SECRETS if secret in page.text + made.text]
    again = {name: value for name, value in FORMS[kind].items() if value not in SECRETS}
    assert (await owner.post(f"/channels/{saved.id}/settings", sent | again)).to == f"/channels/{saved.id}"
    assert (await channels.get(store, saved.id)).settings == saved.settings


async def test_a_secret_made_by_us_is_shown_once_and_one_that_was_given_never(owner: Visitor, store: Database) -> None:
    form = {"kind": "webhook", "name": "hook", "settings.url": URL}

    made = await owner.post("/channels/new", form)

    (saved,) = await channels.of_project(store)
    secret = saved.settings["secret"]
    assert secret in made.text
    assert made.headers["cache-control"] == "no-store"
    assert "it is not shown again" in made.words
    for path in ("/channels", f"/channels/{saved.id}", "/deliveries"):
        assert secret not in (await owner.get(path)).text
    given = await owner.post("/channels/new", form | {"name": "mine", "settings.secret": SECRETS[1]})
    assert given.status == 303
    assert SECRETS[1] not in given.text


async def test_a_form_with_a_fault_keeps_what_was_typed_but_for_secrets(owner: Visitor, store: Database) -> None:
    form = {"kind": "gotify", "name": "phone", "settings.url": "ftp://x", "settings.token": SECRETS[0]}

    refused = await owner.post("/channels/new", form)
    nameless = await owner.post("/channels/new", {**form, "name": "", "settings.url": "https://a"})

    assert refused.status == nameless.status == 422
    assert 'id="settings.url-fault"' in refused.text
    assert "URL must be http:// or https:// with a host" in refused.words
    assert 'value="ftp://x"' in refused.text
    assert 'value="phone"' in refused.text
    assert 'id="name-fault"' in nameless.text
    assert SECRETS[0] not in refused.text + nameless.text
    assert await channels.of_project(store) == []
    assert (await owner.post("/channels/new", {"kind": "pigeon", "name": "x"})).status == 400
    assert "How should people be told?" in (await owner.get("/channels/new?kind=pigeon")).words


async def test_settings_are_changed_and_an_empty_secret_stays(owner: Visitor, store: Database) -> None:
    made = await channel(store, alert_priority=3)
    path = f"/channels/{made.id}"
    shown = await owner.get(path)
    assert f'value="{URL}"' in shown.text
    assert '<option value="3" selected>' in shown.text

    form = {"name": "night", "settings.url": "https://b.example.org", "settings.secret": "", "settings.fold": "1"}
    assert (await owner.post(f"{path}/settings", form)).to == path
    changed = await channels.get(store, made.id)
    assert changed.name == "night"
    assert changed.settings == {"url": "https://b.example.org", "secret": SECRETS[1], "fold": True}

    refused = await owner.post(f"{path}/settings", {**form, "settings.secret": "whsec_short", "name": "odd"})
    assert (refused.status, 'id="settings.secret-fault"' in refused.text) == (422, True)
    assert 'value="odd"' in refused.text
    assert "whsec_short" not in refused.text
    assert (await channels.get(store, made.id)) == changed


async def test_a_saved_channel_works_again_as_far_as_we_know(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    await channels.set_broken(store, made, "hooks.example.org answered 410", gone=True)

    await owner.post(f"/channels/{made.id}/settings", {"name": "ops", "settings.url": URL})

    assert not (await channels.get(store, made.id)).broken


async def test_a_channel_is_deleted_after_a_question_and_not_while_others_need_it(
    api: Api, owner: Visitor, store: Database
) -> None:
    made = await channel(store)
    path = f"/channels/{made.id}/delete"
    person = (await api.post("/api/people", {"name": "Ann", "contacts": [{"channel": made.id}]})).body

    assert "Delete this channel?" in (await owner.post(path)).words
    needed = await owner.post(path, {"sure": "yes"})
    assert (needed.status, 'in use by "Ann"' in needed.words) == (409, True)
    assert (await channels.get(store, made.id)) == made
    await api.delete(f"/api/people/{person['id']}")
    assert (await owner.post(path, {"sure": "yes"})).to == "/channels"
    assert (await owner.get(f"/channels/{made.id}")).status == 404


async def test_a_test_is_followed_until_it_was_answered(owner: Visitor, store: Database) -> None:
    made = await channel(store)

    asked = await owner.post(f"/channels/{made.id}/test", **PART)
    assert "Sending" in asked.words
    (again,) = re.findall(r'hx-get="([^"]+)"', asked.text)
    waiting = await owner.get(again, **PART)
    assert (waiting.words, again in waiting.text) == ("", True)
    assert "hx-trigger" not in waiting.headers

    delivery = again.split("/")[2]
    shard, incident = store.shard(delivery), delivery.partition(":")[0]
    leases = await deliveries.lease(store, shard, made.id, [incident], owner="me", lease_ms=1_000)
    await deliveries.outcome(store, shard, made.id, leases, owner="me", result="told", answer="200", latency_ms=124)
    told = await owner.get(again, **PART)

    assert told.words == "Told in 124 ms. The answer: 200"
    assert "hx-get" not in told.text
    found = [told.headers[name] for name in ("hx-trigger", "hx-retarget", "hx-reswap")]
    assert found == [f"told-{made.id}", "closest .outcome", "innerHTML"]


async def test_a_test_that_failed_says_why_and_whether_it_is_tried_again(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    tried = await tell(store, made, result="retry", answer="hooks.example.org answered 503", reason="server_error")
    dead = await tell(store, made, result="dead", answer="", reason="dns")

    again = await owner.get(f"/deliveries/{tried}/outcome?since=1")
    never = await owner.get(f"/deliveries/{dead}/outcome?since=1")

    assert again.words == "Not told , after 124 ms: hooks.example.org answered 503. It is tried again by itself."
    assert never.words == "Not told , after 124 ms: dns. It is not tried again."


async def test_the_page_asks_for_a_minute_and_no_longer(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    delivery = (await deliveries.send_test(store, made.id)).id
    now = await store.now()

    soon = await owner.get(f"/deliveries/{delivery}/outcome?since={now - FOLLOWED_MS + 30_000}")
    late = await owner.get(f"/deliveries/{delivery}/outcome?since={now - FOLLOWED_MS - 1_000}")

    assert ("hx-get" in soon.text, "hx-get" in late.text) == (True, False)
    assert late.words.startswith("Not sent yet.")
    for since in ("", "x", "1" * 16, "²"):
        assert (await owner.get(f"/deliveries/{delivery}/outcome?since={since}")).status == 422


async def test_without_a_script_a_test_leads_to_the_channels_page_which_tells_of_it(
    owner: Visitor, store: Database
) -> None:
    made, other = await channel(store), await channel(store, "other")

    asked = await owner.post(f"/channels/{made.id}/test")

    assert asked.to.startswith(f"/channels/{made.id}?test=")
    assert "Sending" in (await owner.get(asked.to)).words
    told = await tell(store, made)
    assert "Told in 124 ms. The answer: 200" in (await owner.get(f"/channels/{made.id}?test={told}")).words
    for strange in (await tell(store, other), "x", f"../../x:{made.id}", f"{'0' * 12}-1:{made.id}"):
        shown = await owner.get(f"/channels/{made.id}?test={strange}")
        assert (shown.status, "The answer" in shown.words) == (200, False)


async def test_a_channels_page_tells_what_it_was_sent(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    heartbeat, incident = await down(store, "nightly")
    await tell(store, made)
    await tell(store, made, incident, result="retry", answer="hooks.example.org answered 503", reason="server_error")

    page = await owner.get(f"/channels/{made.id}")

    rows = [Page(200, row, {}).words for row in page.text.partition('<ol class="log sent">')[2].split("<li ")[1:]]
    assert (
        "Incident opened : nightly To be tried again, after 124 ms: hooks.example.org answered 503 (server error)"
        in rows[0]
    )
    assert "Test Told in 124 ms: 200" in rows[1]
    assert f'href="/heartbeats/{heartbeat.id}"' in page.text


async def test_dead_letters_say_what_whom_why_and_can_be_sent_once_more_or_purged(
    owner: Visitor, store: Database
) -> None:
    made = await channel(store)
    _, incident = await down(store, "nightly")
    why = {"answer": "hooks.example.org answered 413", "reason": "client_error"}
    letter = await tell(store, made, incident, result="dead", **why)
    other = await tell(store, made, result="dead", **why)

    page = await owner.get("/deliveries")
    assert "nightly for ops The job reported a failure; the incident is still open." in page.words
    assert "hooks.example.org answered 413 (client error)" in page.words
    assert "A test for ops" in page.words
    assert page.words.count("1 attempt") == 2

    since = await store.now()
    sent = await owner.post(f"/deliveries/{letter}/resend", **PART)
    (again,) = re.findall(r'hx-get="([^"]+)"', sent.text)
    assert (await owner.get(again)).words == ""  # what it answered before is not what came of this
    assert int(again.partition("since=")[2]) >= since
    await tell(store, made, incident)
    assert (await owner.get(again)).words == "Told in 124 ms. The answer: 200"
    assert [each.id for each in await deliveries.dead(store)] == [other]

    assert (await owner.post(f"/deliveries/{other}/purge")).to == "/deliveries"
    assert (await owner.post(f"/deliveries/{other}/purge")).to == "/deliveries"  # by somebody else meanwhile
    assert "None: all that was to be told" in (await owner.get("/deliveries")).words
    assert (await owner.post(f"/deliveries/{letter}/resend")).to == "/deliveries"


async def test_what_is_forgotten_cannot_be_sent_once_more(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    letter = await tell(store, made, result="dead")
    await store.execute("DEL", store.shard(letter).incident(letter.partition(":")[0]))

    assert "something that is forgotten" in (await owner.get("/deliveries")).words
    refused = await owner.post(f"/deliveries/{letter}/resend")

    assert (refused.status, "what it told of is forgotten" in refused.words) == (404, True)
    assert (await owner.post(f"/deliveries/{letter}/purge")).to == "/deliveries"
    assert await deliveries.dead(store) == []


@pytest.mark.parametrize("action", ["resend", "purge"])
async def test_all_dead_letters_are_sent_or_purged_after_a_question(
    owner: Visitor, store: Database, action: str
) -> None:
    made = await channel(store)
    letters = {await tell(store, made, result="dead") for _ in range(3)}

    asked = await owner.post(f"/deliveries/{action}")
    assert (asked.status, asked.words.count("A test → ops")) == (200, 3)
    assert {each.id for each in await deliveries.dead(store)} == letters
    assert (await owner.post(f"/deliveries/{action}", {"sure": "yes"})).to == "/deliveries"

    assert await deliveries.dead(store) == []
    due = {
        name.decode().removeprefix("retry:") for name in await store.execute("ZRANGE", store.shards[0].chores, 0, -1)
    }
    assert due == (letters if action == "resend" else set())


async def test_more_dead_letters_than_a_page_are_said_to_be_more(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    for _ in range(PAGE + 1):
        await tell(store, made, result="dead")

    assert f"Dead letters {PAGE} or more" in (await owner.get("/channels")).words
    listed = await owner.get("/deliveries")
    assert listed.words.count("A test for ops") == PAGE
    assert "There may be more" in listed.words


@pytest.mark.parametrize("role", ["reader", "member", "owner"])
async def test_each_sees_and_does_what_their_role_allows(
    api: Api, store: Database, session: aiohttp.ClientSession, role: Role
) -> None:
    who = await visitor(api, store, session, role)
    made = await channel(store)
    letter = await tell(store, made, result="dead")
    path = f"/channels/{made.id}"

    shown = {each: await who.get(each) for each in ("/channels", path, "/deliveries")}
    assert [page.status for page in shown.values()] == [200] * 3
    may_write, may_admin = role != "reader", role == "owner"
    for page in shown.values():
        assert ("action=" in page.text.partition("<main")[2]) is may_write
    assert ('href="/channels/new"' in shown["/channels"].text) is may_write
    assert (f'action="{path}/settings"' in shown[path].text) is may_admin
    assert (f'action="{path}/delete"' in shown[path].text) is may_admin
    assert (URL in shown[path].text) is may_admin
    assert ("not shown" in shown[path].text) is not may_admin
    assert not [secret for page in shown.values() for secret in SECRETS if secret in page.text]
    assert ((await who.get("/channels/new")).status == 200) is may_write
    writes = ["/channels/new", f"{path}/test", f"/deliveries/{letter}/resend", "/deliveries/purge"]
    for each in writes:
        assert ((await who.post(each, FORMS["slack"] | {"kind": "slack", "name": "x"})).status != 403) is may_write
    for each in (f"{path}/settings", f"{path}/delete"):
        assert ((await who.post(each, {"name": "x", "settings.url": URL})).status != 403) is may_admin
    if role == "member":  # who makes one does not see afterwards what is its own password
        (theirs,) = [each for each in await channels.of_project(store) if each.kind == "slack"]
        assert URL not in (await who.get(f"/channels/{theirs.id}")).text


async def test_what_strangers_wrote_is_shown_as_text(owner: Visitor, store: Database) -> None:
    made = await channel(store, STRANGE, url=f"https://h.example.org/?q={STRANGE.replace(' ', '')}")
    _, incident = await down(store, STRANGE)
    told = await tell(store, made, incident, result="dead", answer=STRANGE, reason="settings")
    await channels.set_broken(store, made, STRANGE, gone=False)

    pages = [
        await owner.get(path)
        for path in ("/channels", f"/channels/{made.id}", f"/deliveries/{told}/outcome?since=1", "/deliveries")
    ]
    pages += [
        await owner.post("/channels/new", {"kind": "slack", "name": STRANGE, "settings.url": STRANGE}),
        await owner.post("/channels/new", {"kind": "webhook", "name": STRANGE, "settings.url": URL}),
        await owner.post(f"/channels/{made.id}/settings", {"name": STRANGE, "settings.url": STRANGE}),
        await owner.post(f"/channels/{made.id}/delete"),
        await owner.post("/deliveries/purge"),
    ]

    for page in pages:
        assert "<img" not in page.text
        assert STRANGE in html.unescape(page.text)
        assert "&lt;img" in page.text
        assert 'style="' not in page.text
    assert pages[0].words.count(STRANGE) >= 2


async def test_nothing_of_another_project_is_there(api: Api, owner: Visitor, store: Database) -> None:
    project = (await members.create_project(store, "others")).id
    theirs = await channel(store, "theirs", project=project)
    letter = await tell(store, theirs, result="dead")
    ours = await channel(store)

    for path in ("/channels", "/deliveries", f"/channels/{ours.id}?test={letter}"):
        assert "theirs" not in (await owner.get(path)).text
    assert (await owner.get(f"/channels/{theirs.id}")).status == 404
    assert (await owner.get(f"/deliveries/{letter}/outcome?since=1")).status == 404
    for path in (f"/channels/{theirs.id}/{what}" for what in ("test", "settings", "delete")):
        assert (await owner.post(path, {"sure": "yes", "name": "mine", "settings.url": URL})).status == 404
    for path in (f"/deliveries/{letter}/resend", f"/deliveries/{letter}/purge"):
        assert (await owner.post(path)).status == 404
    await owner.post("/deliveries/purge", {"sure": "yes"})
    assert [each.id for each in await deliveries.dead(store)] == [letter]
    assert await channels.get(store, theirs.id, project) == theirs


async def test_a_form_on_a_page_of_others_sends_and_changes_nothing(owner: Visitor, store: Database) -> None:
    made = await channel(store)
    letter = await tell(store, made, result="dead")
    theirs = dict.fromkeys(OURS, "cross-site")

    paths = [f"/channels/{made.id}/{what}" for what in ("test", "settings", "delete")]
    paths += ["/channels/new", "/deliveries/purge", f"/deliveries/{letter}/purge", f"/deliveries/{letter}/resend"]
    for path in paths:
        assert (await owner.post(path, {"sure": "yes", "name": "x"}, **theirs)).status == 403

    assert await channels.of_project(store) == [made]
    assert [each.id for each in await deliveries.dead(store)] == [letter]


async def test_what_is_no_id_is_not_found(owner: Visitor) -> None:
    for path in ("/channels/x", "/channels/" + "0" * 12, "/deliveries/x/outcome?since=1"):
        assert (await owner.get(path)).status == 404
