"""How other monitors' senders say it. A row of FORMS in paths.py names the dialect of a URL; here is what it means.

Sources: Uptime Kuma's push route and borgmatic's hook; Cronitor's telemetry API, cronitor-python and cronitor-cli;
Alertmanager's webhook. What a sender says beyond a signal, a run, an exit status and a text is not kept: Kuma's `ping`
is a latency of its own; Cronitor's `stamp` is a stranger's clock.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl

import orjson

from ingest.answers import JSON, NO_STORE, NOT_FOUND, Answer, answer
from ingest.paths import NO_QUERY, Query, Target, parse_query

FIELDS_MAX: Final = 100
TOO_MANY: Final = Query(error=f"a query must have at most {FIELDS_MAX} fields")
TEXT_MAX: Final = 2_000  # characters kept of a message in a query
KUMA_PING_MAX: Final = 100_000_000_000  # ms
STATES: Final = {"run": "start", "complete": "success", "ok": "success", "tick": "success", "fail": "fail"}
SERIES: Final = uuid.UUID("6f1d2f0e-6c1b-5d0a-9d6e-0d7f6a1d9b52")  # the name space of Cronitor's series, as run ids
#: Alertmanager writes `status` before anything that it was told, so the head of a body of any size holds it.
AM_STATUS: Final = re.compile(rb'"status"\s*:\s*"(firing|resolved)"')


@dataclass(frozen=True, slots=True)
class Dialect:
    """`read_query`, `read_body`: what is said there; a body that is not read is the job's output. `ok` None = ours.

    `any_case`: its names may have capitals; a slug has none.
    """

    read_query: Callable[[bytes], Query]
    read_body: Callable[[bytes], Query] | None = None
    ok: Answer | None = None
    refused: Callable[[str], Answer] = lambda text: answer(400, text, NO_STORE)
    not_found: Answer = NOT_FOUND
    any_case: bool = False


def spoken(target: Target, query: bytes) -> tuple[Dialect, Target, Query]:
    """What a request says before its body is read, and in which dialect."""
    dialect = _dialect_of(target, query)
    if dialect.any_case and target.slug != target.slug.lower():
        target = target._replace(slug=target.slug.lower(), error="")
    return dialect, target, dialect.read_query(query)


def _dialect_of(target: Target, query: bytes) -> Dialect:
    """Cronitor has no URL form of its own when it follows a ping key: its `state` tells it apart."""
    if target.dialect == "flatline" and target.slug and b"state=" in query:
        said = _fields(query)
        return DIALECTS["cronitor" if said is None or said.get("state") in STATES else "flatline"]
    return DIALECTS[target.dialect]


def _kuma(query: bytes) -> Query:
    """An empty field is as good as none."""
    said = _fields(query)
    if said is None:
        return TOO_MANY
    ping, status, text = (said.get(name, "") for name in ("ping", "status", "msg"))
    try:
        in_range = not ping or 0 <= float(ping) <= KUMA_PING_MAX
    except ValueError:
        in_range = False
    if not in_range:
        return Query(error="ping must be a number from 0 to 100000000000")
    return Query(
        signal="" if not status else "success" if status == "up" else "fail",
        output=b"" if text == "OK" else _text(text),
    )


def _kuma_answer(status: int, text: str) -> Answer:
    body = b'{"ok":true}' if status == 200 else orjson.dumps({"ok": False, "msg": text})
    return answer(status, body.decode(), NO_STORE, kind=JSON)


def _cronitor(query: bytes) -> Query:
    """Without a state the path says it, as borgmatic has it: /run, /complete, /fail."""
    said = _fields(query)
    if said is None:
        return TOO_MANY
    state = said.get("state", "")
    if state and state not in STATES:
        return Query(error=f"state must be one of {', '.join(STATES)}")
    series, status = said.get("series", ""), said.get("status_code", "")
    return Query(
        rid=str(uuid.uuid5(SERIES, series)) if series else "",
        create=True,
        signal=STATES.get(state, ""),
        exit_status=status if re.fullmatch(r"[0-9]{1,3}", status) and int(status) <= 255 else "",
        output=_text(said.get("message") or said.get("msg") or ""),
    )


def _alertmanager(body: bytes) -> Query:
    """A `resolved` post says that the watchdog went silent: that is no ping."""
    try:
        status = orjson.loads(body)["status"]
    except (orjson.JSONDecodeError, KeyError, TypeError):  # longer than what was kept, or not Alertmanager's
        found = AM_STATUS.search(body)
        status = found[1].decode() if found else None
    if status == "firing":
        return NO_QUERY
    if status == "resolved":
        return Query(signal="ignored")
    return Query(error="the body must be Alertmanager's webhook, with status firing or resolved")


def _fields(query: bytes) -> dict[str, str] | None:
    """The last of each name counts. None = there are too many: none of these senders sends a tenth of that."""
    try:
        return dict(parse_qsl(query.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_MAX))
    except ValueError:
        return None


def _text(text: str) -> bytes:
    return text[:TEXT_MAX].encode(errors="replace")


FLATLINE: Final = Dialect(parse_query)
DIALECTS: Final = {
    "flatline": FLATLINE,
    "kuma": Dialect(
        _kuma,
        ok=_kuma_answer(200, ""),
        refused=lambda text: _kuma_answer(404, text),
        not_found=_kuma_answer(404, "Monitor not found or not active."),
    ),
    "cronitor": Dialect(_cronitor, any_case=True),
    "alertmanager": Dialect(lambda _: NO_QUERY, _alertmanager),
}
