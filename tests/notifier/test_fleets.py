"""Fleets with a real receiver: one message instead of a million, again when it has doubled, once when it is over."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from notifier import fleet_message
from notifier.delivery import LEASE_MS
from notifier.fleets import Fleets
from notifier.message import Message
from store import deadlines, fleets, notifications
from store.database import Database, opened
from store.deliveries import Lease, Word
from store.errors import Unavailable
from store.fleets import Fleet, FleetSettings
from store.keys import shard_of
from store.notifications import Reader
from store.records import Incident
from tests.conftest import TEST_CLOCK, Clock, clean
from tests.notifier.conftest import Office
from tests.notifier.sinks import Answer
from tests.store.fleet_scene import make_fleet

T = 1_800_000_000_000  # 2027-01-15 08:00:00 UTC
ID = "0123456789ab"


async def signal(db: Database, clock: Clock, fleet: Fleet, slugs: list[str], kind: str) -> None:
    await clock.forward(1)
    for slug in slugs:
        shard = db.shards[shard_of(slug, len(db.shards))]
        await db.run("members", shard, fleet.id, "1", slug, clock.now, kind, "")


async def fall(office: Office, fleet: Fleet, count: int) -> list[str]:
    """So many members are down in all."""
    slugs = [f"m{number:03}" for number in range(count)]
    await signal(office.db, office.clock, fleet, slugs, "fail")
    return slugs


async def rise(office: Office, fleet: Fleet, slugs: list[str]) -> None:
    await signal(office.db, office.clock, fleet, slugs, "success")


async def tell(office: Office) -> None:
    """Until nothing is due: the look, what the look said, and chores that came of it."""
    for _ in range(4):
        await office.tell()


def heard(office: Office) -> list[tuple[str, int]]:
    """(event, how many are down), as received."""
    return [(body["event"].removeprefix("incident."), body["fleet"]["down"]) for body in office.told()]


async def test_a_fleet_is_told_in_one_message_again_when_it_doubled_and_once_when_it_is_over(office: Office) -> None:
    channel = await office.channel()
    fleet = await make_fleet(office.db, "sensors", tags=("lab",), priority=9)
    await rise(office, fleet, [f"m{number:03}" for number in range(100)])
    for count in (30, 40, 59, 60, 61, 100):
        slugs = await fall(office, fleet, count)
        if count == 30:
            since = office.clock.now
        await tell(office)
    await rise(office, fleet, slugs)
    await tell(office)

    assert heard(office) == [("opened", 30), ("escalated", 60), ("resolved", 0)]
    first, grown, resolved = office.told()
    incident = f"{fleet.id}-{since}"
    assert {body["incident"]["id"] for body in office.told()} == {incident}
    assert first["fleet"] == {
        "id": fleet.id, "name": "sensors", "down": 30, "most": 30, "members": 100, "examples": slugs[:20],
    }  # fmt: skip
    assert first["heartbeat"] == {
        "id": fleet.id, "name": "sensors", "status": "down", "tags": ["lab"], "period": 60, "grace": 30, "priority": 9,
        "alert_text": "", "recovery_text": "", "last_ping_at": None,
    }  # fmt: skip
    assert (grown["fleet"]["down"], grown["incident"]["status"]) == (60, "open")
    assert grown["at"] > first["at"] == first["incident"]["opened_at"]
    assert (resolved["fleet"]["most"], resolved["fleet"]["examples"]) == (100, [])
    assert (resolved["heartbeat"]["status"], resolved["incident"]["resolution"]) == ("up", "ping")
    assert [body["id"] for body in office.told()] == [
        f"msg_{incident}_{channel.id}_{word}" for word in ("opened_30", "grown_60", "resolved")
    ]
    assert (await office.delivery(incident, channel)).told == "resolved"
    await office.clock.forward(100_000)
    await tell(office)
    assert len(office.sink.requests) == 3


async def test_only_the_channels_that_a_fleet_chose_are_told(office: Office) -> None:
    chosen = await office.channel("chosen")
    await office.channel("other")
    await fall(office, await make_fleet(office.db, "chosen", channels=(chosen.id,)), 1)
    await fall(office, await make_fleet(office.db, "none", channels=()), 1)

    await tell(office)

    assert [request.path for request in office.sink.requests] == ["/chosen"]


async def test_a_recovery_overtakes_a_waiting_alert_and_says_how_bad_it_was(office: Office) -> None:
    await office.channel()
    fleet = await make_fleet(office.db)
    slugs = await fall(office, fleet, 7)
    office.sink.answers.append(Answer(status=500))
    await tell(office)
    await office.clock.forward(300)
    await rise(office, fleet, slugs)
    await tell(office)
    await office.clock.forward(100_000)
    await tell(office)

    assert heard(office) == [("opened", 7), ("resolved", 0)]  # the first was refused
    assert "It lasted for 5 min 1 s" in office.told()[1]["text"]
    assert "At most 7 members were down at once." in office.told()[1]["text"]


async def test_what_was_refused_says_in_the_end_what_is_true_then(office: Office) -> None:
    await office.channel()
    fleet = await make_fleet(office.db)
    await fall(office, fleet, 3)
    office.sink.answers.append(Answer(status=500))
    await tell(office)
    await fall(office, fleet, 50)
    await tell(office)
    assert heard(office) == [("opened", 3)]
    await office.clock.forward(60)
    await tell(office)

    assert heard(office) == [("opened", 3), ("opened", 50)]
    ids = [request.headers["webhook-id"] for request in office.sink.requests]
    assert ids[0] != ids[1]  # who took the first in spite of his answer must not drop the second


@pytest.mark.parametrize(("by", "title"), [("pause", "devices was paused"), ("delete", "devices was deleted")])
async def test_an_end_by_hand_is_told_as_such(office: Office, by: str, title: str) -> None:
    await office.channel()
    fleet = await make_fleet(office.db)
    await fall(office, fleet, 3)
    await tell(office)
    await (fleets.pause if by == "pause" else fleets.delete)(office.db, fleet.id)
    await tell(office)

    assert heard(office) == [("opened", 3), ("resolved", 0)]
    assert office.told()[1]["title"] == title
    assert office.told()[1]["heartbeat"]["name"] == "devices"


async def test_a_fleet_is_not_lost_among_heartbeats_that_are_told_in_one_message(office: Office) -> None:
    await office.channel()
    for number in range(6):
        await office.down(f"h{number}")
    fleet = await make_fleet(office.db)
    await fall(office, fleet, 300)
    await fleets.look(office.db, fleet.id)

    await office.tell()

    folded, alone = sorted(office.told(), key=lambda body: "fleet" in body)
    assert (folded["title"], folded["folded"]["count"]) == ("6 heartbeats are down", 6)
    assert alone["fleet"]["down"] == 300
    assert "folded" not in alone


async def test_more_than_five_fleets_that_come_together_are_one_message(office: Office) -> None:
    channel = await office.channel()
    made = [await make_fleet(office.db, f"fleet {number}", tags=("lab",)) for number in range(6)]
    for count in (1, 2, 4):
        slugs = [await fall(office, fleet, count) for fleet in made]
        await tell(office)
    for fleet, theirs in zip(made, slugs, strict=True):
        await rise(office, fleet, theirs)
    await tell(office)

    assert [(body["event"], body["title"]) for body in office.told()] == [
        ("incident.opened", "6 fleets have members that are down"),
        ("incident.escalated", "6 fleets have more members that are down"),
        ("incident.escalated", "6 fleets have more members that are down"),
        ("incident.resolved", "6 fleets have no members that are down any more"),
    ]
    assert len({body["id"] for body in office.told()}) == 4
    assert office.told()[0]["folded"] == {
        "count": 6, "heartbeats": [f"fleet {number}" for number in range(6)], "tags": ["lab"], "name_prefix": "fleet "
    }  # fmt: skip
    for fleet in made:
        told = await office.db.execute("ZRANGE", office.db.shards[0].closed, 0, -1)
        (incident,) = [each.decode() for each in told if each.decode().startswith(fleet.id)]
        assert (await office.delivery(incident, channel)).told == "resolved"


async def test_a_message_about_many_fleets_has_another_id_once_one_of_them_has_grown(office: Office) -> None:
    await office.channel()
    made = [await make_fleet(office.db, f"fleet {number}") for number in range(6)]
    for fleet in made:
        await fall(office, fleet, 1)
    office.sink.answers.extend([Answer(status=500)] * 2)
    await tell(office)
    for growing in (0, 2):
        await fall(office, made[5], growing)
        await office.clock.forward(60)
        await tell(office)

    ids = [request.headers["webhook-id"] for request in office.sink.requests]
    assert [body["folded"]["count"] for body in office.told()] == [6, 6, 6]
    assert ids[0] == ids[1] != ids[2]


class Killed:
    """Ends a notifier at its n-th word with Redis, said or not said."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = 0
        self.said = False
        for name in ("execute", "run", "pipeline"):
            self._patch(monkeypatch, name, getattr(Database, name))

    def _patch(self, monkeypatch: pytest.MonkeyPatch, name: str, original: Any) -> None:
        async def call(db: Database, *args: Any) -> Any:
            self.at -= 1
            if self.at == 0 and not self.said:
                raise Unavailable("killed")
            answer = await original(db, *args)
            if self.at == 0:
                raise Unavailable("killed")
            return answer

        monkeypatch.setattr(Database, name, call)


