from typing import Any

import pytest
from standardwebhooks import Webhook

from store import channels
from store.database import Database
from tests.console.conftest import Api

GOTIFY = {"name": "телефон", "kind": "gotify", "settings": {"url": "https://push.example.org", "token": "A-secret"}}
GIVEN = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


async def test_the_whole_life_of_a_channel(api: Api) -> None:
    made = (await api.post("/api/channels", GOTIFY)).body
    path = "/api/channels/" + made["id"]
    renamed = (await api.patch(path, {"name": "дежурный"})).body

    assert (made["name"], made["kind"], made["settings"]["token"]) == ("телефон", "gotify", None)
    assert (await api.get("/api/channels")).body == {"channels": [renamed], "next_cursor": None}
    assert (await api.get(path)).body == renamed == {**made, "name": "дежурный"}
    assert (await api.delete(path)).status == 204
    assert [(await api.get(path)).status, (await api.delete(path)).status] == [404, 404]
    assert (await api.patch(path, {"name": "x"})).error["message"] == "no such channel"
    assert (await api.post(path + "/test")).status == 404


async def test_a_secret_made_by_us_is_shown_once(api: Api, store: Database) -> None:
    made = await api.channel()
    path = "/api/channels/" + made["id"]

    Webhook(made["settings"]["secret"])
    assert (await channels.get(store, made["id"])).settings["secret"] == made["settings"]["secret"]
    assert (await api.get(path)).body == {**made, "settings": {**made["settings"], "secret": None}}
    assert (await api.patch(path, {"name": "x"})).body["settings"]["secret"] is None
    assert (await api.get("/api/channels")).body["channels"][0]["settings"]["secret"] is None


async def test_a_secret_that_was_given_is_never_shown(api: Api, store: Database) -> None:
    made = await api.channel(secret=GIVEN)

    assert made["settings"]["secret"] is None
    assert (await channels.get(store, made["id"])).settings["secret"] == GIVEN


async def test_a_change_of_settings_keeps_what_is_not_sent_and_masked_secrets(api: Api, store: Database) -> None:
    made = await api.channel(secret=GIVEN, fold=False)
    path = "/api/channels/" + made["id"]
    as_shown = (await api.get(path)).body["settings"]
    changed = (await api.patch(path, {"settings": {**as_shown, "url": "https://hooks.example.org/y"}})).body

    assert changed["settings"] == {"url": "https://hooks.example.org/y", "secret": None, "fold": False}
    assert (await channels.get(store, made["id"])).settings["secret"] == GIVEN
    assert (await api.patch(path, {"settings": {"secret": "whsec_short"}})).status == 422


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"name": ""}, "name", "name must have 1 to 100 characters"),
        ({"name": "a\r\nBcc: x"}, "name", "name must have no control characters"),
        ({"kind": "pigeon"}, "kind", "kind must be one of webhook, gotify, email"),
        ({"kind": 5}, "kind", "kind must be"),
        ({"settings": []}, "settings", "settings must be a valid object"),
        ({"settings": {}}, "settings.url", "settings.url is required"),
        ({"settings": {"url": "ftp://x"}}, "settings.url", "settings.url must be http:// or https://"),
        ({"settings": {"url": "https://a", "ulr": 1}}, "settings.ulr", "settings.ulr is not a setting of gotify"),
        (
            {"settings": {"url": "https://a", "token": "s3cret\n"}},
            "settings.token",
            "settings.token must have no control",
        ),
        ({"extra": 1}, "extra", 'unknown field "extra"'),
    ],
)
async def test_what_is_malformed_is_refused_without_repeating_it(
    api: Api, changes: dict[str, Any], field: str, message: str
) -> None:
    refused = await api.post("/api/channels", {**GOTIFY, **changes})

    assert (refused.status, refused.error["field"]) == (422, field)
    assert message in refused.error["message"]
    assert "s3cret" not in str(refused.body)
    assert (await api.get("/api/channels")).body["channels"] == []


async def test_a_private_address_is_saved_because_only_the_notifier_knows_what_is_allowed(api: Api) -> None:
    assert (await api.channel(url="http://127.0.0.1:8080/hook"))["settings"]["url"] == "http://127.0.0.1:8080/hook"


async def test_the_kind_of_a_channel_stays(api: Api) -> None:
    made = await api.channel()

    assert (await api.patch("/api/channels/" + made["id"], {"kind": "email"})).error["field"] == "kind"


async def test_nothing_is_sent_when_a_channel_is_made_and_a_test_can_be_followed(api: Api, store: Database) -> None:
    made = await api.channel()
    outbox = store.shards[0].notifications
    assert await store.execute("XLEN", outbox) == 0

    asked = await api.post(f"/api/channels/{made['id']}/test")
    delivery = await api.get("/api/deliveries/" + asked.body["delivery"])

    assert asked.status == 202
    assert await store.execute("XLEN", outbox) == 1
    assert (delivery.body["channel"], delivery.body["status"]) == (made["id"], "waiting")
    assert (delivery.body["attempts"], delivery.body["answer"], delivery.body["latency_ms"]) == (0, None, None)
    assert (await api.get("/api/incidents/" + delivery.body["incident"])).status == 404
    assert (await api.get("/api/incidents")).body["incidents"] == []
