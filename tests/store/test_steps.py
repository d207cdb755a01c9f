"""The chores of an incident, one script at a time: steps, reminders, contacts, snoozes, warnings."""

from typing import Any

import pytest

from store import deadlines, deliveries, heartbeats, incidents, notifications
from store.database import Database
from store.deliveries import Lease, Result
from tests.conftest import T0, Clock
from tests.store.scene import be_deaf, everything, hear, log_of, looks, make, pass_time, push, send

MINUTE = 60_000  # ms
LEASE_MS = 15_000


async def trouble(db: Database, clock: Clock, **settings: Any) -> tuple[Any, str]:
    """A heartbeat that failed just now, and its incident."""
    made = await make(db, **settings)
    await send(db, made, "fail", at=clock.now)
    incident = (await heartbeats.get(db, made.id)).incident
    assert incident is not None
    return made, incident


async def note(db: Database, *noted: tuple[str, int | None]) -> None:
    await notifications.enlist(db, db.shards[0], "", [], noted)


async def enlist(db: Database, incident: str, *channels: str) -> None:
    await notifications.enlist(db, db.shards[0], "", [(incident, channel) for channel in channels])


async def chores(db: Database) -> dict[str, int]:
    flat = await db.execute("ZRANGE", db.shards[0].chores, 0, -1, "WITHSCORES")
    return {name.decode(): int(score) for name, score in zip(flat[::2], flat[1::2], strict=True)}


async def fields(db: Database, incident: str) -> dict[str, str]:
    found = await db.execute("HGETALL", db.shards[0].incident(incident))
    return {key.decode(): value.decode() for key, value in found.items()}


async def times(db: Database, incident: str) -> dict[str, int]:
    """How often each channel was to be told."""
    return {key[3:]: int(value) for key, value in (await fields(db, incident)).items() if key.startswith("to:")}


async def lease(db: Database, *leased: str, owner: str = "o", acknowledges: bool = False) -> list[Lease]:
    return await deliveries.lease(
        db, db.shards[0], "c", leased, owner=owner, lease_ms=LEASE_MS, acknowledges=acknowledges
    )


async def end(db: Database, incident: str, word: Any, result: Result = "told", *, delay_ms: int = MINUTE) -> None:
    await deliveries.outcome(
        db, db.shards[0], "c", [Lease(incident, word)], owner="o", result=result, delay_ms=delay_ms, answer="200"
    )


async def told(db: Database, incident: str) -> str:
    """The channel c hears what is due."""
    (found,) = await lease(db, incident)
    await end(db, incident, found.word)
    return f"{found.word} {found.times}"


# Steps


async def test_a_step_tells_its_channels_and_brings_the_next(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    await note(db, (chore, clock.now))

    assert await notifications.step(db, incident, chore, ["c", "d"], mark="0.1", due=clock.now + MINUTE)

    looked_at = clock.now + notifications.LOOK_AGAIN_MS
    assert await chores(db) == {
        chore: clock.now + MINUTE, f"retry:{incident}:c": looked_at, f"retry:{incident}:d": looked_at
    }  # fmt: skip
    assert await times(db, incident) == {"c": 1, "d": 1}
    assert (await incidents.get(db, incident)).position == "0.1"


async def test_the_last_step_leaves_no_chore(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    await note(db, (chore, clock.now))

    assert await notifications.step(db, incident, chore, [], mark="done")

    assert await chores(db) == {}


@pytest.mark.parametrize("kind", ["escalate", "remind"])
async def test_of_two_notifiers_one_makes_the_step_whatever_both_had_read(
    db: Database, clock: Clock, kind: str
) -> None:
    _, incident = await trouble(db, clock)
    chore = f"{kind}:{incident}"
    await note(db, (chore, clock.now))
    assert await notifications.step(db, incident, chore, ["c"], mark="1", due=clock.now + MINUTE)
    before = await everything(db)

    assert not await notifications.step(db, incident, chore, ["c"], mark="1", due=clock.now + MINUTE)
    assert not await notifications.step(db, incident, chore, ["c"], seen="1", mark="2", due=clock.now + MINUTE)

    assert await everything(db) == before


async def test_of_two_that_have_read_the_same_one_makes_the_step_though_the_next_is_due(
    db: Database, clock: Clock
) -> None:
    _, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    await note(db, (chore, clock.now))
    assert await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now)

    assert not await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now)
    assert await notifications.step(db, incident, chore, ["c"], seen="0.1", mark="0.2", due=clock.now)