async def live(office: Office, name: str) -> None:
    """A notifier's life until nothing is due, and a sweeper that hands it chores."""
    db, shard = office.db, office.db.shards[0]
    consumer, noted = office.consumer(name)
    reader = Reader(db, shard, name)
    try:
        await reader.make_group()
        found = True
        while found:
            chores = await deadlines.chores(db, shard)
            entries = await reader.claim(idle_ms=0)
            if await db.redis.xlen(shard.notifications) > len(entries):
                entries += await reader.read(wait_ms=1)
            await consumer._look_at(entries)
            pairs, noted.pairs = noted.pairs, []
            for project, incident, channel in dict.fromkeys(pairs):
                await office.desk(channel, incident, owner=name, project=project).work()
            found = bool(chores or entries)
    finally:
        await reader.aclose()
        await consumer._reader.aclose()


@pytest.mark.parametrize("said", [True, False])
@pytest.mark.parametrize("meanwhile", ["nothing", "more", "the end"])
async def test_a_notifier_that_is_killed_at_any_point_loses_nothing_and_repeats_one_message_at_most(
    office: Office, monkeypatch: pytest.MonkeyPatch, meanwhile: str, *, said: bool
) -> None:
    killed = Killed(monkeypatch)
    killed.said = said
    for at in range(1, 100):
        channel = await office.channel()
        fleet = await make_fleet(office.db, channels=(channel.id,))
        slugs = await fall(office, fleet, 3)
        before = len(office.sink.requests)
        killed.at = at
        try:
            await live(office, f"first {at}")
            died = killed.at <= 0
        except Unavailable:
            died = True
        killed.at = 0
        if meanwhile == "more":
            await fall(office, fleet, 7)
        elif meanwhile == "the end":
            await rise(office, fleet, slugs)
        for _ in range(2):
            await live(office, f"second {at}")
            await office.clock.forward(LEASE_MS / 1000)
        await live(office, f"third {at}")

        told = heard(office)[before:]
        ids = [request.headers["webhook-id"] for request in office.sink.requests[before:]]
        assert len(ids) - len(set(ids)) <= 1
        assert set(told) <= {("opened", 3), ("opened", 7), ("escalated", 7), ("resolved", 0)}
        was_opened = await office.db.execute("HEXISTS", office.db.shards[0].fleet(fleet.id), "last_incident")
        if was_opened:  # else it was over before anybody looked
            assert told[-1] in {"nothing": [("opened", 3)], "the end": [("resolved", 0)]}.get(meanwhile, told)
            assert told[-1][1] == 7 or meanwhile != "more"
        else:
            assert (told, meanwhile) == ([], "the end")
        assert await notifications.backlog(office.db) == 0
        if not died:
            break
    assert not died
    assert at > 15  # that many words it takes


