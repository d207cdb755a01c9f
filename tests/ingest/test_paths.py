"""What a ping's path and query say."""

import pytest

from ingest.paths import Target, parse_path, parse_run_id

TOKEN = "3f1c9a52-6b0e-4d27-9c41-0a7be2d5f816"
BAD = "invalid url format"


@pytest.mark.parametrize("prefix", ["/ping/", "/", "/heartbeat/ping/", "/api/v1/heartbeat/", "//ping/", "/ping//"])
@pytest.mark.parametrize(
    ("last", "target"),
    [
        ("", Target(TOKEN)),
        ("/", Target(TOKEN)),
        ("/start", Target(TOKEN, "start")),
        ("/start/", Target(TOKEN, "start")),
        ("/fail", Target(TOKEN, "fail")),
        ("/log", Target(TOKEN, "log")),
        ("/0", Target(TOKEN, "success", "0")),
        ("/000", Target(TOKEN, "success", "0")),
        ("/1", Target(TOKEN, "fail", "1")),
        ("/007", Target(TOKEN, "fail", "7")),
        ("/255", Target(TOKEN, "fail", "255")),
        ("/256", Target(TOKEN, error=BAD)),
        ("/99999999999999999999", Target(TOKEN, error=BAD)),
        ("/TERM", Target(TOKEN, "fail", "TERM")),
        ("/KILL", Target(TOKEN, "fail", "KILL")),
        ("/FAIL", Target(TOKEN, error=BAD)),
        ("/foo", None),
        ("/-1", None),
        ("/0x1", None),
        ("/1.5", None),
        ("/٣", None),
        ("/start/now", None),
    ],
)
def test_every_form_of_url_carries_the_same_signals(prefix: str, last: str, target: Target | None) -> None:
    assert parse_path(prefix + TOKEN + last) == target


@pytest.mark.parametrize("token", [TOKEN.upper(), TOKEN.replace("-", "")])
def test_a_token_may_come_in_capitals_or_without_dashes(token: str) -> None:
    assert parse_path(f"/ping/{token}") == Target(TOKEN)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/ping",
        "/ping/",
        "/metrics",
        "/api/heartbeats",
        "/ping/not-a-token",
        "/ping/" + TOKEN[:-1],
        "/ping/" + TOKEN + "a",
        "/ping/" + TOKEN.replace("3", "g"),
        "/ping/" + TOKEN.replace("3", "³"),
        "/ping/" + TOKEN.replace("-", "_"),
        "/login/" + TOKEN + "/start/x",
        "/heartbeat/" + TOKEN[:8] + TOKEN[9:13] + "/pause",
    ],
)
def test_other_paths_are_no_pings(path: str) -> None:
    assert parse_path(path) is None


RID = "c0ffee00-1234-4abc-8def-0123456789ab"


@pytest.mark.parametrize(
    ("query", "rid"),
    [
        ("", ""),
        ("x=1", ""),
        (f"rid={RID}", RID),
        (f"rid={RID.upper()}", RID),
        (f"a=b&rid={RID}&c", RID),
        (f"rid=00000000-0000-0000-0000-000000000000&rid={RID}", RID),
        ("rid=", None),
        ("rid=12345", None),
        (f"rid={{{RID}}}", None),
        (f"rid={RID[:-1]}", None),
        (f"rid={RID}0", None),
        (f"rid={RID.replace('-', '')}", None),
    ],
)
def test_a_run_id_is_a_canonical_uuid(query: str, rid: str | None) -> None:
    assert parse_run_id(query.encode()) == rid