@pytest.mark.parametrize("after", ["resolved", "acknowledged", "done"])
async def test_what_is_over_is_not_told_and_its_chore_goes(db: Database, clock: Clock, after: str) -> None:
    made, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    if after != "done":
        await note(db, (chore, clock.now))
    await clock.forward(1)
    if after == "resolved":
        await send(db, made, at=clock.now)
    elif after == "acknowledged":
        await incidents.acknowledge(db, incident, "Ada")

    assert not await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now + MINUTE)

    assert await chores(db) == {}
    assert await times(db, incident) == {}


async def test_a_step_that_falls_into_a_snooze_waits_for_its_end(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    await note(db, (chore, clock.now))
    until = clock.now + 5 * MINUTE
    await incidents.snooze(db, incident, "Ada", until=until)

    assert not await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now + MINUTE)
    assert await chores(db) == {chore: until, f"remind:{incident}": until}
    await clock.set(until)
    assert await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now + MINUTE)


async def test_a_clock_that_steps_back_puts_no_step_off(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await hear(db, clock)
    chore = f"escalate:{incident}"
    await note(db, (chore, clock.now + MINUTE))
    await clock.forward(-3_600)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back
    assert await chores(db) == {chore: clock.now + MINUTE}
    await clock.forward(60)
    await deadlines.chores(db, db.shards[0])

    assert await notifications.step(db, incident, chore, ["c"], mark="0.1", due=clock.now + MINUTE)
    assert not await notifications.step(db, incident, chore, ["c"], seen="0.1", mark="0.2", due=clock.now + MINUTE)


async def test_a_step_puts_no_retry_off_and_brings_none_nearer(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    chore = f"escalate:{incident}"
    await enlist(db, incident, "c")
    await lease(db, incident)
    await end(db, incident, "opened", "retry", delay_ms=10 * MINUTE)
    await note(db, (chore, clock.now))

    assert await notifications.step(db, incident, chore, ["c"])

    assert await chores(db) == {f"retry:{incident}:c": clock.now + 10 * MINUTE}


async def test_only_who_is_brought_in_by_a_later_step_is_told_so(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await note(db, (f"escalate:{incident}", clock.now))
    assert await notifications.step(db, incident, f"escalate:{incident}", ["c", "d"], number=1)

    steps = [
        found.step
        for channel in ("c", "d")
        for found in await deliveries.lease(db, db.shards[0], channel, [incident], owner="o", lease_ms=LEASE_MS)
    ]
    assert steps == [0, 1]


# Contacts


async def test_a_contact_is_told_once_and_not_put_off_by_another_step(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    chore = f"tell:{incident}:c"
    await note(db, (chore, clock.now + 5 * MINUTE))
    await clock.forward(60)
    await note(db, (chore, clock.now + 5 * MINUTE))
    assert await chores(db) == {chore: T0 + 5 * MINUTE}
    await note(db, (chore, clock.now + MINUTE))
    assert await chores(db) == {chore: T0 + 2 * MINUTE}

    assert await notifications.step(db, incident, chore, ["c"], number=1)
    assert not await notifications.step(db, incident, chore, ["c"], number=1)
    assert await times(db, incident) == {"c": 1}


@pytest.mark.parametrize("why", ["snoozed", "not yet due"])
async def test_no_contact_is_noted_for_a_step_that_is_not_carried_out(db: Database, clock: Clock, why: str) -> None:
    _, incident = await trouble(db, clock)
    step = f"escalate:{incident}"
    await note(db, (step, clock.now + (MINUTE if why == "not yet due" else 0)))
    if why == "snoozed":
        await incidents.snooze(db, incident, "Ada", until=clock.now + MINUTE)

    await note(db, (f"tell:{incident}:c", clock.now + 1))

    assert f"tell:{incident}:c" not in await chores(db)
    await clock.forward(60)
    await note(db, (f"tell:{incident}:c", clock.now + 1))
    assert f"tell:{incident}:c" in await chores(db)


@pytest.mark.parametrize("kind", ["escalate", "remind", "window", "tell"])
@pytest.mark.parametrize("ended", ["resolved", "acknowledged", "gone"])
async def test_no_chore_is_noted_of_what_is_over(db: Database, clock: Clock, kind: str, ended: str) -> None:
    made, incident = await trouble(db, clock)
    chore = f"{kind}:{incident}" + (":c" if kind == "tell" else "")
    await note(db, (chore, clock.now + MINUTE))
    assert await chores(db) == {chore: clock.now + MINUTE}
    await clock.forward(1)
    if ended == "resolved":
        await send(db, made, at=clock.now)
    elif ended == "acknowledged":
        await incidents.acknowledge(db, incident, "Ada")
    else:
        await db.execute("DEL", db.shards[0].incident(incident))

    await note(db, (chore, clock.now + MINUTE))

    assert await chores(db) == {}


async def test_what_is_held_by_a_window_says_so(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    assert not (await incidents.get(db, incident)).held

    await note(db, (f"window:{incident}", clock.now + MINUTE))

    assert (await incidents.get(db, incident)).held
    await note(db, (f"window:{incident}", None))
    assert await chores(db) == {}


async def test_the_end_does_not_wait_for_a_retry_of_the_beginning(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await end(db, incident, "opened", "retry", delay_ms=600 * MINUTE)
    await enlist(db, incident, "c")
    assert await chores(db) == {f"retry:{incident}:c": T0 + 600 * MINUTE}
    await clock.forward(1)
    await send(db, made, at=clock.now)

    await enlist(db, incident, "c")  # and whoever did so dies

    assert await chores(db) == {f"retry:{incident}:c": clock.now + notifications.LOOK_AGAIN_MS}


# Acknowledged, or not before then


async def test_who_has_acknowledged_it_first_did_and_later_words_change_nothing(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db, clock)
    await note(db, (f"escalate:{incident}", clock.now + 1), (f"remind:{incident}", clock.now + 1))
    assert await incidents.acknowledge(db, incident, "Ada")
    assert await chores(db) == {}
    before = await everything(db)
    await clock.forward(1)
    assert await incidents.acknowledge(db, incident, "Bob")

    found = await incidents.get(db, incident)
    assert (found.acknowledged_by, found.acknowledged_at) == ("Ada", T0)
    await clock.set(T0)
    assert await everything(db) == before
    assert "acknowledged" in await log_of(db, made)


async def test_a_snooze_takes_an_acknowledgement_back_and_the_other_way_round(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await incidents.acknowledge(db, incident, "Ada")
    await incidents.snooze(db, incident, "Bob", until=clock.now + MINUTE)
    found = await incidents.get(db, incident)
    assert (found.acknowledged_by, found.acknowledged_at, found.snoozed_until) == ("", None, clock.now + MINUTE)
    assert await chores(db) == {f"remind:{incident}": clock.now + MINUTE}

    await incidents.acknowledge(db, incident, "Ada")
    found = await incidents.get(db, incident)
    assert (found.acknowledged_by, found.snoozed_until) == ("Ada", None)
    assert await chores(db) == {}


@pytest.mark.parametrize("until", [None, T0 + MINUTE])
async def test_what_is_not_open_can_be_taken_in_hand_by_nobody(db: Database, clock: Clock, until: int | None) -> None:
    made, incident = await trouble(db, clock)
    await clock.forward(1)
    await send(db, made, at=clock.now)

    for name in (incident, f"{made.id}-1"):
        if until is None:
            assert not await incidents.acknowledge(db, name, "Ada")
        else:
            assert not await incidents.snooze(db, name, "Ada", until=until)
    assert await chores(db) == {}
    assert await fields(db, f"{made.id}-1") == {}


@pytest.mark.parametrize("acknowledges", [True, False])
async def test_a_channel_that_is_told_of_it_hears_who_has_acknowledged(
    db: Database, clock: Clock, *, acknowledges: bool
) -> None:
    made, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident, acknowledges=acknowledges)
    await end(db, incident, "opened")
    assert await chores(db) == {}

    await incidents.acknowledge(db, incident, "Ada")

    assert await chores(db) == ({f"retry:{incident}:c": clock.now} if acknowledges else {})
    (found,) = await lease(db, incident, acknowledges=acknowledges)
    assert found.word == ("acknowledged" if acknowledges else None)
    if acknowledges:
        await end(db, incident, "acknowledged")
        assert (await lease(db, incident, acknowledges=True))[0].word is None
    await clock.forward(1)
    await send(db, made, at=clock.now)
    assert (await lease(db, incident, acknowledges=acknowledges))[0].word == "resolved"


# Reminders


async def remind(db: Database, clock: Clock, incident: str, count: int) -> None:
    """One more reminder is due, and channel c is to be told."""
    chore = f"remind:{incident}"
    await note(db, (chore, clock.now))
    seen = str(count - 1) if count > 1 else ""
    assert await notifications.step(db, incident, chore, ["c"], seen=seen, mark=str(count), due=clock.now + MINUTE)


async def test_each_reminder_is_said_once(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    assert await told(db, incident) == "opened 1"
    for count in (1, 2):
        await clock.forward(60)
        await remind(db, clock, incident, count)
        assert await told(db, incident) == f"reminder {count + 1}"
        assert (await lease(db, incident))[0].word is None
    assert (await deliveries.get(db, f"{incident}:c")).told == "opened"


async def test_reminders_that_could_not_be_told_are_one(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await told(db, incident)
    for count in (1, 2, 3):
        await clock.forward(60)
        await remind(db, clock, incident, count)

    assert await told(db, incident) == "reminder 4"
    assert (await lease(db, incident))[0].word is None


async def test_a_reminder_that_comes_during_the_telling_of_another_is_told_after_it(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await remind(db, clock, incident, 1)
    await end(db, incident, "opened")

    assert (await chores(db))[f"retry:{incident}:c"] == clock.now
    assert await told(db, incident) == "reminder 2"


async def test_a_reminder_that_was_given_up_is_not_tried_again_but_the_next_one_is(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await told(db, incident)
    await remind(db, clock, incident, 1)
    await lease(db, incident)
    await end(db, incident, "reminder", "dead")
    assert (await lease(db, incident))[0].word is None
    assert await deliveries.count_dead(db) == 1

    await clock.forward(60)
    await remind(db, clock, incident, 2)
    (found,) = await lease(db, incident)
    assert (found.word, found.times, found.attempt) == ("reminder", 3, 1)
    await end(db, incident, "reminder")
    assert await deliveries.count_dead(db) == 0


async def test_who_was_given_up_is_told_the_beginning_when_he_is_to_be_told_again(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await remind(db, clock, incident, 1)  # during the last try
    await end(db, incident, "opened", "dead")

    assert (await chores(db))[f"retry:{incident}:c"] == clock.now
    assert await told(db, incident) == "opened 2"
    assert (await lease(db, incident))[0].word is None


async def test_a_reminder_does_not_break_in_on_a_receiver_that_has_asked_for_time(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await end(db, incident, "opened", "retry", delay_ms=10 * MINUTE)
    for count in range(1, 10):
        await clock.forward(60)
        await remind(db, clock, incident, count)
        assert (await lease(db, incident))[0].word is None
        assert (await chores(db))[f"retry:{incident}:c"] == T0 + 10 * MINUTE
    await clock.forward(60)

    (found,) = await lease(db, incident)
    assert (found.word, found.attempt) == ("opened", 2)


async def test_a_clock_that_steps_back_makes_no_receiver_wait_longer(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await hear(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await end(db, incident, "opened", "retry", delay_ms=10 * MINUTE)
    await clock.forward(-3_600)
    await deadlines.pulse(db, db.shards[0], "n1")
    assert await chores(db) == {f"retry:{incident}:c": clock.now + 10 * MINUTE}
    await clock.forward(600)

    assert (await lease(db, incident))[0].attempt == 2


async def test_an_acknowledgement_takes_a_reminder_back_and_whoever_vanished_leaves_no_lease(
    db: Database, clock: Clock
) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await told(db, incident)
    await remind(db, clock, incident, 1)
    assert (await lease(db, incident, owner="gone"))[0].word == "reminder"
    await incidents.acknowledge(db, incident, "Ada")
    await clock.forward(LEASE_MS / 1000)

    assert (await lease(db, incident))[0].word is None
    assert await chores(db) == {}
    assert (await deliveries.get(db, f"{incident}:c")).status == "told"


# Leases


async def test_a_lease_is_kept_by_its_owner_alone(db: Database, clock: Clock) -> None:
    made, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    (ours,) = await lease(db, incident)
    await clock.forward(10)
    shard = db.shards[0]
    await deliveries.renew(db, shard, "c", [ours], owner="another", lease_ms=LEASE_MS)
    assert await chores(db) == {f"retry:{incident}:c": T0 + LEASE_MS}
    await send(db, made, at=clock.now)  # that it is over ends no lease
    await deliveries.renew(db, shard, "c", [ours], owner="o", lease_ms=LEASE_MS)
    assert await chores(db) == {f"retry:{incident}:c": clock.now + LEASE_MS}
    assert (await lease(db, incident, owner="another"))[0].word is None

    await end(db, incident, "opened")
    await deliveries.renew(db, shard, "c", [ours], owner="o", lease_ms=LEASE_MS)
    assert await chores(db) == {f"retry:{incident}:c": clock.now}
    assert (await lease(db, incident, owner="another"))[0].word == "resolved"


async def test_an_end_of_which_no_chore_knows_holds_up_the_next_incident_for_seconds(
    db: Database, clock: Clock
) -> None:
    made, first = await trouble(db, clock)
    await enlist(db, first, "c")
    await told(db, first)
    await clock.forward(1)
    await send(db, made, at=clock.now)
    await clock.forward(1)
    await send(db, made, "fail", at=clock.now)
    second = (await heartbeats.get(db, made.id)).incident
    assert second
    await enlist(db, second, "c")  # and the entry of the first one's end was set aside

    assert (await lease(db, second))[0].word is None
    assert (await chores(db))[f"retry:{first}:c"] == clock.now + 15_000
    assert await told(db, first) == "resolved 1"
    assert await told(db, second) == "opened 1"


# Once more


async def test_what_is_resent_begins_anew(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)
    await end(db, incident, "opened", "retry", delay_ms=600 * MINUTE)

    await deliveries.resend(db, f"{incident}:c")

    assert await chores(db) == {f"retry:{incident}:c": clock.now}
    (found,) = await lease(db, incident)
    assert (found.word, found.attempt) == ("opened", 1)


@pytest.mark.parametrize("state", ["told", "vanished"])
@pytest.mark.parametrize("ending", ["paused", "deleted", "back"])
async def test_who_is_sent_the_beginning_once_more_is_owed_the_end(
    db: Database, clock: Clock, state: str, ending: str
) -> None:
    made, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    if state == "told":
        await told(db, incident)
    else:
        await lease(db, incident, owner="gone")
        await clock.forward(LEASE_MS / 1000)
    await deliveries.resend(db, f"{incident}:c")
    await clock.forward(1)
    if ending == "paused":
        await heartbeats.pause(db, made.id)
    elif ending == "deleted":
        await heartbeats.delete(db, made.id)
    else:
        await send(db, made, at=clock.now)

    assert await told(db, incident) == "resolved 1"
    assert (await lease(db, incident))[0].word is None
    await deliveries.resend(db, f"{incident}:c")
    assert await told(db, incident) == "resolved 1"
    assert await chores(db) == {}


async def test_who_is_sent_once_more_what_should_never_have_been_is_told_so(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await pass_time(db, clock, 100)
    incident = f"{made.id}-{T0 + 90_000}"
    await enlist(db, incident, "c")
    await told(db, incident)
    await deliveries.resend(db, f"{incident}:c")

    await send(db, made, at=T0 + 50_000)

    assert (await incidents.get(db, incident)).status == "void"
    assert await told(db, incident) == "resolved 1"


async def test_what_is_resent_while_it_is_being_told_is_told_once(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident)

    await deliveries.resend(db, f"{incident}:c")
    await end(db, incident, "opened")

    assert await chores(db) == {}
    assert (await lease(db, incident))[0].word is None


# The log


async def test_the_log_of_a_channel_has_an_end(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    for count in range(1, 700):
        await told(db, incident)
        await remind(db, clock, incident, count)

    length = await db.execute("XLEN", db.shards[0].told("c"))
    assert 200 <= length < 350
    rows = await deliveries.log(db, "c", limit=3)
    assert [(row.incident, row.word, row.count, row.outcome) for row in rows] == [(incident, "reminder", 1, "told")] * 3
    assert await db.execute("PTTL", db.shards[0].told("c")) > 29 * 86_400_000


async def test_what_another_owner_told_makes_no_row(db: Database, clock: Clock) -> None:
    _, incident = await trouble(db, clock)
    await enlist(db, incident, "c")
    await lease(db, incident, owner="another")

    await end(db, incident, "opened")

    assert await deliveries.log(db, "c") == []


# Warnings


async def warnings(db: Database) -> list[int]:
    """When somebody was to be told that he is late, ms after the beginning."""
    return [int(name.partition("-")[2]) - T0 for name in await looks(db) if await is_late(db, name)]


async def is_late(db: Database, incident: str) -> bool:
    return (await incidents.get(db, incident)).status == "late"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [60_000]),
        ({"misses": 3}, [60_000]),
        ({"grace": 0}, []),  # the incident itself is no later
        ({"grace": 0, "misses": 2}, [60_000]),
        ({"warn_late": False}, []),
    ],
)
async def test_a_warning_comes_when_the_first_ping_is_missing(
    db: Database, clock: Clock, settings: dict[str, Any], expected: list[int]
) -> None:
    made = await make(db, **{"warn_late": True, **settings})
    await send(db, made, at=T0)
    for _ in range(6):
        await pass_time(db, clock, 10.5)

    assert await warnings(db) == expected
    for _ in range(3):
        await pass_time(db, clock, 10)
    assert await warnings(db) == expected


@pytest.mark.parametrize("misses", [1, 2])
async def test_with_a_schedule_the_warning_comes_at_the_slot(db: Database, clock: Clock, misses: int) -> None:
    made = await make(db, up_at=T0, warn_late=True)
    await heartbeats.edit(db, made.id, {"schedule": "*/10 * * * *", "misses": misses})
    await clock.forward(6)
    await hear(db, clock)
    await deadlines.timers(db, db.shards[0])  # nodes have forgotten that it had a period
    await pass_time(db, clock, 0.1)
    await clock.forward(6)
    await hear(db, clock)
    swept = await deadlines.sweep(db, db.shards[0])
    assert not await deadlines.reckon(db, db.shards[0], swept.unreckoned)

    await pass_time(db, clock, 587)
    assert await warnings(db) == []
    await pass_time(db, clock, 1)
    assert await warnings(db) == [600_000]


async def test_who_may_have_pinged_while_we_were_deaf_is_not_called_late(db: Database, clock: Clock) -> None:
    made = await make(db, warn_late=True)
    await send(db, made, at=T0)
    await clock.forward(30)
    await be_deaf(db, clock, 5)
    await pass_time(db, clock, 30)

    assert await warnings(db) == []


async def test_an_edit_moves_the_warning(db: Database, clock: Clock) -> None:
    made = await make(db, warn_late=True)
    await send(db, made, at=T0)
    await heartbeats.edit(db, made.id, {"period": 100})
    for _ in range(9):
        await pass_time(db, clock, 10.9)
    assert await warnings(db) == []
    await pass_time(db, clock, 5)
    assert await warnings(db) == [100_000]


async def test_an_edit_that_leaves_nothing_to_be_late_for_takes_the_warning_away(db: Database, clock: Clock) -> None:
    made = await make(db, warn_late=True)
    await send(db, made, at=T0)
    await heartbeats.edit(db, made.id, {"period": 120, "grace": 0})
    await pass_time(db, clock, 61)

    assert await warnings(db) == []


async def test_a_ping_by_a_node_that_does_not_know_of_the_wish_puts_the_warning_off(db: Database, clock: Clock) -> None:
    made = await make(db, up_at=T0)
    await heartbeats.edit(db, made.id, {"warn_late": True})
    await clock.forward(4)
    assert await push(db, (made.id, clock.now, clock.now + made.span_ms))
    await pass_time(db, clock, 57)
    assert await warnings(db) == []
    await pass_time(db, clock, 4)
    assert await warnings(db) == [64_000]


async def test_a_clock_that_steps_back_takes_the_warning_along(db: Database, clock: Clock) -> None:
    made = await make(db, warn_late=True)
    await send(db, made, at=T0)
    await hear(db, clock)
    back = await clock.forward(-3_600)
    assert (await deadlines.pulse(db, db.shards[0], "n1")).stepped_back
    while await deadlines.clamp(db, db.shards[0]):
        pass

    timers = await db.execute("ZRANGE", db.shards[0].timers, 0, -1, "WITHSCORES")
    assert timers == [f"late:{made.id}".encode(), str(back + 60_000).encode()]


async def test_of_two_looks_at_one_silence_there_is_one_warning(db: Database, clock: Clock) -> None:
    made = await make(db, warn_late=True)
    await send(db, made, at=T0)
    await pass_time(db, clock, 61)
    await heartbeats.edit(db, made.id, {"warn_late": True})  # reckons the same moment anew
    await pass_time(db, clock, 1)

    assert await warnings(db) == [60_000]
    assert (await log_of(db, made)).count("late") == 1
