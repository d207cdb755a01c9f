"""E-mail, through the one SMTP server that the operator set; that one may stand on a private address."""

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.header import Header
from email.headerregistry import Address, HeaderRegistry, MessageIDHeader, UniqueUnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import getaddresses
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

import aiosmtplib

from notifier.channels import DeliveryError, Reason
from notifier.message import Message
from rules import limits
from rules.channels import email_address

DEADLINE: Final = 20.0  # seconds for one attempt in all; well below the lease of a delivery
QUIT_DEADLINE: Final = 1.0  # seconds for a goodbye on which nothing depends
ANSWER_MAX: Final = 200  # characters kept of the server's reply
DEFAULT_PORTS: Final = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class _Subject(UniqueUnstructuredHeader):
    """A subject that comes through: Python's newer folding loses a space between encoded words here and there."""

    def fold(self, *, policy: "Policy[Any]") -> str:
        plain = str(self).isascii() and "=?" not in str(self)
        header = Header(str(self), "us-ascii" if plain else "utf-8", header_name="Subject")
        return f"Subject: {header.encode(linesep=policy.linesep)}{policy.linesep}"


# Python folds a long References header into encoded words, which no mail program threads by; a message id stays whole.
_HEADERS: Final = HeaderRegistry()
_HEADERS.map_to_type("subject", _Subject)  # type: ignore[arg-type]  # the registry adds the base class
_HEADERS.map_to_type("references", MessageIDHeader)  # type: ignore[arg-type]
_HEADERS.map_to_type("in-reply-to", MessageIDHeader)  # type: ignore[arg-type]
# 7 bit: a relay that re-encodes a message breaks its signature.
_POLICY: Final = SMTP.clone(header_factory=_HEADERS, cte_type="7bit")
_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    host: str
    port: int
    scheme: str  # a key of DEFAULT_PORTS
    user: str | None
    password: str | None = field(repr=False)


