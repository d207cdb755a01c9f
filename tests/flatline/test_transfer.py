"""An export, and an import into another server: whoever asks gets the same answers, and no client needs an edit."""

import json
import re
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from console.api import TABLE
from flatline.transfer import embedded_url
from store import deadlines, deliveries, fleets, heartbeats, incidents, notifications, restore, transfer
from store.database import Database, opened
from store.fleets import FleetSettings
from store.records import Settings
from tests.conftest import Sockets, clean, eventually
from tests.console.conftest import Api, member_signal, served, signal
from tests.flatline.clients import clear, flatline
from tests.servers import running
from tests.system.processes import Api as ApiOfHouse
from tests.system.processes import house

MEMBERS = 100_000
LINE_MAX = 100_000  # bytes, of 500 members
MEMORY_MAX = 4_000_000  # bytes; the members alone take more as a list of Python
QUERIES = {
    "/api/schedules/preview": "?schedule=0+3+*+*+*",
    "/api/deliveries": "?status=dead",
    "/api/oncall/{oncall}/now": "?at=2030-01-31T09:00:00Z",
    "/api/oncall/{oncall}/shifts": "?from=2030-01-31T09:00:00Z",
}
#: Their answers begin with the moment at which they are asked for, or tell of the import itself.
OF_THE_MOMENT = {"/api/schedules/preview", "/api/deaf"}


@pytest.fixture
async def target(sockets: Sockets) -> AsyncIterator[str]:
    """Another server, empty."""
    async with running(sockets.binaries["valkey-9"], "--appendonly", "yes") as server:
        yield server.url
    clear()


async def carry(source: str, target: str, *, shards: int = 1, file: Path) -> None:
    out = await flatline("export", str(file), "--redis-url", source)
    assert (out.status, out.stdout) == (0, b""), out.stderr
    into = await flatline("import", str(file), "--redis-url", target, "--shards", str(shards))
    assert (into.status, into.stdout) == (0, b""), into.stderr


async def furnish(api: Api, db: Database) -> dict[str, str]:
    """Something of everything; ids by a name of ours, and an API key."""
    channel = await api.channel()
    other = await api.channel(url="https://hooks.example.org/y")
    await api.patch(f"/api/channels/{other['id']}", {"slug": "other"})
    person = (await api.post("/api/people", {"name": "Ада", "contacts": [{"channel": channel["id"], "wait": 0}]})).body
    oncall = (await api.post("/api/oncall", {"name": "turns", "people": [person["id"]], "start": "2030-01-31"})).body
    policy = (
        await api.post("/api/policies", {"name": "all", "steps": [{"schedules": [oncall["id"]], "wait": 60}]})
    ).body
    await api.post("/api/windows", {"name": "move", "tags": ["x"], "from": "2030-01-31T09:00:00Z"})
    await api.call("PUT", "/api/operator-channels", json={"channels": [other["id"]]})
    up = await api.heartbeat("копия", tags=["x", "y"], slug="copy", policy=policy["id"])
    failed = await api.heartbeat("failed", channels=[channel["id"]])
    healed = await api.heartbeat("healed")
    runs = await api.heartbeat("runs", max_runtime=80_000)
    paused = await api.heartbeat("paused", warn_late=True)
    await api.heartbeat("planned", schedule="0 3 * * *", timezone="Europe/Berlin")
    await api.heartbeat("never")
    gone = await api.heartbeat("gone")
    await signal(db, up["id"], age_s=60)
    await signal(db, failed["id"], signal="fail", exit_status="3", output=b"\xff no space left")
    await signal(db, healed["id"], signal="fail")
    await signal(db, healed["id"])
    await signal(db, gone["id"], signal="fail")
    await signal(db, runs["id"])
    await signal(db, runs["id"], signal="start", rid="c0ffee00-1234-4abc-8def-0123456789ab")
    await api.post(f"/api/heartbeats/{paused['id']}/pause", {"for": 86_400})
    await api.delete(f"/api/heartbeats/{gone['id']}")
    await api.post("/api/users", {"login": "ada", "password": "correct horse battery"})
    await api.post("/api/projects", {"name": "lab", "owner": "ada"})
    key = (await api.post("/api/keys", {"name": "ci", "scopes": ["read"]})).body["key"]
    fleet = await api.fleet(cap=1000)
    for number in range(20):
        await member_signal(db, fleet["id"], f"m{number}", signal="fail" if number < 3 else "success")
    assert await fleets.look(db, fleet["id"])
    ((incident, *_), _) = await incidents.page(db)
    shard = db.shard(incident.id)
    await notifications.enlist(db, shard, "", [(incident.id, channel["id"])])
    leases = await deliveries.lease(db, shard, channel["id"], [incident.id], owner="n1", lease_ms=1000)
    await deliveries.outcome(
        db, shard, channel["id"], leases, owner="n1", result="dead", answer="404", reason="client", latency_ms=7
    )
    return {
        "up": up["id"],
        "failed": failed["id"],
        "runs": runs["id"],
        "paused": paused["id"],
        "fleet": fleet["id"],
        "key": key,
    }


