"""One message told by one kind of channel to a real server that answers as the service does."""

import asyncio
from ipaddress import ip_network
from typing import Any

import orjson
import pytest

from notifier.channels import SENDERS, DeliveryError, Senders
from notifier.message import Message
from notifier.outgoing import open_session
from rules.channels import check
from tests.notifier.sinks import PATIENCE, Answer, HttpSink

#: What may be left of a hostile text: no control but a line's end, nothing that reads backwards.
UNPRINTABLE = {chr(code) for code in (*range(32), *range(127, 160), *range(0x202A, 0x202F))} - {"\n"}


def answer(status: int, said: object, **headers: str) -> Answer:
    """In JSON, or as the text it is."""
    body = said.encode() if isinstance(said, str) else orjson.dumps(said)
    return Answer(status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}, body=body)


async def tell(sink: HttpSink, kind: str, message: Message, **settings: Any) -> str:
    """`settings` as an owner would give them; a "{base}" among them is the sink's address."""
    base = f"http://127.0.0.1:{sink.port}"
    given = {name: value.format(base=base) if isinstance(value, str) else value for name, value in settings.items()}
    async with open_session(allow=(ip_network("127.0.0.1"),)) as session, asyncio.timeout(PATIENCE):
        sender = SENDERS[kind].make(Senders(session=session, smtp=None, smtp_from=None))
        return await sender.send(message, check(kind, given))


async def told(sink: HttpSink, kind: str, message: Message, **settings: Any) -> Any:
    """The JSON that arrived."""
    await tell(sink, kind, message, **settings)
    return orjson.loads(sink.requests[-1].body)


async def refused(sink: HttpSink, kind: str, message: Message, said: Answer, **settings: Any) -> DeliveryError:
    """How it failed when the service said that; whatever it said, nothing of it is repeated."""
    sink.answer = said
    with pytest.raises(DeliveryError) as failed:
        await tell(sink, kind, message, **settings)
    assert "hunter2" not in str(failed.value)
    assert "127.0.0.1 answered " in str(failed.value)
    assert len(said.body) < 3 or said.body.decode() not in str(failed.value)
    return failed.value


def texts(content: Any) -> list[str]:
    """Every string in it."""
    if isinstance(content, str):
        return [content]
    if isinstance(content, dict):
        return [text for value in content.values() for text in texts(value)]
    return [text for value in content for text in texts(value)] if isinstance(content, list) else []
