"""backup-script.md: the scripts run, fail, are killed, and say so."""

from typing import Any

import pytest

from tests.guides.conftest import Ran, Reader
from tests.guides.pages import PING_URL, block

pytestmark = pytest.mark.asyncio(loop_scope="session")

DUMP = "/usr/local/bin/dump-database"
COPY = "/usr/local/bin/copy-to-other-site"
#: Everything that a shell, curl or a form's encoding could take for its own.
SAID = '@/etc/hostname Ошибка: места нет & диск=100%25 + «db1» $HOME `id` "\\n"\n    вторая строка'
DONE = "Готово" + "\n"


def program(reader: Reader, status: int, said: str = SAID) -> str:
    """Something that prints and ends."""
    text = reader.folder / "said"
    text.write_text(said)
    return str(reader.place("dump", f"#!/bin/sh\ncat {text}\nexit {status}\n"))


async def run(reader: Reader, name: str, heartbeat: Any, dump: str, copy: str = "true") -> Ran:
    instead = {PING_URL: heartbeat["ping_url"], DUMP: dump}
    text = {
        "report": lambda: block("backup-script.md", "report", instead),
        "trap": lambda: block("backup-script.md", "trap", {**instead, COPY: copy}),
        "one-line": lambda: block("backup-script.md", "one-line", instead),
    }[name]()
    return await reader.run(str(reader.place("backup.sh", text)) if name != "one-line" else text)


@pytest.mark.parametrize("name", ["report", "trap", "one-line"])
async def test_success_and_failure_are_told_with_what_was_printed(
    reader: Reader, created: list[Any], name: str
) -> None:
    heartbeat = await reader.api.create_heartbeat(f"Копия {name}")

    good = await run(reader, name, heartbeat, program(reader, 0))
    await reader.up_again(heartbeat)
    bad = await run(reader, name, heartbeat, program(reader, 3))
    incident = await reader.down(heartbeat)

    assert good == Ran(0, "")
    assert bad == Ran(0 if name == "one-line" else 3, "")
    assert incident["output"] == SAID
    assert incident["exit_status"] == (None if name == "trap" else "3")
    push, mail = await reader.pushed(f"Копия {name} is down"), await reader.mailed(f"Копия {name} is down")
    assert "вторая строка" in push["message"]
    assert "«db1»" in mail.get_content()

    await run(reader, name, heartbeat, program(reader, 0))
    await reader.pushed(f"Копия {name} is up again")


@pytest.mark.parametrize("name", ["report", "trap"])
async def test_more_output_than_an_argument_can_hold_is_told_by_its_end(
    reader: Reader, created: list[Any], name: str
) -> None:
    heartbeat = await reader.api.create_heartbeat(f"Много {name}")

    await run(reader, name, heartbeat, program(reader, 1, "строка" + 100_000 * "\n..." + "конец"))

    assert (await reader.down(heartbeat))["output"].endswith("...конец")


async def test_one_line_with_too_long_an_output_sends_no_ping_as_the_page_says(reader: Reader) -> None:
    heartbeat = await reader.api.create_heartbeat("Длинная строка", channels=[])

    ran = await run(reader, "one-line", heartbeat, program(reader, 0, "x" * 140_000))

    assert ran.status == 126
    assert "too long" in ran.output
    assert (await reader.api.heartbeat(heartbeat["id"]))["status"] == "pending"


async def test_the_trap_hears_the_second_step_fail(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Второй шаг")
    copy = reader.place("copy", "#!/bin/sh\necho 'Нет связи' >&2\nexit 12\n")

    assert (await run(reader, "trap", heartbeat, program(reader, 0, DONE), str(copy))).status == 12
    assert (await reader.down(heartbeat))["output"] == DONE + "Нет связи" + "\n"


async def test_the_trap_hears_a_kill(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Убит")

    assert (await run(reader, "trap", heartbeat, program(reader, 0, ""), "kill -TERM $$")).status == 143
    await reader.down(heartbeat)


async def test_a_run_that_began_is_under_way(reader: Reader, created: list[Any]) -> None:
    heartbeat = await reader.api.create_heartbeat("Начало")
    seen = reader.folder / "seen"
    key = f"Authorization: Bearer {(reader.folder / 'data' / 'api-key').read_text().strip()}"
    asks = f"#!/bin/sh\ncurl -fsS '{reader.up.url}/api/heartbeats/{heartbeat['id']}' -H '{key}' >{seen}\n"

    await run(reader, "report", heartbeat, str(reader.place("asks", asks)))

    assert '"running_since":null' not in seen.read_text()
    assert (await reader.up_again(heartbeat))["running_since"] is None


@pytest.mark.parametrize("name", ["report", "trap"])
@pytest.mark.parametrize("status", [0, 3])
async def test_a_monitor_that_is_away_changes_nothing_for_the_script(reader: Reader, name: str, status: int) -> None:
    nobody = {"ping_url": "http://127.0.0.1:9/ping/x"}
    reader.place("curl", '#!/bin/sh\nexec /usr/bin/curl "$@" --retry 0\n')  # its own waits would only be long
    try:
        assert (await run(reader, name, nobody, program(reader, status))).status == status
    finally:
        (reader.folder / "bin" / "curl").unlink()
