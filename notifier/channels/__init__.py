"""The senders, one file each, behind one method and one error.

A new kind of channel is its file here, its row in SENDERS and its fields in `rules.channels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from email.headerregistry import Address

    import aiohttp

    from notifier.message import Message


class Reason(StrEnum):
    """Why a delivery failed: a closed list, because it is also a metric's label.

    The words are HTTP's, but mail uses them alike: a 4xx reply of an SMTP server is `server_error` (not now), a 5xx
    `client_error` (not this).
    """

    REFUSED = "refused"  # no connection, or one that broke
    TIMEOUT = "timeout"
    TLS = "tls"
    DNS = "dns"
    AUTH = "auth"
    CLIENT_ERROR = "client_error"
    SERVER_ERROR = "server_error"
    RATE_LIMITED = "rate_limited"
    BLOCKED_TARGET = "blocked_target"  # an address that we refuse to connect to
    GONE = "gone"
    SETTINGS = "settings"  # the operator or the channel's owner must act


class DeliveryError(Exception):
    """A delivery that failed. The text may name the host; never a URL, a token or anything else that is secret."""

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        permanent: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.permanent = permanent  # a repeat cannot help
        self.status = status  # HTTP status or SMTP reply code
        self.retry_after = retry_after  # seconds that the receiver asked for


class Sender(Protocol):
    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        """Deliver, and return a short answer for the log ("200", "250 2.0.0 Ok"). Raises only DeliveryError."""


# Below the names that the senders import from here, so that any of these modules can be imported first.
from notifier.channels.gotify import Gotify  # noqa: E402
from notifier.channels.smtp import Email, SmtpServer  # noqa: E402
from notifier.channels.webhook import Webhook  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """What senders share."""

    session: aiohttp.ClientSession  # of `outgoing.open_session`
    smtp: SmtpServer | None  # None: FLATLINE_SMTP_URL is not set
    smtp_from: Address | None  # None: FLATLINE_SMTP_FROM is not set


SENDERS: Final[Mapping[str, Callable[[Senders], Sender]]] = {
    "webhook": lambda shared: Webhook(shared.session),
    "gotify": lambda shared: Gotify(shared.session),
    "email": lambda shared: Email(shared.smtp, shared.smtp_from),
}
