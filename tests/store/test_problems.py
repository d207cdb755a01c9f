"""Problems of our own: told once, told when they are over, and not each time when they come and go; and the facts."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store import channels, deadlines, deliveries, incidents, notifications, problems
from store.database import Database, mapped, opened
from store.notifications import Reader
from store.problems import Facts, Kind
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean, eventually
from tests.servers import binaries, running
from tests.store.scene import SPAN, hear, make

QUIET_S = 900
MONTH_MS = 30 * 86_400_000


async def begin(db: Database, kind: Kind = "hold", subject: str = "", *told: str) -> bool:
    return await problems.begin(db, kind, subject, "It hurts.", project="default", channels=told or ("a", "b"))


async def tell(db: Database) -> list[tuple[str, str]]:
    """As notifiers would: what the outbox names and what is due as a chore is told; (channel, word)."""
    said: list[tuple[str, str]] = []
    for shard in db.shards:
        await deadlines.chores(db, shard)
        for entry, fields in await db.execute("XRANGE", shard.notifications, "-", "+"):
            await db.execute("XDEL", shard.notifications, entry)
            for delivery in mapped(fields).get(b"deliveries", b"").decode().split():
                incident, _, channel = delivery.partition(":")
                leases = await deliveries.lease(db, shard, channel, [incident], owner="n", lease_ms=30_000)
                words = [(channel, lease.word) for lease in leases if lease.word]
                if words:
                    await deliveries.outcome(db, shard, channel, leases, owner="n", result="told")
                said += words
    return said


async def test_a_problem_is_told_to_its_channels_once_and_once_more_when_it_is_over(db: Database, clock: Clock) -> None:
    assert await begin(db)
    assert await tell(db) == [("a", "opened"), ("b", "opened")]
    assert not await begin(db)
    await clock.forward(3600)
    assert await tell(db) == []

    assert await problems.end(db, "hold", "")
    assert await tell(db) == [("a", "resolved"), ("b", "resolved")]
    assert not await problems.end(db, "hold", "")
    await clock.forward(3600)
    assert await tell(db) == []


async def test_what_never_began_cannot_end(db: Database, clock: Clock) -> None:
    assert not await problems.end(db, "hold", "")
    assert await db.execute("KEYS", "{0}:*") == []


async def test_each_subject_is_a_problem_of_its_own(db: Database, clock: Clock) -> None:
    assert await begin(db, "channel_broken", "c1", "a")
    assert await begin(db, "channel_broken", "c2", "a")
    assert await problems.end(db, "channel_broken", "c1")

    assert [problem.subject for problem in await problems.open_problems(db)] == ["c2"]


async def test_many_that_notice_at_once_make_one_message(db: Database, clock: Clock) -> None:
    assert sorted(await asyncio.gather(*(begin(db) for _ in range(5)))) == [False] * 4 + [True]

    assert await tell(db) == [("a", "opened"), ("b", "opened")]


async def test_a_problem_is_an_incident_that_stands_in_no_list(db: Database, clock: Clock) -> None:
    await begin(db)
    (problem,) = await problems.open_problems(db)
    incident = await incidents.get(db, problem.incident)

    assert (incident.status, incident.cause, incident.problem) == ("open", "problem", "It hurts.")
    assert (incident.project, incident.opened_at, set(incident.channels)) == ("default", T0, {"a", "b"})
    assert (problem.kind, problem.subject, problem.text, problem.opened_at) == ("hold", "", "It hurts.", T0)
    assert problem.incident.partition("-")[2] == str(T0)
    await clock.forward(60)
    await problems.end(db, "hold", "")
    incident = await incidents.get(db, problem.incident)
    assert (incident.status, incident.resolved_at, incident.resolution) == ("resolved", T0 + 60_000, "ping")
    assert await incidents.page(db) == ([], None)
    assert await problems.open_problems(db) == []


async def test_one_that_is_over_is_forgotten_after_a_month_and_one_that_lasts_never(db: Database, clock: Clock) -> None:
    await begin(db)
    (problem,) = await problems.open_problems(db)
    record = db.shard(problem.incident).incident(problem.incident)
    assert await db.execute("PTTL", record) == -1
    await problems.end(db, "hold", "")

    assert MONTH_MS - 60_000 < await db.execute("PTTL", record) <= MONTH_MS
    await db.execute("DEL", record)
    assert await begin(db, "channel_broken", "c")
    assert await db.execute("HKEYS", db.shards[0].problems) == [b"channel_broken c"]
    assert await begin(db)
    assert len(await tell(db)) == 4


async def test_a_problem_is_told_although_the_notifier_that_took_note_died(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    for change, word in ((begin(db), "opened"), (problems.end(db, "hold", ""), "resolved")):
        assert await change
        await db.execute("DEL", shard.notifications)
        assert await tell(db) == []
        await clock.forward(30)
        assert await tell(db) == [("a", word), ("b", word)]


async def test_an_end_overtakes_a_beginning_that_could_not_be_told(db: Database, clock: Clock) -> None:
    await begin(db, "hold", "", "a")
    (problem,) = await problems.open_problems(db)
    leases = await deliveries.lease(db, db.shards[0], "a", [problem.incident], owner="n", lease_ms=30_000)
    await deliveries.outcome(db, db.shards[0], "a", leases, owner="n", result="retry", delay_ms=7_200_000)
    await db.execute("DEL", db.shards[0].notifications)
    await problems.end(db, "hold", "")

    assert await tell(db) == [("a", "resolved")]


async def test_one_that_begins_again_waits_until_the_end_before_it_was_told(db: Database, clock: Clock) -> None:
    await begin(db, "hold", "", "a")
    await tell(db)
    await problems.end(db, "hold", "")
    await db.execute("DEL", db.shards[0].notifications)
    await clock.forward(QUIET_S)
    await begin(db, "hold", "", "a")
    (problem,) = await problems.open_problems(db)

    leases = await deliveries.lease(db, db.shards[0], "a", [problem.incident], owner="n", lease_ms=30_000)
    assert [lease.word for lease in leases] == [None]
    await db.execute("DEL", db.shards[0].notifications)
    assert await tell(db) == [("a", "resolved")]
    await clock.forward(2)
    assert await tell(db) == [("a", "opened")]


async def test_a_problem_with_nobody_to_tell_is_recorded(db: Database, clock: Clock) -> None:
    assert await problems.begin(db, "hold", "", "It hurts.", project="default", channels=())
    assert len(await problems.open_problems(db)) == 1
    assert await problems.end(db, "hold", "")

    assert await db.execute("EXISTS", db.shards[0].notifications, db.shards[0].chores) == 0


async def test_one_that_is_back_soon_and_gone_again_is_recorded_and_not_told(db: Database, clock: Clock) -> None:
    await begin(db)
    await problems.end(db, "hold", "")
    await tell(db)
    await clock.forward(QUIET_S - 100)

    assert await begin(db)
    assert len(await problems.open_problems(db)) == 1
    assert await tell(db) == []
    await clock.forward(50)
    assert await problems.end(db, "hold", "")
    assert await problems.open_problems(db) == []
    for _ in range(5):
        assert await tell(db) == []
        await clock.forward(QUIET_S)
    assert await db.execute("ZCARD", db.shards[0].chores) == 0


async def test_one_that_is_back_soon_and_stays_is_told_a_quarter_of_an_hour_after_the_end(
    db: Database, clock: Clock
) -> None:
    await begin(db)
    await problems.end(db, "hold", "")
    await tell(db)
    await clock.forward(60)
    await begin(db)
    await clock.set(T0 + QUIET_S * 1000 - 1)
    assert await tell(db) == []
    await clock.forward(0.001)

    assert await tell(db) == [("a", "opened"), ("b", "opened")]
    await problems.end(db, "hold", "")
    assert await tell(db) == [("a", "resolved"), ("b", "resolved")]


async def test_one_that_is_back_in_the_same_millisecond_is_another(db: Database, clock: Clock) -> None:
    await begin(db)
    await tell(db)
    await problems.end(db, "hold", "")
    await tell(db)
    await begin(db)
    (problem,) = await problems.open_problems(db)

    assert problem.opened_at == T0 + 1
    await clock.forward(QUIET_S)
    assert await tell(db) == [("a", "opened"), ("b", "opened")]


async def test_the_quiet_time_follows_an_end_that_was_told_and_no_other(db: Database, clock: Clock) -> None:
    """Else one that comes and goes for ever would be told once and never again."""
    await begin(db)
    await problems.end(db, "hold", "")
    await tell(db)
    await clock.forward(QUIET_S - 10)
    await begin(db)
    await clock.forward(9)
    await problems.end(db, "hold", "")
    await clock.forward(1)
    assert await tell(db) == []

    assert await begin(db)
    assert await tell(db) == [("a", "opened"), ("b", "opened")]


async def test_a_clock_that_steps_back_makes_no_longer_quiet_time(db: Database, clock: Clock) -> None:
    await begin(db)
    await problems.end(db, "hold", "")
    await tell(db)
    await clock.forward(-3600)
    assert await begin(db)
    await clock.forward(QUIET_S)

    assert await tell(db) == [("a", "opened"), ("b", "opened")]


def test_nobody_hears_more_than_a_pair_in_a_quarter_of_an_hour_and_what_lasts_is_told(
    sockets: Sockets, effort: settings
) -> None:
    moves = st.lists(
        st.tuples(st.sampled_from(["begin", "end", "wait"]), st.sampled_from([0, 1, 30, 200, 450, 899, 900, 4000])),
        max_size=25,
    )

    async def live(db: Database, story: list[tuple[str, int]]) -> None:
        clock = Clock(db)
        await clock.set(T0)
        lasts, began_at, told_at = False, 0, -QUIET_S * 1000
        words: list[str] = []

        async def listen() -> None:
            nonlocal told_at
            for _, word in await tell(db):
                words.append(word)
                assert word == ("resolved" if len(words) % 2 == 0 else "opened")
                if word == "opened":
                    assert clock.now >= told_at + QUIET_S * 1000
                told_at = clock.now
            if not lasts or clock.now >= began_at + QUIET_S * 1000:
                assert (words[-1:] == ["opened"]) == lasts

        for move, seconds in story:
            if move == "begin":
                assert await begin(db, "hold", "", "a") == (not lasts)
                lasts, began_at = True, began_at if lasts else clock.now
            elif move == "end":
                assert await problems.end(db, "hold", "") == lasts
                lasts = False
            await listen()
            await clock.forward(seconds)
            await listen()

    @settings(effort)
    @given(moves)
    def run(story: list[tuple[str, int]]) -> None:
        async def fresh() -> None:
            async with opened(clean(sockets.url("valkey-9")), clock=TEST_CLOCK) as db:
                await live(db, story)

        asyncio.run(fresh())

    run()


async def test_problems_of_all_shards_are_listed_the_oldest_first(redis_url: str) -> None:
    async with opened(redis_url, shards=4, clock=TEST_CLOCK) as db:
        clock = Clock(db)
        for number in (3, 1, 4, 2, 5, 0):
            await clock.set(T0 + number)
            await begin(db, "channel_broken", str(number))

        assert [problem.subject for problem in await problems.open_problems(db)] == list("012345")
        assert sum([await db.execute("EXISTS", shard.problems) for shard in db.shards]) > 1
        assert len(await tell(db)) == 12


async def test_operators_are_the_chosen_channels_that_still_exist_and_else_all(db: Database) -> None:
    assert await problems.operator_channels(db) == []
    made = [(await channels.create(db, name, "webhook", {})).id for name in "abc"]
    assert await problems.operator_channels(db) == sorted(made)
    await problems.choose_channels(db, made[:2])
    assert (await problems.operator_channels(db), await problems.chosen_channels(db)) == (sorted(made[:2]), made[:2])
    await channels.delete(db, made[0])
    assert await problems.operator_channels(db) == [made[1]]
    await channels.delete(db, made[1])

    assert await problems.operator_channels(db) == [made[2]]
    await problems.choose_channels(db, [])
    assert await problems.chosen_channels(db) == []


async def test_a_channel_is_broken_until_it_is_told_something_changed_or_deleted(db: Database) -> None:
    channel = await channels.create(db, "ops", "webhook", {})
    for mended in (channels.mend(db, channel), channels.edit(db, channel, "x", {}), channels.delete(db, channel.id)):
        await channels.set_broken(db, channel, "it answered 401", gone=False)
        assert await problems.is_broken(db, channel.id, "default")
        await mended
        assert not await problems.is_broken(db, channel.id, "default")


# The facts


async def test_all_is_well_in_a_new_database(db: Database, clock: Clock) -> None:
    assert await problems.facts(db) == Facts()


async def test_all_is_well_while_pulses_come_and_everything_is_taken_in_time(db: Database, clock: Clock) -> None:
    await make(db, up_at=T0)
    await hear(db, clock)
    await deliveries.send_test(db, "somewhere")  # with a chore
    await db.execute("DEL", db.shards[0].notifications)

    assert await problems.facts(db) == Facts()


async def test_the_sweep_is_as_far_behind_as_the_oldest_deadline_that_a_pulse_has_passed(
    db: Database, clock: Clock
) -> None:
    await make(db, up_at=T0)
    await hear(db, clock)
    await clock.set(T0 + SPAN + 70_000)
    assert (await problems.facts(db)).behind_ms == 0
    await hear(db, clock)
    assert (await problems.facts(db)).behind_ms == 70_000
    await deadlines.sweep(db, db.shards[0])

    assert (await problems.facts(db)).behind_ms == 0


@pytest.mark.parametrize("zset", ["timers", "fleets"])
async def test_timers_and_fleets_can_be_behind_too(db: Database, clock: Clock, zset: str) -> None:
    await db.execute("ZADD", getattr(db.shards[0], zset), T0 - 5_000, "settle:x", "+inf", "settle:y")
    assert (await problems.facts(db)).behind_ms == 0
    await hear(db, clock)

    assert (await problems.facts(db)).behind_ms == 5_000


async def test_a_walk_over_a_fleet_is_not_a_moment_that_has_passed(db: Database, clock: Clock) -> None:
    await db.execute("ZADD", db.shards[0].fleets, 0, "0123456789ab")
    await hear(db, clock)

    assert (await problems.facts(db)).behind_ms == 0


async def test_chores_are_behind_without_a_pulse_but_not_while_the_outbox_has_no_room(
    db: Database, clock: Clock
) -> None:
    shard = db.shards[0]
    await db.execute("ZADD", shard.chores, T0 - 9_000, "retry:x")
    assert (await problems.facts(db)).behind_ms == 9_000
    for _ in range(1_000):
        await db.execute("XADD", shard.notifications, "*", "deliveries", "x")

    assert await deadlines.chores(db, shard) == 0
    assert (await problems.facts(db)).behind_ms == 0


async def test_a_granted_deadline_ends_in_half_a_millisecond_and_may_be_behind_like_any(
    db: Database, clock: Clock
) -> None:
    await hear(db, clock)
    await db.execute("ZADD", db.shards[0].deadlines, f"{T0 - 9_000}.5", "0123456789ab")

    assert (await problems.facts(db)).behind_ms == 8_999


async def test_we_are_unheard_since_the_newest_pulse(db: Database, clock: Clock) -> None:
    await hear(db, clock)
    await clock.forward(301)

    found = await problems.facts(db)
    assert (found.unheard_ms, found.deaf_ms) == (301_000, 0)


async def test_a_deaf_window_lasts_until_a_pulse_comes_in_time(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    await deadlines.pulse(db, shard, "n1")
    for _ in range(4):
        await clock.forward(2)
        await deadlines.pulse(db, shard, "n1")
    assert (await problems.facts(db)).deaf_ms == 8_000
    await clock.forward(1)
    await deadlines.pulse(db, shard, "n1")

    assert (await problems.facts(db)).deaf_ms == 0
    assert len(await deadlines.deaf_windows(db, shard)) == 1


async def test_an_entry_waits_until_it_is_taken_note_of_or_set_aside(db: Database, clock: Clock) -> None:
    shard = db.shards[0]
    await db.execute("XADD", shard.notifications, f"{T0 - 70_000}-1", "deliveries", "x")
    assert (await problems.facts(db)).waiting_ms == 70_000
    reader = Reader(db, shard, "n1")
    await reader.make_group()
    assert (await problems.facts(db)).waiting_ms == 70_000
    (entry,) = await reader.read(wait_ms=1)
    await db.execute("XADD", shard.notifications, f"{T0 - 30_000}-0", "deliveries", "y")
    assert (await problems.facts(db)).waiting_ms == 70_000
    await reader.set_aside(entry)
    assert (await problems.facts(db)).waiting_ms == 30_000
    (entry,) = await reader.read(wait_ms=1)
    assert (await problems.facts(db)).waiting_ms == 30_000
    await notifications.enlist(db, shard, entry.entry, [])

    assert (await problems.facts(db)).waiting_ms == 0
    await reader.aclose()


async def give_up(db: Database, clock: Clock, incident: str, channel: str = "c") -> str:
    shard = db.shard(incident)
    leases = await deliveries.lease(db, shard, channel, [incident], owner="n", lease_ms=30_000)
    await deliveries.outcome(db, shard, channel, leases, owner="n", result="dead")
    return f"{incident}:{channel}"


async def test_a_dead_letter_counts_for_an_hour_unless_it_is_sent_again(db: Database, clock: Clock) -> None:
    delivery = await deliveries.send_test(db, "c")
    await give_up(db, clock, delivery.incident)
    assert (await problems.facts(db)).has_dead_letters
    await clock.forward(3600)
    assert (await problems.facts(db)).has_dead_letters
    await clock.forward(0.001)
    assert not (await problems.facts(db)).has_dead_letters
    await give_up(db, clock, (await deliveries.send_test(db, "c")).incident)
    assert (await problems.facts(db)).has_dead_letters
    await db.execute("DEL", db.shards[0].dead)

    assert not (await problems.facts(db)).has_dead_letters


async def test_a_problem_that_cannot_be_told_is_no_new_problem(db: Database, clock: Clock) -> None:
    """Else each end would be a beginning, for ever."""
    await begin(db, "dead_letters", "", "c")
    (problem,) = await problems.open_problems(db)
    await give_up(db, clock, problem.incident)

    assert await deliveries.count_dead(db) == 1
    assert not (await problems.facts(db)).has_dead_letters


@pytest.mark.parametrize(
    ("options", "persists"),
    [
        (("--appendonly", "no"), False),
        (("--appendonly", "yes"), True),
        (("--appendonly", "no", "--save", "3600 1"), True),
        (("--appendonly", "no", "--rename-command", "CONFIG", "HIDDEN"), True),
    ],
)
async def test_a_server_persists_with_a_file_or_snapshots_or_when_it_hides_its_settings(
    options: tuple[str, ...], *, persists: bool
) -> None:
    async with running(binaries()["valkey-9"], *options) as server, opened(server.url) as db:
        found = await problems.facts(db)

    assert (found.persists, found.writes_fail) == (persists, False)


async def test_a_snapshot_that_cannot_be_written_is_noticed() -> None:
    async with running(binaries()["valkey-9"], "--save", "3600 1") as server, opened(server.url) as db:

        async def writes_fail() -> bool:
            return (await problems.facts(db)).writes_fail

        async def writes() -> bool:
            return not await writes_fail()

        in_its_way = server.folder / "dump.rdb"
        in_its_way.mkdir()
        await db.execute("BGSAVE")
        await eventually(writes_fail)
        in_its_way.rmdir()
        await db.execute("BGSAVE")

        await eventually(writes)


async def test_memory_is_a_share_of_what_the_server_may_use() -> None:
    async with running(binaries()["valkey-9"]) as server, opened(server.url) as db:
        assert (await problems.facts(db)).memory == 0.0
        await db.execute("CONFIG", "SET", "maxmemory", "1gb")

        assert 0 < (await problems.facts(db)).memory < 0.1
