"""Webhook: the whole message as JSON, signed as in Standard Webhooks: receivers verify it with a library."""

import base64
import hmac
import time
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson

from notifier import outgoing
from notifier.message import Message
from rules.channels import secret_key

#: Gone is the one status by which a receiver resigns at once; all else may be a deploy.
FEW: Final = frozenset(range(300, 500)) - {410}


class Webhook:
    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def send(self, message: Message, settings: Mapping[str, Any]) -> str:
        body = orjson.dumps(message.payload)
        timestamp = int(time.time())  # of this attempt: receivers refuse old ones as replays
        headers = {
            "content-type": "application/json",
            "webhook-id": message.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": sign(settings["secret"], message.id, timestamp, body),
        }
        answer = await outgoing.post(self._session, settings["url"], body, headers)
        return outgoing.accepted(answer, few=FEW)


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """The signature header's value; `timestamp` in seconds since the epoch."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(secret_key(secret), signed, "sha256")).decode()
