import asyncio
import ssl
from collections.abc import AsyncIterator
from email import message_from_bytes
from email.header import decode_header, make_header
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notifier.channels import DeliveryError, Reason
from notifier.channels.smtp import DEFAULT_PORTS, Email, SmtpServer, compose, parse_smtp_from, parse_smtp_url
from notifier.message import Message
from rules.limits import clean
from tests.notifier.messages import message
from tests.notifier.sinks import PATIENCE, SmtpSink, certificate, smtp_sink

SENDER = Address("Flatline", addr_spec="flatline@example.org")
TO = ["ops@example.org", "night@example.org"]
CYRILLIC = "Ночная резервная копия базы данных бухгалтерии на втором сервере молчит уже два часа, проверьте её"


@pytest.fixture
async def sink() -> AsyncIterator[SmtpSink]:
    async with smtp_sink() as sink:
        yield sink


@pytest.fixture
def tls(tmp_path: Path) -> ssl.SSLContext:
    return certificate(tmp_path)[0]


@pytest.fixture
def trusted(tmp_path: Path, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return tls


async def send(url: str, told: Message | None = None, *, to: list[str] = TO, deadline: float = 5) -> str:
    sender = Email(parse_smtp_url(url), SENDER, deadline=deadline)
    async with asyncio.timeout(PATIENCE):
        return await sender.send(told or message(), {"to": to})


async def failure(url: str, *, deadline: float = 5) -> DeliveryError:
    with pytest.raises(DeliveryError) as failed:
        await send(url, deadline=deadline)
    assert "hunter2" not in str(failed.value)
    assert "://" not in str(failed.value)
    return failed.value


def plain(sink: SmtpSink) -> str:
    return f"smtp://localhost:{sink.port}"


def parsed(raw: bytes) -> EmailMessage:
    mail = message_from_bytes(raw, policy=default)
    assert isinstance(mail, EmailMessage)
    return mail


def received(sink: SmtpSink) -> EmailMessage:
    content = sink.mails[-1].content
    assert isinstance(content, bytes)
    return parsed(content)


def composed(told: Message) -> EmailMessage:
    return parsed(compose(told, TO, SENDER).as_bytes())


async def test_a_mail_arrives_with_subject_text_and_output(sink: SmtpSink) -> None:
    told = message(
        title=CYRILLIC, text="Нет пинга.\n.\nFrom here", output=b"tail \xff\x00\r\n" + "резервная копия".encode()
    )

    assert await send(plain(sink), told) == "250 2.0.0 Ok: queued"

    mail = received(sink)
    assert mail["Subject"] == CYRILLIC
    assert mail["From"] == "Flatline <flatline@example.org>"
    assert mail["To"] == "ops@example.org, night@example.org"
    assert mail["Date"].datetime.timestamp() == message().at / 1000
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["X-Auto-Response-Suppress"] == "All"
    assert mail.get_content().splitlines() == [
        "Нет пинга.",
        ".",
        "From here",
        "",
        "Last ping: 2023-11-14 21:08:20 UTC",
        "Period: 1 h",
        "",
        f"Runbook: {message().runbook_url}",
        message().url,
        "",
        "Output:",
        "tail \N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}",
        "резервная копия",
    ]
    assert sink.mails[0].mail_from == "flatline@example.org"
    assert sink.mails[0].rcpt_tos == TO


@given(title=(st.text(st.sampled_from("ёж a =?"), max_size=300) | st.text(st.characters(), max_size=300)).map(clean))
def test_any_title_survives_as_folded_ascii_lines(title: str) -> None:
    raw = compose(message(title=title), TO, SENDER).as_bytes()

    assert raw.isascii()
    assert max(map(len, raw.splitlines())) <= 998
    assert str(make_header(decode_header(message_from_bytes(raw)["Subject"]))) == title


@given(title=st.text(st.sampled_from("a:\r\n\v\x85\u2028 "), max_size=30))
def test_no_title_becomes_a_header(title: str) -> None:
    mail = composed(message(title=f"x{title}\r\nBcc: eve@example.org"))

    assert mail.keys() == composed(message(title="x")).keys()
    assert mail["Bcc"] is None


def test_a_retry_is_the_same_mail() -> None:
    assert compose(message(), TO, SENDER).as_bytes() == compose(message(), TO, SENDER).as_bytes()


def test_alert_and_recovery_are_two_mails_of_one_thread() -> None:
    alert, recovery = composed(message(id="i:opened")), composed(message(id="i:resolved"))

    assert alert["Message-ID"] == "<i%3Aopened@example.org>"
    assert recovery["Message-ID"] == "<i%3Aresolved@example.org>"
    assert alert["References"] == recovery["References"] == f"<{message().thread}@example.org>"
    assert alert["In-Reply-To"] == recovery["In-Reply-To"] == alert["References"]


def test_the_thread_survives_a_long_domain() -> None:
    sender = Address(addr_spec="flatline@" + ".".join(["department"] * 8) + ".example.org")
    raw = compose(message(), TO, sender).as_bytes()

    assert f"<{message().thread}@{sender.domain}>".encode() in raw.split(b"References:")[1].split(b"\r\n")[0]
    assert f"<{message().thread}@{sender.domain}>".encode() in raw.split(b"In-Reply-To:")[1].split(b"\r\n")[0]


@pytest.mark.parametrize(("priority", "marks"), [(7, (None, None)), (8, ("1", "high")), (10, ("1", "high"))])
def test_only_loud_mails_are_marked(priority: int, marks: tuple[str | None, str | None]) -> None:
    mail = composed(message(priority=priority))

    assert (mail["X-Priority"], mail["Importance"]) == marks


async def test_starttls_and_a_login_with_odd_characters_work(trusted: ssl.SSLContext) -> None:
    async with smtp_sink(tls=trusted, login=("ops@example.org", "hun/ter:2@№")) as sink:
        await send(f"smtp+starttls://ops%40example.org:hun%2Fter%3A2%40%E2%84%96@localhost:{sink.port}")

        assert sink.encrypted == [True]
        assert sink.users == ["ops@example.org"]


async def test_tls_from_the_first_byte_works(trusted: ssl.SSLContext) -> None:
    async with smtp_sink(tls=trusted, implicit_tls=True) as sink:
        await send(f"smtps://localhost:{sink.port}")

        assert sink.encrypted == [True]


async def test_starttls_is_demanded_when_asked_for(sink: SmtpSink) -> None:
    error = await failure(f"smtp+starttls://localhost:{sink.port}")

    assert (error.reason, error.permanent) == (Reason.SETTINGS, False)
    assert sink.mails == []


@pytest.mark.parametrize("scheme", ["smtps", "smtp+starttls"])
async def test_a_certificate_of_nobody_is_refused(tls: ssl.SSLContext, scheme: str) -> None:
    async with smtp_sink(tls=tls, implicit_tls=scheme == "smtps") as sink:
        error = await failure(f"{scheme}://localhost:{sink.port}")

        assert (error.reason, error.permanent) == (Reason.TLS, False)
        assert sink.mails == []


async def test_a_wrong_password_is_permanent_and_not_told(trusted: ssl.SSLContext) -> None:
    async with smtp_sink(tls=trusted, login=("ops", "right")) as sink:
        error = await failure(f"smtp+starttls://ops:hunter2@localhost:{sink.port}")

        assert (error.reason, error.permanent, error.status) == (Reason.AUTH, True, 535)
        assert sink.mails == []


async def test_a_server_without_login_is_named_as_such(sink: SmtpSink) -> None:
    error = await failure(f"smtp://ops:hunter2@localhost:{sink.port}")

    assert error.reason is Reason.SETTINGS
    assert "FLATLINE_SMTP_URL" in str(error)


@pytest.mark.parametrize(
    ("where", "reply", "reason", "permanent", "text"),
    [
        ("DATA", "421 4.3.2 Shutting down", Reason.SERVER_ERROR, False, "localhost answered 421 4.3.2"),
        ("DATA", "450 Greylisted, see https://example.org", Reason.SERVER_ERROR, False, "localhost answered 450"),
        ("DATA", "550 5.7.1 Spam", Reason.CLIENT_ERROR, True, "localhost answered 550 5.7.1"),
        ("RCPT", "450 4.2.0 Greylisted", Reason.SERVER_ERROR, False, "localhost answered 450 4.2.0"),
        ("RCPT", "550 5.1.1 No such user", Reason.CLIENT_ERROR, True, "localhost answered 550 5.1.1"),
    ],
)
async def test_temporary_replies_are_retried_and_permanent_ones_are_not(
    sink: SmtpSink, where: str, reply: str, reason: Reason, *, permanent: bool, text: str
) -> None:
    sink.replies = dict.fromkeys(TO if where == "RCPT" else ["DATA"], reply)

    error = await failure(plain(sink))

    assert (error.reason, error.permanent, error.status) == (reason, permanent, int(reply[:3]))
    assert str(error) == text


async def test_if_one_of_the_refused_may_be_taken_later_all_are_tried_again(sink: SmtpSink) -> None:
    sink.replies = {TO[0]: "550 No such user", TO[1]: "450 Greylisted"}

    error = await failure(plain(sink))

    assert (error.status, error.permanent) == (450, False)


async def test_one_accepted_recipient_is_a_delivery_that_names_the_others(sink: SmtpSink) -> None:
    sink.replies = {TO[0]: "550 No such user"}

    assert await send(plain(sink)) == f"250 2.0.0 Ok: queued; {TO[0]} refused with 550"
    assert sink.mails[0].rcpt_tos == TO[1:]


async def test_a_server_that_never_answers_meets_the_deadline(sink: SmtpSink) -> None:
    sink.silent.set()

    error = await failure(plain(sink), deadline=0.3)

    assert (error.reason, error.permanent) == (Reason.TIMEOUT, False)


async def test_nobody_listening_is_refused_and_tried_again() -> None:
    async with smtp_sink() as gone:
        url = plain(gone)

    error = await failure(url)

    assert (error.reason, error.permanent) == (Reason.REFUSED, False)


async def test_a_name_without_an_address_is_tried_again() -> None:
    error = await failure("smtp://nowhere.invalid")

    assert (error.reason, error.permanent) == (Reason.DNS, False)


@pytest.mark.parametrize(("server", "sender"), [(None, SENDER), (parse_smtp_url("smtp://localhost"), None)])
async def test_mail_that_was_not_set_up_is_permanent_and_names_the_setting(
    server: SmtpServer | None, sender: Address | None
) -> None:
    with pytest.raises(DeliveryError, match="FLATLINE_SMTP_URL") as failed:
        await Email(server, sender).send(message(), {"to": TO})

    assert (failed.value.reason, failed.value.permanent) == (Reason.SETTINGS, True)


@pytest.mark.parametrize("scheme", DEFAULT_PORTS)
def test_each_scheme_has_its_port(scheme: str) -> None:
    server = parse_smtp_url(f"{scheme}://mail.example.org/")

    assert (server.scheme, server.host, server.port) == (scheme, "mail.example.org", DEFAULT_PORTS[scheme])
    assert (server.user, server.password) == (None, None)


def test_user_and_password_are_decoded_and_the_password_is_not_printed() -> None:
    server = parse_smtp_url("smtps://ops%40example.org:hunter2%2F%25@[::1]:2465")

    assert (server.user, server.password, server.host, server.port) == ("ops@example.org", "hunter2/%", "::1", 2465)
    assert "hunter2" not in repr(server)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "mail.example.org",
        "http://mail.example.org",
        "smtp://",
        "smtp://ops:hunter2#x@mail.example.org",
        "smtp://ops:hunter2/x@mail.example.org",
        "smtp://ops:hunter2@mail.example.org:99999",
        "smtp://ops:hunter2@mail.example.org/path",
        "smtp://ops:hunter2@mail.example.org?timeout=5",
        "smtp://hunter2@mail.example.org",
        "smtp://ops:hunter2@[::1",
    ],
)
def test_a_bad_url_is_refused_by_the_settings_name_without_its_value(url: str) -> None:
    with pytest.raises(ValueError, match="FLATLINE_SMTP_URL") as refused:
        parse_smtp_url(url)

    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None


@pytest.mark.parametrize(
    ("text", "spec"),
    [("a@b.c", "a@b.c"), ("Flatline <a@b.c>", "a@b.c"), ("Сторож <flatline@example.org>", "flatline@example.org")],
)
def test_a_sender_is_one_address(text: str, spec: str) -> None:
    assert parse_smtp_from(text).addr_spec == spec


@pytest.mark.parametrize("text", ["", "ops", "a@b.c, d@e.f", "a@", "a@b@c"])
def test_a_sender_that_is_none_is_refused_by_the_settings_name(text: str) -> None:
    with pytest.raises(ValueError, match="FLATLINE_SMTP_FROM"):
        parse_smtp_from(text)
