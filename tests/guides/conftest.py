"""One reader for all guides: `flatline up` as README.md starts it, its channels, and the servers that these lead to."""

import asyncio
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import orjson
import pytest
import pytest_asyncio

from tests.conftest import eventually
from tests.guides.pages import block, put_in
from tests.notifier.sinks import HttpSink, SmtpSink, http_sink, smtp_sink
from tests.system.processes import Api, House, Process, house

PATIENCE_S = 40  # on a busy machine; a deaf second excuses a heartbeat and so delays an alarm


def tool(name: str) -> str:
    """Where a program is; without it the test is skipped, but in CI it must be there."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        assert not os.environ.get("CI"), f"CI must have {name}"
        pytest.skip(f"no {name} on this machine")
    return found


@dataclass(frozen=True, slots=True)
class Ran:
    status: int
    output: str


@dataclass(frozen=True, slots=True)
class Reader:
    """Does what the guides say, and looks what comes of it."""

    folder: Path
    up: Process
    api: Api
    phone: HttpSink
    mailbox: SmtpSink

    async def run(self, text: str, environment: Mapping[str, str] | None = None) -> Ran:
        """The lines by /bin/sh, in as little of an environment as cron gives."""
        clean = {"HOME": str(self.folder), "PATH": f"{self.folder}/bin:/usr/bin:/bin:/usr/sbin", **(environment or {})}
        process = await asyncio.create_subprocess_exec(
            "/bin/sh", "-c", text, cwd=self.folder, env=clean, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(PATIENCE_S):
            output, _ = await process.communicate()
        assert process.returncode is not None
        return Ran(process.returncode, output.decode())

    def place(self, name: str, text: str) -> Path:
        """Put a script where it can be run."""
        path = self.folder / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    async def down(self, heartbeat: Any) -> Any:
        """Wait for the incident; the incident."""
        seen = await self.api.becomes(heartbeat["id"], "down", within_s=PATIENCE_S)
        return await self.api.incident(seen["incident"])

    async def up_again(self, heartbeat: Any) -> Any:
        return await self.api.becomes(heartbeat["id"], "up", within_s=PATIENCE_S)

    async def pushed(self, title: str) -> dict[str, Any]:
        """Wait for the push with this title."""

        async def found() -> dict[str, Any] | None:
            bodies = [orjson.loads(request.body) for request in self.phone.requests]
            return next((body for body in bodies if body["title"] == title), None)

        push: dict[str, Any] = await eventually(found, within_s=PATIENCE_S)
        return push

    async def mailed(self, subject: str) -> EmailMessage:
        """Wait for the mail with this subject, decoded."""

        async def found() -> EmailMessage | None:
            contents = [mail.content for mail in self.mailbox.mails if isinstance(mail.content, bytes)]
            mails = [message_from_bytes(content, policy=policy.default) for content in contents]
            return next((mail for mail in mails if mail["Subject"] == subject), None)

        mail: EmailMessage = await eventually(found, within_s=PATIENCE_S)
        return mail

    def with_key(self, page: str, name: str, instead: Mapping[str, object] | None = None) -> str:
        """A block that calls the API."""
        return put_in(block(page, name), {"http://127.0.0.1:8000": self.up.url, **(instead or {})})


def settings_of(exports: str) -> dict[str, str]:
    """The settings in lines of `export FLATLINE_<NAME>='<value>'`, as House takes them."""
    lines = [line.removeprefix("export FLATLINE_") for line in exports.splitlines() if line.startswith("export ")]
    return {name.lower(): value.strip("'") for name, _, value in (line.partition("=") for line in lines)}


async def _start(here: House, mailbox: SmtpSink) -> Process:
    lines = put_in(
        block("README.md", "start"),
        {
            "smtp+starttls://flatline:password@mail.example.org:587": f"smtp://127.0.0.1:{mailbox.port}",
            "192.168.1.20/32": "127.0.0.1/32",
        },
    )
    assert lines.splitlines()[-1] == "flatline up"
    data = str(here.folder / "data")
    return await here.start("up", port=None, data_dir=data, api_key="", **settings_of(lines))


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def reader(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Reader]:
    tool("curl")
    folder = tmp_path_factory.mktemp("reader")
    async with http_sink() as phone, smtp_sink() as mailbox, house(folder) as here:
        up = await _start(here, mailbox)
        async with Api(up.url, (folder / "data" / "api-key").read_text().strip()) as api:
            yield Reader(folder, up, api, phone, mailbox)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def created(reader: Reader) -> list[Any]:
    """What the API answered to README.md: two channels, which all other heartbeats tell too, and a heartbeat."""
    ran = await reader.run(
        reader.with_key("README.md", "create", {"http://192.168.1.20:8080": f"http://127.0.0.1:{reader.phone.port}"})
    )
    assert ran.status == 0, ran.output
    return [orjson.loads(answer) for answer in ran.output.replace("}{", "}\n{").splitlines()]
