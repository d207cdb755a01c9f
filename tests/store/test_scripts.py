import re

import pytest

from store import deadlines, deliveries, heartbeats, notifications
from store.database import Database, opened
from store.keys import Shard
from store.records import Settings
from store.scripts import ALLOWED_WITHOUT_MEMORY, LUA, PARTS, Scripts
from tests.conftest import T0, TEST_CLOCK, Clock, Sockets, clean
from tests.store.scene import all_incidents, be_deaf, hear, log_of, pass_time, push, send

NAMES = sorted(file.name.removesuffix(".lua") for file in LUA.iterdir() if file.name[:-4] not in PARTS)


def test_every_script_is_one_chunk_with_its_flags_first() -> None:
    for shebang in (True, False):
        texts = Scripts(shebang=shebang).texts
        assert sorted(texts) == NAMES
        assert {name for name in texts if texts[name].startswith("#!lua")} == (
            set(ALLOWED_WITHOUT_MEMORY) if shebang else set()
        )


@pytest.mark.parametrize("name", NAMES)
def test_every_key_is_built_from_the_tag_of_the_shard(name: str) -> None:
    """A literal key would be in another slot; the clock of tests stands apart from what we ship."""
    text = Scripts(shebang=False).texts[name]
    assert not re.search(r"call\('\w+',\s*'", text.replace("call('INFO', 'server')", ""))


def test_the_fixed_keys_share_the_tag_and_have_the_names_that_common_gives_them() -> None:
    shard = Shard(3)
    assert {re.findall(r"\{(.*?)\}", key)[0] for key in shard.fixed} == {"3"}
    line = next(line for line in (LUA / "common.lua").read_text().splitlines() if "unpack(KEYS)" in line)
    wanted = [name.strip().lower() for name in line.removeprefix("local ").partition("=")[0].split(",")]
    assert [name for name in wanted if getattr(shard, name) in shard.fixed] == wanted
    assert [getattr(shard, name) for name in wanted] == list(shard.fixed)


async def story(db: Database) -> list[object]:
    """Each script at least once; answers everything that can be compared between servers."""
    clock, shard = Clock(db), db.shards[0]
    await clock.set(T0)
    made = []
    for n in range(5):
        settings = Settings(name=f"Имя {n}", period=60, grace=30, tags=("x",))
        made.append(await heartbeats.create(db, settings, token=f"{n}1111111-1111-4111-8111-111111111111"))
    seen: list[object] = [await send(db, each, at=T0 - 7) for each in made[:4]]
    await hear(db, clock)
    await clock.forward(20.5)
    seen.append(await push(db, (made[0].id, clock.now - 3, clock.now - 3 + 90_000)))
    seen.append(await send(db, made[1], "start", at=clock.now, rid="r"))
    seen.append(await send(db, made[2], "fail", at=clock.now, output=bytes(range(256))))
    await heartbeats.edit(db, made[3].id, {"grace": 31, "name": "ж"})
    await heartbeats.pause(db, made[4].id, T0 + 60_000)
    await pass_time(db, clock, 6)
    await be_deaf(db, clock, 3)
    for _ in range(4):
        await pass_time(db, clock, 40)
    for incident in await all_incidents(db):
        await notifications.enlist(db, shard, "", [(incident.id, "c")])
        leases = await deliveries.lease(db, shard, "c", [incident.id], owner="o", lease_ms=5)
        await deliveries.outcome(db, shard, "c", leases, owner="o", result="retry", delay_ms=9)
        seen += leases
    await heartbeats.delete(db, made[2].id)
    await clock.forward(-50)
    seen.append(await deadlines.pulse(db, shard, "n1"))
    seen.append(await deadlines.clamp(db, shard))
    seen += [await deadlines.sweep(db, shard), await deadlines.timers(db, shard), await deadlines.chores(db, shard)]
    seen += await heartbeats.get_many(db, [each.id for each in made])
    seen += [await log_of(db, each) for each in made]
    for name in ("deadlines", "timers", "chores", "open", "closed", "deaf"):
        seen.append(await db.execute("ZRANGE", getattr(shard, name), 0, -1, "WITHSCORES"))
    return seen


async def test_all_servers_behave_alike(sockets: Sockets) -> None:
    stories = {}
    for kind in sockets.binaries:
        async with opened(clean(sockets.url(kind)), clock=TEST_CLOCK) as db:
            stories[kind] = await story(db)

    first, *others = stories.values()
    assert len(str(first)) > 2000
    for other in others:
        assert other == first
