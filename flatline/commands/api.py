"""The JSON API for commands: one call in bounded time. Only the standard library: a command must start fast.

Neither the key nor what a server says in place of JSON ever gets into a message.
"""

import argparse
import json
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlencode, urlsplit
from urllib.request import (
    HTTPHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
    getproxies_environment,
)

from runtime.errors import StartError
from runtime.settings import DEFAULT_PORT, load, port_setting, setting
from runtime.values import parse_public_url

TIMEOUT_S: Final = 15.0
ANSWER_MAX: Final = 16_000_000  # bytes; a page of 500 heartbeats with long texts has 3 million
KEY_FILE: Final = "api-key"  # in the data directory, where `flatline up` keeps it
HINT: Final = "set FLATLINE_PUBLIC_URL or --url"

OK: Final = 0
ERROR: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
NOT_ALLOWED: Final = 4
DOWN: Final = 5


class Refused(Exception):
    """It did not work; the message is one line. `exit_status`: of the command."""

    def __init__(self, message: str, exit_status: int = ERROR) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class ApiSettings:
    """What a command may leave to the environment."""

    public_url: str = setting("", "Where flatline is.", parse=parse_public_url)
    port: int = port_setting(DEFAULT_PORT)  # of `flatline up` on this machine, where no URL is given
    api_key: str = setting("", "The API key.", secret=True)
    data_dir: str = setting("./data", "Where `flatline up` keeps the API key.")


class Api:
    """A server and a key. `hint`: what to do when it cannot be reached."""

    def __init__(self, url: str, key: str, hint: str = "") -> None:
        self.url = url
        self._key = key
        self._hint = hint
        self._opener = OpenerDirector()  # it follows no redirect: the key is for this server alone
        for handler in (ProxyHandler(getproxies_environment()), UnknownHandler(), HTTPHandler(), HTTPSHandler()):
            self._opener.add_handler(handler)

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    def call(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, object] | None = None
    ) -> dict[str, Any]:
        """The answer's JSON, {} where it is empty. Raises Refused."""
        status, found = self.ask(method, path, body, query=query)
        if status >= 400:
            raise _refusal(status, found)
        return found

    def ask(
        self, method: str, path: str, body: object = None, *, query: Mapping[str, object] | None = None
    ) -> tuple[int, dict[str, Any]]:
        """Status and JSON, whatever the status. Raises Refused when there is no answer of flatline's."""
        url = self.url + path + (f"?{urlencode(query)}" if query else "")
        data = None if body is None else json.dumps(body).encode()
        request = Request(url, data, method=method)  # noqa: S310 - parse_public_url admits http and https alone
        # Header values are bytes to the server; http.client would refuse what is not latin-1.
        request.add_header("Authorization", "Bearer " + self._key.encode().decode("latin-1"))
        if data is not None:
            request.add_header("Content-Type", "application/json")
        try:
            with self._opener.open(request, timeout=TIMEOUT_S) as response:
                return _read(response, self.host)
        except (OSError, HTTPException, ValueError) as error:
            todo = f" ({self._hint})" if self._hint else ""
            raise Refused(f"{self.host} cannot be reached: {_reason(error)}{todo}") from None


def add_options(parser: argparse.ArgumentParser) -> None:
    """Which server, and with which key: every command of the API takes these."""
    parser.add_argument(
        "--url", metavar="URL", help=f"where flatline is (env FLATLINE_PUBLIC_URL; {_local('<FLATLINE_PORT>')})"
    )
    parser.add_argument(
        "--key-file", metavar="FILE", help="holds the API key (env FLATLINE_API_KEY; <data dir>/api-key)"
    )


def api_of(options: argparse.Namespace) -> Api:
    """The server that options and environment mean. Raises StartError."""
    settings = load(ApiSettings, os.environ, public_url=options.url)
    file = Path(options.key_file) if options.key_file else Path(settings.data_dir) / KEY_FILE
    key = "" if options.key_file else settings.api_key
    if not key:
        try:
            key = file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise StartError(f"no API key: set FLATLINE_API_KEY, or name its file with --key-file ({file})") from None
    if not key or not key.isprintable():
        raise StartError("the API key must be one line of text")
    return Api(settings.public_url or _local(settings.port or DEFAULT_PORT), key, HINT)


def _local(port: object) -> str:
    return f"http://127.0.0.1:{port}"


def _read(response: HTTPResponse, host: str) -> tuple[int, dict[str, Any]]:
    text = response.read(ANSWER_MAX + 1)
    if 300 <= response.status < 400:
        raise Refused(f"{host} answers {response.status}, a redirect; give the final URL")
    try:
        found = {} if response.status == 204 else json.loads(text if len(text) <= ANSWER_MAX else b"")
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Refused(f"{host} answers {response.status}, and not with JSON: is this flatline?")
    return response.status, found


def _refusal(status: int, found: dict[str, Any]) -> Refused:
    said = found.get("error")
    message = str(said.get("message", "")) if isinstance(said, dict) else ""
    code = said.get("code") if isinstance(said, dict) else None
    if status == 401 or (status == 403 and code != "too_many"):
        return Refused(f"not allowed: {message or status}", NOT_ALLOWED)
    exit_status = NOT_FOUND if status == 404 else USAGE if status in {400, 422} else ERROR
    return Refused(message or f"it answers {status}", exit_status)


def _reason(error: Exception) -> str:
    cause = error.reason if isinstance(error, URLError) else error
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {cause.verify_message}"
    if isinstance(cause, TimeoutError):
        return "no answer in time"
    if isinstance(cause, OSError):
        return cause.strerror or "its name cannot be looked up"
    return "it does not speak HTTP"
