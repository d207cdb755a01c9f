"""cron.md: its lines run as cron would."""

from typing import Any

import pytest

from tests.guides.conftest import Reader
from tests.guides.pages import PING_URL, block, job

pytestmark = pytest.mark.asyncio(loop_scope="session")

SCRIPT = "/usr/local/bin/backup.sh"


def line(reader: Reader, name: str, heartbeat: Any, script: str) -> str:
    """A line of the page with a script of ours in it."""
    instead = {SCRIPT: reader.place("cron-job", f"#!/bin/sh\n{script}\n"), PING_URL: heartbeat["ping_url"]}
    match name:
        case "nightly":
            return job(block("cron.md", "nightly", instead))
        case "exit-status":
            return job(block("cron.md", "exit-status", instead))
        case _:
            return block("cron.md", "try", instead)


async def test_a_job_that_fails_sends_nothing_and_its_silence_raises_the_alarm(
    reader: Reader, created: list[Any]
) -> None:
    name = "Копия в полночь"
    heartbeat = await reader.api.create_heartbeat(
        name, period=1, grace=1, priority=9, alert_text="Копии нет", recovery_text="Копия есть"
    )

    assert (await reader.run(line(reader, "nightly", heartbeat, "exit 0"))).status == 0
    await reader.up_again(heartbeat)
    assert (await reader.run(line(reader, "nightly", heartbeat, "exit 1"))).status == 1
    incident = await reader.down(heartbeat)

    assert incident["cause"] == "silence"
    push, mail = await reader.pushed(f"{name} is down"), await reader.mailed(f"{name} is down")
    assert (push["priority"], push["message"].splitlines()[0]) == (9, "Копии нет")
    assert mail.get_content().startswith("Копии нет")

    assert (await reader.run(line(reader, "nightly", heartbeat, "exit 0"))).status == 0
    push, mail = await reader.pushed(f"{name} is up again"), await reader.mailed(f"{name} is up again")
    assert push["message"].startswith("Копия есть")
    assert mail.get_content().startswith("Копия есть")


async def test_the_exit_status_is_told_at_once(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Статус", period=86400, grace=3600)

    await reader.run(line(reader, "exit-status", heartbeat, "exit 0"))
    await reader.up_again(heartbeat)
    await reader.run(line(reader, "exit-status", heartbeat, "exit 3"))
    incident = await reader.down(heartbeat)

    assert (incident["cause"], incident["exit_status"]) == ("failure", "3")


async def test_trying_it_by_hand_pings(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Проба")

    assert (await reader.run(line(reader, "try", heartbeat, "exit 0"))).status == 0
    await reader.up_again(heartbeat)


async def test_a_monitor_that_is_away_only_shows_in_the_status_of_the_line(reader: Reader) -> None:
    done = reader.folder / "done"
    instead = {
        SCRIPT: reader.place("cron-job", f"#!/bin/sh\ntouch {done}\n"),
        PING_URL: "http://127.0.0.1:9/ping/x",
        "--retry 5": "--retry 0",
    }

    ran = await reader.run(job(block("cron.md", "nightly", instead)))

    assert ran.status == 7
    assert done.exists()