async def everything(api: Api) -> dict[str, Any]:
    """What each GET route answers, for each thing that there is."""
    found: dict[str, Any] = {}
    for row in TABLE:
        if row.method == "GET" and row.path not in OF_THE_MOMENT:
            for path in await _paths(api, row.path):
                answer = await api.get(path + QUERIES.get(row.path, ""))
                assert answer.status == 200 or row.path.endswith("/output"), f"{path}: {answer.body}"
                found[path] = answer.body
    return found


async def _paths(api: Api, path: str) -> list[str]:
    """A path for each thing that may stand for its parameters."""
    match = re.search(r"^(.*?)/\{\w+\}", path)
    if not match:
        return [path]
    listing = match[1].removesuffix("/by-slug")
    found = (await api.get(listing + QUERIES.get(listing, ""))).body
    records = next(value for value in found.values() if isinstance(value, list))
    by_slug = match[1] != listing
    names = [record["slug"] for record in records if record["slug"]] if by_slug else [_name(each) for each in records]
    return [each for name in names for each in await _paths(api, f"{match[1]}/{name}{path[match.end() :]}")]


def _name(record: dict[str, Any]) -> str:
    return str(record.get("id") or record["slug"])


def comparable(found: dict[str, Any]) -> dict[str, Any]:
    """Members are in no order, and where a page ends says how many shards there are."""
    return {
        path: sorted(body["members"], key=lambda member: str(member["slug"])) if path.endswith("/members") else body
        for path, body in found.items()
    }


@pytest.mark.parametrize(("kind", "shards"), [("valkey-9", 1), ("redis-7", 4), ("redis-6.2", 4)])
async def test_every_read_route_answers_the_same(
    sockets: Sockets, target: str, tmp_path: Path, kind: str, shards: int
) -> None:
    if kind not in sockets.binaries:
        pytest.skip(f"no {kind} on this machine")
    source = clean(sockets.url(kind))
    async with served(source) as api, opened(source) as db:
        await furnish(api, db)
        before = await everything(api)
    assert any(path.endswith("/output") for path in before)
    assert len(before["/api/incidents"]["incidents"]) == 4
    assert before["/api/deliveries"]["deliveries"]
    assert before["/api/users"]["users"]
    assert len(before["/api/projects"]["projects"]) == 2
    assert {"/api/heartbeats/by-slug/copy", "/api/channels/by-slug/other"} <= set(before)

    await carry(source, target, shards=shards, file=tmp_path / "export")

    async with served(target) as api:
        after = await everything(api)
    assert comparable(after) == comparable(before)


async def test_it_goes_back_into_one_shard(sockets: Sockets, redis_url: str, target: str, tmp_path: Path) -> None:
    async with opened(redis_url, shards=4):
        pass
    async with served(redis_url) as api, opened(redis_url) as db:
        await furnish(api, db)
        before = await everything(api)

    await carry(redis_url, target, file=tmp_path / "export")

    async with served(target) as api:
        assert comparable(await everything(api)) == comparable(before)


async def test_what_was_imported_lives_on(redis_url: str, target: str, tmp_path: Path) -> None:
    """Tokens, ping keys, runs and open incidents: the next signals do what they would have done."""
    async with served(redis_url) as api, opened(redis_url) as db:
        made = await furnish(api, db)
        token = (await heartbeats.get(db, made["up"])).token

    await carry(redis_url, target, shards=4, file=tmp_path / "export")

    async with served(target) as api, opened(target) as db:
        assert (await heartbeats.get(db, made["up"])).token == token
        assert (await api.get("/api/heartbeats", key=made["key"])).status == 200
        timer = f"overdue:{made['runs']}:c0ffee00-1234-4abc-8def-0123456789ab"
        due = await db.execute("ZSCORE", db.shard(made["runs"]).timers, timer)
        assert due > await db.now() + 79_000_000
        assert await db.execute("ZSCORE", db.shard(made["paused"]).timers, f"resume:{made['paused']}") is not None
        await signal(db, made["failed"])
        (closed, *_), _ = await incidents.page(db, status="resolved")
        assert (closed.heartbeat, closed.resolution) == (made["failed"], "ping")
        await signal(db, made["runs"], rid="c0ffee00-1234-4abc-8def-0123456789ab")
        shown = (await api.get(f"/api/heartbeats/{made['runs']}")).body
        assert shown["running_since"] is None
        assert shown["last_duration_ms"] is not None
        assert (await api.post(f"/api/heartbeats/{made['paused']}/resume")).body["status"] == "pending"
        for number in range(3):
            await member_signal(db, made["fleet"], f"m{number}")
        await fleets.look(db, made["fleet"])
        assert (await api.get(f"/api/fleets/{made['fleet']}")).body["incident"] is None
        assert (await api.post("/api/fleets", {"name": "another"})).status == 201


