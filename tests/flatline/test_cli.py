"""The command line: it teaches, and what is wrong stops the start with one line that names it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from flatline.cli import main
from tests.conftest import Sockets
from tests.system.processes import ROOT


def flatline(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run(
        [sys.executable, "-m", "flatline.cli", *arguments],
        cwd=ROOT,
        env=base | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_teaches_how_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    text = capsys.readouterr().out

    assert "start here:" in text
    for command in ("up", "run", "ping", "ingest", "sweeper", "notifier", "console"):
        assert f"flatline {command}" in text


@pytest.mark.parametrize("command", ["up", "ingest", "sweeper", "notifier", "console"])
def test_every_command_has_its_own_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])

    assert "--redis-url" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["run", "ping"])
def test_a_client_command_has_its_own_words(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])
    text = capsys.readouterr().out

    assert text.startswith(f"usage: flatline {command} ")
    for word in ("--slug", "FLATLINE_PUBLIC_URL", "examples:", "exit status"):
        assert word in text
    assert "--redis-url" not in text


@pytest.mark.parametrize("name", ["FLATLINE_PING_KEY", "FLATLINE_PING_KEY_FILE"])
def test_a_role_does_not_mind_what_is_set_for_clients(name: str) -> None:
    done = flatline("ingest", **{name: "geheim", "FLATLINE_PORT": "99999"})

    assert done.returncode == 1
    assert "FLATLINE_PORT" in done.stderr
    assert name not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "environment", "names"),
    [
        (["up", "--port", "http"], {}, ["--port", "http"]),
        (["ingest"], {"FLATLINE_PORT": "99999"}, ["FLATLINE_PORT", "65535"]),
        (["ingest"], {"FLATLINE_PROT": "8000"}, ["FLATLINE_PROT", "FLATLINE_PORT"]),
        (["ingest"], {"FLATLINE_REDIS_URL": "http://x"}, ["FLATLINE_REDIS_URL", "redis://"]),
        (["ingest"], {"FLATLINE_REDIS_URL": "redis+sentinel://a:1/m/0"}, ["FLATLINE_REDIS_URL", "Sentinel"]),
        (["sweeper"], {"FLATLINE_REDIS_URL": "redis+cluster://a:1"}, ["FLATLINE_REDIS_URL", "Cluster"]),
        (["notifier"], {"FLATLINE_ALLOW_PRIVATE_TARGETS": "10.0.0.0/99"}, ["FLATLINE_ALLOW_PRIVATE_TARGETS"]),
        (["notifier"], {"FLATLINE_SMTP_URL": "smtp://u:geheim@"}, ["FLATLINE_SMTP_URL"]),
        (["console"], {"FLATLINE_API_KEY": "geheim"}, ["FLATLINE_API_KEY", "32"]),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(
    arguments: list[str], environment: dict[str, str], names: list[str]
) -> None:
    done = flatline(*arguments, **environment)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("flatline: ")
    for name in names:
        assert name in done.stderr
    assert "geheim" not in done.stderr


def test_a_console_without_a_key_does_not_start(redis_url: str) -> None:
    done = flatline("console", "--port", "0", FLATLINE_REDIS_URL=redis_url)

    assert done.returncode == 1
    assert "FLATLINE_API_KEY" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def evicting(sockets: Sockets, redis_url: str) -> Iterator[str]:
    from redis import Redis  # noqa: PLC0415

    with Redis.from_url(redis_url) as redis:
        redis.config_set("maxmemory-policy", "allkeys-lru")
        yield redis_url
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_evicts_is_refused(evicting: str) -> None:
    done = flatline("sweeper", "--port", "0", "--redis-url", evicting)

    assert done.returncode == 1
    assert "noeviction" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_data_directory_must_be_usable(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    done = flatline("up", "--data-dir", str(tmp_path / "file" / "data"), "--port", "0")

    assert done.returncode == 1
    assert "data directory" in done.stderr
