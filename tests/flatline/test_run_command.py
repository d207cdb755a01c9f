"""`flatline run`: flatline hears how the command fared, and the command notices nothing of it."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import pty
import re
import shlex
import signal
import socket
import sys
import termios
import threading
import time
import uuid
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from flatline import client
from flatline.job import LINGER_S
from store import heartbeats, projects
from store.database import opened
from store.records import Settings
from tests.conftest import eventually
from tests.flatline.clients import (
    COUNTER,
    FLATLINE,
    PATIENCE_S,
    PING_KEY,
    TOKEN,
    Ran,
    clear,
    flatline,
    line,
    start,
    url_of,
)
from tests.ingest.conftest import serving
from tests.notifier.sinks import Answer, HttpSink, http_sink
from tests.system.processes import free_port

MIB = 1_048_576
#: The beginning of a program whose pipe holds 1 MiB.
WIDEN = f"import fcntl, os, sys; fcntl.fcntl(1, fcntl.F_SETPIPE_SZ, {MIB})"
FORWARDED = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2")


@pytest.fixture
async def sink() -> AsyncIterator[HttpSink]:
    async with http_sink() as server:
        server.answer = Answer(headers={"Ping-Body-Limit": "10000"})
        yield server
        clear()


def signals(sink: HttpSink) -> list[str]:
    """The signals that arrived, in order."""
    return [request.path.partition("?")[0].rpartition("/")[2] for request in sink.requests]


async def test_start_end_and_output_arrive_under_one_run_id(sink: HttpSink) -> None:
    ran = await flatline(
        "run", url_of(sink), "--", "sh", "-c", "read go; echo out; echo err >&2; exit 7", stdin=b"go\n"
    )

    assert ran == Ran(7, b"out\n", "err\n")
    begin, end = sink.requests
    run_ids = {request.path.partition("?rid=")[2] for request in sink.requests}
    (run_id,) = run_ids
    assert uuid.UUID(run_id).version == 4
    assert (begin.method, begin.path, begin.body) == ("POST", f"/ping/{TOKEN}/start?rid={run_id}", b"")
    assert (end.method, end.path) == ("POST", f"/ping/{TOKEN}/7?rid={run_id}")
    assert sorted(end.body.splitlines()) == [b"err", b"out"]


@pytest.mark.parametrize(
    ("script", "status", "told"),
    [
        ("true", 0, "0"),
        ("exit 1", 1, "1"),
        ("exit 255", 255, "255"),
        ("exit 143", 143, "143"),
        ("kill -TERM $$", 143, "TERM"),
        ("kill -KILL $$", 137, "KILL"),
        ("kill -SEGV $$", 139, "SEGV"),
    ],
)
async def test_the_end_is_told_and_passed_on(sink: HttpSink, script: str, status: int, told: str) -> None:
    ran = await flatline("run", url_of(sink), "--", "sh", "-c", f"ulimit -c 0; {script}")

    assert ran == Ran(status, b"", "")
    assert signals(sink) == ["start", told]


async def test_what_cannot_be_run_is_a_failure_with_a_reason(sink: HttpSink, tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("echo never")

    missing = await flatline("run", url_of(sink), "--", "no-such-command", "--all")
    forbidden = await flatline("run", url_of(sink), "--", str(tmp_path / "plain"))

    assert (missing.status, forbidden.status) == (127, 126)
    assert missing.stderr == "flatline run: no-such-command: command not found\n"
    assert forbidden.stderr == f"flatline run: {tmp_path}/plain: Permission denied\n"
    assert signals(sink) == ["127", "126"]
    assert [request.body for request in sink.requests] == [
        said.stderr.strip().encode() for said in (missing, forbidden)
    ]


async def test_one_output_keeps_the_order_of_its_lines(sink: HttpSink) -> None:
    script = "for n in 1 2 3 4 5 6 7 8 9; do echo out $n; echo err $n >&2; done"

    ran = await flatline("run", url_of(sink), "--", "sh", "-c", script, stderr=asyncio.subprocess.STDOUT)

    expected = b"".join(b"out %d\nerr %d\n" % (n, n) for n in range(1, 10))
    assert (ran.stdout, sink.requests[-1].body) == (expected, expected)


async def test_the_command_begins_at_once_though_flatline_hangs(sink: HttpSink) -> None:
    answered = asyncio.Event()
    sink.answers.append(Answer(until=answered))
    process = await start("run", url_of(sink), "--", "cat", stdin=PIPE)
    assert process.stdin is not None
    process.stdin.write(b"here\n")

    assert await line(process) == "here"
    await sink.received(1)
    answered.set()
    process.stdin.close()
    assert await process.wait() == 0
    assert signals(sink) == ["start", "0"]


async def test_flatline_being_away_changes_no_status_and_is_one_line() -> None:
    port = free_port()

    ran = await flatline("run", f"http://127.0.0.1:{port}/ping/{TOKEN}", "--", "sh", "-c", "echo done; exit 3")

    assert (ran.status, ran.stdout) == (3, b"done\n")
    assert ran.stderr == f"flatline run: 127.0.0.1:{port} was not told of exit status 3: Connection refused\n"


async def test_a_finish_never_overtakes_a_start_that_is_under_way(sink: HttpSink) -> None:
    sink.answers.append(Answer(how="hang"))
    running = asyncio.create_task(flatline("run", url_of(sink), "--", "true"))
    await sink.received(1)
    begun = asyncio.get_running_loop().time()
    await sink.received(2)

    assert asyncio.get_running_loop().time() - begun > 4  # what was left of the start's 5 s
    assert await running == Ran(0, b"", "")
    assert signals(sink) == ["start", "0"]


async def test_a_start_whose_host_was_found_too_late_is_never_sent(
    sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking up a name cannot be cut short; whoever gave up would have sent the finish by then."""
    found, before = threading.Event(), set(threading.enumerate())
    look_up = socket.getaddrinfo

    def slow(*arguments: Any, **options: Any) -> Any:
        found.wait()
        return look_up(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    until = time.monotonic() + 1
    with pytest.raises(client.NotDelivered, match="no answer in time"):
        await asyncio.to_thread(client.deliver, client.Address(url_of(sink)), "start", until=until)
    found.set()
    for thread in set(threading.enumerate()) - before:
        if thread.daemon:
            await asyncio.to_thread(thread.join, PATIENCE_S)

    assert sink.requests == []


async def test_behind_an_address_that_swallows_packets_the_next_one_is_tried(
    sink: HttpSink, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as stack:
        full = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(3):  # more than may wait for an accept: whoever comes now hears nothing
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(full.getsockname())
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
            for port in (full.getsockname()[1], sink.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)

        answer = await asyncio.to_thread(
            client.deliver, client.Address(url_of(sink)), "start", until=time.monotonic() + 5
        )

    assert answer == client.Answer(200, 10_000)


async def test_a_start_between_two_tries_is_given_up(sink: HttpSink) -> None:
    sink.answers.append(Answer(status=503, headers={"Retry-After": "10"}))
    process = await start("run", url_of(sink), "--", "cat", stdin=PIPE)
    await sink.received(1)
    assert process.stdin is not None
    process.stdin.close()

    assert await process.wait() == 0
    assert signals(sink) == ["start", "0"]


async def test_a_finish_is_tried_again(sink: HttpSink) -> None:
    sink.answers.extend([Answer(), Answer(status=503), Answer(status=429, headers={"Retry-After": "1"})])

    assert await flatline("run", url_of(sink), "--", "echo", "x") == Ran(0, b"x\n", "")
    assert signals(sink) == ["start", "0", "0", "0"]
    assert [request.body for request in sink.requests[1:]] == [b"x\n"] * 3


async def test_a_refusal_and_a_redirect_are_final(sink: HttpSink) -> None:
    for answer, reason in (
        (Answer(status=404), "it answers 404 Not Found"),
        (
            Answer(status=301, headers={"Location": f"https://other.invalid/ping/{TOKEN}"}),
            "redirect to https://other.invalid;",
        ),
    ):
        sink.requests.clear()
        sink.answer = answer

        ran = await flatline("run", url_of(sink), "--", "sh", "-c", "exit 5")

        assert ran.status == 5
        assert reason in ran.stderr
        assert ran.stderr.count("\n") == 1
        assert TOKEN not in ran.stderr
        assert signals(sink) == ["start", "5"]


@pytest.mark.parametrize(
    ("header", "options", "size"),
    [
        ("5", [], 5),
        ("0", [], 0),
        ("10000", [], 10_000),
        (None, [], 10_000),
        ("abc", [], 10_000),
        ("30000", [], 10_000),
        ("30000", ["--output-limit", "20000"], 20_000),
        ("10000", ["--output-limit", "20000"], 10_000),
        ("10000", ["--output-limit", "100"], 100),
        ("10000", ["--output-limit", "0"], 0),
    ],
)
async def test_the_tail_is_as_long_as_flatline_keeps_and_we_want(
    sink: HttpSink, header: str | None, options: list[str], size: int
) -> None:
    sink.answer = Answer(headers={} if header is None else {"Ping-Body-Limit": header})
    process = await start("run", *options, url_of(sink), "--", "sh", "-c", "read go; seq 100000", stdin=PIPE)
    await sink.received(1)
    stdout, _ = await process.communicate(b"go\n")

    body = sink.requests[-1].body
    assert len(body) == size
    notice, _, tail = body.rpartition(b"[cut: this is the end of %d bytes]\n" % len(stdout))
    assert bool(notice or tail != body) == (size >= 100)
    assert stdout.endswith(tail)


async def test_output_that_fits_is_sent_whole(sink: HttpSink) -> None:
    await flatline("run", url_of(sink), "--", "head", "-c", "10000", "/dev/zero")

    assert sink.requests[-1].body == bytes(10_000)


async def test_bytes_pass_through_untouched_both_ways(sink: HttpSink) -> None:
    every = bytes(range(256)) * 16

    ran = await flatline("run", url_of(sink), "--", "tee", "/dev/stderr", stdin=every, stderr=DEVNULL)

    assert ran.stdout == every
    assert len(sink.requests[-1].body) == 2 * len(every)


async def test_fifty_megabytes_pass_through_little_memory(sink: HttpSink, tmp_path: Path) -> None:
    block = bytes(range(256)) * 256
    blocks = 50 * MIB // len(block)
    (tmp_path / "in").write_bytes(block * blocks)
    with (tmp_path / "in").open("rb") as source, (tmp_path / "out").open("wb") as out:
        process = await start(
            "run", url_of(sink), "--", "sh", "-c", "cat; ps -o rss= -p $PPID >&2", stdin=source, stdout=out
        )
        _, memory = await process.communicate()

    assert process.returncode == 0
    assert int(memory) < 50 * 1024  # KiB
    assert hashlib.sha256((tmp_path / "out").read_bytes()).digest() == hashlib.sha256(block * blocks).digest()
    assert len(sink.requests[-1].body) == 10_000


async def test_arguments_arrive_as_they_are(sink: HttpSink, tmp_path: Path) -> None:
    words: list[str | bytes] = ["--", "--url", "-h", "", "a  b", "*", "$HOME", b"\xff\xfe", "Ночь"]
    script = "import os, sys; print([os.fsencode(word) for word in sys.argv[1:]])"
    seen = await flatline("run", url_of(sink), "--", sys.executable, "-c", script, *words)
    assert seen.stdout.decode().strip() == str([os.fsencode(word) for word in words])


async def test_the_environment_is_the_one_we_got(sink: HttpSink) -> None:
    for environment in ({}, {"LANG": "C"}, {"LC_ALL": "C"}, {"LC_CTYPE": "C.UTF-8"}, {"LANG": "C.UTF-8", "X": "Ночь"}):
        whole = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **environment}
        ran = await flatline("run", "--no-start", url_of(sink), "--", "env", environment=environment)
        assert sorted(ran.stdout.decode().splitlines()) == sorted(f"{name}={value}" for name, value in whole.items())


async def test_a_file_that_was_opened_for_the_command_reaches_it(sink: HttpSink, tmp_path: Path) -> None:
    with (tmp_path / "third").open("wb") as third:
        script = f"import os; os.write({third.fileno()}, b'third')"
        await flatline("run", url_of(sink), "--", sys.executable, "-c", script, pass_fds=(third.fileno(),))
    assert (tmp_path / "third").read_text() == "third"


@pytest.mark.parametrize("name", FORWARDED)
async def test_a_signal_reaches_the_command_which_decides(sink: HttpSink, name: str) -> None:
    process = await start("run", url_of(sink), "--", sys.executable, "-c", COUNTER, stdin=PIPE)
    assert (await line(process)).startswith("ready")

    process.send_signal(signal.Signals[f"SIG{name}"])
    assert await line(process) == f"got SIG{name}"
    stdout, stderr = await process.communicate(b"enough\n")

    assert (process.returncode, stdout, stderr) == (1, b"1 in all\n", b"")
    assert signals(sink) == ["start", "1"]


async def test_a_command_that_a_signal_ends_is_told_by_its_name(sink: HttpSink) -> None:
    script = "echo ready; while :; do sleep 0.05; done"
    process = await start("run", url_of(sink), "--", "sh", "-c", f'trap "echo cleaned up; exit 3" INT; {script}')
    assert await line(process) == "ready"
    process.send_signal(signal.SIGINT)
    assert await line(process) == "cleaned up"
    assert await process.wait() == 3

    process = await start("run", url_of(sink), "--", "sh", "-c", script)
    assert await line(process) == "ready"
    process.send_signal(signal.SIGTERM)
    assert await process.wait() == 143
    assert signals(sink) == ["start", "3", "start", "TERM"]


async def test_a_signal_for_our_whole_group_reaches_the_command_once(sink: HttpSink) -> None:
    words = ("run", "--quiet-output", url_of(sink), "--", sys.executable, "-c", COUNTER)
    process = await start(*words, stdin=PIPE)
    command = int((await line(process)).removeprefix("ready "))

    process.send_signal(signal.SIGSTOP)  # so that two of one kind, if there were two, would not become one
    os.killpg(process.pid, signal.SIGINT)
    os.kill(command, signal.SIGUSR1)
    assert await line(process) == "got SIGUSR1"
    process.send_signal(signal.SIGCONT)
    assert await line(process) == "got SIGINT"
    await process.communicate(b"enough\n")

    assert process.returncode == 2


async def test_ctrl_c_at_a_terminal_is_delivered_once_and_the_keyboard_can_be_read(sink: HttpSink) -> None:
    ours, theirs = pty.openpty()
    process = await start(
        "run", "--quiet-output", url_of(sink), "--", sys.executable, "-c", COUNTER,
        stdin=theirs, stdout=theirs, stderr=theirs, pass_fds=(theirs,),
        preexec_fn=lambda: fcntl.ioctl(theirs, termios.TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(theirs)
    os.set_blocking(ours, False)
    shown = b""

    async def shows(text: bytes) -> None:
        async def seen() -> bool:
            nonlocal shown
            try:
                shown += os.read(ours, 4096)
            except BlockingIOError:
                return False
            except OSError:  # nobody is left at the other end
                return text in shown
            return text in shown

        await eventually(seen, within_s=PATIENCE_S)

    await shows(b"ready")
    process.send_signal(signal.SIGSTOP)
    os.write(ours, b"\x03")
    await shows(b"got SIGINT")
    process.send_signal(signal.SIGUSR1)
    process.send_signal(signal.SIGCONT)
    await shows(b"got SIGUSR1")
    os.write(ours, b"enough\n")
    await shows(b"2 in all")
    assert await process.wait() == 2
    assert signals(sink) == ["start", "2"]
    os.close(ours)


async def test_what_we_were_told_to_ignore_the_command_ignores(sink: HttpSink) -> None:
    """As under nohup."""
    ran = await flatline(
        "run", url_of(sink), "--", "sh", "-c", "kill -HUP $$; echo alive",
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip

    assert ran == Ran(0, b"alive\n", "")


async def test_a_parent_that_does_not_care_for_children_takes_no_status_from_us(sink: HttpSink) -> None:
    ran = await flatline(
        "run", url_of(sink), "--", "sh", "-c", "exit 3",
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )  # fmt: skip

    assert ran.status == 3
    assert signals(sink) == ["start", "3"]


async def test_what_is_left_in_the_background_does_not_hold_us(sink: HttpSink) -> None:
    process = await start("run", url_of(sink), "--", "sh", "-c", "sleep 600 & echo $!; exit 4")
    background = int(await line(process))
    try:
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 4
    finally:
        os.kill(background, signal.SIGTERM)

    assert signals(sink) == ["start", "4"]
    assert sink.requests[-1].body == b"%d\n" % background


@pytest.mark.skipif(sys.platform != "linux", reason="only there a program can widen its pipe")
async def test_nor_does_it_if_it_talks_faster_than_anybody_listens(sink: HttpSink) -> None:
    script = f"{WIDEN}; import subprocess; subprocess.Popen('yes'); sys.exit(4)"
    ours, theirs = os.pipe()
    process = await start("run", url_of(sink), "--", sys.executable, "-c", script, stdout=theirs)
    os.close(theirs)
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(os.read, ours, 512):
            pass
        assert await process.wait() == 4

    os.close(ours)
    assert signals(sink) == ["start", "4"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there a program can widen its pipe")
async def test_a_slow_reader_loses_nothing(sink: HttpSink) -> None:
    """The command left much in its pipe and somebody who holds it open; now and then nobody reads for very long."""
    data = b"".join(b"%d\n" % number for number in range(100_000))
    script = (
        f"{WIDEN}; import subprocess; os.write(1, sys.stdin.buffer.read());"
        "print(subprocess.Popen(['sleep', '600']).pid, file=sys.stderr)"
    )
    ours, theirs = os.pipe()
    process = await start("run", url_of(sink), "--", sys.executable, "-c", script, stdin=PIPE, stdout=theirs)
    os.close(theirs)
    assert process.stdin is not None
    assert process.stderr is not None
    process.stdin.write(data)
    process.stdin.close()
    background = int((await process.stderr.readline()).decode())
    taken = b""
    try:
        for _ in range(2):  # in the first pause it learns of the end, in the second its patience ends
            await asyncio.sleep(LINGER_S + 0.5)
            taken += await asyncio.to_thread(os.read, ours, 65_536)
        async with asyncio.timeout(PATIENCE_S):
            while chunk := await asyncio.to_thread(os.read, ours, 65_536):
                taken += chunk
            assert await process.wait() == 0
    finally:
        os.kill(background, signal.SIGTERM)
        os.close(ours)

    assert taken == data


async def test_a_reader_that_leaves_ends_the_command_as_ever(sink: HttpSink) -> None:
    line = f"{shlex.quote(str(FLATLINE))} run {url_of(sink)} -- yes | head -n 1"
    process = await asyncio.create_subprocess_shell(line, stdout=PIPE, stderr=PIPE)
    stdout, stderr = await process.communicate()

    assert (stdout, stderr) == (b"y\n", b"")
    await sink.received(2)
    assert signals(sink) == ["start", "PIPE"]


async def test_closed_standard_streams_do_no_harm(sink: HttpSink) -> None:
    line = f"{shlex.quote(str(FLATLINE))} run {url_of(sink)} -- sh -c 'echo out; echo err >&2; exit 6' <&- >&- 2>&-"
    process = await asyncio.create_subprocess_shell(line)

    assert await process.wait() == 6
    assert signals(sink) == ["start", "6"]
    assert sink.requests[-1].body == b"out\nerr\n"


async def test_its_output_can_be_kept_out_of_it(sink: HttpSink) -> None:
    ran = await flatline("run", "--quiet-output", "--no-start", url_of(sink), "--", "sh", "-c", "echo secret; exit 1")

    assert ran == Ran(1, b"secret\n", "")
    assert signals(sink) == ["1"]
    assert sink.requests[0].body == b""


async def test_a_heartbeat_that_is_made_learns_how_often_it_comes(sink: HttpSink) -> None:
    words = ["--url", f"http://127.0.0.1:{sink.port}", "--slug", "db1", "--create", "--every", "1d", "--grace", "1h30m"]

    ran = await flatline("run", *words, "--", "true", environment={"FLATLINE_PING_KEY": PING_KEY})

    assert ran == Ran(0, b"", "")
    for request, told in zip(sink.requests, ("start", "0"), strict=True):
        assert request.path.startswith(f"/ping/{PING_KEY}/db1/{told}?create=1&every=86400&grace=5400&rid=")


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("90s", 90), ("5m", 300), ("1h", 3600), ("1d", 86_400), ("1d2h3m4s", 93_784)]
)
async def test_durations_are_written_as_people_write_them(sink: HttpSink, text: str, seconds: int) -> None:
    url = f"http://127.0.0.1:{sink.port}/ping/{PING_KEY}/db1"

    await flatline("run", "--no-start", "--create", "--every", text, url, "--", "true")

    assert f"every={seconds}&" in sink.requests[0].path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "touch", "ran"], "one URL or token is enough"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--"], "after a --"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}"], "after a --"),
        (["--", "touch", "ran"], "either a ping URL, a token, or --slug"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--every", "1d", "--", "touch", "ran"], "add --create"),
        ([f"http://127.0.0.1:9/ping/{TOKEN}", "--grace", "0", "--", "touch", "ran"], "add --create"),
        (["--slug", "a", "--create", "--every", "1w", "--", "touch", "ran"], "a duration such as"),
        (["--slug", "a", "--create", "--every", "0", "--", "touch", "ran"], "a duration such as"),
        (["--slug", "a", "--create", "--every", "367d", "--", "touch", "ran"], "a duration such as"),
        (["--slug", "a", "--create", "--every", "", "--", "touch", "ran"], "a duration such as"),
        (["--slug", "a", "--output-limit", "1000001", "--", "touch", "ran"], "must be 0 to"),
        (["--slug", "a", "--quiet", "--", "touch", "ran"], "no option is called --quiet"),
    ],
)
async def test_wrong_usage_runs_nothing(tmp_path: Path, words: list[str], said: str) -> None:
    ran = await flatline("run", *words, cwd=tmp_path)

    assert ran.status == 2
    assert said in ran.stderr
    assert ran.stderr.count("\n") == 1
    assert TOKEN not in ran.stderr
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("words", "environment", "said"),
    [
        ([TOKEN], {}, "FLATLINE_PUBLIC_URL"),
        ([TOKEN], {"FLATLINE_PUBLIC_URL": "monitor"}, "FLATLINE_PUBLIC_URL"),
        (["--slug", "a", "--url", "http://127.0.0.1:9"], {}, "FLATLINE_PING_KEY"),
        (["--slug", "a", "--url", "http://127.0.0.1:9"], {"FLATLINE_PING_KEY_FILE": "/none"}, "FLATLINE_PING_KEY_FILE"),
        (["--slug", "a", "--url", "http://127.0.0.1:9"], {"FLATLINE_PING_KEY": "ge/heim"}, "FLATLINE_PING_KEY"),
    ],
)
async def test_what_the_environment_lacks_does_not_keep_the_command_from_running(
    words: list[str], environment: dict[str, str], said: str
) -> None:
    ran = await flatline("run", *words, "--", "sh", "-c", "echo done; exit 3", environment=environment)

    assert (ran.status, ran.stdout) == (3, b"done\n")
    assert said in ran.stderr
    assert ran.stderr.endswith("; the command runs unwatched\n")
    assert ran.stderr.count("\n") == 1
    assert "heim" not in ran.stderr


