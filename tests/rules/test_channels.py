import base64
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import limits
from rules.apprise import SCHEMES, apprise_url
from rules.channels import KINDS, OFF, FieldError, check, email_address, make_secret, secret_key

WEBHOOK = {"url": "https://example.org/hook"}
GOTIFY = {"url": "https://push.example.org", "token": "A7bQ2w.Lk_-9xZs"}
EMAIL = {"to": ["ops@example.org"]}
TELEGRAM = {"token": "123:A7bQ2w", "chat_id": "-1001234567890"}
NTFY = {"topic": "ops_A7bQ2w"}
PUSHOVER = {"token": "a7bQ2w", "user": "u7bQ2w"}
PAGERDUTY = {"routing_key": "a7bQ2w"}
ALERTMANAGER = {"url": "http://10.0.0.2:9093/am"}
APPRISE = {"url": "opsgenie://12345678-1234-1234-1234-1234567890ab/#ops?region=eu".replace("#", "%23")}
VALID: dict[str, dict[str, Any]] = {
    "webhook": WEBHOOK,
    "gotify": GOTIFY,
    "email": EMAIL,
    "slack": {"url": "https://hooks.slack.com/services/T0/B0/x"},
    "discord": {"url": "https://discord.com/api/webhooks/1/x?thread_id=2"},
    "telegram": TELEGRAM,
    "teams": {"url": "https://prod-1.westeurope.logic.azure.com:443/workflows/1/triggers/manual/paths/invoke?sig=x"},
    "ntfy": NTFY,
    "pushover": PUSHOVER,
    "pagerduty": PAGERDUTY,
    "alertmanager": ALERTMANAGER,
    "apprise": APPRISE,
}
DEFAULTS: dict[str, dict[str, Any]] = {
    "telegram": {"url": "https://api.telegram.org"},
    "ntfy": {"url": "https://ntfy.sh"},
    "pushover": {"url": "https://api.pushover.net", "emergency": False, "retry": 60, "expire": 3_600},
    "pagerduty": {"url": "https://events.pagerduty.com"},
}
#: What is never given back, and what only to those who may change it.
SECRET = {
    ("webhook", "secret"),
    ("gotify", "token"),
    ("telegram", "token"),
    ("ntfy", "token"),
    ("pushover", "token"),
    ("pushover", "user"),
    ("pagerduty", "routing_key"),
    ("alertmanager", "token"),
    ("apprise", "url"),
}
FOR_ADMINS = {("webhook", "url"), ("slack", "url"), ("discord", "url"), ("teams", "url"), ("ntfy", "topic")}


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_its_least_settings_and_folds_by_default(kind: str) -> None:
    assert check(kind, VALID[kind]) == VALID[kind] | DEFAULTS.get(kind, {}) | {"fold": True}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_checked_passes_again(kind: str) -> None:
    checked = check(kind, VALID[kind])

    assert check(kind, checked) == checked


def test_the_table_marks_what_is_never_shown_again() -> None:
    shown = {(kind.name, field.name): field.shown for kind in KINDS.values() for field in kind.fields}

    assert {key for key, to in shown.items() if to == "never"} == SECRET
    assert {key for key, to in shown.items() if to == "admins"} == FOR_ADMINS


def test_each_kind_has_a_description_and_each_field_a_line() -> None:
    for kind in KINDS.values():
        assert kind.description.endswith(".")
        assert all(field.doc.endswith(".") for field in kind.fields)


def test_the_page_of_channels_names_each_kind_with_all_its_settings() -> None:
    page = (Path(__file__).parents[2] / "docs" / "channels.md").read_text()
    rows = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    told = {row[1].strip(" `"): set(re.findall("`([a-z_]+)`", row[2])) for row in rows}

    every = {"fold", "alert_priority", "recovery_priority"}
    assert {name: told.get(name) for name in every} == {name: set() for name in every}
    assert {name: told.get(name) for name in KINDS} == {
        kind.name: {field.name for field in kind.fields} - every for kind in KINDS.values()
    }
    assert all(f"`{scheme}`" in page for scheme in SCHEMES)


@pytest.mark.parametrize("name", ["alert_priority", "recovery_priority"])
@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_may_have_priorities_of_its_own(kind: str, name: str) -> None:
    for value in (0, 10, OFF):
        assert check(kind, VALID[kind] | {name: value})[name] == value
    assert name not in check(kind, VALID[kind] | {name: None})
    for bad in (-1, 11, True, False, 1.0, "8", "on", ""):
        with pytest.raises(FieldError, match=f'^{name} must be a whole number from 0 to 10, or "off"$'):
            check(kind, VALID[kind] | {name: bad})