def parse_smtp_url(url: str) -> SmtpServer:
    """FLATLINE_SMTP_URL, user and password percent-encoded. Raises ValueError that names the setting, not its value."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:  # its text would quote what it took for a port, which may be half a password
        raise ValueError("FLATLINE_SMTP_URL is not a URL; percent-encode the user and the password") from None
    if parts.scheme not in DEFAULT_PORTS or not host:
        raise ValueError(
            f"FLATLINE_SMTP_URL must be one of {', '.join(DEFAULT_PORTS)}, then ://user:password@host:port"
        )
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("FLATLINE_SMTP_URL must end after host and port; percent-encode the user and the password")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("FLATLINE_SMTP_URL must have both a user and a password, or neither")
    return SmtpServer(
        host=host,
        port=port or DEFAULT_PORTS[parts.scheme],
        scheme=parts.scheme,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
    )


def parse_smtp_from(text: str) -> Address:
    """FLATLINE_SMTP_FROM: one address, with or without a name. Raises ValueError that names the setting."""
    try:
        [(name, spec)] = getaddresses([limits.clean(text)])
        return Address(name, addr_spec=email_address(spec))
    except ValueError:
        raise ValueError("FLATLINE_SMTP_FROM must be one address such as flatline@example.org") from None


class Email:
    def __init__(self, server: SmtpServer | None, sender: Address | None, *, deadline: float = DEADLINE) -> None:
        self._server = server
        self._sender = sender
        self._deadline = deadline

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        if self._server is None or self._sender is None:
            raise DeliveryError(
                Reason.SETTINGS, "e-mail needs FLATLINE_SMTP_URL and FLATLINE_SMTP_FROM", tries=1, breaks=True
            )
        mail = compose(message, settings["to"], self._sender)
        client = _client(self._server, self._deadline)
        try:
            # Not `async with client`: leaving that says goodbye first, and waits for a hung server once more.
            async with asyncio.timeout(self._deadline):
                await client.connect()
                refused, reply = await client.send_message(mail)
            with contextlib.suppress(aiosmtplib.SMTPException, OSError):  # it is delivered, whatever comes now
                await client.quit(timeout=QUIT_DEADLINE)
        except (aiosmtplib.SMTPException, OSError, ValueError) as error:
            raise _failure(self._server.host, error) from None
        finally:
            client.close()
        # Some recipients suffice: a repeat for the others would tell those again.
        missed = "".join(f"; {address} refused with {answer.code}" for address, answer in refused.items())
        return limits.clean(f"250 {reply}")[:ANSWER_MAX] + missed


def compose(message: Message, to: Sequence[str], sender: Address) -> EmailMessage:
    """The mail, byte for byte the same on every retry."""
    mail = EmailMessage(policy=_POLICY)
    mail["From"] = sender
    mail["To"] = list(to)
    mail["Subject"] = limits.clean(message.title)
    mail["Date"] = datetime.fromtimestamp(message.at / 1000, UTC)
    mail["Message-ID"] = _message_id(message.id, sender)
    # All mails of an incident answer a first one that was never sent: so they thread, whichever of them gets lost.
    mail["In-Reply-To"] = mail["References"] = _message_id(message.thread, sender)
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no holiday replies, please
    mail["X-Auto-Response-Suppress"] = "All"  # the same for Exchange
    if message.priority >= limits.PRIORITY_LOUD:
        mail["X-Priority"] = "1"
        mail["Importance"] = "high"
    output = message.output.decode(errors="replace")
    text = f"{message.plain}\n\nOutput:\n{output}" if output else message.plain
    mail.set_content(_UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", text.replace("\r\n", "\n")))
    return mail


def _message_id(key: str, sender: Address) -> str:
    return f"<{quote(key, safe='')}@{sender.domain}>"


def _client(server: SmtpServer, deadline: float) -> aiosmtplib.SMTP:
    return aiosmtplib.SMTP(
        hostname=server.host,
        port=server.port,
        username=server.user,
        password=server.password,
        use_tls=server.scheme == "smtps",
        # True demands it and False does without; the library's None trusts whoever strips the offer.
        start_tls=server.scheme == "smtp+starttls",
        timeout=deadline,
    )


def _failure(host: str, error: Exception) -> DeliveryError:
    """What went wrong, without the server's own words: they may hold links, and after a login who knows what."""
    cause = error.__cause__ or error  # the library wraps what the system said about a connection
    match error:
        case aiosmtplib.SMTPRecipientsRefused():
            return _failure(host, min(error.recipients, key=lambda refused: refused.code))  # the most hopeful of them
        case aiosmtplib.SMTPResponseException():
            return _reply(host, error)
        case TimeoutError():
            return DeliveryError(Reason.TIMEOUT, f"{host} did not answer in time")
        case _ if isinstance(cause, ssl.SSLError):
            return DeliveryError(Reason.TLS, f"{host} has no certificate that we can trust")
        case _ if isinstance(cause, socket.gaierror):
            return DeliveryError(Reason.DNS, f"{host} has no address")
        case OSError():
            return DeliveryError(Reason.REFUSED, f"{host} refused or broke the connection")
        case aiosmtplib.SMTPException():
            return DeliveryError(Reason.SETTINGS, f"{host} does not offer what FLATLINE_SMTP_URL asks of it")
        case _:
            return DeliveryError(Reason.SETTINGS, "the message cannot be put as a mail", tries=1)


def _reply(host: str, error: aiosmtplib.SMTPResponseException) -> DeliveryError:
    permanent = error.code >= 500
    enhanced = re.match(r"[245]\.\d{1,3}\.\d{1,3}\b", error.message)  # RFC 3463: digits, so fit for a log
    if isinstance(error, aiosmtplib.SMTPAuthenticationError):
        reason = Reason.AUTH
    else:
        reason = Reason.CLIENT_ERROR if permanent else Reason.SERVER_ERROR
    text = f"{host} answered {error.code}" + (f" {enhanced[0]}" if enhanced else "")
    return DeliveryError(reason, text, tries=1 if permanent else None, status=error.code)
