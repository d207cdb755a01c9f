"""README.md: from an empty data directory to a phone that rings and stops ringing."""

from typing import Any

import pytest

from tests.guides.conftest import Reader
from tests.guides.pages import PING_URL, block

pytestmark = pytest.mark.asyncio(loop_scope="session")

NAME = "Ночная копия базы"
ALERT = "Копия не сделана, проверьте сервер db1"
RECOVERY = "Копия снова делается"


async def test_the_settings_arrive_as_they_were_typed(reader: Reader, created: list[Any]) -> None:
    phone, mail, heartbeat = created

    assert (phone["name"], phone["kind"], phone["settings"]["token"]) == ("Телефон дежурного", "gotify", None)
    assert (mail["name"], mail["settings"]["to"]) == ("Почта администраторов", ["admin@example.org"])
    assert (heartbeat["name"], heartbeat["alert_text"], heartbeat["recovery_text"]) == (NAME, ALERT, RECOVERY)
    assert (heartbeat["period"], heartbeat["grace"], heartbeat["priority"]) == (3600, 300, 9)
    assert heartbeat["status"] == "pending"


async def test_phone_and_mailbox_hear_of_the_failure_and_of_its_end(reader: Reader, created: list[Any]) -> None:
    heartbeat = created[2]
    first, fail, again = block("README.md", "try", {PING_URL: heartbeat["ping_url"]}).splitlines()

    assert (await reader.run(first)).output == "OK"
    await reader.up_again(heartbeat)
    assert (await reader.run(fail)).output == "OK"
    await reader.down(heartbeat)
    push, mail = await reader.pushed(f"{NAME} is down"), await reader.mailed(f"{NAME} is down")

    assert push["priority"] == 9
    assert push["message"].startswith(ALERT)
    assert mail.get_content().startswith(ALERT)
    assert (mail["From"], mail["To"], mail["Importance"]) == ("flatline@example.org", "admin@example.org", "high")

    assert (await reader.run(again)).output == "OK"
    await reader.up_again(heartbeat)
    push, mail = await reader.pushed(f"{NAME} is up again"), await reader.mailed(f"{NAME} is up again")

    assert push["priority"] == 3
    assert push["message"].startswith(RECOVERY)
    assert mail.get_content().startswith(RECOVERY)


async def test_the_phone_is_called_as_gotify_wants_it(reader: Reader, created: list[Any]) -> None:
    request = (await reader.phone.received(1))[0]

    assert (request.method, request.path) == ("POST", "/message")
    assert request.headers["X-Gotify-Key"] == "A6z.9kTfXbQ2mWe"