@pytest.mark.parametrize(
    ("kind", "settings", "normalised"),
    [
        ("webhook", WEBHOOK | {"secret": whsec(24), "fold": False}, {"secret": whsec(24), "fold": False}),
        ("webhook", WEBHOOK | {"secret": None}, {"fold": True}),
        ("webhook", {"url": "http://[2606:4700::1]:8080/a?b=c#d"}, {"url": "http://[2606:4700::1]:8080/a?b=c#d"}),
        ("webhook", {"url": "https://пример.рф/"}, {"url": "https://пример.рф/"}),
        ("gotify", GOTIFY | {"url": "http://10.0.0.2:8080/push/"}, {"url": "http://10.0.0.2:8080/push"}),
        ("gotify", GOTIFY | {"token": "gtfya." + "x" * 494}, {"token": "gtfya." + "x" * 494}),
        ("email", {"to": ["a@b.c", "d+e@f.g", "a@b.c"]}, {"to": ["a@b.c", "d+e@f.g"]}),
        ("email", {"to": ["root@localhost"]}, {"to": ["root@localhost"]}),
        ("telegram", TELEGRAM | {"chat_id": "@alerts_of_ops", "topic": 7}, {"chat_id": "@alerts_of_ops", "topic": 7}),
        ("telegram", TELEGRAM | {"url": "http://127.0.0.1:8081/"}, {"url": "http://127.0.0.1:8081"}),
        ("ntfy", NTFY | {"url": "https://example.org/push/"}, {"url": "https://example.org/push"}),
        ("pushover", PUSHOVER | {"emergency": True, "retry": 30, "expire": 10_800}, {"retry": 30, "expire": 10_800}),
        ("email", {"to": ["ops@пример.рф"]}, {"to": ["ops@xn--e1afmkfd.xn--p1ai"]}),
    ],
)
def test_settings_are_normalised(kind: str, settings: dict[str, object], normalised: dict[str, object]) -> None:
    assert normalised.items() <= check(kind, settings).items()


def url_of(length: int) -> str:
    return "https://example.org/".ljust(length, "x")


def test_limits_themselves_are_allowed() -> None:
    check("webhook", {"url": url_of(limits.URL_MAX), "secret": whsec(limits.SECRET_MAX_BYTES)})
    check("gotify", GOTIFY | {"token": "t" * limits.TOKEN_MAX})
    check("email", {"to": [f"a{n}@example.org" for n in range(limits.EMAILS_MAX)]})
    check("email", {"to": ["a" * 64 + "@" + ".".join(["b" * 47] * 3) + "." + "c" * 45]})


@pytest.mark.parametrize(
    ("kind", "settings", "field", "says"),
    [
        ("pigeon", {}, "kind", "webhook, gotify, email, slack"),
        ("webhook", {}, "url", "is required"),
        ("webhook", {"url": None}, "url", "is required"),
        ("webhook", WEBHOOK | {"token": "x"}, "token", "not a setting of webhook"),
        ("webhook", {"url": 7}, "url", "string"),
        ("webhook", {"url": ""}, "url", "non-empty"),
        ("webhook", {"url": url_of(limits.URL_MAX + 1)}, "url", "at most 2,000 characters"),
        ("webhook", {"url": "ftp://example.org"}, "url", "http:// or https://"),
        ("webhook", {"url": "file:///etc/passwd"}, "url", "http:// or https://"),
        ("webhook", {"url": "https:///path"}, "url", "with a host"),
        ("webhook", {"url": "https://user:pw@example.org/"}, "url", "no user or password"),
        ("webhook", {"url": "https://example.org:70000/"}, "url", "valid URL"),
        ("webhook", {"url": "https://[::1/"}, "url", "valid URL"),
        ("webhook", {"url": "https://example.org/a b"}, "url", "no spaces"),
        ("webhook", {"url": "https://example.org\\@evil.example/"}, "url", "no backslashes"),
        ("webhook", {"url": "https://example.org/\r\nX: y"}, "url", "control characters"),
        ("webhook", WEBHOOK | {"secret": "hunter2"}, "secret", "whsec_"),
        ("webhook", WEBHOOK | {"secret": whsec(23)}, "secret", "24 to 64 bytes"),
        ("webhook", WEBHOOK | {"secret": whsec(65)}, "secret", "24 to 64 bytes"),
        ("webhook", WEBHOOK | {"secret": "whsec_" + "й" * 40}, "secret", "base64"),
        ("webhook", WEBHOOK | {"fold": "yes"}, "fold", "true or false"),
        ("gotify", {"url": "https://push.example.org"}, "token", "is required"),
        ("gotify", GOTIFY | {"url": "https://push.example.org?token=x"}, "url", "no query"),
        ("gotify", GOTIFY | {"token": "t" * 501}, "token", "at most 500 characters"),
        ("gotify", GOTIFY | {"token": "a\nb"}, "token", "control characters"),
        ("slack", {"url": "hooks.slack.com/services/T0/B0/x"}, "url", "http:// or https://"),
        ("telegram", TELEGRAM | {"chat_id": -1001}, "chat_id", "string"),
        ("telegram", TELEGRAM | {"chat_id": "ops"}, "chat_id", "a number such as"),
        ("telegram", TELEGRAM | {"chat_id": "1" * 65}, "chat_id", "at most 64"),
        ("telegram", TELEGRAM | {"topic": "7"}, "topic", "whole number"),
        ("telegram", TELEGRAM | {"topic": 0}, "topic", "from 1"),
        ("telegram", TELEGRAM | {"url": "https://x.org/?a=b"}, "url", "no query"),
        ("ntfy", {"topic": "a/b"}, "topic", "letters, digits"),
        ("ntfy", {"topic": "a" * 65}, "topic", "at most 64"),
        ("pushover", {"token": "x"}, "user", "is required"),
        ("pushover", PUSHOVER | {"device": "a,b"}, "device", "letters, digits"),
        ("pushover", PUSHOVER | {"retry": 29}, "retry", "from 30 to 10,800"),
        ("pushover", PUSHOVER | {"expire": 10_801}, "expire", "from 30 to 10,800"),
        ("pushover", PUSHOVER | {"emergency": 1}, "emergency", "true or false"),
        ("pagerduty", {}, "routing_key", "is required"),
        ("alertmanager", {}, "url", "is required"),
        ("alertmanager", {"url": "http://u:p@am.example.org"}, "url", "no user or password"),
        ("apprise", {"url": "json://example.org"}, "url", "must begin with one of"),
        ("apprise", {"url": "file:///etc/passwd"}, "url", "must begin with one of"),
        ("apprise", {"url": "https://hooks.slack.com/services/T0/B0/x"}, "url", "must begin with one of"),
        ("email", {"to": []}, "to", "1 to 20"),
        ("email", {"to": "ops@example.org"}, "to", "list"),
        ("email", {"to": ["a@b.c"] * 21}, "to", "at most 20 entries"),
        ("email", {"to": [7]}, "to", "string"),
        ("email", {"to": ["ops"]}, "to", "plain addresses"),
        ("email", {"to": ["a@b@c"]}, "to", "plain addresses"),
        ("email", {"to": ["Ops <ops@example.org>"]}, "to", "plain addresses"),
        ("email", {"to": ["a@b.c,d@e.f"]}, "to", "plain addresses"),
        ("email", {"to": ["a@b.c\r\nBcc: eve@example.org"]}, "to", "control characters"),
        ("email", {"to": ["a..b@example.org"]}, "to", "valid e-mail"),
        ("email", {"to": ["оператор@example.org"]}, "to", "valid e-mail"),
        ("email", {"to": ["a@example..org"]}, "to", "valid e-mail"),
        ("email", {"to": ["a" * 251 + "@b.c"]}, "to", "at most 254"),
    ],
)
def test_a_refusal_names_the_field_and_the_limit(kind: str, settings: dict[str, object], field: str, says: str) -> None:
    with pytest.raises(FieldError) as refused:
        check(kind, settings)

    assert refused.value.field == field
    assert str(refused.value).startswith(f"{field} ")
    assert says in str(refused.value)


