"""Prometheus' Alertmanager: an alert that fires until its incident is over, for those who route and group there."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from notifier import outgoing
from notifier.channels.text import details, head, tail
from notifier.message import Message
from rules import limits
from rules.times import rfc3339

TEXT_MAX: Final = 4_000
#: Without an end Alertmanager takes an alert for over after its resolve_timeout, 5 minutes by default, because
#: Prometheus repeats itself each minute. We say everything once, so our alerts have an end that is far away; the real
#: one replaces it (`Merge` of its alerts: once an alert is over, what came last counts).
FAR_MS: Final = 366 * limits.DAY * 1000
PASSING_MS: Final = 5 * 60_000  # what nobody would ever end, a test and a lateness, ends by itself
ALERTS: Final = {"test": "FlatlineTest", "heartbeat.late": "HeartbeatLate"}
SEVERITIES: Final = ("info",) * 4 + ("warning",) * 4 + ("critical",) * 3  # by our priority


class Alertmanager:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        url = settings["url"] + "/api/v2/alerts"
        headers = {"authorization": f"Bearer {settings['token']}"} if "token" in settings else {}
        alerts = [compose(message)]
        if message.event == "incident.resolved":
            alerts = [_ended(message, labels) for labels in await self._known(message, url, headers)]
        return outgoing.accepted(await outgoing.post_json(self._session, url, alerts, headers))

    async def _known(self, message: Message, url: str, headers: Mapping[str, str]) -> list[Any]:
        """The labels under which the incident stands there.

        They are an alert's identity, and the name and the priority of a heartbeat may have changed since.
        """
        matcher = quote(f"incident={orjson.dumps(message.thread).decode()}")
        answer = await outgoing.request(self._session, "GET", f"{url}?filter={matcher}", None, headers)
        outgoing.accepted(answer)
        try:
            found = [alert["labels"] for alert in orjson.loads(answer.body)]
        except (ValueError, TypeError, KeyError):
            found = []
        return found or [compose(message)["labels"]]  # forgotten there, as after a restart; or too much to read


def compose(message: Message) -> dict[str, Any]:
    owner = message.payload.get("heartbeat") or message.payload.get("fleet") or {}
    about = {
        "summary": head(message.title, TEXT_MAX),
        "description": head(message.text, TEXT_MAX),
        "details": head(details(message), TEXT_MAX),
        "output": tail(message, TEXT_MAX),
        "runbook_url": message.runbook_url,
    }
    return {
        "labels": {
            "alertname": ALERTS.get(message.event, "HeartbeatDown"),
            "incident": message.thread,
            "heartbeat": limits.clean(str(owner.get("name") or ""))[: limits.NAME_MAX],  # empty: it drops the label
            "severity": SEVERITIES[message.priority],
        },
        "annotations": {name: value for name, value in about.items() if value},
        "startsAt": rfc3339(message.at),
        "endsAt": rfc3339(message.at + (PASSING_MS if message.event in ALERTS else FAR_MS)),
        **({"generatorURL": message.url} if message.url else {}),
    }


def _ended(message: Message, labels: Any) -> dict[str, Any]:
    """Without a beginning, which Alertmanager knows; it would refuse one that is later than the end."""
    alert = {**compose(message), "labels": labels, "endsAt": rfc3339(message.at)}
    del alert["startsAt"]
    return alert
