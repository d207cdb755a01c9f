"""The OpenAPI document against the running console: no answer that it does not name, and no 500, whatever is sent."""

import asyncio
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from console.app import create_app
from store.database import opened
from tests.console.conftest import serving, settings

EXAMPLES: Final = 15  # of each operation, besides the corners of its schema
TIMEOUT_S: Final = 300  # 5,000 requests; some 40 s where nothing else runs
PLAIN_KEY: Final = "k" * 40  # the tool takes no other letters


@pytest.mark.timeout(TIMEOUT_S + 20)
async def test_every_answer_is_one_that_the_document_names(redis_url: str, tmp_path: Path) -> None:
    app_settings = replace(settings(redis_url), api_key=PLAIN_KEY)
    async with (
        opened(redis_url) as db,
        serving(create_app(db, app_settings)) as api,
        asyncio.timeout(TIMEOUT_S),
    ):
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "schemathesis.cli", "run", f"{api.url}/api/openapi.json",
            "--header", f"Authorization: Bearer {PLAIN_KEY}", "--max-examples", str(EXAMPLES),
            "--generation-deterministic",
            "--phases", "examples,coverage,fuzzing", "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
            "--no-color",
            cwd=tmp_path, env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said = (await process.communicate())[0].decode()

    assert process.returncode == 0, said[-8_000:]
    assert "Failures:" not in said
    assert "0 generated" not in said