async def test_what_fell_silent_since_the_export_is_excused(redis_url: str, target: str, tmp_path: Path) -> None:
    async with opened(redis_url) as db:
        made = await heartbeats.create(db, Settings(name="beats", period=5, grace=0))
        await signal(db, made.id)
    out = await flatline("export", str(tmp_path / "export"), "--redis-url", redis_url)
    assert out.status == 0
    # As if a minute had passed on the way.
    text = (tmp_path / "export").read_bytes()
    lines = [json.loads(line) for line in text.splitlines()]
    lines[0]["exported_at"] -= 60_000
    (beat,) = [line for line in lines if line["kind"] == "heartbeat"]
    beat["deadline"] -= 60_000
    (tmp_path / "old").write_bytes(b"".join(transfer.dumps(line) for line in lines))

    assert (await flatline("import", str(tmp_path / "old"), "--redis-url", target)).status == 0

    async with opened(target) as db:
        shard = db.shards[0]
        await deadlines.pulse(db, shard, "n1")
        swept = await deadlines.sweep(db, shard)
        assert swept.taken == 1
        excused = await heartbeats.get(db, made.id)
        assert excused.stored_status == "up"
        assert excused.deadline is not None
        assert excused.deadline > await db.now()


async def test_nodes_that_run_already_forget_what_they_know(redis_url: str, target: str, tmp_path: Path) -> None:
    from store.changes import Changes  # noqa: PLC0415

    async with opened(redis_url) as db:
        await heartbeats.create(db, Settings(name="a"))
    async with opened(target) as db:
        changes = Changes(db)
        assert await changes.read() is None
        assert await changes.read() == []

        await carry(redis_url, target, file=tmp_path / "export")

        assert await changes.read() is None


async def test_it_says_how_much_of_what_was_taken(redis_url: str, target: str, tmp_path: Path) -> None:
    async with served(redis_url) as api:
        for name in ("a", "b"):
            await api.heartbeat(name)
        await api.fleet()
        channel = await api.channel()
        await api.post("/api/people", {"name": "Ada", "contacts": [{"channel": channel["id"], "wait": 0}]})

    out = await flatline("export", str(tmp_path / "export"), "--redis-url", redis_url)
    into = await flatline("import", str(tmp_path / "export"), "--redis-url", target)

    lines = len((tmp_path / "export").read_bytes().splitlines())
    taken = f"2 heartbeats, 1 fleet, 1 channel, 1 person in {lines} lines\n"
    assert (out.stderr, into.stderr) == (f"exported {taken}", f"imported {taken}")


async def test_a_server_that_is_not_empty_is_refused(redis_url: str, target: str, tmp_path: Path) -> None:
    await carry(redis_url, target, file=tmp_path / "export")
    async with opened(target) as db:
        await heartbeats.create(db, Settings(name="mine"))

    ran = await flatline("import", str(tmp_path / "export"), "--redis-url", target)

    assert ran.status == 1
    assert "not empty" in ran.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [{**lines[0], "format": 2}, *lines[1:]], "newer flatline"),
        (lambda lines: [{**lines[0], "schema": 99}, *lines[1:]], "newer flatline"),
        (lambda lines: lines[:-1], "cut"),
        (lambda lines: [lines[0], lines[-1]], "cut"),
        (lambda lines: [*lines[:1], {"kind": "surprise"}, *lines[1:]], "does not know"),
        (
            lambda lines: [*lines[:1], {"kind": "plain", "key": "x", "type": "string", "entries": ["y"]}, *lines[1:]],
            "read",
        ),
        (lambda lines: [*lines[:1], {"kind": "heartbeat"}, *lines[1:]], "cannot be read"),
    ],
)
async def test_what_is_no_whole_export_of_ours_is_refused(
    redis_url: str, target: str, tmp_path: Path, change: Any, said: str
) -> None:
    async with opened(redis_url) as db:
        await heartbeats.create(db, Settings(name="a"))
        lines = [line async for line in transfer.export(db)]
    (tmp_path / "export").write_bytes(b"".join(transfer.dumps(line) for line in change(lines)))

    ran = await flatline("import", str(tmp_path / "export"), "--redis-url", target)

    assert ran.status == 1
    assert said in ran.stderr
    assert ran.stderr.count("\n") <= 2


