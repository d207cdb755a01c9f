"""Apprise: the long tail of services, through a library that blocks and says only whether it went well."""

import asyncio
import logging
import re
import threading
from collections.abc import Mapping
from typing import Any, Final

from notifier import outgoing
from notifier.channels import DeliveryError, Reason
from notifier.channels.text import head, tail
from notifier.channels.threads import Full, Threads
from notifier.message import Message
from rules.apprise import apprise_url

DEADLINE: Final = 15.0  # seconds for one attempt in all; the library's own limits are for each read
THREADS_MAX: Final = 8
TITLE_MAX: Final = 250
TEXT_MAX: Final = 2_000
OUTPUT_MAX: Final = 1_000
KINDS: Final = {"bad": "failure", "warning": "warning", "good": "success", "neutral": "info"}


class Apprise:
    def __init__(self, threads: Threads, *, deadline: float = DEADLINE) -> None:
        self._threads = threads
        self._deadline = deadline

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        try:
            url = apprise_url(settings["url"])
            async with asyncio.timeout(self._deadline):
                status = await self._threads.run(lambda: _notify(url, message))
        except ValueError:
            raise DeliveryError(
                Reason.SETTINGS, "the channel's URL is none that Apprise may be given", tries=1, breaks=True
            ) from None
        except Full:
            raise DeliveryError(
                Reason.RATE_LIMITED, f"{THREADS_MAX} messages through Apprise are under way; more later"
            ) from None
        except TimeoutError:
            raise DeliveryError(Reason.TIMEOUT, "the service did not answer in time") from None
        if status is None:
            raise DeliveryError(
                Reason.SERVER_ERROR, "the service did not take the message, and Apprise does not say why"
            )
        return outgoing.accepted(outgoing.Answer("the service", status, {}))


def _notify(url: str, message: Message) -> int | None:
    """Runs in a thread. The HTTP status, None if there is none; raises ValueError if the URL makes no service."""
    import apprise  # noqa: PLC0415 - half a second and 40 MB that most notifiers never need

    asset = apprise.AppriseAsset(
        app_id="flatline",
        app_desc="flatline",
        http_redirects=False,
        async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
        allow_templates=False,
    )
    _FAILURES.watch()
    service = apprise.Apprise.instantiate(url, asset=asset)
    if service is None:
        raise ValueError("Apprise makes no service of this URL")
    service.request_rate_per_sec = 0  # or it would sleep between two recipients; how often we tell is not its business
    service.overflow_mode = apprise.OverflowMode.TRUNCATE
    parts = (head(message.plain, TEXT_MAX), tail(message, OUTPUT_MAX))
    try:
        sent = service.notify(
            body="\n\n".join(filter(None, parts)) or message.title,
            title=head(message.title, TITLE_MAX),
            notify_type=apprise.NotifyType(KINDS[message.tone]),
            body_format=apprise.NotifyFormat.TEXT,
        )
    except Exception:  # noqa: BLE001 - a bug of one of its many plugins, in words that may quote the URL
        sent = False
    return 200 if sent else _FAILURES.status


class _Failures(logging.Handler):
    """What the library logs, which is the only place where it says what a service answered.

    Nothing of it goes to our own logs, for it quotes URLs and answers.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._seen = threading.local()  # a plugin works in the thread that calls it, and that is a new one each time

    def watch(self) -> None:
        logger = logging.getLogger("apprise")
        logger.propagate = False
        logger.addHandler(self)  # no second time

    def emit(self, record: logging.LogRecord) -> None:
        if found := re.search(r"\berror=([345]\d\d)\b", record.getMessage()):
            self._seen.status = int(found[1])

    @property
    def status(self) -> int | None:
        """Of the last failure in this thread."""
        status: int | None = getattr(self._seen, "status", None)
        return status


_FAILURES: Final = _Failures()
