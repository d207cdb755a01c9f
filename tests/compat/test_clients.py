"""What the clients in the field send, byte for byte, and what they make of the answer.

Each row is one client's job: its requests in their order, what must be answered, and what must be stored. A client that
is not content with an answer repeats it, gives up or tells its user that the ping failed, so the answers are exact.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

import pytest

from store import heartbeats, projects
from store.records import Heartbeat
from tests.compat.wire import OK_HEADERS, Connection, Reply, Stored, replay, stored
from tests.ingest.conftest import NewNode, Node

LIMIT: Final = 10_000  # bytes kept of a body
RID: Final = "c0ffee00-1234-4abc-8def-0123456789ab"

OK: Final = 200, b"OK"
CREATED: Final = 201, b"Created"
HEADERS_ONLY: Final = 200, b""
NOT_FOUND: Final = 404, b"not found"


@dataclass(frozen=True, kw_only=True)
class Client:
    """`head`: the header lines that it sends with each request, as it spells them."""

    head: str = ""

    def request(self, line: str, body: bytes | None = None, more: str = "") -> bytes:
        """`line`: method and path; TOKEN, KEY and slug are put in when it is sent. `body` None: it sends no length."""
        length = "" if body is None else f"Content-Length: {len(body)}\r\n"
        return f"{line} HTTP/1.1\r\n{self.head}{more}{length}\r\n".encode() + (body or b"")


async def play(node: Node, requests: list[bytes], **settings: object) -> tuple[list[tuple[int, bytes]], Heartbeat]:
    """The answers, and the heartbeat that was meant; its slug is `nightly`."""
    heartbeat = await node.create(slug="nightly", **settings)
    return await play_for(node, heartbeat, requests), heartbeat


async def play_for(node: Node, heartbeat: Heartbeat, requests: list[bytes]) -> list[tuple[int, bytes]]:
    replies = [await replay(node, request) for request in await addressed(node, heartbeat.token, requests)]
    for reply in replies:
        check(reply)
    return [(reply.status, reply.body) for reply in replies]


async def addressed(node: Node, token: str, requests: list[bytes]) -> list[bytes]:
    key = await projects.ping_key(node.db)
    return [request.replace(b"TOKEN", token.encode()).replace(b"KEY", key.encode()) for request in requests]


def check(reply: Reply) -> None:
    """What microcontrollers and Go programs need of any answer: a length, a short head, nowhere else to go."""
    assert "content-length" in reply.headers
    assert "transfer-encoding" not in reply.headers
    assert "location" not in reply.headers
    assert sum(len(name) + len(value) + 4 for name, value in reply.headers.items()) < 450
    if reply.status in {200, 201}:
        headers = {name: value for name, value in reply.headers.items() if name != "connection"}
        assert headers | {"content-length": "2"} == OK_HEADERS


RUNITOR: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: runitor/1.4.1 (linux-amd64; +https://bdd.fi/x/runitor)\r\n"
    "Content-Type: text/plain\r\nAccept-Encoding: gzip\r\n"
)
BORGMATIC: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: borgmatic\r\nAccept-Encoding: gzip, deflate\r\nAccept: */*\r\n"
    "Connection: keep-alive\r\n"
)
BACKREST: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: Go-http-client/1.1\r\nContent-Type: text/plain\r\n"
    "Accept-Encoding: gzip\r\n"
)
RESTICPROFILE: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: resticprofile/0.29.0\r\nAccept-Encoding: gzip\r\n"
)
PY_HEALTHCHECKS: Final = Client(
    head="Host: hb.example.org\r\nAccept: */*\r\nAccept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\n"
    "X-Api-Key: \r\nContent-Type: application/json\r\nuser-agent: py-healthchecks.io/3.3.0\r\n"
)
HEALTHCHECKS_RS: Final = Client(head="Host: hb.example.org\r\nuser-agent: monitor/3.0.1\r\naccept: */*\r\n")
ANSIBLE: Final = Client(
    head="Accept-Encoding: identity\r\nHost: hb.example.org\r\nUser-Agent: ansible-httpget\r\nConnection: close\r\n"
)
HOME_ASSISTANT: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: HomeAssistant/2026.8.0 aiohttp/3.12.0 Python/3.13\r\nAccept: */*\r\n"
    "Accept-Encoding: gzip, deflate\r\n"
)
CURL: Final = Client(head="Host: hb.example.org\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n")
WGET: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: Wget/1.21.4\r\nAccept: */*\r\nAccept-Encoding: identity\r\n"
    "Connection: Keep-Alive\r\n"
)
BUSYBOX: Final = Client(head="Host: hb.example.org\r\nUser-Agent: Wget\r\nConnection: close\r\n")
ROUTEROS: Final = Client(head="User-Agent: Mikrotik/7.x Fetch\r\nAccept: */*\r\nHost: hb.example.org\r\n")
POWERSHELL: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: Mozilla/5.0 (Windows NT 10.0; en-US) PowerShell/7.4.1\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
)
ARDUINO: Final = Client(
    head="Host: hb.example.org\r\nUser-Agent: ESP32HTTPClient\r\nAccept-Encoding: identity;q=1,chunked;q=0.1,*;q=0\r\n"
    "Connection: close\r\n"
)
ESPHOME: Final = Client(
    head="User-Agent: ESPHome/2026.7.0 (https://esphome.io)\r\nHost: hb.example.org\r\nContent-Type: text/plain\r\n"
)
GO_HEAD: Final = Client(head="Host: hb.example.org\r\nUser-Agent: Go-http-client/1.1\r\n")
FORM: Final = "Content-Type: application/x-www-form-urlencoded\r\n"

LOG: Final = "zeile eins\nżółć\n".encode()

#: client: its requests, the answers, what is stored, and the status in the end.
JOBS: Final[dict[str, tuple[list[bytes], list[tuple[int, bytes]], list[Stored], str]]] = {
    "runitor, a job that succeeds": (
        [RUNITOR.request(f"POST /TOKEN/start?rid={RID}", b""), RUNITOR.request(f"POST /TOKEN?rid={RID}", LOG)],
        [OK, OK],
        [Stored("start", "", RID), Stored("success", "", RID, LOG)],
        "up",
    ),
    "runitor, a job that fails, under /ping and by slug": (
        [
            RUNITOR.request(f"POST /ping/KEY/nightly/start?rid={RID}", b""),
            RUNITOR.request(f"POST /ping/KEY/nightly/12?rid={RID}", b"[runitor] exit status 12"),
        ],
        [OK, OK],
        [Stored("start", "", RID), Stored("fail", "12", RID, b"[runitor] exit status 12")],
        "down",
    ),
    "runitor, told to make it, though it is there": (
        [RUNITOR.request(f"POST /ping/KEY/nightly/log?create=1&rid={RID}", b"x")],
        [OK],
        [Stored("log", "", RID, b"x")],
        "pending",
    ),
    "borgmatic, healthchecks hook": (
        [
            BORGMATIC.request("POST /ping/TOKEN/start", b""),
            BORGMATIC.request("POST /ping/TOKEN/log", LOG),
            BORGMATIC.request("POST /ping/TOKEN", b"...\n" + LOG),
        ],
        [OK, OK, OK],
        [Stored("start"), Stored("log", output=LOG), Stored("success", output=b"...\n" + LOG)],
        "up",
    ),
    "borgmatic, create_slug": (
        [
            BORGMATIC.request("POST /ping/KEY/nightly/start?create=1", b""),
            BORGMATIC.request("POST /ping/KEY/nightly/fail?create=1", b"a" * 99_996 + b"end\n"),
        ],
        [OK, OK],
        [Stored("start"), Stored("fail", output=b"a" * (LIMIT - 4) + b"end\n")],
        "down",
    ),
    "borgmatic, a log of 100,000 bytes that ends in two-byte characters": (
        [BORGMATIC.request("POST /ping/TOKEN", b"x" + "ü".encode() * 49_999 + b"!")],
        [OK],
        [Stored("success", output=(b"x" + "ü".encode() * 49_999 + b"!")[-LIMIT:])],
        "up",
    ),
    "backrest, the URL as it was typed": (
        [
            BACKREST.request("POST /ping/TOKEN/start", b"backup started"),
            BACKREST.request("POST /ping/TOKEN/", b"snapshot 1a2b"),
            BACKREST.request("POST /ping/KEY/nightly/?create=1", b"snapshot 3c4d"),
            BACKREST.request("POST /ping/KEY/nightly/fail?create=1", b"no space"),
        ],
        [OK, OK, OK, OK],  # a 201 would be an error in its log
        [
            Stored("start", output=b"backup started"),
            Stored("success", output=b"snapshot 1a2b"),
            Stored("success", output=b"snapshot 3c4d"),
            Stored("fail", output=b"no space"),
        ],
        "down",
    ),
    "resticprofile, as in its examples": (
        [
            RESTICPROFILE.request("HEAD /ping/TOKEN/start"),
            RESTICPROFILE.request("HEAD /ping/TOKEN"),
            RESTICPROFILE.request("GET /ping/TOKEN"),
            RESTICPROFILE.request(
                "POST /ping/TOKEN/fail", b"exit 3\n\nrepo locked", "Content-Type: text/plain; charset=UTF-8\r\n"
            ),
        ],
        [HEADERS_ONLY, HEADERS_ONLY, OK, OK],
        [Stored("start"), Stored("success"), Stored("success"), Stored("fail", output=b"exit 3\n\nrepo locked")],
        "down",
    ),
    "autorestic, its documented hooks": (
        [
            CURL.request("POST /ping/TOKEN/start", b"Starting backup for location: my", "Content-Type: text/plain\r\n"),
            CURL.request("POST /ping/TOKEN", b"Backup successful", "Content-Type: text/plain\r\n"),
        ],
        [OK, OK],
        [Stored("start", output=b"Starting backup for location: my"), Stored("success", output=b"Backup successful")],
        "up",
    ),
    "py-healthchecks.io, plain text called JSON": (
        [
            PY_HEALTHCHECKS.request("POST /ping/TOKEN/start", b""),
            PY_HEALTHCHECKS.request("POST /ping/TOKEN", b"it worked"),
            PY_HEALTHCHECKS.request("POST /ping/KEY/nightly/255", b""),
        ],
        [OK, OK, OK],
        [Stored("start"), Stored("success", output=b"it worked"), Stored("fail", "255")],
        "down",
    ),
    "healthchecks-rs and monitor": (
        [
            HEALTHCHECKS_RS.request(f"GET /TOKEN/start?rid={RID}"),
            HEALTHCHECKS_RS.request(f"POST /TOKEN/fail?rid={RID}", b"stderr"),
            HEALTHCHECKS_RS.request("GET /TOKEN"),
        ],
        [OK, OK, OK],
        [Stored("start", "", RID), Stored("fail", "", RID, b"stderr"), Stored("success")],
        "up",
    ),
    "Ansible community.healthchecksio": (
        [
            ANSIBLE.request("HEAD /ping/TOKEN/start"),
            ANSIBLE.request("HEAD /ping/TOKEN"),
            ANSIBLE.request("HEAD /ping/TOKEN/fail"),
        ],
        [HEADERS_ONLY] * 3,
        [Stored("start"), Stored("success"), Stored("fail")],
        "down",
    ),
    "Home Assistant, its site_root with and without a slash": (
        [HOME_ASSISTANT.request("GET //ping/TOKEN"), HOME_ASSISTANT.request("GET /ping/TOKEN")],
        [OK, OK],
        [Stored("success")] * 2,
        "up",
    ),
    "curl in cron with $?": (
        [CURL.request(f"GET /ping/TOKEN/{status}") for status in (0, 1, 126, 127, 130, 137, 143, 255)],
        [OK] * 8,
        [Stored("success", "0"), *(Stored("fail", str(status)) for status in (1, 126, 127, 130, 137, 143, 255))],
        "down",
    ),
    "curl --data-raw with the output": (
        [CURL.request("POST /TOKEN/0", b"a=1&rid=x\n", FORM), CURL.request("POST /TOKEN", b"", FORM)],
        [OK, OK],
        [Stored("success", "0", "", b"a=1&rid=x\n"), Stored("success")],
        "up",
    ),
    "curl in systemd units": (
        [CURL.request("GET /ping/TOKEN/start")]
        + [CURL.request(f"GET /ping/TOKEN/{word}") for word in ("TERM", "KILL", "HUP", "ABRT", "SEGV", "")],
        [OK] * 7,
        [
            Stored("start"),
            *(Stored("fail", word) for word in ("TERM", "KILL", "HUP", "ABRT", "SEGV")),
            Stored("success"),  # an empty ${EXIT_STATUS}
        ],
        "up",
    ),
    "GitHub Actions, from separate jobs": (
        [CURL.request("GET /ping/TOKEN"), CURL.request("GET /ping/TOKEN/fail")],
        [OK, OK],
        [Stored("success"), Stored("fail")],
        "down",
    ),
    "wget": ([WGET.request("GET /ping/TOKEN"), WGET.request("POST /TOKEN", b"x", FORM)],
             [OK, OK], [Stored("success"), Stored("success", output=b"x")], "up"),
    "BusyBox wget": ([BUSYBOX.request("GET /TOKEN")], [OK], [Stored("success")], "up"),
    "RouterOS /tool fetch": ([ROUTEROS.request("GET /ping/TOKEN")], [OK], [Stored("success")], "up"),
    "PowerShell Invoke-RestMethod": ([POWERSHELL.request("GET /ping/TOKEN/1")], [OK], [Stored("fail", "1")], "down"),
    "Arduino": ([ARDUINO.request("GET /TOKEN")], [OK], [Stored("success")], "up"),
    "ESPHome": ([ESPHOME.request("GET /ping/TOKEN"), ESPHOME.request("POST /ping/TOKEN/log", b"21.5")],
                [OK, OK], [Stored("success"), Stored("log", output=b"21.5")], "up"),
    "Go client.Head": ([GO_HEAD.request("HEAD /TOKEN")], [HEADERS_ONLY], [Stored("success")], "up"),
    "Proxmox VE hook script": (
        [CURL.request("GET /ping/TOKEN/start"), CURL.request("GET /ping/TOKEN"), CURL.request("GET /ping/TOKEN/fail")],
        [OK, OK, OK],
        [Stored("start"), Stored("success"), Stored("fail")],
        "down",
    ),
}  # fmt: skip


@pytest.mark.parametrize("job", JOBS)
async def test_a_job_of_each_client_is_stored_as_it_was_meant(node: Node, job: str) -> None:
    requests, answers, pings, status = JOBS[job]

    said, heartbeat = await play(node, requests)

    assert said == answers
    assert await stored(node, heartbeat) == pings
    assert await node.status(heartbeat) == status


async def test_ansible_may_ask_for_the_checks_first_and_is_not_told_that_its_key_is_wrong(node: Node) -> None:
    first = ANSIBLE.request("GET /ping/checks", b"null", "X-Api-Key: any\r\nContent-Type: application/json\r\n")

    assert (await replay(node, first)).status not in {401, 403}


@pytest.mark.parametrize("client", [RUNITOR, BORGMATIC, BACKREST, CURL])
async def test_who_pings_nobody_is_told_so_and_stops(node: Node, client: Client) -> None:
    """404 is no status that they repeat; the words are what older libraries look for."""
    body = b"output" * 1_000
    for path in ("/ping/00000000-0000-4000-8000-000000000000", "/ping/KEY/nobody", "/ping/KEY/nobody/start"):
        (request,) = await addressed(node, "", [client.request(f"POST {path}", body)])

        reply = await replay(node, request)

        assert (reply.status, reply.body) == NOT_FOUND
        assert "retry-after" not in reply.headers


async def test_pods_that_start_together_make_one_heartbeat_and_their_runs_stay_apart(node: Node) -> None:
    """A Kubernetes CronJob with parallelism: several first contacts at once."""
    runs = [RID[:-1] + digit for digit in "0123456789"]
    lines = [f"GET /ping/KEY/import?create=1&rid={run}" for run in runs]
    starts = await addressed(node, "", [CURL.request(line.replace("import", "import/start")) for line in lines])
    finishes = await addressed(node, "", [CURL.request(line.replace("import", "import/0")) for line in lines])

    begun = await asyncio.gather(*(replay(node, request) for request in starts))
    ((only,),) = await projects.with_slugs(node.db, [("default", "import")])
    running = await heartbeats.get(node.db, only)
    ended = await asyncio.gather(*(replay(node, request) for request in finishes))

    assert sorted((reply.status, reply.body) for reply in begun) == [OK] * 9 + [CREATED]
    assert running.running_since
    assert [(reply.status, reply.body) for reply in ended] == [OK] * 10
    assert sorted(ping.rid for ping in await stored(node, only)) == sorted(runs * 2)
    assert (await heartbeats.get(node.db, only)).running_since is None


@pytest.mark.parametrize("limit", [5, 10_000])
async def test_runitor_reads_the_limit_from_the_answer_to_its_start(new_node: NewNode, limit: int) -> None:
    """It cuts its own output to so many bytes, and puts a notice before them."""
    node = await new_node(output_limit=limit)
    heartbeat = await node.create()
    start, finish = await addressed(
        node,
        heartbeat.token,
        [
            RUNITOR.request("POST /TOKEN/start", b""),
            RUNITOR.request("POST /TOKEN", b"Output truncated, last 5 bytes:\nabcde"),
        ],
    )

    begun = await replay(node, start)
    assert (await replay(node, finish)).status == 200

    assert begun.headers["ping-body-limit"] == str(limit)
    assert (await stored(node, heartbeat))[-1].output == b"Output truncated, last 5 bytes:\nabcde"[-limit:]


async def test_runitor_and_curl_repeat_what_was_limited_and_it_is_stored_once(node: Node) -> None:
    limited = [CURL.request("POST /TOKEN/start", b"")] * 3

    said, heartbeat = await play(node, limited[:1], rate_limit=1)
    again = [await replay(node, request) for request in await addressed(node, heartbeat.token, limited[1:])]

    assert said == [OK]
    assert [(reply.status, reply.body) for reply in again] == [(429, b"rate limited")] * 2
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in again)
    assert await stored(node, heartbeat) == [Stored("start")]


async def test_healthchecks_rs_repeats_at_once_and_it_is_harmless(node: Node) -> None:
    """Up to 21 tries without a pause between them."""
    requests = [HEALTHCHECKS_RS.request(f"POST /TOKEN/fail?rid={RID}", b"boom")] * 21

    said, heartbeat = await play(node, requests)

    assert said == [OK] * 21
    assert await node.status(heartbeat) == "down"
    assert {ping.signal for ping in await stored(node, heartbeat)} == {"fail"}
    assert await play_for(node, heartbeat, [HEALTHCHECKS_RS.request(f"GET /TOKEN?rid={RID}")]) == [OK]
    assert await node.status(heartbeat) == "up"


async def test_curl_sends_a_large_output_when_it_is_told_to_go_on(node: Node) -> None:
    heartbeat, output = await node.create(), b"line of a log\n" * 80_000
    head = CURL.request(f"POST /{heartbeat.token}/1", output, FORM + "Expect: 100-continue\r\n")[: -len(output)]
    connection = await Connection.to(node)
    await connection.send(head)
    assert await connection.continued()
    await connection.send(output)

    assert (await connection.receive()).body == b"OK"

    await connection.close()
    assert await stored(node, heartbeat) == [Stored("fail", "1", "", output[-LIMIT:])]


async def test_curl_with_two_urls_keeps_its_connection(node: Node) -> None:
    heartbeat = await node.create()
    connection = await Connection.to(node)
    for last in ("start", "0"):
        await connection.send(CURL.request(f"GET /ping/{heartbeat.token}/{last}"))
        assert (await connection.receive()).status == 200

    await connection.close()
    assert await stored(node, heartbeat) == [Stored("start"), Stored("success", "0")]


async def test_who_hangs_up_before_the_answer_may_have_pinged_all_the_same(node: Node) -> None:
    """A client with a very short timeout, and one that never reads."""
    heartbeat = await node.create()
    for _ in range(20):
        connection = await Connection.to(node)
        await connection.send(ARDUINO.request(f"GET /{heartbeat.token}"))
        await connection.close()

    assert await play_for(node, heartbeat, [CURL.request("GET /TOKEN/log")]) == [OK]
    assert {ping.signal for ping in await stored(node, heartbeat)} <= {"success", "log"}