async def test_an_export_is_for_its_owner_alone_and_overwrites_nothing(redis_url: str, tmp_path: Path) -> None:
    file = tmp_path / "export"

    assert (await flatline("export", str(file), "--redis-url", redis_url)).status == 0
    assert file.stat().st_mode & 0o777 == 0o600

    again = await flatline("export", str(file), "--redis-url", redis_url)
    assert again.status == 1
    assert "cannot be written" in again.stderr


async def test_it_flows_through_a_pipe(redis_url: str, target: str) -> None:
    async with opened(redis_url) as db:
        made = await heartbeats.create(db, Settings(name="a"))
    out = await flatline("export", "--redis-url", redis_url)

    into = await flatline("import", "-", "--redis-url", target, stdin=out.stdout)

    assert into.status == 0, into.stderr
    async with opened(target) as db:
        assert (await heartbeats.get(db, made.id)).token == made.token


def test_without_a_url_it_is_the_server_of_the_data_directory(tmp_path: Path) -> None:
    import socket  # noqa: PLC0415

    assert embedded_url(tmp_path) == ""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "valkey.sock"))
        assert embedded_url(tmp_path) == f"unix://{tmp_path}/valkey.sock"


async def test_a_hundred_thousand_members_need_no_more_memory_than_a_few(redis_url: str, target: str) -> None:
    async with opened(redis_url) as db, opened(target, shards=4) as other:
        fleet = await fleets.create(db, FleetSettings(name="sensors"))
        now = await db.now()
        zset = db.shards[0].fleet_deadlines(fleet.id)
        for start in range(0, MEMBERS, 1000):
            slugs = [f"sensor-{number}" for number in range(start, start + 1000)]
            await db.execute("ZADD", zset, *(part for slug in slugs for part in (now + fleet.span_ms, slug)))
        work, longest = restore.Import(other), 0
        tracemalloc.start()
        async for line in transfer.export(db):
            text = transfer.dumps(line)
            longest = max(longest, len(text))
            await work.take(restore.loads(text))
        await work.finish()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()

        assert (await fleets.counts(other, fleet.id))["up"] == MEMBERS
        found = await fleets.member(other, fleet.id, "sensor-7")  # it is where its slug belongs
        assert found is not None
        assert found.last_ping_at is None or found.last_ping_at == now
    assert longest < LINE_MAX
    assert peak < MEMORY_MAX, peak


async def test_from_one_flatline_up_into_another_that_runs_no_client_needs_an_edit(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        old = await here.start("up", data_dir=str(tmp_path / "old"))
        async with ApiOfHouse(old.url) as api:
            beat = await api.create_heartbeat("backup", slug="backup", period=60, grace=60)
            fleet = await api.call("POST", "/api/fleets", {"name": "sensors"})
            by_key = (await api.call("GET", "/api/project"))["ping_url"].removeprefix(old.url) + "/backup"
            paths = [beat["ping_url"].removeprefix(old.url), fleet["ping_url"].removeprefix(old.url) + "/one", by_key]
            for path in paths:
                assert await api.ping(old.url + path) == 200
        out = await flatline("export", environment={"FLATLINE_DATA_DIR": str(tmp_path / "old")})
        assert out.status == 0, out.stderr
        await old.stop()
        new = await here.start("up", data_dir=str(tmp_path / "new"))
        async with ApiOfHouse(new.url) as api:
            assert await api.ping(new.url + paths[0]) == 404  # and this node remembers that

            into = await flatline(
                "import", "-", environment={"FLATLINE_DATA_DIR": str(tmp_path / "new")}, stdin=out.stdout
            )

            assert into.status == 0, into.stderr
            for path in paths:

                async def is_taken(path: str = path) -> bool:
                    return await api.ping(new.url + path) == 200

                await eventually(is_taken)
            assert (await api.heartbeat(beat["id"]))["status"] == "up"
            assert (await api.call("GET", f"/api/fleets/{fleet['id']}"))["members"]["up"] == 1
            assert (await api.call("GET", "/api/incidents"))["incidents"] == []
    clear()