async def test_entries_of_all_shards_lead_to_one_message_and_are_gone(office: Office) -> None:
    async with opened(clean(office.db.url), shards=4, clock=TEST_CLOCK) as db:
        here = replace(office, db=db, clock=Clock(db))
        await here.clock.set(T)
        await here.channel()
        fleet = await make_fleet(db)
        await fall(here, fleet, 40)
        assert await notifications.backlog(db) == 4
        for _ in range(3):
            for shard in db.shards:
                await tell_shard(here, shard.number)

        assert heard(here) == [("opened", 40)]
        assert await notifications.backlog(db) == 0


async def tell_shard(office: Office, number: int) -> None:
    consumer, noted = office.consumer(shard=number)
    reader = Reader(office.db, office.db.shards[number], "n1")
    await reader.make_group()
    await consumer._look_at(await reader.read(wait_ms=1))
    for project, incident, channel in noted.pairs:
        await office.desk(channel, incident, project=project).work()
    await reader.aclose()
    await consumer._reader.aclose()


async def test_many_who_ask_for_a_look_at_once_share_one_that_began_after_they_asked(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = await make_fleet(office.db)
    look, began = fleets.look, []

    async def counted(db: Database, fleet: str) -> str | None:
        began.append(fleet)
        return await look(db, fleet)

    monkeypatch.setattr(fleets, "look", counted)
    looks = Fleets(office.db)
    await asyncio.gather(*(looks.look(fleet.id) for _ in range(64)))
    assert len(began) == 2  # the first had begun when the others asked
    await looks.look(fleet.id)
    await looks.look("another")
    assert began[2:] == [fleet.id, "another"]


async def test_a_look_that_failed_serves_nobody(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    async def away(_: Database, fleet: str) -> None:
        tried.append(fleet)
        await asyncio.sleep(0)
        raise Unavailable("away")

    monkeypatch.setattr(fleets, "look", away)
    looks = Fleets(office.db)
    ends = await asyncio.gather(*(looks.look(ID) for _ in range(3)), return_exceptions=True)

    assert [type(end) for end in ends] == [Unavailable] * 3
    assert len(tried) == 3


# What people read, word by word


def incident(**changes: Any) -> Incident:
    made = Incident(
        id=f"{ID}-{T}", heartbeat=ID, project="default", status="open", cause="silence", opened_at=T, resolved_at=None,
        resolution="", last_ping_at=None, exit_status="", output=b"", channels=(), fleet=True, count=200, most=400,
        examples=tuple(f"m{number:02}" for number in range(20)),
    )  # fmt: skip
    return replace(made, **changes)


def fleet_record(name: str = "sensors", **settings: Any) -> Fleet:
    return Fleet(
        id=ID, ping_key="", project="default", settings=FleetSettings(name=name, period=60, grace=30, **settings),
        status="up", rev=1, created_at=T, edited_at=0, not_before=0, incident=None,
    )  # fmt: skip


def compose(word: Word, down: int = 200, *, members: int = 1_000_000, **changes: Any) -> Message:
    lease = Lease(f"{ID}-{T}", word, 1, down, T + 60_000)
    return fleet_message.compose("c1", lease, incident(**changes), fleet_record(), members=members)


def test_an_alert_says_how_many_of_how_many_since_when_and_whom() -> None:
    message = compose("opened")

    assert message.title == "sensors: 200 of 1,000,000 members are down"
    assert message.text == (
        "No ping came from the first of them by 2027-01-15 08:00:00 UTC.\n\n"
        + "".join(f"- m{number:02}\n" for number in range(20))
        + "and 180 more"
    )
    assert message.plain.endswith("and 180 more\n\nPeriod: 1 min\nGrace: 30 s")
    assert (message.at, message.priority, message.thread) == (T, 8, f"{ID}-{T}")


def test_a_few_are_all_named() -> None:
    one = compose("opened", 1, members=1, examples=("a",))
    two = compose("opened", 2, examples=("a", "b", "c"))  # the third fell silent since

    assert one.title == "sensors: 1 of 1 members is down"
    assert one.text == "No ping came by 2027-01-15 08:00:00 UTC.\n\n- a"
    assert two.text.endswith("\n\n- a\n- b")


def test_what_the_silent_ones_begin_with_is_told() -> None:
    message = compose("opened", 3, examples=("eu-rack1-a", "eu-rack1-b", "eu-rack2-a"))

    assert "These begin with eu-:\n- eu-rack1-a\n" in message.text


@pytest.mark.parametrize(
    ("down", "text"),
    [
        (1, "It reported a failure at 2027-01-15 08:00:00 UTC."),
        (2, "They reported failures, the first at 2027-01-15 08:00:00 UTC."),
    ],
)
def test_failures_are_told_as_such(down: int, text: str) -> None:
    assert compose("opened", down, cause="failure").text.startswith(text)


def test_growth_is_dated_when_it_was_counted() -> None:
    message = compose("grown", 400)

    assert message.title == "sensors: now 400 of 1,000,000 members are down"
    assert (message.event, message.at) == ("incident.escalated", T + 60_000)


@pytest.mark.parametrize(
    ("most", "text"), [(400, "At most 400 members were down at once."), (1, "One member was down.")]
)
def test_the_end_says_how_long_it_lasted_and_how_bad_it_was(most: int, text: str) -> None:
    message = compose("resolved", 0, status="resolved", resolved_at=T + 3_900_000, resolution="ping", most=most)

    assert message.title == "sensors: no member is down any more"
    assert message.text == f"It lasted for 1 h 5 min, since 2027-01-15 08:00:00 UTC. {text}"
    assert (message.priority, message.at) == (3, T + 3_900_000)


def test_the_users_own_words_stand_in_front() -> None:
    lease = Lease(f"{ID}-{T}", "opened", 1, 3, T)
    chatty = fleet_record(alert_text="Позвоните дежурному", recovery_text="Всё хорошо")
    alert = fleet_message.compose("c1", lease, incident(), chatty, members=9)
    recovery = fleet_message.compose("c1", replace(lease, word="resolved"), incident(resolved_at=T), chatty, members=9)

    assert alert.text.startswith("Позвоните дежурному\n\nNo ping came")
    assert recovery.text.startswith("Всё хорошо\n\nIt lasted for")


def test_a_fleet_that_nobody_remembers_is_told_by_its_id() -> None:
    lease = Lease(f"{ID}-{T}", "opened", 1, 3, T)
    message = fleet_message.compose("c1", lease, incident(), None, members=0)

    assert message.title == f"{ID}: 3 of 3 members are down"
    assert message.payload["heartbeat"] == {"id": ID, "name": None}
    assert message.payload["fleet"]["name"] is None


def test_a_title_is_one_line_whatever_the_name() -> None:
    lease = Lease(f"{ID}-{T}", "opened", 1, 3, T)
    message = fleet_message.compose("c1", lease, incident(), fleet_record("a\r\nBcc: all"), members=9)

    assert message.title == "a Bcc: all: 3 of 9 members are down"