async def test_help_shows_two_examples() -> None:
    ran = await flatline("run", "--help")

    assert ran.status == 0
    assert len(re.findall(r"^ .*-- \S+", ran.stdout.decode(), re.MULTILINE)) == 2
    for word in ("--every", "FLATLINE_PING_KEY_FILE", "exit status", "Redirects are not followed"):
        assert word in ran.stdout.decode()


async def test_a_real_node_sees_the_run_and_its_failure(redis_url: str) -> None:
    async with opened(redis_url) as db, aiohttp.ClientSession() as http, serving(db, http) as node:
        heartbeat = await heartbeats.create(db, Settings(name="backup"))
        process = await start("run", f"{node.url}/ping/{heartbeat.token}", "--", "cat", stdin=PIPE)

        async def is_running() -> bool:
            return (await node.get(heartbeat)).running_since is not None

        await eventually(is_running, within_s=PATIENCE_S)
        await process.communicate(b"No space left on device\n")
        assert not await is_running()
        assert await node.status(heartbeat) == "up"

        await flatline("run", f"{node.url}/ping/{heartbeat.token}", "--", "sh", "-c", "echo disk full; exit 3")
        assert await node.status(heartbeat) == "down"
        pings = [row for row in await node.events(heartbeat) if "rid" in row]
        assert [(row["kind"], row["exit"], row["size"]) for row in pings] == [
            (b"start", b"", b"0"),
            (b"success", b"0", b"24"),
            (b"start", b"", b"0"),
            (b"fail", b"3", b"10"),
        ]
        incident = (await node.get(heartbeat)).incident
        assert incident is not None
        assert await db.execute("HGET", db.shard(heartbeat.id).incident(incident), "output") == b"disk full\n"


async def test_a_real_node_makes_the_heartbeat_as_the_command_line_says(redis_url: str) -> None:
    async with opened(redis_url) as db, aiohttp.ClientSession() as http, serving(db, http) as node:
        environment = {"FLATLINE_PUBLIC_URL": node.url, "FLATLINE_PING_KEY": await projects.ping_key(db)}
        words = ["--slug", "db1-backup", "--create", "--every", "1h", "--grace", "5m"]

        ran = await flatline("run", *words, "--", "true", environment=environment)

        assert ran == Ran(0, b"", "")
        ((found,),) = await projects.with_slugs(db, [("default", "db1-backup")])
        made = await heartbeats.get(db, found)
        assert (made.settings.period, made.settings.grace, made.stored_status) == (3600, 300, "up")
