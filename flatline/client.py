"""One signal over HTTP: tried a few times, in bounded time, and never a word about the URL, which is a secret.

`flatline ping` and `flatline run` send through here. Only the standard library and no asyncio: a ping must start fast.
"""

import re
import ssl
import sys
import threading
import time
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection, RemoteDisconnected
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies_environment,
)

TRY_S: Final = 5.0  # one try, from looking up the name to the head of the answer
CONNECT_S: Final = 2.0  # each address of the name: behind one that swallows packets there may be one that answers
TRY_MIN_S: Final = 1.0  # what is left for a try must be worth it
PAUSES_S: Final = (1.0, 2.0)  # between tries, so there are three
RETRY_AFTER_MAX_S: Final = 10.0  # a longer wait than this is not granted
TOTAL_S: Final = 20.0  # all tries of one signal
BUSY: Final = frozenset({408, 429})  # the only refusals that may be different the next time

_PHRASES: Final = {status.value: status.phrase for status in HTTPStatus}
_ORIGIN: Final = re.compile(r"https?://[\w.:\[\]-]+(?=[/?#]|$)", re.ASCII)  # no more of a Location may be shown


class Address(NamedTuple):
    """Whom a ping is about. `url` is the secret; `query` goes with every signal."""

    url: str
    query: str = ""

    @property
    def host(self) -> str:
        """What messages may show."""
        return urlsplit(self.url).netloc

    def of(self, signal: str, rid: str) -> str:
        """The URL of one signal; "" is the success."""
        url = f"{self.url}/{signal}" if signal else self.url
        query = "&".join(filter(None, (self.query, rid and f"rid={rid}")))
        return f"{url}?{query}" if query else url


class Answer(NamedTuple):
    """A signal has arrived. `body_limit`: bytes of output that the server keeps, None if it does not say."""

    status: int
    body_limit: int | None


class NotDelivered(Exception):
    """The signal may not have arrived; the message is one line that names the host. `status`: of the answer, 0 = none.

    `final`: the next try would fail, too. `retry_after`: seconds that the server asks for.
    """

    def __init__(self, reason: str, *, status: int = 0, final: bool = False, retry_after: float = 0) -> None:
        super().__init__(reason)
        self.status = status
        self.final = final
        self.retry_after = retry_after


def deliver(
    address: Address,
    signal: str,
    *,
    rid: str = "",
    body: bytes = b"",
    until: float | None = None,
    abandoned: threading.Event | None = None,
) -> Answer:
    """Sends one signal, the last segment of a ping's URL. Raises NotDelivered.

    `until`: monotonic seconds, TOTAL_S from now if not given. Once `abandoned` is set no further try begins.
    """
    abandoned = abandoned or threading.Event()
    until = until or time.monotonic() + TOTAL_S
    # A request serves one try: with a proxy in the way, opening it changes it.
    request = partial(
        Request,
        address.of(signal, rid),
        data=body,
        method="POST",
        headers={"User-Agent": f"flatline/{_version()}", "Content-Type": "text/plain"},
    )
    pauses = iter((*PAUSES_S, inf))
    while True:
        outcome = _within(min(TRY_S, until - time.monotonic()), request())
        if isinstance(outcome, Answer):
            return outcome
        # Repeats do no harm, so it is sent again even if it may have arrived.
        wait = max(next(pauses), outcome.retry_after)
        if outcome.final or time.monotonic() + wait + TRY_MIN_S > until or abandoned.wait(wait):
            raise outcome


def _version() -> str:
    """Ours, from the name of our metadata's folder: importlib.metadata takes a sixth of a ping's time to load."""
    for folder in sys.path:
        for found in Path(folder).glob("flatline-*.dist-info"):
            return found.stem.removeprefix("flatline-")
    from importlib.metadata import version  # noqa: PLC0415 - for other ways to install

    return version("flatline")


def _within(seconds: float, request: Request) -> Answer | NotDelivered:
    """One try that ends in time, whatever it hangs in: a name's lookup has no timeout, and a timeout no total."""
    outcomes = SimpleQueue[Answer | NotDelivered]()
    threading.Thread(target=lambda: outcomes.put(_try(seconds, request)), daemon=True).start()
    try:
        return outcomes.get(timeout=seconds)
    except Empty:
        return NotDelivered("no answer in time")


def _try(seconds: float, request: Request) -> Answer | NotDelivered:
    try:
        with _opener().open(request, timeout=seconds) as response:
            return _judge(response)
    except (OSError, HTTPException, ValueError) as error:  # ValueError: a host name that DNS cannot hold
        cause = error.reason if isinstance(error, URLError) else error
        by = " (through the environment's proxy)" if request.host != urlsplit(request.full_url).netloc else ""
        return NotDelivered(_reason(cause) + by, final=isinstance(cause, ssl.SSLCertVerificationError))


def _judge(response: HTTPResponse) -> Answer | NotDelivered:
    """What the head of an answer says. Its body is not read: all is said, and it might repeat the URL."""
    status, headers = response.status, response.headers
    if 200 <= status < 300:
        return Answer(status, _whole(headers.get("Ping-Body-Limit", "")))
    if 300 <= status < 400:
        to = _ORIGIN.match(headers.get("Location", ""))
        elsewhere = f" to {to[0]}" if to else ""
        reason = f"it answers {status}, a redirect{elsewhere}; redirects are not followed, so give the final URL"
        return NotDelivered(reason, status=status, final=True)
    wait = min(_whole(headers.get("Retry-After", "")) or 0, RETRY_AFTER_MAX_S)
    reason = f"it answers {status} {_PHRASES.get(status, '')}".rstrip()
    return NotDelivered(reason, status=status, final=status < 500 and status not in BUSY, retry_after=wait)


def _whole(header: str) -> int | None:
    return int(header) if re.fullmatch("[0-9]{1,9}", header) else None


def _reason(cause: object) -> str:
    """Why there was no answer, in words that hold nothing of the request."""
    match cause:
        case TimeoutError():
            return "no answer in time"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {cause.verify_message}"
        case ssl.SSLError():
            return f"no TLS: {cause.reason}"
        case RemoteDisconnected():
            return "it closed the connection without an answer"
        case OSError():
            return cause.strerror or str(cause)
        case HTTPException():
            return "it does not speak HTTP"
        case ValueError():
            return "its name cannot be looked up"
    return str(cause)


class _Connection(HTTPConnection):
    """Sends nothing once its time is over: a start whose name was looked up too late must not overtake the finish."""

    def connect(self) -> None:
        until = time.monotonic() + (self.timeout or 0)
        self.timeout = CONNECT_S
        super().connect()
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self.sock.settimeout(left)


class _TlsConnection(_Connection, HTTPSConnection):
    """The same, with the certificate verified, as is the default."""


class _Handler(HTTPHandler):
    def http_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_Connection, req)

    def https_open(self, req: Request) -> HTTPResponse:
        return self.do_open(_TlsConnection, req)

    https_request = HTTPHandler.http_request


def _opener() -> OpenerDirector:
    """With proxies of the environment; without what follows redirects and makes exceptions of answers."""
    opener = OpenerDirector()
    for handler in (ProxyHandler(getproxies_environment()), UnknownHandler(), _Handler()):
        opener.add_handler(handler)
    return opener
