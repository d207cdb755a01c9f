"""Who watches the watcher: what counts as a problem, when it is told, and when the outgoing heartbeat stops."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from ipaddress import ip_network

import aiohttp
import pytest
from prometheus_client import CollectorRegistry

from notifier.app import Notifier
from notifier.metrics import Metrics
from notifier.outgoing import open_session
from notifier.settings import NotifierSettings
from notifier.watch import Watch, found
from runtime.metrics import new_registry
from runtime.settings import SettingsError, load
from store import channels, deliveries, problems
from store.database import Database, opened
from store.problems import KINDS, Facts, Kind
from tests.conftest import Clock
from tests.notifier.conftest import Office
from tests.notifier.sinks import Answer, HttpSink
from tests.servers import binaries, running
from tests.store.scene import hear

Stop = Callable[[Database, Clock], Awaitable[None]]

LOOPBACK = (ip_network("127.0.0.0/8"),)
SECRET = "/heartbeat/4f0c-secret"


@pytest.mark.parametrize(
    ("facts", "wrong"),
    [
        (Facts(), {}),
        (Facts(behind_ms=60_000, unheard_ms=300_000, deaf_ms=300_000, waiting_ms=60_000, memory=0.9), {}),
        (Facts(has_dead_letters=True), {"dead_letters": "given up"}),
        (Facts(behind_ms=60_001), {"sweep_stale": "1 min behind"}),
        (Facts(unheard_ms=300_001), {"hold": "No pulse has come for 5 min"}),
        (Facts(deaf_ms=3_900_000), {"hold": "late for 1 h 5 min"}),
        (Facts(unheard_ms=600_000, deaf_ms=400_000), {"hold": "No pulse has come for 10 min"}),
        (Facts(persists=False), {"not_persisted": "no append-only file and no snapshots"}),
        (Facts(writes_fail=True), {"not_persisted": "cannot write"}),
        (Facts(persists=False, writes_fail=True), {"not_persisted": "no append-only file and no snapshots"}),
        (Facts(memory=0.91), {"redis_memory": "91%"}),
        (Facts(waiting_ms=90_000), {"outbox_stale": "1 min 30 s"}),
        (
            Facts(behind_ms=10**6, waiting_ms=10**6, memory=1.0),
            {"sweep_stale": "", "outbox_stale": "", "redis_memory": "100%"},
        ),
    ],
)
def test_what_is_a_problem(facts: Facts, wrong: dict[Kind, str]) -> None:
    told = found(facts)

    assert told.keys() == wrong.keys()
    for kind, part in wrong.items():
        assert part in told[kind]


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with open_session(allow=LOOPBACK) as session:
        yield session


@pytest.fixture
def watch(db: Database, registry: CollectorRegistry, session: aiohttp.ClientSession) -> Watch:
    return Watch(db, Metrics(registry), session, "")


@pytest.fixture
def beating(db: Database, registry: CollectorRegistry, session: aiohttp.ClientSession, sink: HttpSink) -> Watch:
    """One that has an outgoing heartbeat."""
    return Watch(db, Metrics(registry), session, f"http://127.0.0.1:{sink.port}{SECRET}")


async def kinds(db: Database) -> list[Kind]:
    return [problem.kind for problem in await problems.open_problems(db)]


async def fall_behind(db: Database, clock: Clock) -> None:
    """A chore that nobody takes."""
    await db.execute("ZADD", db.shards[0].chores, clock.now - 61_000, "remind:0123456789ab-1")


async def catch_up(db: Database) -> None:
    await db.execute("DEL", db.shards[0].chores)


def beats(registry: CollectorRegistry) -> dict[str, float]:
    results = ("ok", "failed", "withheld")
    counted = {
        result: registry.get_sample_value("flatline_outgoing_heartbeats_total", {"result": result})
        for result in results
    }
    return {result: count for result, count in counted.items() if count}


# Telling


async def test_what_lasts_is_told_and_its_end_at_once(office: Office, watch: Watch) -> None:
    await office.channel("ops")
    await fall_behind(office.db, office.clock)
    await watch.step(0)
    await watch.step(14.9)
    assert await kinds(office.db) == []
    await watch.step(15)
    await watch.step(25)
    assert await kinds(office.db) == ["sweep_stale"]
    await catch_up(office.db)
    await office.tell()
    assert [body["event"] for body in office.told()] == ["incident.opened"]
    assert "The sweep is 1 min 1 s behind" in office.told()[0]["text"]

    await watch.step(35)
    assert await kinds(office.db) == []
    await office.tell()
    assert [body["event"] for body in office.told()[1:]] == ["incident.resolved"]


async def test_a_moment_is_not_told(db: Database, clock: Clock, watch: Watch) -> None:
    for at in range(0, 100, 20):
        await fall_behind(db, clock)
        await watch.step(at)
        assert await kinds(db) == []
        await catch_up(db)
        await watch.step(at + 10)


async def test_a_server_that_keeps_nothing_is_told_of_after_a_minute(
    registry: CollectorRegistry, session: aiohttp.ClientSession
) -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "no") as server, opened(server.url) as db:
        watch = Watch(db, Metrics(registry), session, "")
        for at in (0, 15, 59.9):
            await watch.step(at)
            assert await kinds(db) == []
        await watch.step(60)
        assert await kinds(db) == ["not_persisted"]
        await db.execute("CONFIG", "SET", "save", "3600 1")
        await watch.step(70)

        assert await kinds(db) == []


async def test_any_number_of_notifiers_may_watch(
    db: Database, clock: Clock, watch: Watch, session: aiohttp.ClientSession
) -> None:
    another = Watch(db, Metrics(new_registry()), session, "")
    await fall_behind(db, clock)
    for at in (0, 15):
        for one in (watch, another):
            await one.step(at)
    (problem,) = await problems.open_problems(db)
    just_started = Watch(db, Metrics(new_registry()), session, "")
    await just_started.step(3)
    assert await problems.open_problems(db) == [problem]
    await catch_up(db)
    await just_started.step(13)

    assert await problems.open_problems(db) == []


async def test_problems_are_told_to_the_operators(office: Office, watch: Watch) -> None:
    await office.channel("users")
    ops = await office.channel("ops")
    await problems.choose_channels(office.db, [ops.id])
    await fall_behind(office.db, office.clock)
    await watch.step(0)
    await watch.step(15)
    await catch_up(office.db)
    await office.tell()

    assert [request.path for request in office.sink.requests] == ["/ops"]


async def test_a_channel_that_was_mended_by_an_edit_is_broken_no_more(db: Database, clock: Clock, watch: Watch) -> None:
    channel = await channels.create(db, "ops", "webhook", {})
    await channels.set_broken(db, channel, "it answered 401", gone=False)
    await problems.begin(db, "channel_broken", channel.id, "It is.", project="default", channels=())
    await watch.step(0)
    assert await kinds(db) == ["channel_broken"]
    await channels.edit(db, channel, "ops", {})
    await watch.step(10)

    assert await kinds(db) == []


async def test_the_metric_tells_what_lasts(
    db: Database, clock: Clock, watch: Watch, registry: CollectorRegistry
) -> None:
    channel = await channels.create(db, "ops", "webhook", {})
    await channels.set_broken(db, channel, "it answered 401", gone=False)
    await problems.begin(db, "channel_broken", channel.id, "It is.", project="default", channels=())
    await fall_behind(db, clock)
    await watch.step(0)
    await watch.step(15)

    lasting = {kind: registry.get_sample_value("flatline_problems", {"kind": kind}) for kind in KINDS}
    assert lasting == dict.fromkeys(KINDS, 0.0) | {"channel_broken": 1.0, "sweep_stale": 1.0}


# The outgoing heartbeat


async def test_while_all_is_well_the_url_is_asked_once_a_minute(
    db: Database, clock: Clock, beating: Watch, sink: HttpSink, registry: CollectorRegistry
) -> None:
    for at in (1000, 1010, 1059.9, 1060, 1070, 1120):
        await beating.step(at)

    assert [(request.method, request.path) for request in sink.requests] == [("GET", SECRET)] * 3
    assert beats(registry) == {"ok": 3}


async def test_without_a_url_nothing_is_asked_and_nothing_counted(
    db: Database, clock: Clock, watch: Watch, registry: CollectorRegistry
) -> None:
    await watch.step(0)

    assert beats(registry) == {}


async def stop_sweeping(db: Database, clock: Clock) -> None:
    await fall_behind(db, clock)


async def stop_hearing(db: Database, clock: Clock) -> None:
    await db.execute("HSET", db.shards[0].pulse, "at", clock.now - 301_000)


async def stop_delivering(db: Database, clock: Clock) -> None:
    await db.execute("XADD", db.shards[0].notifications, f"{clock.now - 61_000}-0", "deliveries", "x")


@pytest.mark.parametrize("stop", [stop_sweeping, stop_hearing, stop_delivering])
async def test_it_stops_at_once_when_we_do_not_work_and_comes_back_at_once(
    db: Database, clock: Clock, beating: Watch, *, sink: HttpSink, registry: CollectorRegistry, stop: Stop
) -> None:
    await stop(db, clock)
    await beating.step(0)
    await beating.step(60)
    assert sink.requests == []
    await db.execute("DEL", db.shards[0].notifications, db.shards[0].chores, db.shards[0].pulse)
    await hear(db, clock)
    await beating.step(70)

    assert len(sink.requests) == 1
    assert beats(registry) == {"ok": 1, "withheld": 2}


async def test_a_problem_that_does_not_stop_us_does_not_stop_it(
    db: Database, clock: Clock, beating: Watch, sink: HttpSink
) -> None:
    incident = (await deliveries.send_test(db, "c")).incident
    await db.execute("DEL", db.shards[0].notifications)
    leases = await deliveries.lease(db, db.shards[0], "c", [incident], owner="n", lease_ms=30_000)
    await deliveries.outcome(db, db.shards[0], "c", leases, owner="n", result="dead")
    await beating.step(0)
    await beating.step(60)

    assert await kinds(db) == ["dead_letters"]
    assert len(sink.requests) == 2


async def test_it_stops_while_redis_is_away(
    session: aiohttp.ClientSession,
    sink: HttpSink,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(binaries()["valkey-9"], "--appendonly", "yes") as server, opened(server.url) as db:
        beating = Watch(db, Metrics(registry), session, f"http://127.0.0.1:{sink.port}{SECRET}")
        await server.kill()
        await beating.step(0)
        await beating.step(10)
        assert sink.requests == []
        assert [record.message for record in caplog.records if record.name == "notifier.watch"] == ["redis_away"]
        await server.start()
        await beating.step(20)

        assert beats(registry) == {"ok": 1, "withheld": 2}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=500), "it answered 500"),
        (Answer(status=302, headers={"Location": "http://127.0.0.1/elsewhere"}), "it answered 302"),
        (Answer(how="reset"), ""),
        (Answer(how="not http"), ""),
        (Answer(how="hang"), "TimeoutError"),
    ],
)
async def test_whatever_goes_wrong_is_counted_and_logged_without_the_url_and_stops_nothing(
    db: Database,
    clock: Clock,
    *,
    sink: HttpSink,
    registry: CollectorRegistry,
    caplog: pytest.LogCaptureFixture,
    answer: Answer,
    reason: str,
) -> None:
    sink.answer = answer
    async with open_session(allow=LOOPBACK, deadline=0.5) as session:
        beating = Watch(db, Metrics(registry), session, f"http://127.0.0.1:{sink.port}{SECRET}")
        await beating.step(0)
        asked = len(sink.requests)  # a GET that was reset is asked once more by the client
        sink.answer = Answer()
        await beating.step(59)
        assert len(sink.requests) == asked
        await beating.step(60)

    assert {request.path for request in sink.requests} == {SECRET}
    assert beats(registry) == {"failed": 1, "ok": 1}
    (record,) = [record for record in caplog.records if record.message == "outgoing_heartbeat_failed"]
    assert reason in record.__dict__["fields"]["reason"]
    assert record.__dict__["fields"]["reason"]
    assert "secret" not in str(record.__dict__)


async def test_a_private_address_must_be_allowed_as_for_channels(
    db: Database, clock: Clock, sink: HttpSink, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    async with open_session() as session:
        await Watch(db, Metrics(registry), session, f"http://127.0.0.1:{sink.port}{SECRET}").step(0)

    assert (sink.requests, beats(registry)) == ([], {"failed": 1})
    assert "FLATLINE_ALLOW_PRIVATE_TARGETS" in str(caplog.records[-1].__dict__)


@asynccontextmanager
async def notifier(db: Database, url: str) -> AsyncIterator[None]:
    settings = NotifierSettings(heartbeat_url=url, allow_private_targets=LOOPBACK)
    async with Notifier(db, settings, new_registry()).running():
        yield


async def test_a_notifier_that_runs_watches(db: Database, sink: HttpSink) -> None:
    async with notifier(db, f"http://127.0.0.1:{sink.port}{SECRET}"):
        (request,) = await sink.received(1)

    assert (request.method, request.path) == ("GET", SECRET)


@pytest.mark.parametrize("url", ["https://example.org/ping/x?y=z", "http://user:word@[::1]:8000/x"])
def test_a_heartbeat_url_is_taken_as_it_is(url: str) -> None:
    assert load(NotifierSettings, {"FLATLINE_HEARTBEAT_URL": url}).heartbeat_url == url


@pytest.mark.parametrize("url", ["secret", "ftp://secret/", "http://", "http://[secret", "https://x/a secret"])
def test_what_is_no_heartbeat_url_stops_the_start_and_is_not_repeated(url: str) -> None:
    with pytest.raises(SettingsError, match="FLATLINE_HEARTBEAT_URL is not valid: An http") as caught:
        load(NotifierSettings, {"FLATLINE_HEARTBEAT_URL": url})

    assert "secret" not in str(caught.value)
    assert "secret" not in repr(NotifierSettings(heartbeat_url="https://secret"))
