"""Policies, reminders, snoozes and maintenance windows, step by step: who hears what, and when."""

from collections.abc import Sequence
from typing import Any

from notifier.escalation import LOOK_AGAIN_MS, Escalation
from rules.oncall import Contact, OnCall, Person
from rules.policies import Policy, Step
from rules.windows import Window
from store import fleets, heartbeats, incidents, plans
from store.fleets import FleetSettings
from store.records import Channel
from tests.notifier.conftest import Office
from tests.store import fleet_scene
from tests.store.scene import make, pass_time, send

MINUTE = 60


def step(*channels: Channel, wait: int = 0, people: Sequence[str] = (), schedules: Sequence[str] = ()) -> Step:
    named = tuple(channel.id for channel in channels)
    return Step(wait=wait, channels=named, people=tuple(people), schedules=tuple(schedules))


async def policy(office: Office, *steps: Step, repeat: int = 0, repeat_after: int = 300) -> str:
    def made(id_: str) -> Policy:
        return Policy(id=id_, name="p", steps=steps, repeat=repeat, repeat_after=repeat_after)

    return (await plans.POLICIES.create(office.db, made)).id


async def window(office: Office, **changes: Any) -> str:
    whole: dict[str, Any] = {
        "heartbeats": (), "tags": (), "everything": False, "start_at": None, "end_at": None, "days": (), "start": "",
        "end": "", "timezone": "UTC",
    }  # fmt: skip
    return (await plans.WINDOWS.create(office.db, lambda id_: Window(id=id_, name="w", **{**whole, **changes}))).id


async def person(office: Office, name: str, channel: Channel) -> str:
    contacts = (Contact(channel=channel.id, wait=0),)
    return (await plans.PEOPLE.create(office.db, lambda id_: Person(id=id_, name=name, contacts=contacts))).id


async def pass_(office: Office, seconds: float) -> None:
    """Time passes and what is due is done, twice: a chore of a chore."""
    await office.clock.forward(seconds)
    for _ in range(2):
        await office.tell()


def told(office: Office) -> list[str]:
    """ "<channel> <event>", as received."""
    bodies = zip(office.sink.requests, office.told(), strict=True)
    return [f"{request.path.strip('/')} {body['event'].removeprefix('incident.')}" for request, body in bodies]