def test_a_refusal_never_repeats_a_secret() -> None:
    with pytest.raises(FieldError) as refused:
        check("webhook", WEBHOOK | {"secret": "whsec_hunter2"})

    assert "hunter2" not in str(refused.value)


def test_made_secrets_are_valid_and_differ() -> None:
    first, second = make_secret(), make_secret()

    assert first != second
    assert len(secret_key(first)) == 32
    assert check("webhook", WEBHOOK | {"secret": first})["secret"] == first


@pytest.mark.parametrize(
    "url",
    [
        "",
        "pbul",
        "pbul:token",
        "PBUL://token",
        " pbul://token",
        "pbul://",
        "pbul://to ken",
        "pbul://token#x",
        "pbul://token\\x",
        "pbul://[::1]/",
        "pbul://token?redirect=yes",
        "pbul://token?verify=no",
        "pbul://token?to=a&template=/etc/passwd",
        "pbul://token?%72edirect=yes",
        "pbul://token?to=a?redirect=yes",
        "pbul://token?+X-Header=y",
        "pbul://token?to=a;redirect=yes",
        "pbul://token?keyfile",
        "pbul://token,json://example.org?",
        "mailto://user:pw@example.org",
        "gotify://example.org/token",
        "syslog://",
        "dbus://",
        "vapid://a@example.org?keyfile=/etc/passwd",
    ],
)
def test_apprise_is_given_no_url_that_could_aim_it_or_read_a_file(url: str) -> None:
    with pytest.raises(ValueError, match=r"^must ") as refused:
        apprise_url(url)

    assert "token" not in str(refused.value)


@pytest.mark.parametrize("scheme", sorted(SCHEMES))
def test_an_apprise_url_stays_as_it_is(scheme: str) -> None:
    url = f"{scheme}://user:pass%2Fword@host/+15551231234/@me/*GATE,a~b?region=eu&to=a%40b,c&priority=high&sound="

    assert apprise_url(url) == url


@given(local=st.text(min_size=1), domain=st.text(min_size=1))
def test_whatever_passes_for_an_address_is_one_on_one_ascii_line(local: str, domain: str) -> None:
    try:
        address = email_address(f"{local}@{domain}")
    except ValueError:
        return

    assert address.isascii()
    assert address.isprintable()
    assert address.count("@") == 1
    assert not set(' ,;<>"') & set(address)


@given(url=st.text() | st.from_regex(r"https?://[^/]*(/.*)?"))
def test_no_url_breaks_the_check(url: str) -> None:
    try:
        checked = check("webhook", {"url": url})
    except FieldError:
        return

    assert checked["url"] == url
