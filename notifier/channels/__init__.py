"""The senders, one file each, behind one method and one error.

A new kind of channel is its file here, its row in SENDERS and its fields in `rules.channels`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
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
    """A delivery that failed. The text may name the host; never a URL, a token or anything else that is secret.

    `tries`: how often such a failure is worth a try, 1 = a repeat cannot help, None = the whole schedule of
    `rules.retry`. `breaks`: not this message is at fault but the channel, so its owner must hear of it.
    """

    def __init__(
        self,
        reason: Reason,
        message: str,
        *,
        tries: int | None = None,
        breaks: bool = False,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.tries = tries
        self.breaks = breaks
        self.status = status  # HTTP status or SMTP reply code
        self.retry_after = retry_after  # seconds that the receiver asked for

    @property
    def permanent(self) -> bool:
        return self.tries == 1


class Sender(Protocol):
    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        """Deliver, and return a short answer for the log ("200", "250 2.0.0 Ok"). Raises only DeliveryError."""


# Below the names that the senders import from here, so that any of these modules can be imported first.
from notifier.channels.alertmanager import Alertmanager  # noqa: E402
from notifier.channels.apprise import THREADS_MAX, Apprise  # noqa: E402
from notifier.channels.discord import Discord  # noqa: E402
from notifier.channels.gotify import Gotify  # noqa: E402
from notifier.channels.ntfy import Ntfy  # noqa: E402
from notifier.channels.pagerduty import PagerDuty  # noqa: E402
from notifier.channels.pushover import Pushover  # noqa: E402
from notifier.channels.slack import Slack  # noqa: E402
from notifier.channels.smtp import Email, SmtpServer  # noqa: E402
from notifier.channels.teams import Teams  # noqa: E402
from notifier.channels.telegram import Telegram  # noqa: E402
from notifier.channels.threads import Threads  # noqa: E402
from notifier.channels.webhook import Webhook  # noqa: E402


@dataclass(frozen=True, slots=True, kw_only=True)
class Senders:
    """What senders share."""

    session: aiohttp.ClientSession  # of `outgoing.open_session`
    smtp: SmtpServer | None  # None: FLATLINE_SMTP_URL is not set
    smtp_from: Address | None  # None: FLATLINE_SMTP_FROM is not set
    apprise: Threads = field(default_factory=lambda: Threads(THREADS_MAX))  # none is started before it is needed


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How one kind of channel is told, and what its servers bear.

    `threads`: what was opened there must be closed under the same thread, so a folded message is closed when the last
    of its incidents is over. `acknowledges`: it is told when somebody has acknowledged an incident.
    """

    make: Callable[[Senders], Sender]
    per_s: float = 5.0  # messages a second to one channel, in the long run
    burst: int = 20  # and at once
    threads: bool = False
    acknowledges: bool = False


SENDERS: Final[Mapping[str, Service]] = {
    "webhook": Service(make=lambda shared: Webhook(shared.session), per_s=50, burst=500),
    "gotify": Service(make=lambda shared: Gotify(shared.session)),
    "email": Service(make=lambda shared: Email(shared.smtp, shared.smtp_from), per_s=2),
    "slack": Service(make=lambda shared: Slack(shared.session), per_s=1, burst=5),
    "discord": Service(make=lambda shared: Discord(shared.session), per_s=0.5, burst=5),
    "telegram": Service(make=lambda shared: Telegram(shared.session), per_s=0.33, burst=10),  # a group: 20 a minute
    "teams": Service(make=lambda shared: Teams(shared.session), per_s=1, burst=4),
    "ntfy": Service(make=lambda shared: Ntfy(shared.session), per_s=0.2, burst=30),  # ntfy.sh: 60, then one in 5 s
    "pushover": Service(make=lambda shared: Pushover(shared.session), per_s=1, burst=10),
    "pagerduty": Service(
        make=lambda shared: PagerDuty(shared.session), per_s=2, burst=20, threads=True, acknowledges=True
    ),
    "alertmanager": Service(make=lambda shared: Alertmanager(shared.session), per_s=50, burst=500, threads=True),
    "apprise": Service(make=lambda shared: Apprise(shared.apprise), per_s=0.5, burst=5),
}
