import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rules import limits
from rules.channels import KINDS, FieldError, check, email_address, make_secret, secret_key

WEBHOOK = {"url": "https://example.org/hook"}
GOTIFY = {"url": "https://push.example.org", "token": "A7bQ2w.Lk_-9xZs"}
EMAIL = {"to": ["ops@example.org"]}
VALID: dict[str, dict[str, Any]] = {"webhook": WEBHOOK, "gotify": GOTIFY, "email": EMAIL}


def whsec(size: int) -> str:
    return "whsec_" + base64.b64encode(b"k" * size).decode()


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_takes_its_least_settings_and_folds_by_default(kind: str) -> None:
    assert check(kind, VALID[kind]) == VALID[kind] | {"fold": True}


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_checked_passes_again(kind: str) -> None:
    checked = check(kind, VALID[kind])

    assert check(kind, checked) == checked


def test_the_table_marks_what_is_never_shown_again() -> None:
    shown = {(kind.name, field.name): field.shown for kind in KINDS.values() for field in kind.fields}

    assert {key for key, to in shown.items() if to == "never"} == {("webhook", "secret"), ("gotify", "token")}
    assert shown["webhook", "url"] == "admins"


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
        ("pigeon", {}, "kind", "webhook, gotify, email"),
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
