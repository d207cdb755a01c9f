"""The commands that make, or change, and those that change many at once: real processes against a real console."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flatline.commands.main import BULK, PAGE
from store import heartbeats
from store.database import opened
from store.records import Settings
from tests.console.conftest import Api, served, signal
from tests.flatline.clients import Ran, clear
from tests.flatline.test_commands import command


@pytest.fixture
async def console(redis_url: str) -> AsyncIterator[Api]:
    async with served(redis_url) as api:
        yield api
    clear()


async def bulk(api: Api, *words: str) -> Ran:
    return await command(api, "heartbeat", "bulk", *words)


async def of_all(api: Api, field: str) -> dict[str, Any]:
    return {each["name"]: each[field] for each in (await api.get("/api/heartbeats")).body["heartbeats"]}


async def test_apply_makes_once_and_then_changes(console: Api) -> None:
    words = ["heartbeat", "apply", "nightly-copy", "--name", "Nightly copy", "--tag", "backup", "--json"]
    made, again = [await command(console, *words) for _ in range(2)]
    changed = await command(console, "heartbeat", "apply", "nightly-copy", "--set", "misses=3")

    assert (made.status, made.stdout, made.stderr) == (0, again.stdout, "")
    assert json.loads(made.stdout)["tags"] == ["backup"]
    assert (changed.status, (await of_all(console, "misses"))) == (0, {"Nightly copy": 3})
    assert b"nightly-copy" in changed.stdout


async def test_apply_takes_a_channel_from_a_file(console: Api) -> None:
    given = b'{"kind": "gotify", "settings": {"url": "https://push.example.org", "token": "A-secret"}}'
    made = await command(console, "channel", "apply", "phone", "--from", "-", stdin=given)
    renamed = await command(console, "channel", "apply", "phone", "--name", "Telephone", "--json")

    assert made.status == 0
    assert b"A-secret" not in made.stdout
    assert json.loads(renamed.stdout)["name"] == "Telephone"
    assert len((await console.get("/api/channels")).body["channels"]) == 1


async def test_a_list_is_narrowed_by_how_the_names_begin(console: Api) -> None:
    for name in ("Backup a", "backup b", "other"):
        await console.heartbeat(name)
    ran = await command(console, "heartbeat", "list", "--prefix", "BACK", "--json")

    assert [each["name"] for each in json.loads(ran.stdout)["heartbeats"]] == ["Backup a", "backup b"]


async def test_all_with_a_tag_are_paused_and_no_others(console: Api) -> None:
    for name, tags in (("a", ["night"]), ("b", ["night", "x"]), ("c", [])):
        await console.heartbeat(name, tags=tags)
    ran = await bulk(console, "pause", "--tag", "night", "--for", "2h", "--yes")

    assert (ran.status, ran.stdout, ran.stderr) == (0, b"", "pause: 2 heartbeats\n")
    assert await of_all(console, "status") == {"a": "paused", "b": "paused", "c": "pending"}
    ends = await of_all(console, "resume_at")
    assert ends["a"] == ends["b"] is not None
    assert (await bulk(console, "resume", "--status", "paused", "--yes")).status == 0
    assert set((await of_all(console, "status")).values()) == {"pending"}


async def test_tags_are_added_to_all_that_are_found_and_what_cannot_is_said(console: Api) -> None:
    full = await console.heartbeat("job 1", tags=[f"t{number}" for number in range(20)])
    await console.heartbeat("job 2")
    ran = await bulk(console, "tag", "--prefix", "job", "--which", "x", "--which", "y", "--yes")
    told = json.loads((await bulk(console, "untag", "--tag", "x", "--which", "y", "--yes", "--json")).stdout)

    assert (ran.status, ran.stderr) == (
        1,
        f"tag: 1 heartbeat\nnot {full['id']}: a heartbeat has at most 20 tags\n",
    )
    assert told == {"done": 1, "failed": []}
    assert (await of_all(console, "tags"))["job 2"] == ["x"]


async def test_more_than_a_call_takes_go_in_several(console: Api, redis_url: str) -> None:
    count = BULK + PAGE // 2
    async with opened(redis_url) as db:
        for number in range(count):
            await heartbeats.create(db, Settings(name=f"job {number}"))
    ran = await bulk(console, "delete", "--prefix", "job", "--yes")

    assert (ran.status, ran.stderr) == (0, f"delete: {count:,} heartbeats\n")
    assert (await console.get("/api/heartbeats")).body["heartbeats"] == []


async def test_they_are_counted_and_a_note_is_written(console: Api, redis_url: str) -> None:
    made = await console.heartbeat("a", tags=["x"])
    async with opened(redis_url) as db:
        await signal(db, made["id"], signal="fail")
    counted = await command(console, "heartbeat", "count", "--tag", "x", "--json")
    incident = (await console.get("/api/incidents")).body["incidents"][0]["id"]
    noted = await command(console, "incident", "note", incident, "--text", "Disk full.", "--by", "Ada", "--json")

    counts = {"pending": 0, "up": 0, "down": 1, "paused": 0}
    assert json.loads(counted.stdout) == {"heartbeats": counts, "tagged": 1}
    assert json.loads(noted.stdout).items() >= {"by": "Ada", "text": "Disk full."}.items()


async def test_it_asks_first_with_how_many_and_where(console: Api) -> None:
    await console.heartbeat("a", tags=["x"])
    ran = await bulk(console, "delete", "--tag", "x")

    assert (ran.status, list(await of_all(console, "name"))) == (2, ["a"])
    assert "delete: 1 heartbeat on 127.0.0.1" in ran.stderr
    assert "such as a. Nobody can be asked here: add --yes" in ran.stderr
    none = await bulk(console, "delete", "--tag", "never")
    assert (none.status, none.stderr) == (0, "none\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["pause", "--yes"], "say which: --status, --tag, --prefix"),
        (["tag", "--tag", "x", "--yes"], "send tags with"),
        (["resume", "--tag", "x", "--for", "1h", "--yes"], "not with resume"),
        (["burn", "--tag", "x"], "invalid choice: 'burn'"),
        (["pause", "--tags", "x"], "did you mean --tag?"),
    ],
)
async def test_what_makes_no_sense_changes_nothing(console: Api, words: list[str], said: str) -> None:
    await console.heartbeat("a", tags=["x"])
    ran = await bulk(console, *words)

    assert ran.status == 2
    assert said in ran.stderr
    assert await of_all(console, "status") == {"a": "pending"}