async def test_each_step_comes_in_its_time_until_nobody_is_left(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    steps = await policy(office, step(first), step(second, wait=10 * MINUTE))
    await office.down(policy=steps)

    await pass_(office, 0)
    assert told(office) == ["first opened"]
    await pass_(office, 10 * MINUTE - 1)
    assert told(office) == ["first opened"]
    await pass_(office, 1)
    assert told(office) == ["first opened", "second escalated"]
    await pass_(office, 100_000)
    assert len(told(office)) == 2


async def test_a_first_step_may_wait(office: Office) -> None:
    channel = await office.channel("first")
    heartbeat, _ = await office.down(policy=await policy(office, step(channel, wait=5 * MINUTE)))

    await pass_(office, 0)
    assert told(office) == []
    await pass_(office, 5 * MINUTE)
    assert told(office) == ["first opened"]
    await office.recover(heartbeat)
    await pass_(office, 0)
    assert told(office) == ["first opened", "first resolved"]


async def test_what_ends_before_its_first_step_is_told_to_nobody(office: Office) -> None:
    channel = await office.channel("first")
    heartbeat, _ = await office.down(policy=await policy(office, step(channel, wait=5 * MINUTE)))
    await pass_(office, 0)

    await office.recover(heartbeat, after_s=60)
    await pass_(office, 10 * MINUTE)

    assert told(office) == []


async def test_all_steps_are_gone_through_again_and_then_no_more(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    steps = await policy(office, step(first), step(second, wait=MINUTE), repeat=1, repeat_after=2 * MINUTE)
    await office.down(policy=steps)

    for _ in range(10):
        await pass_(office, MINUTE)

    assert told(office) == ["first opened", "second escalated", "first reminder", "second reminder"]


async def test_only_those_who_heard_the_beginning_hear_the_end(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    heartbeat, _ = await office.down(policy=await policy(office, step(first), step(second, wait=10 * MINUTE)))
    await pass_(office, 0)

    await office.recover(heartbeat)
    await pass_(office, 20 * MINUTE)

    assert told(office) == ["first opened", "first resolved"]


async def test_an_acknowledgement_stops_the_steps_and_the_reminders_but_not_the_end(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    steps = await policy(office, step(first), step(second, wait=10 * MINUTE), repeat=3)
    heartbeat, incident = await office.down(policy=steps, remind_every=MINUTE)
    await pass_(office, 0)

    assert await incidents.acknowledge(office.db, incident, "Ada")
    for _ in range(5):
        await pass_(office, 10 * MINUTE)
    assert told(office) == ["first opened"]
    found = await incidents.get(office.db, incident)
    assert (found.acknowledged_by, found.status) == ("Ada", "open")
    await office.recover(heartbeat)
    await pass_(office, 0)

    assert told(office) == ["first opened", "first resolved"]
    assert not await incidents.acknowledge(office.db, incident, "Bob")
    assert (await incidents.get(office.db, incident)).acknowledged_by == "Ada"


async def test_who_snoozes_is_told_again_and_the_steps_go_on_then(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    _, incident = await office.down(policy=await policy(office, step(first), step(second, wait=10 * MINUTE)))
    await pass_(office, 0)

    assert await incidents.snooze(office.db, incident, "Ada", until=office.clock.now + 30 * MINUTE * 1000)
    await pass_(office, 29 * MINUTE)
    assert told(office) == ["first opened"]
    await pass_(office, 2 * MINUTE)

    assert sorted(told(office)[1:]) == ["first reminder", "second escalated"]
    await pass_(office, 100_000)
    assert len(told(office)) == 3


async def test_a_snooze_brings_it_back_without_any_policy(office: Office) -> None:
    await office.channel("hook")
    _, incident = await office.down()
    await pass_(office, 0)

    await incidents.snooze(office.db, incident, "Ada", until=office.clock.now + 3_600_000)
    await pass_(office, 3_601)
    await pass_(office, 3_601)

    assert told(office) == ["hook opened", "hook reminder"]


async def test_reminders_come_until_it_is_over(office: Office) -> None:
    await office.channel("hook")
    heartbeat, _ = await office.down(remind_every=3_600)
    await pass_(office, 0)

    for _ in range(3):
        await pass_(office, 3_600)
    await office.recover(heartbeat)
    await pass_(office, 0)
    await pass_(office, 7_200)

    assert told(office) == ["hook opened", "hook reminder", "hook reminder", "hook reminder", "hook resolved"]
    ids = [request.headers["webhook-id"] for request in office.sink.requests]
    assert len(set(ids)) == len(ids)


async def test_a_person_is_told_by_one_contact_after_the_other(office: Office) -> None:
    push, call = await office.channel("push"), await office.channel("call")
    contacts = (Contact(channel=push.id, wait=0), Contact(channel=call.id, wait=5 * MINUTE))
    ada = (await plans.PEOPLE.create(office.db, lambda id_: Person(id=id_, name="Ada", contacts=contacts))).id
    _, incident = await office.down(policy=await policy(office, step(people=[ada])))

    await pass_(office, 0)
    assert told(office) == ["push opened"]
    await pass_(office, 5 * MINUTE)
    assert told(office) == ["push opened", "call escalated"]

    _, other = await office.down("other", policy=await policy(office, step(people=[ada])))
    await pass_(office, 0)
    await incidents.acknowledge(office.db, other, "Ada")
    await pass_(office, 10 * MINUTE)
    assert told(office)[2:] == ["push opened"]
    assert (await incidents.get(office.db, incident)).status == "open"


async def test_whoever_is_on_call_then_is_told(office: Office) -> None:
    people = [await person(office, name, await office.channel(name)) for name in ("ada", "bob")]
    schedule = await plans.ONCALL.create(
        office.db,
        lambda id_: OnCall(
            id=id_, name="rota", timezone="UTC", people=tuple(people), days=1, handover="00:00", start="2000-01-01",
            overrides=(),
        ),
    )  # fmt: skip
    steps = await policy(office, step(schedules=[schedule.id]))

    for number in range(2):
        await office.down(f"h{number}", policy=steps)
        await pass_(office, 0)
        await office.clock.forward(86_400)

    assert sorted(told(office)) == ["ada opened", "bob opened"]


async def test_a_policy_that_is_gone_leaves_nobody_untold(office: Office) -> None:
    first = await office.channel("first")
    steps = await policy(office, step(first, wait=5 * MINUTE))
    await office.down(policy=steps)
    await pass_(office, 0)

    await plans.POLICIES.delete(office.db, steps)
    await pass_(office, 5 * MINUTE)
    await office.down("other", policy=steps)
    await pass_(office, 0)

    assert told(office) == ["first opened", "first opened"]


async def test_two_notifiers_that_do_the_same_step_tell_it_once(office: Office) -> None:
    first = await office.channel("first")
    _, incident = await office.down(policy=await policy(office, step(first), step(first, wait=MINUTE)))
    await pass_(office, 0)
    await office.clock.forward(MINUTE)

    escalation = Escalation(office.db)
    found = [await escalation.due([f"escalate:{incident}"]) for _ in range(2)]

    assert found == [[("default", [(incident, first.id)])], []]


async def test_a_step_that_is_handed_out_twice_is_not_the_next_one_as_well(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    _, incident = await office.down(
        policy=await policy(office, step(first), step(second, wait=10), step(first, wait=10))
    )
    await pass_(office, 0)

    for wait, expected in ((9, []), (1, [second.id]), (9, []), (1, [first.id])):
        await office.clock.forward(wait)
        found = [await Escalation(office.db).due([f"escalate:{incident}"]) for _ in range(3)]
        assert [channel for each in found for _, pairs in each for _, channel in pairs] == expected


async def test_where_nobody_is_on_call_all_the_way_everybody_is_told(office: Office) -> None:
    await office.channel("hook")
    nobody = await plans.PEOPLE.create(office.db, lambda id_: Person(id=id_, name="Ada", contacts=()))
    await office.down(policy=await policy(office, step(people=[nobody.id]), step(people=[nobody.id], wait=MINUTE)))

    await pass_(office, 0)
    assert told(office) == []
    await pass_(office, MINUTE)

    assert told(office) == ["hook escalated"]


async def test_a_fleet_has_a_policy_too(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    steps = await policy(office, step(first), step(second, wait=MINUTE))
    fleet = await fleets.create(office.db, FleetSettings(name="sensors", period=60, grace=30, policy=steps))
    await fleet_scene.say(office.db, fleet, "a", at=office.clock.now)
    await fleet_scene.pass_time(office.db, office.clock, 100)
    await pass_(office, 0)
    await pass_(office, MINUTE)

    assert told(office) == ["first opened", "second escalated"]


# Windows


async def test_what_opens_in_a_window_is_told_after_it_if_it_is_still_open(office: Office) -> None:
    await office.channel("hook")
    end = office.clock.now + 3_600_000
    await window(office, tags=("db",), start_at=office.clock.now - 1, end_at=end)
    stays, incident = await office.down("stays", tags=("db",))
    ends, _ = await office.down("ends", tags=("db",))
    await office.down("elsewhere", tags=("web",))

    await pass_(office, 0)
    assert [body["heartbeat"]["name"] for body in office.told()] == ["elsewhere"]
    assert (await incidents.get(office.db, incident)).held
    await office.recover(ends)
    await pass_(office, 60)
    assert len(office.told()) == 1
    await pass_(office, 3_600)

    assert office.events()[1:] == [("opened", "stays")]
    await office.recover(stays)
    await pass_(office, 0)
    assert office.events()[2:] == [("resolved", "stays")]


async def test_a_window_that_is_deleted_holds_no_longer(office: Office) -> None:
    await office.channel("hook")
    muted = await window(office, everything=True, start_at=office.clock.now - 1)
    await office.down()
    await pass_(office, 0)
    await pass_(office, 86_400)
    assert office.told() == []

    await plans.WINDOWS.delete(office.db, muted)
    await pass_(office, LOOK_AGAIN_MS / 1000)

    assert office.events() == [("opened", "backup")]


async def test_a_step_that_falls_into_a_window_waits_for_its_end(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    heartbeat, _ = await office.down(policy=await policy(office, step(first), step(second, wait=10 * MINUTE)))
    await pass_(office, 0)
    now = office.clock.now
    await window(office, heartbeats=(heartbeat.id,), start_at=now, end_at=now + 30 * MINUTE * 1000)

    await pass_(office, 15 * MINUTE)
    assert told(office) == ["first opened"]
    await pass_(office, 20 * MINUTE)

    assert told(office) == ["first opened", "second escalated"]


async def test_a_policy_begins_when_the_window_ends(office: Office) -> None:
    first, second = await office.channel("first"), await office.channel("second")
    now = office.clock.now
    await window(office, everything=True, start_at=now, end_at=now + 30 * MINUTE * 1000)
    await office.down(policy=await policy(office, step(first), step(second, wait=10 * MINUTE)))

    await pass_(office, 20 * MINUTE)
    assert told(office) == []
    await pass_(office, 11 * MINUTE)
    assert told(office) == ["first opened"]
    await pass_(office, 10 * MINUTE)
    assert told(office) == ["first opened", "second escalated"]


# Late warnings


async def test_a_warning_comes_before_the_incident_where_it_is_wanted(office: Office) -> None:
    await office.channel("hook")
    for name, warn_late in (("soft", True), ("hard", False)):
        heartbeat = await make(office.db, name, warn_late=warn_late)
        assert await send(office.db, heartbeat, at=office.clock.now + 1) == "up"

    await pass_time(office.db, office.clock, 61)
    await pass_(office, 0)
    assert [(body["event"], body["heartbeat"]["name"]) for body in office.told()] == [("heartbeat.late", "soft")]
    assert office.told()[0]["priority"] == 4
    await pass_time(office.db, office.clock, 61)
    await pass_(office, 0)

    assert sorted(office.events()[1:]) == [("opened", "hard"), ("opened", "soft")]


async def test_who_pings_before_the_warning_is_told_is_not_late(office: Office) -> None:
    await office.channel("hook")
    heartbeat = await make(office.db, warn_late=True)
    await send(office.db, heartbeat, at=office.clock.now + 1)
    await pass_time(office.db, office.clock, 61)

    await send(office.db, heartbeat, at=office.clock.now)
    await pass_(office, 0)

    assert office.told() == []


async def test_each_ping_puts_the_warning_off_and_a_pause_takes_it_away(office: Office) -> None:
    await office.channel("hook")
    heartbeat = await make(office.db, warn_late=True)
    for _ in range(3):
        await send(office.db, heartbeat, at=office.clock.now + 1)
        await pass_time(office.db, office.clock, 50)
    await heartbeats.pause(office.db, heartbeat.id, None)
    await pass_time(office.db, office.clock, 500)
    await pass_(office, 0)

    assert office.told() == []


async def test_a_warning_wished_for_later_counts_from_the_last_ping(office: Office) -> None:
    await office.channel("hook")
    heartbeat = await make(office.db)
    await send(office.db, heartbeat, at=office.clock.now + 1)
    await heartbeats.edit(office.db, heartbeat.id, {"warn_late": True})

    await pass_time(office.db, office.clock, 61)
    await pass_(office, 0)

    assert [body["event"] for body in office.told()] == ["heartbeat.late"]
